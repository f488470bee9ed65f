"""Local search: what it costs, whom it gives up, and what a disturbance throws away."""

import math

import pytest
import torch

from holdfast.attacks.evasion.local_search import LocalSearch
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Wrong
from holdfast.threats.threats import L2, Linf
from laws.oracles import torch_model


def questions(**more):
    """Of three rows, one at a time: at radius 0.1 the margin falls by 0.4, from 4, 0.5 and 0.43."""
    found = []
    for offset in (4.0, 0.5, 0.43):
        model = torch_model(lambda z, o=offset: z.sum(1, keepdim=True) - 2 - o, 2)
        x = torch.full((1, 4), 0.5, dtype=torch.float64)
        out = run(LocalSearch(**more), model, x, torch.zeros(1, dtype=int), "linf:0.1")
        assert out.status == ("unbroken",)
        found.append((int(out.queries), int(out.gradients)))
    return found


def test_every_row_gets_the_first_ways_and_only_rows_with_hope_the_rest():
    first = (1 + 1) * 6, (1 + 1) * 5  # two classes: the goal and its one way, 5 steps and a last look each
    rounds = 12 + 3 * 3, 10 + 3 * 2
    plan = {"steps": 5, "rounds": 3, "short": 2}
    assert questions(**plan, hope=0.1) == [first, first, rounds]  # 3.6 of 0.4 gained, 0.1 of 0.4, 0.03 of 0.4
    assert questions(**plan) == [first, rounds, rounds]
    assert questions(**plan, hope=9.5) == [rounds] * 3
    assert LocalSearch(**plan, ways=1, targets=1).passes() == 12 + 9


def test_further_ways_are_for_rows_with_hope():
    """Six classes, one row that no way can save and one that is nearly there."""
    for offset, count in ((4.0, 1 + 2), (0.41, 1 + 4)):
        model = torch_model(
            lambda z, o=offset: torch.cat([torch.full_like(z[:, :1], o), *[z.sum(1, keepdim=True) - 2] * 5], 1), 6
        )
        x = torch.full((1, 4), 0.5, dtype=torch.float64)
        out = run(LocalSearch(steps=5, rounds=0, targets=2, ways=4), model, x, torch.zeros(1, dtype=int), "linf:0.1")
        assert int(out.queries) == 6 * count


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.5)], ids=str)
def test_a_disturbance_throws_one_block_of_the_best_point(threat, share):
    x = torch.full((40, 2, 10, 12), 0.5, dtype=torch.float64)
    model = torch_model(lambda z: z.flatten(1).sum(1, keepdim=True) - 1e4, 2)
    region = threat.around(x, model.space)
    p = Probe(model, x, Wrong(torch.zeros(40, dtype=torch.long)), region, Draw(0, "block", range(40), x))
    p.strongest = region.project(x + 0.02)
    y = LocalSearch()._disturbed(p, share)
    assert region.contains(y).all()
    h, w = math.ceil(math.sqrt(share) * 10), math.ceil(math.sqrt(share) * 12)
    scale = (y - x).flatten(1).abs().amin(1) if threat.p == 2 else torch.full((40,), 0.02, dtype=torch.float64)
    thrown = ((y - x) - scale[:, None, None, None]).abs() > 1e-9
    both = thrown.any(1)
    rows, columns = both.any(2).sum(1), both.any(1).sum(1)
    assert (rows <= h).all()
    assert (columns <= w).all()
    assert rows.max() == h
    assert columns.max() == w
    values = ((y - x)[:, :, :, :].abs().flatten(1)).amax(1)
    if threat.p == math.inf:
        assert torch.allclose(values, torch.full_like(values, 0.1))
    else:
        inside = ((y - x).square() * both[:, None]).flatten(1).sum(1).sqrt()
        assert (inside > 0.35).all()  # not the block's share of the length, which would be 0.07 for the smallest
        assert torch.allclose((y - x).flatten(1).norm(dim=1), torch.full_like(inside, 0.5))
    places = both.flatten(1).double().argmax(1)
    assert len(places.unique()) > 5 or share == 0.4
