"""How long an audit may still take: estimates on the recorded stages of a real audit, without a clock."""

import pytest

from holdfast.evaluation.masking import limits
from holdfast.evaluation.pace import Ahead, Pace, expected
from holdfast.evaluation.plan import passes, radii
from holdfast.evaluation.suites import resolve
from holdfast.threats.literals import parse

THREAT = parse("linf:0.1")
CLEAN = (0.007, 100)
# digits-mlp on 100 digits, suite standard: samples tried and broken, seconds, rows through the model, gradients
STAGES = (
    (96, 42, 0.311, 5995, 5515),
    (54, 8, 2.902, 42229, 41590),
    (46, 0, 4.749, 83141, 41400),
    (46, 0, 7.078, 230230, 0),
)
AFTER = 1.9  # seconds of the curve, the control and the masking battery


def estimates():
    """Estimate and truth at the end of each stage, and what it would be if every sample withstood everything."""
    suite, pace, right, broken, found = resolve("standard").serving(THREAT), Pace(), 96, 0, []
    pace.took(*CLEAN)
    for k, (tried, fell, seconds, rows, gradients) in enumerate(STAGES):
        pace.took(seconds, rows, gradients)
        broken += fell
        assert tried == right - broken + fell
        curve = (suite.curve_of(THREAT), len(radii(THREAT, [THREAT])))
        ahead = Ahead(suite.attacks[k + 1 :], curve, right=right, masked=limits.count(right))
        truth = sum(stage[2] for stage in STAGES[k + 1 :]) + AFTER
        found.append((pace.left(ahead.passes(right - broken)), truth, pace.left(ahead.passes(right))))
    return found


def test_estimates_of_a_recorded_audit_are_near_what_it_took():
    for told, truth, _ in estimates():
        assert truth / 2 < told < 2 * truth
    first, _, all_survive = estimates()[0]
    assert all_survive > 1.5 * first, "else what attacks break does not count"


def test_a_gradient_is_two_more_passes_as_in_the_plan():
    one, other = Pace(), Pace()
    one.took(3.0, 100, 100)
    other.took(3.0, 300)
    assert one.left(600) == other.left(600) == 6.0
    assert Pace().left(100) == 0.0, "nothing was measured"


def test_what_follows_is_counted_for_the_samples_that_will_be_left():
    attack = resolve("square(steps=10)").attacks[0]
    ahead = Ahead([attack, attack], (attack, 4), right=20)
    each = passes(attack)
    assert ahead.passes(5) == 5 * 2 * each + 0.5 * 4 * 15 * each
    assert ahead.passes(20) == 20 * 2 * each
    more = Ahead([attack], (attack, 0), [attack], 20, 8)
    assert more.passes(5) == 5 * each + 20 * each + 0.5 * 8 * limits.MOST


@pytest.mark.parametrize(("done", "total", "broken", "want"), [(0, 10, 0, 0.0), (5, 10, 2, 4.0), (10, 10, 3, 3.0)])
def test_what_a_stage_will_break_is_what_it_broke_of_those_it_judged(done, total, broken, want):
    assert expected(done, total, broken) == want
