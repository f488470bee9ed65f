"""Standard library only: errors, parameter ranges, lazy names, extras, records as JSON, progress, safe files."""
