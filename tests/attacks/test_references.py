"""Every attack against a second implementation of its paper, one row at a time: the same questions, step by step.

The seeds are those of scenes in which no decision hangs on rounding.
"""

import math

import numpy as np
import pytest
import torch

import holdfast as hf
from attacks import references_bounded as bounded
from attacks import references_minimal as minimal
from attacks import references_rays, references_square
from attacks.references import compare
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.carlini_wagner import CarliniWagner
from holdfast.attacks.evasion.ddn import Ddn
from holdfast.attacks.evasion.fab_t import FabT
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.ray_s import RayS
from holdfast.attacks.evasion.square import Square, _shift, shrink, window
from holdfast.attacks.halving import checkpoints
from holdfast.geometry.draw import Draw
from holdfast.threats.threats import L0, L1, L2, Linf


class Hole(torch.autograd.Function):
    """The identity, without a gradient at the given points."""

    @staticmethod
    def forward(ctx, x, points):
        ctx.at = (x[:, None] == points).flatten(2).all(2).any(1)
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return torch.where(ctx.at.reshape(-1, *(1,) * (g.dim() - 1)), 0.0, g), None


class Net(torch.nn.Module):
    """Two layers and tanh, float64, seeded; five classes."""

    def __init__(self, inputs, seed, scale=1.0, classes=5, hidden=12):
        super().__init__()
        draw = np.random.default_rng(seed)
        self.a = torch.nn.Parameter(torch.tensor(3 * draw.standard_normal((hidden, inputs)) / inputs**0.5))
        self.b = torch.nn.Parameter(torch.tensor(draw.standard_normal(hidden)))
        self.c = torch.nn.Parameter(torch.tensor(2 * draw.standard_normal((classes, hidden)) / hidden**0.5))
        self.shift, self.scale, self.flat = torch.zeros(classes, dtype=torch.float64), scale, None

    def forward(self, x):
        x = x if self.flat is None else Hole.apply(x, self.flat)
        return (torch.tanh((x.flatten(1) - 0.5) @ self.a.T + self.b) @ self.c.T + self.shift) * self.scale


def scene(seed, shape=(6,), count=4, bounds=(0.0, 1.0), scale=1.0, lead=None, flat=False, edge=(), wrong=False):
    """Network, inputs, labels and wrapped model.

    Args:
        seed: Of weights and inputs, which are multiples of 1/64, some on the bound.
        shape, count: Of the inputs.
        bounds: The box.
        scale: Factor on the scores.
        lead: The margin of the first input, the only one then.
        flat: Whether the gradient vanishes at the inputs, and only there (one entry is then hard to hit).
        edge: Distances of the first entries from the upper bound, which is 1 then.
        wrong: Whether the labels are others than the network's; the inputs then lie in the middle of the box.
    """
    net, draw = Net(math.prod(shape), seed, scale), np.random.default_rng(seed + 100)
    x = torch.tensor(np.clip(draw.integers(-8, 73, (count, *shape)), 0, 64) / 64)
    for j, gap in enumerate(edge):
        x.flatten(1)[:, j] = 1 - gap
    if flat:
        x.flatten(1)[:, 0] = 2.0**-70
    if wrong:
        x[:] = 0.5
    y = (net(x).argmax(1) + wrong) % 5
    if lead is not None:
        x, y = x[:1], y[:1]
        two = net(x)[0].detach().topk(2).values
        net.shift[y] = lead - (two[0] - two[1])
    net.flat = x if flat else None
    return net, x, y, hf.wrap(net, bounds=bounds, output="logits")


UNEVEN = ((-1.0,) * 6, (1.0, 2.0, 4.0, 1.0, 1.0, 1.0))
PGD = {
    "linf": (Pgd(steps=12, step=0.25), Linf(0.2), {"seed": 0}),
    "l2": (Pgd(steps=12, step=0.25), L2(0.4), {"seed": 0}),
    "l1": (Pgd(steps=12, step=0.3), L1(1.2), {"seed": 0}),
    "l0": (Pgd(steps=8, step=0.5), L0(3), {"seed": 0}),
    "momentum-linf": (Pgd(steps=12, momentum=1.0, random_start=False), Linf(0.2), {"seed": 0}),
    "momentum-l2": (Pgd(steps=12, step=0.2, momentum=0.7, random_start=False), L2(0.5), {"seed": 0}),
    "one-step": (Pgd(steps=1, step=1.0, random_start=False), Linf(0.1), {"seed": 0}),
}
APGD = {
    "linf-ce": (Apgd(steps=40), Linf(0.3), {"seed": 0}),
    "linf-hundred": (Apgd(), Linf(0.1), {"seed": 0}),
    "linf-stall": (Apgd(steps=40, rising=0.2), Linf(0.3), {"seed": 1}),
    "linf-dlr": (Apgd(steps=20, loss="dlr", momentum=0.4), Linf(0.2), {"seed": 0}),
    "linf-targets": (Apgd(steps=12, loss="dlr", targets=3, restarts=2), Linf(0.2), {"seed": 0}),
    "l2-ce": (Apgd(steps=30), L2(0.5), {"seed": 4}),
    "l2-stall": (Apgd(steps=30, rising=0.0), L2(1.0), {"seed": 2}),
    "l2-dlr": (Apgd(steps=20, loss="dlr"), L2(0.5), {"seed": 0}),
    "l2-targets": (Apgd(steps=10, targets=2, restarts=2), L2(0.4), {"seed": 0}),
}
APGD_L1 = {
    "ce": (Apgd(steps=30), L1(1.2), {"seed": 0, "shape": (20,)}),
    "few-steps": (Apgd(steps=3), L1(1.2), {"seed": 0, "shape": (20,), "count": 1}),
    "few-entries": (Apgd(steps=15), L1(0.3), {"seed": 1}),
    "one-entry-less": (Apgd(steps=20), L1(1.5), {"seed": 5, "shape": (20,)}),
    "dlr-targets": (Apgd(steps=11, loss="dlr", targets=2, restarts=2), L1(1.2), {"seed": 0, "shape": (20,)}),
    "at-the-bound": (
        Apgd(steps=11),
        L1(3.0),
        {"seed": 0, "shape": (12,), "bounds": (-3.0, 1.0), "edge": (3e-6, 5e-6) * 6},
    ),
}
DDN = {
    "defaults": (Ddn(steps=40), L2(), {"seed": 0}),
    "small": (Ddn(steps=25, norm=0.1, change=0.3, rate=0.2), L2(), {"seed": 0}),
    "wide-box": (Ddn(steps=25), L2(), {"seed": 1, "bounds": (-1.0, 3.0)}),
    "uneven-box": (Ddn(steps=15), L2(), {"seed": 1, "bounds": UNEVEN}),
    "faint-scores": (Ddn(steps=15), L2(), {"seed": 0, "scale": 2.0**-45}),
    "tie": (Ddn(steps=10), L2(), {"seed": 4, "lead": 0.0}),
    "flat": (Ddn(steps=10), L2(), {"seed": 0, "flat": True}),
}
CW = {
    "defaults": (CarliniWagner(steps=30, searches=4), L2(), {"seed": 0}),
    "early": (CarliniWagner(steps=60, searches=3, step=0.3), L2(), {"seed": 0}),
    "weak": (CarliniWagner(steps=15, searches=4, constant=0.01), L2(), {"seed": 0}),
    "strong": (CarliniWagner(steps=15, searches=4, constant=8.0), L2(), {"seed": 0}),
    "confidence": (CarliniWagner(steps=20, searches=4, confidence=0.5), L2(), {"seed": 0}),
    "three-steps": (CarliniWagner(steps=3, searches=2), L2(), {"seed": 0}),
    "uneven-box": (CarliniWagner(steps=15, searches=3), L2(), {"seed": 0, "bounds": UNEVEN}),
    "near": (CarliniWagner(steps=15, searches=3), L2(), {"seed": 0, "lead": 1e-7}),
    "flat": (CarliniWagner(steps=15, searches=3), L2(), {"seed": 0, "flat": True}),
    "flat-confidence": (CarliniWagner(steps=15, searches=3, confidence=2.0), L2(), {"seed": 0, "flat": True}),
    "faint": (CarliniWagner(steps=10, searches=3, confidence=2.0**-9), L2(), {"seed": 0, "scale": 2.0**-8}),
    "four-steps": (CarliniWagner(steps=4, searches=4, step=1.0), L2(), {"seed": 0}),
    "already": (CarliniWagner(steps=10, searches=3, confidence=2.0**-20), L2(), {"seed": 0, "count": 1, "wrong": True}),
}
FAB = {
    "linf": (FabT(steps=8, restarts=2), Linf(), {"seed": 0}),
    "l2": (FabT(steps=8, restarts=2), L2(), {"seed": 0}),
    "l1": (FabT(steps=8, restarts=2), L1(), {"seed": 0}),
    "radius": (FabT(steps=4, targets=2, restarts=3, secants=1), L2(0.05), {"seed": 0}),
    "parameters": (FabT(steps=6, targets=1, bias=0.4, extra=1.5, back=0.7, secants=6), L2(), {"seed": 0}),
    "unreachable": (FabT(steps=3, targets=2, restarts=2), Linf(), {"seed": 0, "lead": 100.0}),
    "near": (FabT(steps=4, targets=1, bias=1.0), L2(), {"seed": 0, "lead": 1e-7}),
    "nearer": (FabT(steps=4, targets=1, bias=1.0), L2(), {"seed": 0, "lead": 1e-9}),
    "tie": (FabT(steps=3, targets=1), L2(), {"seed": 4, "lead": 0.0}),
    "worth": (FabT(steps=1, targets=1, extra=1.00012), L2(), {"seed": 0, "lead": 1e-6}),
    "not-worth": (FabT(steps=1, targets=1, extra=1.00008), L2(), {"seed": 0, "lead": 1e-6}),
}
RAYS = {
    "defaults": (RayS(), Linf(), {"seed": 0}),
    "image": (RayS(steps=150), Linf(), {"seed": 3, "shape": (2, 3, 5)}),
    "parameters": (RayS(steps=40, halvings=14, tries=3), Linf(), {"seed": 1, "shape": (20,)}),
    "no-corner-at-first": (RayS(tries=1), Linf(), {"seed": 0, "lead": 3.0}),
    "far-corner-as-it-is": (RayS(tries=1, halvings=1), Linf(), {"seed": 0, "lead": 3.5}),
    "uneven-box": (RayS(), Linf(), {"seed": 1, "bounds": UNEVEN}),
    "unreachable": (RayS(), Linf(), {"seed": 0, "lead": 100.0}),
    "one-value": (RayS(), Linf(), {"seed": 2, "shape": (1,)}),
    "one-halving": (RayS(halvings=1), Linf(), {"seed": 4}),
}
SQUARE = {
    "linf": (Square(steps=60, restarts=2), Linf(0.2), {"seed": 0, "shape": (2, 7, 6)}),
    "linf-schedule": (Square(steps=200, area=1.0), Linf(0.2), {"seed": 0, "shape": (1, 12, 5)}),
    "linf-vector": (Square(steps=30), Linf(0.2), {"seed": 0, "shape": (20,)}),
    "l2": (Square(steps=40, restarts=2), L2(0.8), {"seed": 13, "shape": (2, 7, 6)}),
    "l2-large": (Square(steps=40, area=0.3), L2(1.0), {"seed": 17, "shape": (1, 12, 17)}),
    "l2-first": (Square(steps=1), L2(0.8), {"seed": 0, "shape": (2, 10, 12)}),
    "l2-vector": (Square(steps=30), L2(0.5), {"seed": 0, "shape": (20,)}),
    "l1": (Square(steps=40, restarts=2), L1(3.0), {"seed": 16, "shape": (2, 7, 6)}),
    "l1-dust": (Square(steps=40, restarts=2), L1(3.0), {"seed": 14, "shape": (2, 7, 6)}),
    "l1-large": (Square(steps=40, area=0.3), L1(6.0), {"seed": 17, "shape": (1, 12, 17)}),
    "l1-first": (Square(steps=1), L1(3.0), {"seed": 0, "shape": (2, 10, 12)}),
    "l1-vector": (Square(steps=30), L1(1.5), {"seed": 0, "shape": (20,)}),
    "l2-pixel": (Square(steps=8), L2(0.3), {"seed": 1, "shape": (2, 1, 1)}),
}


def table(cases):
    """Rows of a table, their names as ids."""
    return pytest.mark.parametrize(("attack", "threat", "named"), cases.values(), ids=cases)


@table(PGD)
def test_pgd_same_points(attack, threat, named):
    _, rows = compare(attack, bounded.pgd, threat, *scene(**named), perturb=True)
    assert all((row.asked[0] == row.x0).all() != attack.random_start for row in rows)


def test_apgd_same_checkpoints():
    for steps in range(1, 130):
        assert checkpoints(steps) == bounded.judged(steps)


@table(APGD)
def test_apgd_same_points(attack, threat, named):
    _, rows = compare(attack, bounded.apgd, threat, *scene(**named), perturb=True)
    climbs = attack.restarts * max(attack.targets, 1)
    starts = [row.asked[k * (attack.steps + 1)] for row in rows for k in range(climbs)]
    assert len({a.tobytes() for a in starts}) == len(starts)


@table(APGD_L1)
def test_apgd_l1_same_points(attack, threat, named):
    compare(attack, bounded.apgd, threat, *scene(**named), perturb=True)


@table(DDN)
def test_ddn_same_points(attack, threat, named):
    _, rows = compare(attack, minimal.ddn, threat, *scene(**named))
    assert any(row.distance < math.inf for row in rows)


@table(CW)
def test_carlini_wagner_same_points(attack, threat, named):
    compare(attack, minimal.carlini_wagner, threat, *scene(**named), perturb=True)


@table(FAB)
def test_fab_t_same_points(attack, threat, named):
    compare(attack, minimal.fab_t, threat, *scene(**named), perturb=True)


@table(RAYS)
def test_ray_s_same_points(attack, threat, named):
    compare(attack, references_rays.ray_s, threat, *scene(**named), perturb=True)


@table(SQUARE)
def test_square_same_points(attack, threat, named):
    compare(attack, references_square.square, threat, *scene(**named), perturb=True)


def test_square_pyramids_stay_alone_where_the_window_cancels_them():
    """A window that all but undoes the new pyramids: what is left of 8e-7 is rounding, of 1.2e-6 a direction."""
    for left, alone in ((8e-7, True), (1.2e-6, False)):
        x = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
        fresh = pyramids_drawn(x)
        across = torch.zeros_like(fresh)
        a, b = fresh[0, 0, 0, :2]
        across[0, 0, 0, :2] = torch.stack([-b, a]) / max(abs(a), abs(b))
        d = -fresh + left * across
        new = _shift(Draw(0, "cancel", [0], x), d, x, torch.ones(1, 1, 1, 1).double(), 3, 3)
        cosine = (new * fresh).sum() / new.norm() / fresh.norm()
        assert (cosine > 0.999) == alone


def pyramids_drawn(x):
    """What `_shift` draws after the four places of its two windows."""
    draw = Draw(0, "cancel", [0], x)
    for _ in range(4):
        draw.integers(1)
    upright = references_square.pair(draw, 3, 3)
    return torch.tensor(upright * draw.signs(1, 1, 1)[0].numpy())[None]


def test_square_same_windows():
    for steps in (2_000, 10_000, 10_001):
        ours = [shrink(step, steps) for step in range(steps)]
        assert ours == [references_square.factor(step, steps) for step in range(steps)]
    for height, width in ((7, 6), (6, 7), (1, 20), (32, 8), (28, 28)):
        for area in np.linspace(0.001, 1, 60):
            for least in (1, 3):
                ours = window(area, height, width, least)
                assert ours == references_square.sides(area, height, width, least == 1)
