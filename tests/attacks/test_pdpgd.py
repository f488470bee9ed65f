"""Pdpgd: its proximal operators against a grid, its first steps by hand, flat gradients."""

import math

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion import pdpgd
from holdfast.attacks.evasion.pdpgd import Pdpgd
from holdfast.attacks.run import run
from holdfast.threats.space import Box
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import linear, setting, torch_model, weights


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5])
@pytest.mark.parametrize(
    ("operator", "size"), [(pdpgd.of_l0, lambda z: np.abs(z) ** (2 / 3)), (pdpgd.of_l1, np.abs)], ids=["l0", "l1"]
)
def test_an_operator_of_single_values(operator, size, weight):
    d, grid = torch.linspace(-2, 2, 33, dtype=torch.float64), np.linspace(-2.5, 2.5, 100_001)
    for there, z in zip(operator(d[None], torch.tensor([weight]).double())[0].tolist(), d.tolist(), strict=True):
        least = ((grid - z) ** 2 / 2 + weight * size(grid)).min()
        assert (there - z) ** 2 / 2 + weight * size(there) <= least + 1e-8


@pytest.mark.parametrize(("operator", "p"), [(pdpgd.of_l2, 2), (pdpgd.of_linf, np.inf)], ids=["l2", "linf"])
def test_an_operator_of_whole_rows(operator, p):
    """No point near the result has a lower value; a heavy weight leaves nothing."""
    d, weight = weights(4, 5) / 16, torch.tensor([0.05, 0.2, 0.4, 9.0], dtype=torch.float64)
    near = 1e-3 * torch.randn(500, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = operator(d, weight)
    for i in range(4):
        points = torch.cat([z[i : i + 1], z[i] + near])
        value = weight[i] * torch.linalg.vector_norm(points, p, dim=1) + (points - d[i]).square().sum(1) / 2
        assert value.argmin() == 0
    assert (z[3] == 0).all()


def test_first_steps_by_hand():
    """A plane at 0.2 along (3, 4) / 5 in a box of width 1: Adam's first step is `step` in each value; L2 shrinks it.

    The second step is a tenth as long, and its weight nine tenths of the first one's.
    """
    w = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -1.0]), space=Box((-0.5, 0.5)))
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    run(Pdpgd(steps=2, step=0.1, rate=2.0), torch_model(spy, 2, model.space), x, y, L2())

    plane, z, first, second, share = np.array([3.0, 4.0]), np.zeros(2), 0.0, 0.0, 100 / 101
    for count, step in ((1, 0.1), (2, 0.01)):
        g = -5 * plane / (1 + math.exp(-5 * (1 - plane @ z)))  # of log(1 + exp(5 (1 - <w, x>)))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        root = np.sqrt(second / (1 - 0.999**count))
        d = z - step * first / (1 - 0.9**count) / root
        z, weight = d, step * (1 - share) / share / root.max()
        for _ in range(5):
            z = z - root / root.max() * (z - d)
            z = z * max(0, 1 - weight / np.linalg.norm(z))
        assert seen[count - 3][0].numpy() == pytest.approx(z, rel=1e-6)
        share = 0.9 * share + 0.1 / (1 + math.exp(-2) / 100)  # the goal is not reached: the log weight grows by 2


def test_a_flat_start_stays_at_the_input():
    """A slope that begins a tenth away is never found."""
    x, y = torch.full((2, 12), 0.5, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    flat = torch_model(lambda z: ((z - 0.5).abs() - 0.1).relu().sum(1, keepdim=True) - 0.5, 2)
    out = run(Pdpgd(steps=20), flat, x, y, L2(), perturb=True)
    assert not out.success.any()
    assert torch.equal(out.adversarial, x)


@pytest.mark.parametrize("threat", [Linf(), L2(), L1(), L0()], ids=str)
def test_nothing_to_find_is_no_error(threat):
    _, x, _ = setting()
    constant = torch_model(lambda z: torch.tensor([1.0, 0.0]).to(z).expand(len(z), 2), 2)
    out = run(Pdpgd(steps=5), constant, x, torch.zeros(len(x), dtype=torch.long), threat)
    assert set(out.status) == {"unbroken"}
    assert (out.queries == 6).all()
