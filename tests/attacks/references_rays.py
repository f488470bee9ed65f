"""A second implementation of RayS: one row, plain loops, after Algorithms 1 to 3 of the paper."""

import math

import numpy as np


def ray_s(row, attack):
    """Chen and Gu 2020, Algorithm 3, with lengths in Linf: the paper's divided by the root of the number of values.

    Its best radius is infinite until a corner of the box reaches the goal; random corners are the deviation.
    """
    size, whole = row.x0.size, float((row.high - row.low).max())
    best, radius = np.ones(row.x0.shape), math.inf
    for k in range(attack.tries):
        trial = row.draw.signs(*row.x0.shape)[0].numpy() if k else -best
        if row.margin(at(row, trial, whole)) < 0:
            best, radius = trial, bisected(row, trial, whole, attack.halvings)
            break
    level, k, idle = 1, 0, 0
    for _ in range(attack.steps):
        side = math.ceil(size / 2**level)
        part = range(k * side, min((k + 1) * side, size))
        trial = best.copy()
        for j in part:
            trial.flat[j] = -trial.flat[j]
        far = min(radius, whole)
        shorter = math.inf
        if row.margin(at(row, trial, far)) < 0:
            shorter = bisected(row, trial, far, attack.halvings)
        idle += len(part) == 1
        if shorter < radius:
            best, radius, idle = trial, shorter, 0
        if idle == size:
            return
        level, k = (level + 1, 0) if part.stop == size else (level, k + 1)


def at(row, signs, radius):
    """The point that far in the direction of a corner, cut by the box."""
    return np.minimum(np.maximum(row.x0 + radius * signs, row.low), row.high)


def bisected(row, signs, far, halvings):
    """Algorithm 2 without its fast check: the boundary between the input and a radius that reaches the goal."""
    near = 0.0
    for _ in range(halvings):
        middle = (near + far) / 2
        near, far = (near, middle) if row.margin(at(row, signs, middle)) < 0 else (middle, far)
    return far
