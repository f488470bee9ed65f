"""Small data and small networks, each drawn from a seed: what the masks are put on, and the honest half."""

import dataclasses
import functools
import hashlib
import math

import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from holdfast.data.road_signs import render

RADII = {"digits": (0.03, 0.3), "cancer": (0.02, 0.25), "signs": (2 / 255, 24 / 255)}  # Linf, drawn evenly in the log


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    name: str
    x: Tensor
    y: Tensor
    classes: int
    split: int  # samples before it are learned from, samples after it are judged

    @property
    def train(self):
        return self.x[: self.split], self.y[: self.split]

    @property
    def test(self):
        return self.x[self.split :], self.y[self.split :]


class Dice:
    """A generator with the few draws that are needed."""

    def __init__(self, *seed):
        mark = hashlib.blake2b(repr(seed).encode(), digest_size=4).digest()
        self.g = torch.Generator().manual_seed(int.from_bytes(mark))

    def uniform(self, low, high):
        return low + (high - low) * float(torch.rand((), generator=self.g))

    def log(self, low, high):
        return math.exp(self.uniform(math.log(low), math.log(high)))

    def of(self, *values):
        return values[int(torch.randint(len(values), (), generator=self.g))]


@functools.cache
def task(name):
    if name == "digits":
        raw = load_digits()
        x, y, classes = torch.tensor(raw.data / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), raw.target, 10
    elif name == "cancer":
        raw = load_breast_cancer()
        x = torch.tensor(raw.data, dtype=torch.float32)
        x, y, classes = ((x - x.amin(0)) / (x.amax(0) - x.amin(0))).clamp(0, 1), raw.target, 2
    else:
        raw, kept = render(3200, 3, size=16), torch.tensor([0, 5, 10, 15])  # four that a small network tells apart
        rows, classes = torch.isin(raw.y, kept), 4
        x, y = raw.x.float()[rows], torch.searchsorted(kept, raw.y[rows])
    y = torch.as_tensor(y).long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
    x, y = x[order], y[order]
    return Task(name, x, y, classes, int(0.75 * len(x)))


class Net(nn.Module):
    """An input part, features, an activation and a head, so that a mask can sit anywhere."""

    def __init__(self, dice, t):
        super().__init__()
        torch.manual_seed(int(dice.uniform(0, 2**30)))
        shape, self.before, self.after = t.x.shape[1:], nn.Identity(), nn.Identity()
        self.middle = nn.Identity()
        self.activation = dice.of(nn.ReLU, nn.ReLU, nn.Tanh, nn.GELU)()
        wide = dice.of(32, 64, 128)
        if len(shape) == 3 and dice.of(False, True):
            convolutions = [nn.Conv2d(shape[0], 12, 3, padding=1), self.activation]
            convolutions += [nn.Conv2d(12, 16, 3, stride=2, padding=1), self.activation, nn.Flatten()]
            self.body = nn.Sequential(*convolutions, nn.LazyLinear(wide))
        else:
            self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(wide))
        self.head = nn.Linear(wide, t.classes)
        self(t.x[:2])

    def forward(self, x):
        return self.after(self.head(self.middle(self.activation(self.body(4 * self.before(x) - 2)))))


def learned(net, t, epochs=25, radius=0.0, loss=nn.functional.cross_entropy, rate=3e-3):
    """Adam on cross-entropy; with a radius on the points that five steps of ascent find (Madry et al. 2018)."""
    (x, y), epochs = t.train, 2 * epochs if t.name == "signs" else epochs
    adam, g = torch.optim.Adam(net.parameters(), rate), torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for rows in torch.randperm(len(x), generator=g).split(64):
            points = climbed(net, x[rows], y[rows], radius, g) if radius else x[rows]
            adam.zero_grad()
            loss(net(points), y[rows]).backward()
            adam.step()
    return net.eval()


def climbed(net, x, y, radius, g, steps=5):
    points = (x + radius * (2 * torch.rand(x.shape, generator=g) - 1)).clamp(0, 1)
    for _ in range(steps):
        points.requires_grad_()
        (slope,) = torch.autograd.grad(nn.functional.cross_entropy(net(points), y), points)
        points = (points.detach() + radius / 3 * slope.sign()).clamp(x - radius, x + radius).clamp(0, 1)
    return points.detach()
