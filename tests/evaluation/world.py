"""A small world for the run store: digits against the nearest class mean, in a module that counts and can be slow."""

import functools
import time

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from holdfast.data.dataset import Dataset
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap


class Means(nn.Module):
    """Scores 2 <c, x> - |c|^2 of the class means; counts the rows it sees.

    Rows are multiplied one at a time, so that the company of a row never moves its last bit.
    """

    def __init__(self, delay: float = 0.0, shift: float = 0.0):
        super().__init__()
        means = centers() + shift
        self.weight = nn.Parameter(2 * means)
        self.bias = nn.Parameter(-means.square().sum(1))
        self.delay, self.rows = delay, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        if self.delay:
            time.sleep(self.delay)
        return torch.stack([(self.weight * row.flatten()).sum(1) + self.bias for row in x])


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    raw = load_digits()
    return torch.tensor(raw.data / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(raw.target)


@functools.cache
def centers() -> Tensor:
    x, y = digits()
    return torch.stack([x[:1000][y[:1000] == k].flatten(1).mean(0) for k in range(10)])


def data(n: int = 40, first: int = 1000) -> Dataset:
    x, y = digits()
    return Dataset(
        x[first : first + n], y[first : first + n], name="digits", split="test", ids=torch.arange(first, first + n)
    )


def model(delay: float = 0.0, shift: float = 0.0) -> tuple[Model, Means]:
    net = Means(delay, shift)
    return settle(wrap(net, (0, 1), output="logits"), digits()[0][:32]), net
