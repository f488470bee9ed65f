"""Laws of detectors: their rate of false alarms, their slopes, and what they leave alone."""

import dataclasses
import functools
import math
import random

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

import holdfast.defenses
from cases.detection import DETECTION
from holdfast.core.params import told
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Detector, Flag, lead, threshold, values
from holdfast.models.settle import fingerprint, settle
from holdfast.models.stage import checked, why
from holdfast.models.wrap import wrap
from holdfast.threats.space import space_of

every = pytest.mark.parametrize("case", DETECTION, ids=str)
SHAPE, CLASSES, HELD = (1, 6, 6), 3, 200


def pictures(n, seed, dtype=torch.float64):
    """Three classes of noisy pictures, as many as one likes."""
    draw = torch.Generator().manual_seed(seed)
    centers = 0.3 + 0.4 * torch.rand(CLASSES, *SHAPE, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    y = torch.arange(n) % CLASSES
    x = centers[y] + 0.1 * torch.randn(n, *SHAPE, generator=draw, dtype=torch.float64)
    return Dataset(x.clamp(0, 1).to(dtype), y)


@functools.cache
def base():
    """A small network in float64, so that finite differences tell, trained on pictures of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(36, 12),
            torch.nn.Tanh(),
            torch.nn.Dropout(0.1),
            torch.nn.Linear(12, CLASSES),
        ).double()
        data, adam = pictures(600, 0), torch.optim.Adam(net.parameters(), 0.02)
        for _ in range(60):
            adam.zero_grad()
            torch.nn.functional.cross_entropy(net(data.x), data.y).backward()
            adam.step()
        adam.zero_grad()
    return settle(wrap(net.eval()), data.x)


@functools.cache
def fitted(detector, seed=0):
    return detector.fit(base(), pictures(2 * HELD, 1), seed)


def at(detector, fpr):
    """The same at another rate, without learning anew."""
    stage, (_, held) = fitted(detector), pictures(2 * HELD, 1).divide(1 - detector.held_out, 0)
    return dataclasses.replace(stage, threshold=threshold(values(stage.score, held.x), fpr))


def test_every_detector_of_the_catalog_has_a_row():
    kinds = {getattr(holdfast.defenses, name) for name in holdfast.defenses.__all__}
    assert {kind for kind in kinds if issubclass(kind, Detector)} == {type(case.detector) for case in DETECTION}


@every
def test_false_alarms_on_fresh_clean_data_come_at_the_stated_rate(case):
    n, fpr = 600, 0.1
    stage = at(case.detector, fpr)
    x = pictures(n, 2).x
    alarms = int((torch.cat([stage.suspicion(rows, base().space) for rows in torch.split(x, 200)]) > 0).sum())
    rank = math.ceil((HELD + 1) * (1 - fpr) - 1e-9)  # of the threshold among the held-out scores
    law = betabinom(n, HELD + 1 - rank, rank)
    assert law.ppf(0.0005) <= alarms <= law.ppf(0.9995)


@every
def test_a_higher_rate_never_rejects_less(case):
    x = pictures(150, 3).x
    x = torch.cat([x, torch.rand(50, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)])
    flags = []
    for fpr in (0.02, 0.1, 0.3):
        stage = at(case.detector, fpr)
        flags.append(stage.suspicion(x, base().space) > 0)
    assert (flags[0] <= flags[1]).all()
    assert (flags[1] <= flags[2]).all()
    assert flags[2].sum() > flags[0].sum()


def test_the_rate_of_the_configuration_is_the_one_that_is_kept():
    detector = DETECTION[4].detector
    assert dataclasses.replace(detector, fpr=0.2).fit(base(), pictures(2 * HELD, 1)).threshold == pytest.approx(
        at(detector, 0.2).threshold
    )


@every
def test_the_same_seed_gives_the_same_detector_and_leaves_the_random_state_alone(case):
    x = pictures(20, 4).x
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    one, two = (case.detector.fit(base(), pictures(2 * HELD, 1), 3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1][1]).all()
    assert random.getstate() == states[2]
    assert one.threshold == two.threshold
    assert torch.equal(one.score(x), two.score(x))
    assert one.threshold != fitted(case.detector).threshold, "another seed, another threshold"


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_score_does_not_depend_on_the_company_of_a_row(case, dtype):
    stage, x = fitted(case.detector), pictures(8, 5, dtype).x
    together = stage.suspicion(x, base().space)
    alone = torch.cat([stage.suspicion(row[None], base().space) for row in x.flip(0)]).flip(0)
    assert together.shape == (8,)
    assert together.dtype == dtype
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@every
def test_the_declared_gradient_is_that_of_the_score(case):
    stage, x = fitted(case.detector), pictures(12, 6).x.clamp(0.01, 0.99)
    assert stage.slope == case.detector.slope
    leaf = x.clone().requires_grad_()
    value = stage.suspicion(leaf, base().space)
    if stage.slope == "none":
        assert not value.requires_grad
        return
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    assert torch.isfinite(slope).all()
    assert (slope != 0).flatten(1).any(1).double().mean() > 0.8
    if stage.slope == "exact":
        agreed = []
        for k in range(4):
            away = torch.randn(x.shape, generator=torch.Generator().manual_seed(k), dtype=x.dtype).sign() * case.step
            with torch.no_grad():
                ends = [stage.suspicion(x + s * away, base().space) for s in (1, -1)]
            said, seen = (slope * away).flatten(1).sum(1), (ends[0] - ends[1]) / 2
            agreed.append((said - seen).abs() <= 0.05 * (slope * away).flatten(1).norm(dim=1) + 1e-9)
        assert torch.stack(agreed).double().mean() > 0.9


@every
def test_a_guard_leaves_the_answers_alone_and_switched_off_rejects_nothing(case):
    stage, x = fitted(case.detector), pictures(12, 8).x
    model = settle(base() | stage, x)
    answer = model.answer(x)
    assert torch.equal(answer.scores, base().answer(x).scores)
    assert model.stages[0] == str(stage)
    assert str(stage) == told(case.detector)
    assert fingerprint(model, SHAPE) != fingerprint(base(), SHAPE)
    off = settle(base() | dataclasses.replace(stage, threshold=math.inf), x)
    assert (off.answer(x).suspicion < 0).all()
    assert torch.equal(off.predict(x), base().predict(x))
    assert why(off, x) == [""] * len(x)


@every
def test_a_fitted_detector_is_a_stage_that_keeps_its_word(case):
    stage, x = fitted(case.detector), pictures(6, 9).x
    checked(stage, x, space_of(x))
    reasons = stage.reasons(x, base().space)
    assert [bool(reason) for reason in reasons] == (stage.suspicion(x, base().space) > 0).tolist()
    assert not any(parameter.grad is not None for parameter in base().module.ask.net.parameters())


@every
def test_far_from_all_clean_data_most_inputs_are_suspicious(case):
    if case.blind:
        pytest.skip("looks at answers only")
    stage = at(case.detector, 0.1)
    x = torch.rand(60, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round()
    assert (stage.suspicion(x, base().space) > 0).double().mean() > 0.3


def test_a_score_that_is_no_number_is_suspicious():
    stage = Flag(threshold=0.0, of="broken", score=lambda x: x.flatten(1).sum(1) * torch.nan)
    x = pictures(3, 0).x
    assert (stage.suspicion(x, base().space) > 0).all()
    assert all(stage.reasons(x, base().space))


def test_the_unit_is_the_clean_spread_by_the_lead_and_changes_no_sign():
    stage = fitted(DETECTION[4].detector)
    x = pictures(200, 11).x
    plain = dataclasses.replace(stage, unit=1.0)
    assert torch.equal(stage.suspicion(x, base().space) > 0, plain.suspicion(x, base().space) > 0)
    scores = values(stage.score, x)
    low, high = torch.quantile(scores, torch.tensor([0.25, 0.75], dtype=scores.dtype))
    assert float((high - low) / 1.349) == pytest.approx(stage.unit * lead(base(), x), rel=0.4)
