"""Learners: data in, a Model out."""
