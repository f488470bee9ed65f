"""Measures of diversity on tables worked by hand, and on ensembles whose members are known."""

import math

import pytest
import torch

import holdfast as hf
from holdfast.core.errors import ModelError
from holdfast.evaluation.metrics.diversity import alignment, disagreement, double_fault, q_statistic

RIGHT = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1]]).bool()


def test_two_members_by_hand():
    """Both right 2, both wrong 1, only the first 1, only the second 1."""
    assert disagreement(RIGHT) == (2, 5)
    assert double_fault(RIGHT) == (1, 5)
    assert q_statistic(RIGHT) == pytest.approx((2 * 1 - 1 * 1) / (2 * 1 + 1 * 1))


def test_members_that_never_err_have_no_q():
    assert math.isnan(q_statistic(torch.ones(2, 4).bool()))


def test_alignment_is_a_cosine():
    a, b = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert alignment([a, b]) == pytest.approx(1 / math.sqrt(2))
    assert alignment([a, -a]) == pytest.approx(-1)


def linear(weight):
    net = torch.nn.Linear(2, 2, bias=False)
    net.weight.data = torch.tensor(weight)
    return net


def test_equal_members_are_not_diverse_and_attacks_carry_over():
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 1] > x[:, 0]).long()
    same = hf.wrap([linear([[1.0, 0.0], [0.0, 1.0]])] * 2)
    found = hf.diversity(same, hf.Dataset(x, y), threat="linf:0.2")
    assert found.disagreement.k == 0
    assert found.alignment == pytest.approx(1)
    assert found.transfer.point == 1
    assert "2 members" in str(found)


def test_members_that_look_at_different_features_share_no_gradient():
    x = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0.5).long()
    pair = hf.wrap([linear([[0.0, 0.0], [1.0, 0.0]]), linear([[0.0, 0.0], [0.0, 1.0]])])
    found = hf.diversity(pair, hf.Dataset(x, y))
    assert found.alignment == pytest.approx(0)
    assert found.transfer is None
    assert found.disagreement.n == 40


def test_a_single_model_has_no_members():
    with pytest.raises(ModelError, match="HF209"):
        hf.diversity(
            hf.wrap(linear([[1.0, 0.0], [0.0, 1.0]])), hf.Dataset(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))
        )
