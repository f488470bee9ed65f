"""Mistakes that well-known tools shipped, each with the test that would have caught it (B2 to B8, B10, B13)."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from cases.evasion import CASES, FULL
from holdfast.attacks import losses
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.outcome import TENSORS
from holdfast.attacks.run import run
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.defenses.preprocessing.gaussian_smoothing import GaussianSmoothing
from holdfast.defenses.preprocessing.non_local_means import NonLocalMeans
from holdfast.defenses.preprocessing.rescale import Rescale
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.goals import Target, Wrong
from holdfast.threats.space import space_of
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import alone, corners, drop, ellipsoid, linear, setting, torch_model, weights

BOUNDED = pytest.mark.parametrize("case", [c for c in CASES if not c.attack.minimal], ids=str)


@pytest.mark.parametrize("case", [c.brief for c in CASES], ids=map(str, CASES))
def test_b02_a_row_without_gradient_changes_nothing_for_the_others(case):
    """Norms, momentum, means and steps of a batch instead of a row: 0 / 0 of one row would reach the others."""
    model, x, _ = setting(n=4)
    x[0, :3] = 1.0
    x[1:, :3] *= 0.2
    flat = torch.nn.functional.one_hot(model.labels(x[:1]), 3)

    def scores(z):
        return torch.where((z[:, :3] > 0.5).all(1, keepdim=True), flat.to(z), model.module(z))

    bent = alone(torch_model(scores, 3, model.space))
    y, others = bent.labels(x), torch.arange(1, 4)
    threat = dataclasses.replace(case.threat, queries=100)
    company = run(case.attack, bent, x, y, threat, perturb=True)
    apart = run(case.attack, bent, x[1:], y[1:], threat, perturb=True, ids=others)
    assert company.zero_gradients[0] > 0 or (company.gradients == 0).all()
    for name in TENSORS:
        assert torch.equal(getattr(company, name)[1:].nan_to_num(-1), getattr(apart, name).nan_to_num(-1)), name
    for points in (company.adversarial, company.strongest, company.margin):
        assert torch.isfinite(points).all()


@BOUNDED
def test_b03_every_iterate_lies_inside(case):
    """Random starts outside the budget, projections around the wrong center, first iterates that were not clipped."""
    model, x, y = setting(n=1)
    seen = []

    def spy(z):
        seen.append(z.detach().clone())
        return model.module(z)

    run(case.attack, torch_model(spy, 3, model.space), x, y, case.bounded, perturb=True)
    asked = torch.cat(seen)
    region = case.bounded.at(case.roams * case.bounded.radius).around(x.expand(len(asked), -1), model.space)
    assert region.contains(asked).all()


@pytest.mark.parametrize("threat", [Linf(0.2), L2(0.6), L1(1.0)], ids=str)
def test_b04_projection_is_the_convex_program_and_idempotent(threat):
    x0, far = corners(4, 6), torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    region = threat.around(x0)
    got = region.project(x0 + far)
    assert region.contains(got).all()  # or the input itself would be nearest to itself
    assert torch.allclose(region.project(got), got, atol=1e-9)
    for i in range(4):
        a, b = x0[i].numpy(), (x0 + far)[i].numpy()

        # |d|_p <= r with d = u - v, u, v >= 0, so that every norm is smooth for the solver
        def room(s, threat=threat):
            size = s[:6] + s[6:]
            return (
                threat.radius - {1.0: size.sum(), 2.0: math.sqrt(size @ size + 1e-15), math.inf: size.max()}[threat.p]
            )

        goal = minimize(
            lambda s, a=a, b=b: 0.5 * np.sum((a + s[:6] - s[6:] - b) ** 2),
            np.full(12, 1e-3),
            bounds=[(0, 1 - v) for v in a] + [(0, v) for v in a],
            constraints=[{"type": "ineq", "fun": room}],
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        )
        least = np.linalg.norm(a + goal.x[:6] - goal.x[6:] - b)
        assert np.linalg.norm(got[i].numpy() - b) <= least + 1e-5


@pytest.mark.parametrize("threat", [Linf(0.1), L2(0.3), L1(0.7), L0(2)], ids=str)
def test_b04_one_step_is_the_best_one_of_the_linearized_loss(threat):
    x, w = torch.full((5, 8), 0.5, dtype=torch.float64), weights(1, 8)
    model = linear(w, -(w.sum() / 2) + 40.0)
    out = run(
        Pgd(steps=1, step=1.0, random_start=False), model, x, torch.ones(5, dtype=torch.long), threat, perturb=True
    )
    best = drop(w[0].numpy(), x[0].numpy(), threat.radius, threat.p)
    assert torch.allclose(out.margin, torch.full((5,), 40.0 - best, dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_b05_reaching_a_third_class_is_no_targeted_success(case):
    """Class 2 is next door, class 1 is out of reach: an untargeted criterion would claim success."""
    scores = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)

    def near_and_never(z):
        return (z[:, :1] * scores.T.to(z)) + torch.tensor([0.55, -50.0, 0.0]).to(z)

    model = torch_model(near_and_never, 3)
    x = torch.full((4, 3), 0.5, dtype=torch.float64)
    y = torch.zeros(4, dtype=torch.long)
    assert run(case.attack, model, x, y, case.bounded).success.any() or case.within is None
    assert not run(case.attack, model, x, Target(y + 1), case.bounded).success.any()


@pytest.mark.parametrize("threat", [Linf(8 / 255), L2(0.5), L1(12.0), L0(3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_b06_a_point_exactly_at_the_radius_counts(threat, dtype):
    x0 = torch.full((1, 3072), 0.4, dtype=dtype)
    move = {math.inf: 3072, 2.0: 4, 1.0: 48, 0.0: 3}[threat.p]
    step = {math.inf: threat.radius, 2.0: threat.radius / 2, 1.0: 0.25, 0.0: 0.3}[threat.p]
    x = x0.clone()
    x[:, :move] += step
    assert threat.around(x0).contains(x).all()
    further = x.clone()
    further[:, move - 1 if threat.p else move] += 1e-4
    assert not threat.around(x0).contains(further).any()


@pytest.mark.parametrize("classes", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "loss", [losses.dlr, losses.margin, losses.log_odds, losses.dlr_of(torch.zeros(5, dtype=torch.long))]
)
def test_b07_losses_are_finite_for_few_classes_and_ties(classes, loss):
    model, x, y = setting(max(classes, 1), n=5)
    for scores in (
        model.module(x.requires_grad_()),
        torch.zeros(5, model.classes, dtype=torch.float64, requires_grad=True),
    ):
        answer = type("Answer", (), {"scores": scores})
        value = loss(Wrong(y).margins(answer), scores)
        (g,) = torch.autograd.grad(value.sum(), scores)
        assert torch.isfinite(value).all()
        assert torch.isfinite(g).all()


DTYPES = (torch.float32, torch.float64)
TYPED = [(c, d) for i, c in enumerate(CASES) for j, d in enumerate(DTYPES) if FULL or (i + j) % 2]


@pytest.mark.parametrize(("case", "dtype"), [(c.brief, d) for c, d in TYPED], ids=[f"{c}-{d}" for c, d in TYPED])
def test_b08_the_point_that_was_checked_is_the_point_returned(case, dtype):
    model, x, y = setting(dtype=dtype)
    out = run(case.attack, model, x, y, case.threat)
    claimed = out.adversarial[out.success]
    assert claimed.dtype == dtype
    assert (model.labels(claimed) != y[out.success]).all()
    assert torch.equal(out.adversarial[~out.success], x[~out.success])


CHAIN = (
    NonLocalMeans(search=5, strength=90.0),
    Rescale(factor=1.6, shift=-0.3),
    BitDepth(bits=3),
    GaussianSmoothing(sigma=0.7),
)
"""In the order that an input meets them; the third has no gradient."""


class Bent(torch.nn.Module):
    """Its gradient depends on where it is asked."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(4)
        self.first, self.second = (torch.randn(*s, generator=draw, dtype=torch.float64) for s in ((75, 6), (6, 3)))

    def forward(self, z):
        return (z.flatten(1) @ self.first).sin() @ self.second


def chained(x, *stages):
    """Those stages, the first one first, in front of a network that bends."""
    model = wrap(Bent(), output="logits")
    for stage in reversed(stages):
        model = model | stage
    return settle(model, x)


def test_b10_the_gradient_of_a_chain_is_taken_where_the_input_has_come_to():
    """Each stage differentiated at the original input; the flags that switch a stage on or off not looked at.

    Straight through means: what rounding adds to its smooth stand-in stays a constant. So finite differences of the
    chain with the stand-in and that constant in place of the rounding are the gradient, and those of a chain evaluated
    anywhere else are not.
    """
    x = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    space, model, bare = space_of(x), chained(x, *CHAIN), chained(x)
    before = CHAIN[1].apply(CHAIN[0].apply(x, space), space)
    added = CHAIN[2].apply(before, space) - CHAIN[2].twin(before, space)
    leaf = x.clone().requires_grad_()
    scores = model.answer(leaf, gradient=True).scores
    assert torch.equal(scores, model.answer(x).scores)
    (slope,) = torch.autograd.grad(scores[:, 0].sum(), leaf)

    def smooth(z):
        passed = CHAIN[2].twin(CHAIN[1].apply(CHAIN[0].apply(z, space), space), space) + added
        return bare.answer(CHAIN[3].apply(passed, space)).scores[:, 0]

    draw = torch.Generator().manual_seed(2)
    for _ in range(4):
        away = torch.randn(x.shape, generator=draw, dtype=torch.float64)
        moved = (smooth(x + 1e-6 * away) - smooth(x - 1e-6 * away)) / 2e-6
        torch.testing.assert_close((slope * away).flatten(1).sum(1), moved, rtol=1e-5, atol=1e-7)


def test_b10_every_stage_that_is_switched_off_changes_the_answer_and_the_gradient():
    x = torch.rand(3, 3, 5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def asked(stages):
        leaf = x.clone().requires_grad_()
        scores = chained(x, *stages).answer(leaf, gradient=True).scores
        return scores.detach(), torch.autograd.grad(scores.sum(), leaf)[0]

    scores, slope = asked(CHAIN)
    for k in range(len(CHAIN)):
        other, bent = asked(CHAIN[:k] + CHAIN[k + 1 :])
        assert (other - scores).abs().max() > 1e-3
        assert (bent - slope).abs().max() > 1e-3


HEAPS = ("FabT", "Alma", "DeepFool", "CarliniWagner", "Lbfgs", "Pdpgd", "SuperDeepFool")
"""Of the nearest points that gradients lead to those that a sum of them misses: FMN's step has a length of its own."""


@pytest.mark.parametrize("case", [c for c in CASES if c.curved and type(c.attack).__name__ in HEAPS], ids=str)
def test_b13_gradients_do_not_add_up_from_step_to_step(case):
    """On a plane a sum of gradients points where each does; here it overshoots: a tenth too far, or nothing found."""
    model, x, least = ellipsoid()
    out = run(case.attack, model, x, model.labels(x), L2(math.inf))
    assert out.status == ("broken",) * 6
    assert (out.distance("l2") >= least * (1 - 1e-9)).all()
    assert (out.distance("l2") / least).median() < 1.03
