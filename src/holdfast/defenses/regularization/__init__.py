"""Penalties, noise and augmentation at training time, as Learners."""
