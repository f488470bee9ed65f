"""Tensor mathematics without models: row-wise arithmetic, exact projections, random numbers that belong to a row."""
