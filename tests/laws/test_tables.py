"""The laws again for attacks under table threats, on models of rows with every kind of column."""

import dataclasses
import math

import pytest
import torch

from cases.evasion import CASES
from cases.tables import SCHEMA, SPACE, TABLES, possible_rows
from holdfast.attacks.outcome import TENSORS
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.core.errors import ParameterError, ThreatError
from holdfast.core.params import parameters
from holdfast.models.model import Model
from holdfast.threats.goals import Accepted, Evade, Target, Wrong
from holdfast.threats.threats import L0, Linf
from laws.oracles import Poisoned, corners, linear, weights

every = pytest.mark.parametrize("case", TABLES, ids=str)
W = torch.tensor([[1, -2, 1, 0.5, 3, 1, -1, 0], [-1, 3, 0, -1, 1, 0, 2, -2], [0, 1, -1, 1, -2, 0, 0, 1.0]]).double()


def model_of(scores=None, classes=3, shift=0.0, **fields) -> Model:
    """Linear scores of codes, a missing value as -1, unless others are given."""

    def look(x):
        assert SCHEMA.validate(x).valid.all(), "an impossible row was asked about"
        found = x.nan_to_num(-1) @ W[:classes].T if scores is None else scores(x)
        return found + shift

    return Model(SPACE, classes, lambda x: look(x).argmax(1), look, look, **fields)


def rows(n=12, seed=0):
    found = possible_rows()
    return found[torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))[:n]]


def same(a, b, order=slice(None)):
    status = [a.status[i] for i in order.tolist()] if isinstance(order, torch.Tensor) else list(a.status)
    return status == list(b.status) and all(
        torch.equal(getattr(a, f)[order].nan_to_num(-9), getattr(b, f).nan_to_num(-9)) for f in TENSORS
    )


@every
def test_01_inside(case):
    model, x = model_of(), rows()
    out = run(case.attack, model, x, model.labels(x), case.threat)
    assert out.success.any()
    for z in (out.adversarial, out.strongest):
        assert SCHEMA.validate(z, x).valid.all()
        for measure, limit in case.threat.limits:
            assert (SCHEMA.ruler.distance(z, x, measure) <= limit + 1e-9).all()


@every
def test_02_true(case):
    model, x = model_of(), rows()
    y = model.labels(x)
    out = run(case.attack, model, x, y, case.threat)
    assert (model.labels(out.adversarial[out.success]) != y[out.success]).all()
    assert (out.adversarial[~out.success].nan_to_num(-9) == x[~out.success].nan_to_num(-9)).all()


@every
def test_03_nearest_ever_asked_is_returned(case):
    base, x = model_of(), rows(4)
    y = base.labels(x)
    for i in range(len(x)):
        seen = []
        spy = model_of(lambda z, seen=seen: seen.append(z.detach()) or base.scores(z))
        out = run(case.attack, spy, x[i : i + 1], y[i : i + 1], case.threat, perturb=True)
        z = torch.cat(seen)
        region = case.threat.around(x[i : i + 1].expand(len(z), -1), SPACE)
        won = region.contains(z) & (base.labels(z) != y[i])
        expected = float(region.distance(z)[won].min()) if won.any() else math.inf
        far = SCHEMA.ruler.distance(out.adversarial, x[i : i + 1], case.threat.limits[0][0])
        assert (float(far) if out.success[0] else math.inf) == expected


@every
def test_04_strong_enough_to_find_a_single_move(case):
    """One column decides, and any change of it will do."""
    model, x = model_of(lambda z: torch.stack([z[:, 3] * 0 + 0.5, (z[:, 3] == 1).double()], 1), 2), rows()
    out = run(case.attack, model, x, model.labels(x), case.threat)
    blind = "module" in case.attack.needs  # no gradient shows it
    assert out.success.double().mean() > (-1 if blind else 0.5 if case.control else 0.99)


@every
def test_05_independent_of_batch_order_and_company(case):
    model, x = model_of(), rows(7)
    y, order = model.labels(x), torch.arange(6, -1, -1)
    threat = dataclasses.replace(case.threat, queries=50)
    whole = run(case.attack, model, x, y, threat)
    assert same(whole, run(case.attack, model, x, y, threat, batch=1))
    assert same(whole, run(case.attack, model, x[order], y[order], threat, batch=4, ids=order), order)


@every
def test_05_answers_for_dead_rows_are_never_used(case):
    model, x = model_of(), rows()
    clean, dirty = (run(case.attack, model, x, model.labels(x), case.threat, probe=p) for p in (Probe, Poisoned))
    assert same(clean, dirty)


@every
def test_06_shift_and_names(case):
    x = rows()
    y = model_of().labels(x)
    plain = run(case.attack, model_of(), x, y, case.threat)
    assert run(case.attack, model_of(shift=64.0), x, y, case.threat).status == plain.status
    names = torch.tensor([2, 0, 1])
    renamed = model_of(lambda z: z.nan_to_num(-1) @ W[names].T)
    assert run(case.attack, renamed, x, names.argsort()[y], case.threat).status == plain.status


@every
@pytest.mark.parametrize("knowledge", ["gradients", "scores", "labels"])
def test_07_shapes_and_knowledge(case, knowledge):
    model, x = model_of(), rows(5)
    for n in (1, 5):
        threat = dataclasses.replace(case.threat, knowledge=knowledge)
        if "module" in case.attack.needs and knowledge != "gradients":
            with pytest.raises(ThreatError, match="HF304"):
                run(case.attack, model, x[:n], model.labels(x[:n]), threat)
            continue
        out = run(case.attack, model, x[:n], model.labels(x[:n]), threat)
        assert out.adversarial.shape == x[:n].shape == out.strongest.shape
        assert out.adversarial.dtype == torch.float64


@every
def test_08_untouched(case):
    model, x = model_of(), rows()
    before, state = x.clone(), torch.get_rng_state()
    run(case.attack, model, x, model.labels(x), case.threat)
    assert torch.equal(before.nan_to_num(-9), x.nan_to_num(-9))
    assert torch.equal(state, torch.get_rng_state())


@every
def test_09_honest(case):
    model, x = model_of(), rows()
    y = model.labels(x)
    out = run(case.attack, model, x, torch.where(torch.arange(12) % 2 == 0, (y + 1) % 3, y), case.threat)
    assert [s == "wrong" for s in out.status] == [i % 2 == 0 for i in range(12)]
    flat = model_of(lambda z: torch.tensor([1.0, 0, 0.5]).expand(len(z), 3))
    assert set(run(case.attack, flat, x, torch.zeros(12), case.threat).status) == {"unbroken"}
    sick = model_of(lambda z: torch.where(z[:, :1] > 2, torch.nan, z.nan_to_num(-1) @ W.T))
    ill = run(case.attack, sick, x, torch.where(x[:, 0] > 2, 0, y), case.threat)
    assert ("error" in ill.status) == bool((x[:, 0] > 2).any())


@every
def test_10_targets_evasion_and_detectors(case):
    model, x = model_of(), rows(40)
    y = model.labels(x)
    out = run(case.attack, model, x, Target((y + 1) % 3), case.threat)
    assert (model.labels(out.adversarial[out.success]) == ((y + 1) % 3)[out.success]).all()
    evade = run(case.attack, model, x, Evade(y, source=0, into=1), case.threat)
    assert evade.success.any()
    assert (y[evade.success] == 0).all()
    assert (model.labels(evade.adversarial[evade.success]) == 1).all()
    watched = model_of(suspicion=lambda z: z[:, 0] - 2.5)
    passed = run(case.attack, watched, x, Wrong(y) & Accepted(), case.threat)
    assert (watched.suspicion(passed.adversarial[passed.success]) < 0).all()


@every
def test_11_ranges(case):
    for p in parameters(type(case.attack)):
        with pytest.raises(ParameterError, match=f"HF001 The '{p.name}' parameter"):
            dataclasses.replace(case.attack, **{p.name: -1})


@every
def test_12_more_never_hurts(case):
    model, x = model_of(), rows()
    names = ("samples",) if case.control else ("restarts", "searches") if case.attack.scheduled else ("steps",)
    name = next(name for name in names if hasattr(case.attack, name))
    short, long = (
        run(dataclasses.replace(case.attack, **{name: n}), model, x, model.labels(x), case.threat, perturb=True)
        for n in (2, 5)
    )
    assert (long.margin <= short.margin).all()


@every
@pytest.mark.parametrize("budget", [1, 7])
def test_13_budget_is_exact(case, budget):
    count, x = [], rows(1)
    flat = model_of(lambda z: count.append(len(z)) or torch.tensor([1.0, 0, 0.5]).expand(len(z), 3))
    out = run(case.attack, flat, x, torch.zeros(1), dataclasses.replace(case.threat, queries=budget))
    assert int(out.queries[0]) == budget == sum(count) - 1
    assert int(run(case.attack, flat, x, torch.zeros(1), case.threat).queries[0]) <= case.attack.passes()


@every
def test_14_control(case):
    """The rows that a search breaks are more than those that plain noise of as many queries breaks."""
    model, x = model_of(), rows(60)
    y, threat = model.labels(x), dataclasses.replace(case.threat, queries=case.queries)
    noise = run(dataclasses.replace(TABLES[-1].attack, samples=case.queries), model, x, y, threat)
    assert case.control or run(case.attack, model, x, y, threat).success.sum() > noise.success.sum()


@every
def test_refusals_are_one_line(case):
    model, x = model_of(), rows(2)
    with pytest.raises(ThreatError, match=r"HF307 .*table:features=3"):
        run(case.attack, model, x, model.labels(x), Linf(0.1))
    with pytest.raises(ThreatError, match="HF308"):
        run(case.attack, linear(weights(3, 2)), corners(2, 2), torch.zeros(2), case.threat)


@pytest.mark.parametrize("case", [c for c in CASES if not c.attack.tables][:3], ids=str)
def test_attacks_for_balls_are_refused(case):
    model, x = model_of(), rows(2)
    with pytest.raises(ThreatError, match=f"HF303 {type(case.attack).__name__} is not written for tables.*GraphSearch"):
        run(case.attack, model, x, model.labels(x), TABLES[0].threat)
    with pytest.raises(ThreatError, match="HF307"):
        run(case.attack, model, x, model.labels(x), L0(2))
