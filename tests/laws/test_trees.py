"""The laws again for attacks that walk over the structure of tree ensembles."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import holdfast as hf
from cases.trees import TREES, form_of, inputs, model_of
from holdfast.attacks.outcome import TENSORS
from holdfast.attacks.run import run
from holdfast.core.errors import ParameterError, ThreatError
from holdfast.core.params import parameters
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Accepted, Evade, Target, Wrong
from holdfast.threats.literals import parse
from holdfast.threats.space import Box
from laws.oracles import Poisoned

every = pytest.mark.parametrize("case", TREES, ids=str)


def same(a, b, order=slice(None)):
    status = [a.status[i] for i in order.tolist()] if isinstance(order, torch.Tensor) else list(a.status)
    return status == list(b.status) and all(
        torch.equal(getattr(a, f)[order].nan_to_num(-1), getattr(b, f).nan_to_num(-1)) for f in TENSORS
    )


@every
@pytest.mark.parametrize("bounded", [False, True])
def test_01_inside(case, bounded):
    model, x = model_of(form_of()), inputs().float()
    threat = case.bounded if bounded else case.threat
    out = run(case.attack, model, x, model.labels(x), threat)
    region = threat.around(x)
    for z in (out.adversarial, out.strongest):
        assert region.contains(z).all()
        assert ((z >= 0) & (z <= 1)).all()
    assert out.success.any()


@every
def test_02_true(case):
    model, x = model_of(form_of()), inputs()
    y = model.labels(x)
    out = run(case.attack, model, x, y, case.threat)
    assert out.success.all()
    for i in range(len(x)):
        assert int(model.labels(out.adversarial[i : i + 1])[0]) != int(y[i])


@every
def test_03_nearest_ever_asked_is_returned(case):
    base, x = model_of(form_of()), inputs(4)
    y = base.labels(x)
    for i in range(len(x)):
        seen = []
        out = run(case.attack, model_of(form_of(), spy=seen.append), x[i : i + 1], y[i : i + 1], case.threat)
        z = torch.cat(seen)
        region = case.threat.around(x[i : i + 1].expand(len(z), -1))
        assert float(out.distance(case.threat.norm)[0]) == float(region.distance(z)[base.labels(z) != y[i]].min())


@every
def test_04_strong_beside_the_exact_distance(case):
    model, x = model_of(form_of()), inputs(4)
    y = model.labels(x)
    exact = hf.exact_distance(model, x, y, norm=case.threat.norm).distance
    found = run(case.attack, model, x, y, case.threat).distance(case.threat.norm)
    assert (found >= exact * (1 - 1e-6)).all()
    assert float((found / exact).median()) <= 1 + case.within


@every
def test_05_independent_of_batch_order_and_company(case):
    model, x = model_of(form_of()), inputs(7)
    y, order = model.labels(x), torch.arange(6, -1, -1)
    for threat in (case.threat, dataclasses.replace(case.bounded, queries=5)):
        whole = run(case.attack, model, x, y, threat)
        assert same(whole, run(case.attack, model, x, y, threat, batch=1))
        assert same(whole, run(case.attack, model, x[order], y[order], threat, batch=3, ids=order), order)


@every
def test_05_answers_for_dead_rows_are_never_used(case):
    model, x = model_of(form_of()), inputs(7)
    for queries in (None, 3):
        threat = dataclasses.replace(case.bounded, queries=queries)
        clean, dirty = (
            run(case.attack, model, x, model.labels(x), threat, **kind) for kind in ({}, {"probe": Poisoned})
        )
        assert same(clean, dirty)


@every
def test_05_the_seed_decides(case):
    model, x = model_of(form_of()), inputs(7)
    y = model.labels(x)
    first, again, other = (run(case.attack, model, x, y, case.threat, seed=s) for s in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)


@every
def test_06_shift_scale_affine_and_names(case):
    form, x = form_of(), inputs()
    y = model_of(form).labels(x)
    plain = run(case.attack, model_of(form), x, y, case.bounded)
    lifted = dataclasses.replace(form, base=form.base + 64.0)
    assert run(case.attack, model_of(lifted), x, y, case.bounded).status == plain.status
    scaled = dataclasses.replace(form, values=form.values * 4, base=form.base * 4)
    assert run(case.attack, model_of(scaled), x, y, case.bounded).status == plain.status
    names = np.array([2, 0, 1])
    renamed = dataclasses.replace(form, values=np.ascontiguousarray(form.values[:, names]), base=form.base[names])
    order = torch.from_numpy(names).argsort()
    assert run(case.attack, model_of(renamed), x, order[y], case.bounded).status == plain.status
    wide = model_of(dataclasses.replace(form, threshold=2 * form.threshold - 1, dtype="float64"), Box((-1.0, 1.0)))
    unmapped = run(case.attack, model_of(dataclasses.replace(form, dtype="float64")), x, y, case.threat)
    mapped = run(case.attack, wide, 2 * x - 1, y, case.threat)
    assert mapped.status == unmapped.status
    far = unmapped.distance(case.threat.norm) * (1 if case.threat.p == 0 else 2)
    assert torch.allclose(mapped.distance(case.threat.norm), far, atol=1e-9)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("classes", "shape"), [(1, (6,)), (2, (6,)), (3, (1, 2, 3)), (10, (6,))])
def test_07_shapes(case, dtype, classes, shape):
    model, x = model_of(form_of(classes)), inputs(3, *shape).to(dtype)
    for n in (1, 3):
        out = run(case.attack, model, x[:n], model.labels(x[:n]), case.threat)
        assert out.adversarial.shape == x[:n].shape == out.strongest.shape
        assert out.adversarial.dtype == dtype
        assert out.success.all()


@every
def test_08_untouched(case):
    form, x = form_of(), inputs()
    model, state = model_of(form), torch.get_rng_state()
    before, kept = x.clone(), {f.name: np.copy(getattr(form, f.name)) for f in dataclasses.fields(form)}
    run(case.attack, model, x, model.labels(x), case.threat)
    assert torch.equal(before, x)
    assert torch.equal(state, torch.get_rng_state())
    assert all(np.array_equal(kept[name], getattr(form, name)) for name in kept)


@every
def test_09_honest(case):
    model, x = model_of(form_of()), inputs()
    y = model.labels(x)
    out = run(case.attack, model, x, torch.where(torch.arange(12) % 2 == 0, (y + 1) % 3, y), case.bounded)
    assert [s == "wrong" for s in out.status] == [i % 2 == 0 for i in range(12)]
    assert (out.queries[::2] == 0).all()
    flat = model_of(dataclasses.replace(form_of(), values=form_of().values * 0 + np.array([0.5, 0.3, 0.2])))
    assert set(run(case.attack, flat, x, torch.zeros(12), case.threat).status) == {"unbroken"}


@every
def test_10_targets_evasion_and_detectors(case):
    model, x = model_of(form_of()), inputs(20)
    y = model.labels(x)
    out = run(case.attack, model, x, Target((y + 1) % 3), case.threat)
    assert out.success.all()
    assert torch.equal(model.labels(out.adversarial), (y + 1) % 3)
    evade = run(case.attack, model, x, Evade(y, source=0, into=1), case.threat)
    assert torch.equal(evade.success, y == 0)
    assert (model.labels(evade.adversarial[evade.success]) == 1).all()
    watched = model_of(form_of(), suspicion=lambda z: z[:, 0] - 0.6)
    passed = run(case.attack, watched, x, Wrong(y) & Accepted(), case.threat)
    assert passed.success.any()
    assert (watched.suspicion(passed.adversarial[passed.success]) < 0).all()


@every
def test_11_ranges(case):
    for p in parameters(type(case.attack)):
        assert p.range is not None
        assert p.meaning
        with pytest.raises(ParameterError, match=f"HF001 The '{p.name}' parameter"):
            dataclasses.replace(case.attack, **{p.name: -1})


@every
def test_12_more_never_hurts(case):
    model, x = model_of(form_of()), inputs()
    y = model.labels(x)
    short, long = (
        run(dataclasses.replace(case.attack, restarts=n), model, x, y, case.threat, perturb=True) for n in (2, 5)
    )
    assert (long.distance(case.threat.norm) <= short.distance(case.threat.norm)).all()
    assert (long.margin <= short.margin).all()
    small, large = (run(case.attack, model, x, y, dataclasses.replace(case.bounded, queries=q)) for q in (1, 4))
    assert (large.success | ~small.success).all()


@every
@pytest.mark.parametrize("budget", [1, 3])
def test_13_budget_is_exact(case, budget):
    """The questions that the model met are those that are told, less the pass over the original and the last word."""
    seen, x = [], inputs(1)
    model = model_of(form_of(), spy=lambda z: seen.append(len(z)))
    y = model_of(form_of()).labels(x)
    out = run(case.attack, model, x, y, dataclasses.replace(case.threat, queries=budget))
    assert int(out.queries[0]) == budget == sum(seen) - 1 - int(out.checks[0])
    assert int(run(case.attack, model, x, y, case.threat).queries[0]) <= case.attack.passes()


@every
def test_14_beats_noise_of_equal_size(case):
    model, x = model_of(form_of()), inputs(40)
    y, threat = model.labels(x), case.threat.at({math.inf: 0.05, 2.0: 0.1, 1.0: 0.1, 0.0: 1.0}[case.threat.p])
    noise = threat.around(x).sample(Draw(0, "noise", list(range(len(x))), x))
    out = run(case.attack, model, x, y, threat)
    assert out.success.sum() >= (model.labels(noise) != y).sum() + 4


@every
def test_refusals_are_one_line(case):
    model, x = model_of(form_of()), inputs(2)
    for knowledge in ("scores", "labels"):
        with pytest.raises(ThreatError, match="HF304 LeafTuple needs a model that shows its trees"):
            run(case.attack, model, x, model.labels(x), dataclasses.replace(case.threat, knowledge=knowledge))
    with pytest.raises(ThreatError, match="HF308"):
        run(case.attack, model, x, model.labels(x), parse("table:features=2"))
