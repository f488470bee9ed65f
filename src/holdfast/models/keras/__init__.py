"""Keras 3 models on any of its backends: torch, JAX, TensorFlow."""
