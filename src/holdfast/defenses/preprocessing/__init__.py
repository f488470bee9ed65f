"""Transformations of an input in front of a model."""
