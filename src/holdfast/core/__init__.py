"""Standard library only: errors, parameter ranges, lazy names, optional imports, records as JSON, progress, safe files."""
