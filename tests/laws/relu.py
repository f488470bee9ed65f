"""Exact adversarial distances of a small ReLU network by mixed-integer programming.

Tjeng et al., ICLR 2019, arXiv:1711.07356: big-M encoding of each ReLU, bounds by interval arithmetic over the box.
"""

import functools

import numpy as np
import torch
from scipy.optimize import Bounds, LinearConstraint, milp

from holdfast.models.model import Model
from laws.oracles import torch_model

INPUTS, HIDDEN = 4, 16


@functools.cache
def network() -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of a 4-16-16-3 network whose mean scores over the box are equal."""
    rng = np.random.default_rng(8)
    sizes = [INPUTS, HIDDEN, HIDDEN, 3]
    layers = [
        (rng.normal(size=(b, a)) * np.sqrt(2 / a), rng.normal(size=b) * 0.3)
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]
    h = rng.uniform(size=(1000, INPUTS))
    for w, b in layers[:-1]:
        h = np.maximum(h @ w.T + b, 0)
    w, _ = layers[-1]
    return [*layers[:-1], (w, -(h @ w.T).mean(0))]


def model() -> Model:
    """The network as a Model, float64."""
    layers = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in network()]

    def scores(x):
        for w, b in layers[:-1]:
            x = (x @ w.to(x).T + b.to(x)).relu()
        return x @ layers[-1][0].to(x).T + layers[-1][1].to(x)

    return torch_model(scores, 3)


@functools.cache
def distance(x: tuple[float, ...], y: int, p: float) -> float:
    """Linf or L1 distance from `x` of class `y` to the nearest point of the unit box where another class ties it."""
    return min(_solve(np.array(x), y, j, p) for j in {0, 1, 2} - {y})


def _solve(x: np.ndarray, y: int, j: int, p: float) -> float:
    """Least r with |x' - x|_p <= r and score_j(x') >= score_y(x').

    Variables: x' (n), t (n) with t >= |x' - x|, r, then for each hidden unit its value h and its switch s.
    """
    n, layers = INPUTS, network()
    total = 2 * n + 1 + 2 * HIDDEN * 2
    rows, low, high = [], [], []

    def add(pairs, least, most):
        row = np.zeros(total)
        for k, v in pairs:
            row[k] += v
        rows.append(row), low.append(least), high.append(most)

    for i in range(n):
        add([(n + i, 1), (i, -1)], -x[i], np.inf)
        add([(n + i, 1), (i, 1)], x[i], np.inf)
        if p == np.inf:
            add([(2 * n, 1), (n + i, -1)], 0, np.inf)
    if p == 1:
        add([(2 * n, 1)] + [(n + i, -1) for i in range(n)], 0, np.inf)
    before, lo, hi = list(range(n)), np.zeros(n), np.ones(n)
    for layer, (w, b) in enumerate(layers[:-1]):
        values = [2 * n + 1 + 2 * HIDDEN * layer + k for k in range(HIDDEN)]
        switches = [v + HIDDEN for v in values]
        least = np.minimum(w * lo, w * hi).sum(1) + b
        most = np.maximum(w * lo, w * hi).sum(1) + b
        for k in range(HIDDEN):
            z = list(zip(before, w[k], strict=True))
            add([(values[k], 1)] + [(i, -v) for i, v in z], b[k], np.inf)  # h >= z
            add(
                [(values[k], 1)] + [(i, -v) for i, v in z] + [(switches[k], -min(least[k], 0))],
                -np.inf,
                b[k] - min(least[k], 0),
            )
            add([(values[k], 1), (switches[k], -max(most[k], 0))], -np.inf, 0)  # h <= M s
        before, lo, hi = values, np.maximum(least, 0), np.maximum(most, 0)
    w, b = layers[-1]
    add(list(zip(before, w[j] - w[y], strict=True)), b[y] - b[j], np.inf)
    cost = np.zeros(total)
    cost[2 * n] = 1
    integers = np.zeros(total)
    for layer in range(2):
        start = 2 * n + 1 + 2 * HIDDEN * layer + HIDDEN
        integers[start : start + HIDDEN] = 1
    top = np.full(total, np.inf)
    top[:n] = 1
    top[integers == 1] = 1
    result = milp(
        cost,
        constraints=LinearConstraint(np.array(rows), low, high),
        integrality=integers,
        bounds=Bounds(np.zeros(total), top),
    )
    return float(result.fun) if result.success else np.inf
