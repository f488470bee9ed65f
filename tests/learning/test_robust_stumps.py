"""Robust stumps: the loss by brute force, the certificate in closed form against the exact distance and an attack."""

import itertools

import numpy as np
import pytest
import torch

import holdfast as hf
from cases.training import hints
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.core.errors import DataError, ThreatError
from holdfast.defenses.training.robust_stumps import RobustStumps
from holdfast.learning.robust_stumps import RobustStumpsClassifier

TEST = hints(60, seed=9)


@pytest.fixture(scope="module")
def made():
    data = hints(60)
    return RobustStumpsClassifier(radius=0.1, stumps=8).fit(data.x.double().numpy(), data.y.numpy())


def test_certified_is_exact_is_no_more_than_an_attack_leaves(made):
    x, model = TEST.x.double(), hf.wrap(made, (0, 1))
    for radius in (0.02, 0.1, 0.15):
        certified = torch.from_numpy(made.least_margin(x.numpy(), TEST.y.numpy(), radius) > 0)
        inside = (x - radius).amin() >= 0 and (x + radius).amax() <= 1
        exact = hf.exact_distance(model, x, TEST.y).distance > radius
        assert (certified <= exact).all()
        assert not inside or torch.equal(certified, exact)
        assert int(certified.sum()) > 0
        left = hf.run(HopSkipJump(steps=2, samples=20), model, x, TEST.y, hf.Linf(radius)).status.count("unbroken")
        assert int(exact.sum()) <= left


def test_the_least_margin_is_that_of_brute_force_over_all_steps(made):
    x, y = TEST.x.double().numpy()[:6], TEST.y.numpy()[:6]
    cuts = made.trees_.threshold[made.trees_.roots]
    columns = made.trees_.feature[made.trees_.roots]
    for row, label, said in zip(x, y, made.least_margin(x, y), strict=True):
        ways = []
        for f in range(4):
            own = cuts[columns == f]
            spots = np.concatenate([own, np.nextafter(own, 2), [row[f] - 0.1, row[f] + 0.1]])
            ways.append(np.unique(spots[(spots >= row[f] - 0.1) & (spots <= row[f] + 0.1)]))
        sums = made.trees_.sums(np.array(list(itertools.product(*ways))))[:, 0]
        assert said == pytest.approx(((2 * label - 1) * sums).min(), abs=1e-12)


def test_what_it_kept_while_it_learned_is_its_margin():
    data = hints(60)
    x, y = data.x.double().numpy(), data.y.numpy()
    made = RobustStumpsClassifier(radius=0.1, stumps=8).fit(x, y)
    assert np.allclose(made.margin_, made.least_margin(x, y), atol=1e-12)


def test_the_first_stump_is_the_best_of_all():
    draw = np.random.default_rng(0)
    x, y = draw.random((14, 2)), draw.integers(0, 2, 14)
    made = RobustStumpsClassifier(radius=0.1, stumps=1, rate=1.0, thresholds=1000).fit(x, y)
    sign, best = 2.0 * y - 1, np.inf
    weights = np.linspace(-9, 9, 121)
    for f in range(2):
        ends = np.unique(np.concatenate([x[:, f] - 0.1, x[:, f] + 0.1]))
        for cut in (ends[:-1] + ends[1:]) / 2:
            under, over = x[:, f] - 0.1 <= cut, x[:, f] + 0.1 > cut
            one, other = np.meshgrid(weights, weights)
            margins = np.minimum(
                np.where(under, sign * one[..., None], np.inf), np.where(over, sign * other[..., None], np.inf)
            )
            best = min(best, np.exp(-margins).sum(-1).min())
    assert best - 0.05 <= np.exp(-made.margin_).sum() <= best + 1e-3


def test_other_threats_and_classes_are_one_line():
    data = hints(40)
    with pytest.raises(ThreatError, match="^HF316 "):
        RobustStumps(threat=hf.L2(0.1)).fit(data)
    with pytest.raises(DataError, match="^HF155 "):
        RobustStumps(stumps=1).fit(hf.Dataset(data.x, torch.arange(40) % 3))


def test_a_certificate_for_a_label_that_was_not_learned_is_refused(made):
    with pytest.raises(ThreatError, match="HF305"):
        made.least_margin(TEST.x.double().numpy()[:2], [0, 7])
