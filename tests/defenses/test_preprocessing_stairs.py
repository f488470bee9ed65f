"""The way back through roundings."""

import numpy as np
import pytest
import torch

import holdfast as hf
from holdfast.attacks.run import run
from holdfast.defenses.preprocessing._stairs import soft_round
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.stage import Stage
from holdfast.threats.space import Box, space_of


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bits_are_rounded_as_numpy_rounds(bits):
    x = torch.rand(4, 1, 7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    top = 2**bits - 1
    np.testing.assert_array_equal(hf.defenses.BitDepth(bits=bits).apply(x, space_of(x)), np.rint(x.numpy() * top) / top)


def test_a_soft_rounding_meets_the_staircase_on_its_levels_and_edges():
    whole = torch.arange(-3, 4).double()
    assert torch.allclose(soft_round(whole), whole)
    assert torch.allclose(soft_round(whole + 0.5), whole + 0.5)
    between = torch.linspace(-2, 2, 401, dtype=torch.float64)
    assert bool((soft_round(between).diff() > 0).all())
    assert float((soft_round(between) - between.round()).abs()[(between % 1 - 0.5).abs() > 0.25].max()) < 0.1


@pytest.mark.parametrize("stage", [hf.defenses.BitDepth(bits=2), hf.defenses.Dither(bits=1, method="ordered", side=2)])
def test_the_slope_is_high_where_a_small_change_of_the_input_changes_what_is_applied(stage):
    space = Box((-1.0, 3.0))
    x = 4 * torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    leaf = x.clone().requires_grad_()
    stage.passed(leaf, space).sum().backward()
    near = (stage.apply(x + 0.05, space) != stage.apply(x - 0.05, space)) & (x.abs() < 2)
    assert 5 < int(near.sum()) < 100
    inside = (x > -0.5) & (x < 2.5)
    assert float(leaf.grad[near].min()) > 2 * float(leaf.grad[~near & inside].median())


class Straight(hf.defenses.BitDepth):
    """Back through the identity."""

    def twin(self, x, space):
        return Stage.twin(self, x, space)


def test_a_budget_for_the_whole_input_goes_to_the_values_that_it_can_carry_over_an_edge():
    digits, network = hf.data.load("digits").test.sample(60, 0), load_model("digits-mlp")
    model = settle(network, digits.x)
    left = {}
    for kind in (hf.defenses.BitDepth, Straight):
        found = run(hf.attacks.Apgd(steps=20), model | kind(bits=1), digits.x, digits.y, "l2:1", seed=0)
        left[kind] = list(found.status).count("unbroken")
    assert left[hf.defenses.BitDepth] < 0.8 * left[Straight], left
