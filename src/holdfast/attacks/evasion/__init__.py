"""Evasion: inputs changed within a threat so that a trained model errs."""
