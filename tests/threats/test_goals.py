"""What the attacker wants, as margins, worked by hand."""

import pytest
import torch

from holdfast.core.errors import ThreatError
from holdfast.threats.goals import Accepted, Answer, Evade, Target, Wrong, indices, overall

SCORES = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
ANSWER = Answer(SCORES, torch.tensor([0.5, -0.25]))


def test_wrong_has_a_way_for_each_other_class():
    margins = Wrong(torch.tensor([0, 1])).margins(ANSWER)
    assert margins[..., 0].tolist() == [[2.0, 1.0], [5.0, 1.0]]
    assert overall(margins).tolist() == [1.0, 1.0]
    assert overall(Wrong(torch.tensor([1, 1])).margins(ANSWER)).tolist() == [-2.0, 1.0]


def test_target_has_a_demand_for_each_other_class():
    margins = Target(torch.tensor([1, 1])).margins(ANSWER)
    assert margins[:, 0].tolist() == [[2.0, 1.0], [-5.0, -1.0]]
    assert overall(margins).tolist() == [2.0, -1.0]


def test_evade_is_for_one_class_into_one():
    goal = Evade(torch.tensor([1, 1]), source=1, into=2)
    assert overall(goal.margins(ANSWER)).tolist() == [1.0, 1.0]
    assert overall(Evade(torch.tensor([0, 1]), source=1, into=2).margins(ANSWER)).tolist() == [torch.inf, 1.0]


def test_both_multiplies_ways_and_joins_demands():
    goal = Wrong(torch.tensor([1, 1])) & Accepted()
    margins = goal.margins(ANSWER)
    assert margins.shape == (2, 2, 2)
    assert margins[0].tolist() == [[-2.0, 0.5], [-1.0, 0.5]]
    assert overall(margins).tolist() == [0.5, 1.0]
    assert overall(goal.take(torch.tensor([1])).margins(Answer(SCORES[1:], torch.tensor([-0.25])))).tolist() == [1.0]


def test_accepted_needs_a_detector():
    with pytest.raises(ThreatError, match="HF306"):
        Accepted().margins(Answer(SCORES))


def test_rows_are_taken_with_repeats():
    rows = torch.tensor([1, 1, 0])
    y = torch.tensor([0, 2])
    assert Wrong(y).take(rows).labels.tolist() == [2, 2, 0]
    assert Target(y).take(rows).labels.tolist() == [2, 2, 0]
    assert Evade(y, 0, 1).take(rows).labels.tolist() == [2, 2, 0]


def test_ties_fall_as_argmax_falls():
    even = Answer(torch.ones(1, 3))
    for y in range(3):
        reached = bool(overall(Wrong(torch.tensor([y])).margins(even)) < 0)
        assert reached == (y != 0)
        assert bool(overall(Target(torch.tensor([y])).margins(even)) < 0) == (y == 0)


def test_labels_in_every_form():
    y = torch.tensor([2, 0, 1])
    for form in (y, y.numpy(), y.tolist(), y[:, None], torch.nn.functional.one_hot(y, 3), y.float()):
        assert indices(form, 3).tolist() == [2, 0, 1]
        assert indices(form, 3).dtype == torch.int64
    for wrong in (y[:2], y - 1, y + 0.5, torch.ones(3, 3), torch.zeros(3, 2, 2)):
        with pytest.raises(ThreatError, match="HF305"):
            indices(wrong, 3)


def test_a_suspicion_that_counts_is_a_margin():
    margins = overall(Accepted().margins(Answer(SCORES[:1].expand(3, -1), torch.tensor([0, 2, -3]))))
    assert (margins < 0).tolist() == [True, False, True]


def test_a_suspicion_of_exactly_zero_is_accepted_as_it_is_in_use():
    margins = overall(Accepted().margins(Answer(SCORES[:1].expand(3, -1), torch.tensor([0.0, 1e-30, -1e-30]))))
    assert (margins < 0).tolist() == [True, False, True]
