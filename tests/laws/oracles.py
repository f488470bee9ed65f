"""Models whose answers are known in closed form, and the closed forms."""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.probe import Probe
from holdfast.models.model import Model
from holdfast.threats.space import Box, space_of


def torch_model(scores: Callable[[Tensor], Tensor], classes: int, space: Box | None = None, **fields) -> Model:
    """A Model from a function of a batch; one column becomes two scores (0, z)."""

    def module(x: Tensor) -> Tensor:
        z = scores(x)
        return torch.cat([torch.zeros_like(z), z], 1) if z.shape[1] == 1 else z

    def look(x: Tensor) -> Tensor:
        with torch.no_grad():
            return module(x)

    return Model(space or Box(), max(classes, 2), lambda x: look(x).argmax(1), look, module, **fields)


def corners(n: int, *shape: int, seed: int = 0) -> Tensor:
    """Inputs with half their coordinates within 1/16 of the box, so that the box is active: float64, dyadic."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 65, (n, *shape), generator=g) / 64
    edge = torch.randint(0, 5, (n, *shape), generator=g) / 64
    side = torch.randint(0, 4, (n, *shape), generator=g)
    return torch.where(side == 0, edge, torch.where(side == 1, 1 - edge, x)).double()


def weights(classes: int, *shape: int, seed: int = 1) -> Tensor:
    """Small integers, so that float64 scores of dyadic inputs are exact: `(classes, ...)`."""
    g = torch.Generator().manual_seed(seed)
    w = torch.randint(-8, 9, (classes, *shape), generator=g).double()
    return torch.where(w == 0, 1.0, w)


def linear(w: Tensor, bias: Tensor | float = 0.0, shift: float = 0.0, scale: float = 1.0, **fields) -> Model:
    """Scores `scale (<w, x> + bias) + shift`; one row of `w` gives one logit."""

    def scores(x: Tensor) -> Tensor:
        return scale * (x.flatten(1) @ w.to(x.dtype).flatten(1).T + torch.as_tensor(bias).to(x)) + shift

    return torch_model(scores, len(w), **fields)


def setting(
    classes: int = 3, shape: tuple[int, ...] = (12,), n: int = 16, dtype: torch.dtype = torch.float64, **fields
):
    """A linear model, inputs with the box active, labels; exact arithmetic in float64."""
    x, w = corners(n, *shape), weights(classes, *shape)
    model = linear(w, balanced(w, x), space=space_of(x), **fields)
    x = x.to(dtype)
    return model, x, model.labels(x)


def small_net() -> Model:
    """An untrained convolutional network, float32, on 3 x 8 x 8."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(128, 4)
        )
    return torch_model(net.eval(), 4, space_of(torch.zeros(1, 3, 8, 8)))


def alone(model: Model) -> Model:
    """The same model asked row by row: its answers cannot depend on company, whatever the order of summation."""
    one_by_one = torch_model(lambda x: torch.cat([model.module(x[i : i + 1]) for i in range(len(x))]), model.classes)
    return dataclasses.replace(one_by_one, space=model.space)


def balanced(w: Tensor, x: Tensor) -> Tensor:
    """Biases, dyadic, that put the mean of `x` on all boundaries."""
    return -(x.flatten(1).mean(0) @ w.flatten(1).T * 64).round() / 64


def drop(w: np.ndarray, x: np.ndarray, radius: float, p: float) -> float:
    """Largest fall of <w, x> over ball and unit box."""
    room = np.where(w > 0, x, 1 - x)
    size = np.abs(w)
    if p == np.inf:
        return float(size @ np.minimum(room, radius))
    if p == 2:
        low, high = 0.0, 1e6
        for _ in range(200):
            s = (low + high) / 2
            low, high = (s, high) if np.linalg.norm(np.minimum(s * size, room)) <= radius else (low, s)
        return float(size @ np.minimum(low * size, room))
    if p == 1:
        left, total = radius, 0.0
        for j in np.argsort(-size):
            step = min(left, room[j])
            left, total = left - step, total + step * size[j]
        return float(total)
    return float(np.sort(size * room)[::-1][: int(radius)].sum())


def nearest(w: np.ndarray, x: np.ndarray, gap: float, p: float) -> float:
    """Least radius whose drop is `gap`; infinite where the box has no such point. A whole number for p = 0."""
    if p == 0:
        falls = np.cumsum(np.sort(np.abs(w) * np.where(w > 0, x, 1 - x))[::-1])
        return float((falls < gap).sum() + 1) if falls[-1] >= gap else np.inf
    low, high = 0.0, float(np.linalg.norm(np.maximum(x, 1 - x), p))
    if drop(w, x, high, p) < gap:
        return np.inf
    for _ in range(100):
        r = (low + high) / 2
        low, high = (r, high) if drop(w, x, r, p) < gap else (low, r)
    return high


class Centroids:
    """The nearest of three centers, as scores `<c_k, x> - |c_k|^2 / 2`: every boundary is a plane."""

    def __init__(self, n: int = 12, seed: int = 4):
        g = torch.Generator().manual_seed(seed)
        self.centers = torch.rand(3, n, generator=g, dtype=torch.float64)

    def model(self) -> Model:
        c = self.centers
        return torch_model(lambda x: x @ c.to(x).T - c.to(x).square().sum(1) / 2, 3)

    def distance(self, x: Tensor, y: int, p: float) -> float:
        """From `x` of class `y` to the nearest other class inside the unit box."""
        scores = self.model().scores(x[None])[0]
        return min(
            nearest((self.centers[y] - self.centers[j]).numpy(), x.numpy(), float(scores[y] - scores[j]), p)
            for j in {0, 1, 2} - {y}
        )


class Spheres:
    """Scores `-a_k |x - c_k|^2 / 2 + b_k`: every boundary is a sphere, every L2 distance is known."""

    def __init__(self, n: int = 6, seed: int = 3):
        g = torch.Generator().manual_seed(seed)
        self.a = torch.tensor([1.0, 1.5, 2.5], dtype=torch.float64)
        self.c = torch.rand(3, n, generator=g, dtype=torch.float64) * 2 - 1
        self.b = torch.zeros(3, dtype=torch.float64)

    def model(self) -> Model:
        def scores(x: Tensor) -> Tensor:
            return -self.a.to(x) * (x[:, None] - self.c.to(x)).square().sum(2) / 2 + self.b.to(x)

        return torch_model(scores, 3, Box((-2.0, 2.0)))

    def distance(self, x: Tensor, y: int) -> float:
        """From `x` of class `y` to the nearest other class."""
        best = np.inf
        for j in {0, 1, 2} - {y}:
            a = self.a[y] - self.a[j]
            middle = (self.a[y] * self.c[y] - self.a[j] * self.c[j]) / a
            z = self.b[y] - self.b[j] - (self.a[y] * self.c[y] @ self.c[y] - self.a[j] * self.c[j] @ self.c[j]) / 2
            radius = ((2 / a) * z + middle @ middle).clamp(min=0).sqrt()
            best = min(best, float(((x - middle).norm() - radius).abs()))
        return best


def ellipsoid(n: int = 6) -> tuple[Model, Tensor, Tensor]:
    """Inputs outside an ellipsoid of class 1, and how far they are from it, by bisection on the multiplier."""
    away = torch.randn(n, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    away, bent, level = 0.3 * away / away.norm(dim=1, keepdim=True), torch.logspace(0, 1, 8, dtype=torch.float64), 0.1
    low, high = torch.zeros(n, 1, dtype=torch.float64), torch.full((n, 1), 1e6, dtype=torch.float64)
    for _ in range(100):
        t = (low + high) / 2
        outside = (bent * (away / (1 + t * bent)).square()).sum(1, keepdim=True) > level
        low, high = torch.where(outside, t, low), torch.where(outside, high, t)
    least = (away - away / (1 + low * bent)).norm(dim=1)
    return torch_model(lambda z: level - ((z - 0.5).square() * bent.to(z)).sum(1, keepdim=True), 2), 0.5 + away, least


class Poisoned(Probe):
    """Answers about dead rows are not numbers: whoever used one would show it."""

    def _back(self, values):
        dead = (~self.alive).reshape(-1, *[1] * (values.dim() - 1))
        return torch.where(dead, torch.nan, values)
