"""Learning from another model's answers."""
