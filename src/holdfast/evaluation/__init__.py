"""Plans and suites, metrics, the run store and the audit that fills it."""
