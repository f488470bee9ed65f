"""Breeding of rows: fronts and niches by hand, and what only several columns together reach."""

import itertools

import pytest
import torch

import holdfast as hf
from cases.tables import SCHEMA, possible_rows
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.evasion.moeva2 import Moeva2
from holdfast.attacks.run import run
from holdfast.geometry.niches import directions, fronts, survivors
from holdfast.models.model import Model
from holdfast.threats.literals import parse
from holdfast.threats.tables.genomes import DRAWS, Genomes


def test_fronts_are_those_of_the_definition():
    aims = torch.rand((3, 20, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(4).round()
    found = fronts(aims)
    for points, mine in zip(aims.tolist(), found.tolist(), strict=True):
        left, k = set(range(20)), 0
        while left:
            beaten = {
                j for i, j in itertools.permutations(left, 2)
                if all(a <= b for a, b in zip(points[i], points[j], strict=True)) and points[i] != points[j]
            }  # fmt: skip
            assert {i for i, front in enumerate(mine) if front == k} == left - beaten
            left, k = beaten, k + 1


def test_directions_are_evenly_spread_and_survivors_are_of_the_first_fronts_and_of_many_niches():
    ways = directions(3, 6)
    assert len(ways) == 28
    assert torch.allclose(ways.norm(dim=1), torch.ones(28, dtype=torch.float64))
    angle = torch.linspace(0, 1.5, 30).double()
    good = torch.stack([angle.cos(), angle.sin(), 0 * angle], 1)
    aims = torch.cat([good, good + 5])[None]
    kept = survivors(aims, ways, 6, torch.rand(1, 60, generator=torch.Generator().manual_seed(0)).double())[0]
    assert (kept < 30).all()
    apart = good[kept][:, :2].sort(0).values.diff(dim=0)[:, 0]
    assert apart.max() < 0.5
    assert int(good[:, 0].argmin()) in kept.tolist()


def test_several_columns_together_that_no_single_move_hints_at():
    """Three of twelve switches must be on and none alone changes the score: a beam of single moves wanders."""
    schema = hf.Schema(tuple(hf.Feature(f"s{i}", "binary") for i in range(12)))

    def scores(z):
        s = torch.where(z[:, :3].sum(1) >= 3, 1.0, 0.5).double()
        return torch.stack([torch.full_like(s, 0.75), s], 1)

    model, x = Model(hf.Tabular(schema), 2, lambda z: scores(z).argmax(1), scores), torch.zeros(10, 12)
    found = run(Moeva2(steps=20, samples=20, mutation=3.0), model, x, torch.zeros(10), "table:features=3")
    assert found.success.any()
    greedy = run(GraphSearch(steps=6, width=1, samples=50), model, x, torch.zeros(10), "table:features=3")
    assert found.success.sum() > greedy.success.sum()


@pytest.mark.parametrize("literal", ["table:features=1", "table:linf=0.5", "table:cost=1,linf=1"])
def test_children_are_possible_and_within_the_limits(literal):
    x = possible_rows()[::97]
    region = parse(literal).around(x, hf.Tabular(SCHEMA))
    pool, whose = Genomes(region), torch.arange(len(x))
    u = torch.rand((len(x), DRAWS, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    made = pool.made(pool.mutated(x, whose, u, 1.0, 3.0), whose)
    assert region.contains(made).all()
    assert ((made != x) & ~(made.isnan() & x.isnan())).any()
    assert torch.equal(made[:, 4], x[:, 4])
