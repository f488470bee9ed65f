"""Models: one record, and a function for each library that fills it."""
