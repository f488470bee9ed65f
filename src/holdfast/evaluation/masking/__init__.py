"""Masking: whether the model only looks robust because the attacks could not see."""
