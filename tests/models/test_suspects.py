"""Likely causes of a low accuracy: each planted mistake is named first, and a right model is left in peace."""

import pytest
import torch
from torch import nn

from holdfast.data import load
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.suspects import likely_causes
from holdfast.models.wrap import wrap


class Colors(nn.Module):
    """Decides by which channel is brightest."""

    def forward(self, x):
        return 20 * (x.mean((2, 3)) - 0.5)


def pictures(seed=0):
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (150,), generator=draw)
    x = 0.3 * torch.rand(150, 3, 6, 6, generator=draw) + 0.2
    x[torch.arange(150), y] += 0.2
    return x, y


@pytest.fixture(scope="module")
def digits():
    test = load("digits").test
    model = settle(load_model("digits-mlp"), test.x)
    return model, test.x, test.y


def test_nothing_is_suspected_where_all_is_right(digits):
    model, x, y = digits
    assert likely_causes(model, x, y) == ()
    assert likely_causes(model, x[:0], y[:0]) == ()


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        (lambda x, y: (x, y + 1), "data's labels seem to start at 1"),
        (lambda x, y: (x, (y * 3) % 10), "another order"),
        (lambda x, y: (1 - x, y), "inverted"),
        (lambda x, y: (x.transpose(2, 3), y), "height and width"),
    ],
)
def test_mistakes_in_the_data_are_named(mistake, word, digits):
    model, x, y = digits
    causes = likely_causes(model, *mistake(x, y))
    assert any(word in cause for cause in causes), causes
    assert "->" in causes[0]


def test_swapped_channels_are_named():
    x, y = pictures()
    model = settle(wrap(Colors()), x)
    assert likely_causes(model, x, y) == ()
    assert any("BGR" in cause for cause in likely_causes(model, x.flip(1), y))


@pytest.mark.parametrize(
    ("outside", "word"),
    [
        (lambda net: Times(net, 1 / 255), "255 times as large"),
        (lambda net: Scaled(net, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "ImageNet"),
    ],
)
def test_ranges_and_missing_normalization_are_named(outside, word):
    x, y = pictures()
    model = settle(wrap(outside(Threshold())), x)
    causes = likely_causes(model, x, (x.mean((1, 2, 3)) > x.mean()).long())
    assert any(word in cause for cause in causes), causes


class Threshold(nn.Module):
    """Needs its inputs in [0, 1]: the brightness is compared with a constant."""

    def forward(self, x):
        return 100 * (x.mean((1, 2, 3)) - pictures()[0].mean())[:, None] * torch.tensor([-1.0, 1.0])


class Times(nn.Module):
    def __init__(self, inner, factor):
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x):
        return self.inner(x * self.factor)


class Scaled(nn.Module):
    """A network that was trained on normalized inputs: it undoes what nobody did."""

    def __init__(self, inner, mean, std):
        super().__init__()
        self.inner = inner
        self.mean, self.std = (torch.tensor(v)[:, None, None] for v in (mean, std))

    def forward(self, x):
        return self.inner(x * self.std + self.mean)


def test_normalization_that_the_model_does_itself_is_named():
    x, y = pictures()
    inside = nn.Sequential(Threshold())
    y = (x.mean((1, 2, 3)) > x.mean()).long()
    model = settle(wrap(inside, mean=0.2, std=3.0), x)
    assert any("leave mean= and std= away" in cause for cause in likely_causes(model, x, y))


def test_running_statistics_that_do_not_belong_to_the_weights_are_named():
    x, y = pictures()
    net = nn.Sequential(nn.BatchNorm2d(3, affine=False), Bright())
    net[0].running_mean.fill_(5.0)
    y = (x.mean((1, 2, 3)) > x.mean()).long()
    model = settle(wrap(net), x)
    before = net[0].running_mean.clone()
    assert any("training mode" in cause for cause in likely_causes(model, x, y))
    assert torch.equal(net[0].running_mean, before)
    assert net.training


class Bright(nn.Module):
    def forward(self, x):
        return 20 * x.mean((1, 2, 3))[:, None] * torch.tensor([-1.0, 1.0])
