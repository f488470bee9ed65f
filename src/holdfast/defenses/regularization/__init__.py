"""Penalties, noise, augmentation and weighting at training time, as Learners."""
