"""Laws 5, 6, 12: what an attack's result may not depend on, and what it may only improve with."""

import dataclasses

import pytest
import torch

from cases.evasion import CASES, FULL
from holdfast.attacks.evasion.local_search import LocalSearch
from holdfast.attacks.outcome import TENSORS
from holdfast.attacks.repeat import Repeat
from holdfast.attacks.run import run
from holdfast.threats.space import Box
from laws.oracles import Poisoned, Spheres, alone, balanced, corners, linear, setting, small_net, torch_model, weights

every = pytest.mark.parametrize("case", [c.brief for c in CASES], ids=map(str, CASES))


def same(a, b, order=slice(None)) -> bool:
    """Bit for bit."""
    status = [a.status[i] for i in order.tolist()] if isinstance(order, torch.Tensor) else list(a.status)
    return status == list(b.status) and all(
        torch.equal(getattr(a, f)[order].nan_to_num(-1), getattr(b, f).nan_to_num(-1)) for f in TENSORS
    )


SHARED = [c.brief for c in CASES if hasattr(c.attack, "restarts") or isinstance(c.attack, LocalSearch | Repeat)]
WORLDS = ("line", "image", "spheres")
MET = [(c.brief, w) for i, c in enumerate(CASES) for j, w in enumerate(WORLDS) if FULL or (i + j) % 3 == 0]


@pytest.mark.parametrize(("case", "world"), MET, ids=str)
def test_05_independent_of_batch_order_and_company(case, world):
    if world == "spheres":
        model, x = Spheres().model(), 2 * corners(4, 6) - 1
    else:
        model, x, _ = setting(shape=(12,) if world == "line" else (3, 8, 8), n=4)
    y, model = model.labels(x), alone(model)
    order = torch.arange(len(x)).flip(0)
    for threat in {case.threat, case.bounded}:
        threat = dataclasses.replace(threat, queries=200)
        whole = run(case.attack, model, x, y, threat, perturb=world == "spheres")
        split = run(case.attack, model, x, y, threat, batch=1, perturb=world == "spheres")
        turned = run(case.attack, model, x[order], y[order], threat, batch=3, ids=order, perturb=world == "spheres")
        assert same(whole, split)
        assert same(whole, turned, order)


@pytest.mark.slow
@every
def test_05_batches_of_1_7_64_and_500_and_any_order(case):
    meets_500(case.attack, dataclasses.replace(case.bounded, queries=30))


@pytest.mark.slow
@pytest.mark.parametrize("case", SHARED, ids=str)
def test_05_ways_and_starts_side_by_side_in_batches_of_1_7_64_and_500(case):
    """Without a budget, under which they would go in turn."""
    starts = {"restarts": 3} if hasattr(case.attack, "restarts") else {}
    meets_500(dataclasses.replace(case.attack, **starts), case.bounded)


def meets_500(attack, threat):
    """The same for 500 rows, the first 20 one by one, the first 70 in sevens, all in batches of 64 in two orders."""
    model, x, _ = setting(n=500)
    y, model = model.labels(x), alone(model)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    whole = run(attack, model, x, y, threat, batch=500)
    for batch, rows in ((1, 20), (7, 70), (64, 500)):
        some = torch.arange(rows)
        assert same(whole, run(attack, model, x[some], y[some], threat, batch=batch, ids=some), some)
    assert same(whole, run(attack, model, x[order], y[order], threat, batch=64, ids=order), order)


@every
def test_05_statuses_agree_on_a_float_network(case):
    model = small_net()
    x = corners(16, 3, 8, 8).float()
    y = model.labels(x)
    threat = dataclasses.replace(case.bounded, queries=None if FULL else 200)  # to the end with `make laws`
    whole = run(case.attack, model, x, y, threat)
    split = run(case.attack, model, x, y, threat, batch=5)
    spread = model.scores(x).std()
    differ = torch.tensor([a != b for a, b in zip(whole.status, split.status, strict=True)])
    close = torch.minimum(whole.margin.abs(), split.margin.abs()) < 1e-4 * spread
    assert not (differ & ~close).any()
    assert differ.float().mean() <= 0.01


@every
def test_05_answers_for_dead_rows_are_never_used(case):
    model, x, y = setting()
    model = alone(model)
    for queries in (None, 60):
        threat = dataclasses.replace(case.bounded, queries=queries)
        clean = run(case.attack, model, x, y, threat)
        dirty = run(case.attack, model, x, y, threat, probe=Poisoned)
        assert same(clean, dirty)


@every
def test_05_the_seed_decides(case):
    model, x, y = setting()
    first, again, other = (run(case.attack, model, x, y, case.bounded, seed=s, perturb=True) for s in (3, 3, 4))
    assert same(first, again)
    draws = getattr(case.attack, "random_start", True)
    assert draws or same(first, other)


@every
def test_06_shift_scale_affine_and_names(case):
    x, w = corners(16, 12), weights(3, 12)
    b = balanced(w, x)
    base = linear(w, b)
    y = base.labels(x)
    plain = run(case.attack, base, x, y, case.bounded)
    for shift in (50.0, -50.0):
        assert run(case.attack, linear(w, b, shift=shift), x, y, case.bounded).status == plain.status
    if case.scale_free:
        assert run(case.attack, linear(w, b, scale=4.0), x, y, case.bounded).status == plain.status
    uneven = linear(w + torch.rand(w.shape, generator=torch.Generator().manual_seed(0)), b)  # no two points tie
    labels = uneven.labels(x)
    wide = torch_model(lambda z: uneven.module((z + 1) / 2), 3, Box((-1.0, 1.0)))
    threat = case.bounded.at(case.bounded.radius * (1 if case.threat.p == 0 else 2))
    unmapped, mapped = (
        run(case.attack, uneven, x, labels, case.bounded),
        run(case.attack, wide, 2 * x - 1, labels, threat),
    )
    assert mapped.status == unmapped.status
    assert torch.allclose((mapped.adversarial + 1) / 2, unmapped.adversarial, atol=1e-6)
    names = torch.tensor([2, 0, 1])
    renamed = run(case.attack, linear(w[names], b[names]), x, names.argsort()[y], case.bounded)
    assert renamed.status == plain.status


@every
def test_12_more_never_hurts(case):
    model, x, y = setting()

    def at(**more):
        return run(dataclasses.replace(case.attack, **more), model, x, y, case.threat, perturb=True)

    names = {f.name for f in dataclasses.fields(case.attack)}
    pairs = [{"steps": 10}, {"steps": 20}] if "steps" in names and not case.attack.scheduled else []
    fixed = {"steps": 10} if "steps" in names else {}
    for name in {"restarts", "times"} & names:
        pairs += [fixed | {name: 1}, fixed | {name: 2}]
    if case.control:
        pairs += [{"samples": 10}, {"samples": 20}]
    for less, more in zip(pairs[::2], pairs[1::2], strict=True):
        short, long = at(**less), at(**more)
        assert (long.distance(case.threat.norm) <= short.distance(case.threat.norm)).all()
        assert (long.margin <= short.margin).all()
    small, large = (run(case.attack, model, x, y, dataclasses.replace(case.threat, queries=q)) for q in (40, 80))
    assert (large.success | ~small.success).all()
