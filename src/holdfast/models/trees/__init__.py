"""Tree ensembles as arrays: one form, and a reader for each library."""
