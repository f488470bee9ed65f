"""The bookkeeper by itself: what it hands to attacks where the model's numbers are none."""

import torch

from holdfast.attacks.probe import Probe
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Wrong
from holdfast.threats.threats import Linf
from laws.oracles import torch_model


def probe(scores, x):
    model = torch_model(scores, 2)
    region = Linf(0.5).around(x, model.space)
    return Probe(model, x, Wrong(torch.zeros(len(x), dtype=torch.long)), region, Draw(0, "probe", range(len(x)), x))


def test_slopes_that_are_no_numbers_are_zero_and_counted():
    """Entry 0 has the slope of a root at zero (infinite), entry 1 of zero times infinity, entry 2 an honest one."""
    x = torch.tensor([[0.0, 0.0, 0.5], [0.25, 0.25, 0.5]], dtype=torch.float64)

    def scores(z):
        root = z[:, :2].sqrt()
        value = root[:, 0] + 0 * root[:, 1] + 2 * z[:, 2]
        return torch.stack([torch.full_like(value, 9.0), value], 1)

    p = probe(scores, x)
    gradient, _, margin = p.slope(x, lambda margins, _: -margins.amax((1, 2)))
    assert gradient.tolist() == [[0.0, 0.0, 2.0], [1.0, 0.0, 2.0]]
    assert p.bad_gradients.tolist() == [1, 0]
    assert p.zero_gradients.tolist() == [0, 0]
    assert margin.tolist() == [8.0, 7.5]


def test_an_infinite_slope_of_either_sign_is_zero():
    x = torch.zeros(1, 2, dtype=torch.float64)
    p = probe(lambda z: torch.stack([9 + 0 * z[:, 0], z[:, 0].sqrt() - z[:, 1].sqrt()], 1), x)
    assert p.slope(x, lambda margins, _: -margins.amax((1, 2))).gradient.tolist() == [[0.0, 0.0]]
