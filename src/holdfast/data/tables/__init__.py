"""Tables as data: files, data frames, what their columns are, rows that repeat themselves."""
