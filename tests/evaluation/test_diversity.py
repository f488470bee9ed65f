"""Diversity measures by hand, and the record of an ensemble whose members are known."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial import distance
from scipy.stats.contingency import odds_ratio
from sklearn.metrics import confusion_matrix
from torch import nn

import holdfast as hf
from holdfast.core.errors import DataError, ModelError
from holdfast.evaluation.metrics.diversity import both_wrong, cosines, disagree, entropy, q_statistic

ONE = torch.tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0]).bool()
OTHER = torch.tensor([1, 1, 1, 0, 0, 1, 0, 0, 0, 0]).bool()
"""n11 = 3, n10 = 2, n01 = 1, n00 = 4."""


def test_pairs_by_hand():
    assert disagree(ONE, OTHER).sum() == 3
    assert both_wrong(ONE, OTHER).sum() == 4
    assert q_statistic(ONE, OTHER) == pytest.approx((3 * 4 - 2) / (3 * 4 + 2))
    assert q_statistic(ONE, ONE) == 1
    assert q_statistic(ONE, ~ONE) == -1
    assert q_statistic(torch.ones(4), torch.ones(4)) is None
    a, b = torch.tensor([1, 1, 0, 0]), torch.tensor([1, 0, 1, 0])
    assert q_statistic(a, b) == 0


def test_entropy_by_hand():
    right = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 0]])
    assert entropy(right) == pytest.approx((0 + 1 + 0 + 1) / 4)
    assert entropy(right[:1].expand(3, -1)) == 0
    halves = torch.tensor([[1, 0], [1, 1], [0, 0], [0, 1]])
    assert entropy(halves) == 1


def test_cosines_by_hand():
    one = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    other = torch.tensor([[1.0, 1.0], [-3.0, -4.0], [1.0, 0.0]])
    got = cosines(one, other)
    assert got[0] == pytest.approx(math.sqrt(0.5))
    assert got[1] == pytest.approx(-1)
    assert got[2].isnan()


def test_pairs_are_those_of_scipy_and_scikit_learn():
    draw = torch.Generator().manual_seed(0)
    one = torch.rand(60, generator=draw) < 0.7
    other = torch.where(torch.rand(60, generator=draw) < 0.6, one, torch.rand(60, generator=draw) < 0.5)
    assert disagree(one, other).double().mean() == pytest.approx(distance.hamming(one, other))
    faults = confusion_matrix(one, other)
    assert both_wrong(one, other).sum() == faults[0, 0]
    odds = odds_ratio(faults, kind="sample").statistic
    assert q_statistic(one, other) == pytest.approx((odds - 1) / (odds + 1))
    slopes = torch.randn(2, 5, 7, generator=draw)
    wanted = [1 - distance.cosine(a, b) for a, b in zip(*slopes.double().numpy(), strict=True)]
    assert cosines(*slopes).tolist() == pytest.approx(wanted, abs=1e-6)


def line(*weights):
    """Class 1 where the weighted sum of the centered inputs is positive."""
    net = nn.Linear(2, 2, bias=True)
    with torch.no_grad():
        net.weight.copy_(torch.stack([torch.zeros(2), torch.tensor(weights)]))
        net.bias.copy_(torch.tensor([0.0, -0.5 * sum(weights)]))
    return net


def square():
    x = torch.rand(80, 2, generator=torch.Generator().manual_seed(0))
    x = x[((x - 0.5).abs() > 0.05).all(1)]
    return hf.Dataset(x, (x[:, 0] > 0.5).long())


def test_members_that_look_at_different_coordinates():
    data = square()
    model = hf.wrap([line(20.0, 0.0), line(0.0, 20.0), line(30.0, 0.0)])
    found = hf.diversity(model, data, threat="linf:0.6")
    across, same = found.pairs[0], found.pairs[1]
    assert (across.first, across.second, same.first, same.second) == (0, 1, 0, 2)
    assert found.accuracy[0].point == found.accuracy[2].point == 1
    wrong = ((data.x[:, 1] > 0.5) != (data.y == 1)).sum()
    assert across.disagreement.k == wrong
    assert across.double_fault.k == 0
    assert across.cosine == pytest.approx(0, abs=1e-6)
    assert same.disagreement.k == 0
    assert same.cosine == pytest.approx(1)
    assert same.onward.point == same.back.point == 1
    assert across.onward.n == len(data) - wrong
    assert across.onward.point < 0.5
    rates = [r.point for p in found.pairs for r in (p.onward, p.back)]
    assert found.transfer == pytest.approx(sum(rates) / 6)
    assert 0 < found.entropy < 1
    assert "0 and 1: disagreement" in str(found)


def test_without_a_threat_or_gradients_there_is_no_transfer():
    data = square()
    guess = hf.wrap(lambda x: np.zeros(len(x), dtype=int), output="labels", classes=2)
    found = hf.diversity(hf.wrap([hf.wrap(line(20.0, 0.0)), guess], vote="labels"), data)
    assert found.cosine is None
    assert found.transfer is None
    assert found.pairs[0].onward is None
    attacked = hf.diversity(hf.wrap([hf.wrap(line(20.0, 0.0)), guess], vote="labels"), data, threat="linf:0.6")
    assert attacked.pairs[0].back is None
    assert attacked.pairs[0].onward.k == 0


def test_groups_widen_the_intervals():
    data = square()
    grouped = hf.Dataset(data.x, data.y, groups=np.arange(len(data)) // 4)
    found = hf.diversity(hf.wrap([line(20.0, 0.0), line(0.0, 20.0)]), grouped)
    assert found.pairs[0].disagreement.method == "cluster bootstrap"


def test_what_is_no_ensemble_or_has_no_samples_is_refused():
    data = square()
    with pytest.raises(ModelError, match="HF268"):
        hf.diversity(hf.wrap(line(1.0, 0.0)), data)
    with pytest.raises(DataError, match="HF120"):
        hf.diversity(hf.wrap([line(1.0, 0.0), line(0.0, 1.0)]), data.take(slice(0, 0)))


def test_nothing_global_moves():
    nets = [line(20.0, 0.0).train(), line(0.0, 20.0).train()]
    state = torch.get_rng_state()
    hf.diversity(hf.wrap(nets), square(), threat="linf:0.1")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(net.training for net in nets)
