"""NES and SPSA: the estimate by hand, what the box cuts, budgets that end within an estimate."""

import dataclasses

import pytest
import torch

from holdfast.attacks.evasion.nes import Nes, chunks, climb
from holdfast.attacks.evasion.spsa import Spsa
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Wrong
from holdfast.threats.threats import L2, Linf
from laws.oracles import linear, setting, torch_model, weights

BOTH = pytest.mark.parametrize("attack", [Nes(), Spsa()], ids=["nes", "spsa"])


def probe_of(model, x, y, threat):
    return Probe(model, x, Wrong(y), threat.around(x), Draw(0, "test", list(range(len(x))), x), stop=False)


def test_the_estimate_is_the_sum_over_pairs_of_the_fall_times_the_direction():
    """margin = -<w, x> + c for class 0, so a pair (s, -s) adds 2 <w, s> * 2 s; at the bound half of it is left."""
    w = torch.tensor([[2.0, -1.0, 0.5]], dtype=torch.float64)
    model, y = linear(w, -4.0), torch.zeros(2, dtype=torch.long)
    x = torch.tensor([[0.5, 0.5, 0.5], [0.0, 0.5, 0.5]], dtype=torch.float64)
    steps = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.1, 0.2]], dtype=torch.float64).expand(2, 2, 3)
    probe = probe_of(model, x, y, Linf(0.3))
    g = climb(probe, x, steps)
    first = [2 * 0.2 * 2 * 0.1, 0.0, 0.0]
    assert g[0].tolist() == pytest.approx([first[0], 0.0, 0.0])  # the second pair sees <w, s> = 0
    assert g[1].tolist() == pytest.approx([first[0] / 4, 0.0, 0.0])
    assert (probe.queries == 4).all()


def test_it_points_along_the_gradient():
    w = weights(1, 50)
    x = torch.full((4, 50), 0.5, dtype=torch.float64)
    probe = probe_of(linear(w, -0.5 * w.sum() - 1), x, torch.zeros(4, dtype=torch.long), L2(1.0))
    for noise in (probe.draw.normal(500, 50), probe.draw.signs(500, 50)):
        g = climb(probe, x, 0.001 * noise)
        assert ((g @ w[0]) / (g.norm(dim=1) * w.norm()) > 0.9).all()


def test_pairs_are_asked_in_pieces():
    assert chunks(50) == [25]
    assert chunks(128) == [25, 25, 14]
    assert chunks(1) == [1]


def test_one_step_of_adam_is_the_sign_of_the_estimate():
    """Adam's first step is g / |g| in every coordinate: in Linf a corner of the cube of `step` times the radius."""
    model, x, y = setting(n=4)
    asked = []

    def spy(z):
        asked.append(z.detach().clone())
        return model.module(z)

    run(Spsa(steps=1, samples=10, step=0.5), torch_model(spy, 3), x, y, Linf(0.1), perturb=True)
    last = next(z for z in reversed(asked) if len(z) == 4)
    corner = ((x - 0.05).clamp(min=0) == last) | ((x + 0.05).clamp(max=1) == last)
    assert (corner | torch.isclose((last - x).abs(), torch.tensor(0.05, dtype=torch.float64))).all()


@BOTH
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.4)], ids=str)
def test_flat_scores_leave_the_input_where_it_is(attack, threat):
    flat = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    x = torch.rand(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    small = dataclasses.replace(attack, steps=3, samples=4)
    out = run(small, flat, x, torch.zeros(3).long(), threat, perturb=True)
    assert torch.equal(out.strongest, x)
    assert (out.queries == 15).all()


@BOTH
@pytest.mark.parametrize("queries", [1, 5, 50, 52])
def test_a_budget_that_ends_within_an_estimate(attack, queries):
    model, x, y = setting(n=6)
    out = run(attack, model, x, y, Linf(0.01, queries=queries))
    assert attack.passes() == attack.steps * (attack.samples + 1)
    assert (out.queries <= queries).all()
    assert out.strongest.isfinite().all()


def test_nes_with_pairs_enough_is_projected_gradient_ascent():
    w = torch.tensor([[3.0, -1.0, 2.0, -4.0]], dtype=torch.float64)
    x = torch.full((1, 4), 0.5, dtype=torch.float64)
    model = linear(w, 10.0)
    out = run(Nes(steps=12, momentum=0.0), model, x, torch.ones(1).long(), Linf(0.1), perturb=True)
    assert out.margin.item() == pytest.approx(10.0 - 0.1 * 10, abs=1e-9)
