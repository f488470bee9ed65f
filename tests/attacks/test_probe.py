"""The bookkeeper by itself: what it hands to attacks where the model's numbers are none."""

import dataclasses

import torch

from holdfast.attacks.probe import Probe
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Wrong
from holdfast.threats.threats import Linf
from laws.oracles import torch_model


def probe(scores, x, noise=0.0):
    model = dataclasses.replace(torch_model(scores, 2), noise=noise)
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


def test_margins_are_negative_just_where_the_books_count_a_success():
    """Attacks that took 0 for the edge gave up rows for reached that verification then refuted, one after another."""
    x = torch.zeros(3, 1, dtype=torch.float64)
    to = torch.tensor([[0.0], [0.05], [0.2]], dtype=torch.float64)  # no, within the noise, beyond it

    def scores(z):
        return torch.stack([0.01 + 0 * z[:, 0], z[:, 0]], 1)

    ways = torch.zeros(3, 1, dtype=torch.long)
    asked = {
        "margin": lambda p: p.margin(to),
        "margins": lambda p: p.margins(to[:, None])[:, 0],
        "slope": lambda p: p.slope(to).margin,
        "jacobian": lambda p: p.jacobian(to, ways).margins[:, 0],
    }
    for name, ask in asked.items():
        p = probe(scores, x, noise=0.1)
        assert (ask(p) < 0).tolist() == p.distance.isfinite().tolist() == [False, False, True], name
