"""Augmentations: inside the bounds, seeded, never mirrored."""

import pytest
import torch
from torch import Generator

from holdfast.core.errors import ModelError
from holdfast.learning.augment import named
from holdfast.threats.space import Box, Image


def pictures(n=16, size=(9, 12)):
    return torch.rand(n, 3, *size, generator=Generator().manual_seed(0)) * 2 - 0.5


SPACE = Image((-0.5, 1.5))


@pytest.mark.parametrize("name", ["shift", "affine", "light", "affine+light", "shift+light"])
def test_shape_bounds_and_seed(name):
    x, apply = pictures(), named(name, SPACE)
    first, again, other = (apply(x, Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first.shape == x.shape
    assert SPACE.validate(first).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, x)
    assert torch.equal(x, pictures())


def test_shift_moves_whole_pixels():
    x = torch.zeros(200, 1, 9, 12)
    x[:, :, 4, 6] = 1
    moved = named("shift", Image())(x, Generator().manual_seed(0))
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(200))
    places = {tuple(place) for place in moved[:, 0].nonzero()[:, 1:].tolist()}
    assert places == {(4 + i, 6 + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}


@pytest.mark.parametrize("name", ["shift", "affine"])
def test_nothing_is_mirrored(name):
    """Left stays left: a ramp from dark to bright keeps its direction in every picture."""
    x = torch.linspace(0, 1, 12).expand(64, 1, 12, 12).contiguous()
    moved = named(name, Image())(x, Generator().manual_seed(0))
    assert (moved[..., 6:].mean((1, 2, 3)) > moved[..., :6].mean((1, 2, 3)) + 0.2).all()


def test_light_keeps_the_picture():
    x = pictures() * 0.2 + 0.5
    lit = named("light", SPACE)(x, Generator().manual_seed(0))
    a, b = (v.flatten(1) - v.flatten(1).mean(1, keepdim=True) for v in (x, lit))
    assert ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)) > 0.999).all()


def test_names():
    assert named("", SPACE) is None
    with pytest.raises(ModelError, match="HF220"):
        named("flip", SPACE)
    with pytest.raises(ModelError, match="HF220"):
        named("shift", Box())(torch.rand(3, 4), Generator())
