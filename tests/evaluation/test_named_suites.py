"""The suites by name: what runs where a model or a threat cannot be served, and that the report says so."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast import attacks
from holdfast.evaluation.plan import estimate, passes, radii
from holdfast.evaluation.suites import PASSES, adapted, describe, left_out, resolve
from holdfast.models.model import Model
from holdfast.threats.literals import parse
from holdfast.threats.space import Box


def shown(**fields):
    """A settled model of ten classes that shows these fields."""
    return Model(Box(), **{"classes": 10, "labels": lambda x: x, **fields})


FULL = shown(scores=lambda x: x, module=lambda x: x)


def test_standard_is_autoattack_as_published():
    names = [describe(a) for a in resolve("standard").attacks]
    assert names == ["apgd", "apgd(loss='dlr', targets=9)", "fab_t", "square"]
    assert [a.steps for a in resolve("standard").attacks] == [100, 100, 100, 5000]
    assert adapted(resolve("standard"), FULL).note == ""


def test_quick_is_three_cheap_stages():
    assert [describe(a) for a in resolve("quick").attacks] == [
        "apgd(steps=20)",
        "apgd(steps=20, loss='dlr', targets=3)",
        "square(steps=200)",
    ]


CHECK = "square(steps=2000, hope=4.0)"
CORNERS = "pgd(step=1.0, random_start=False)"
CLIMB = "apgd(steps=20, loss='dlr', targets=3)"
BLOCKS = "local_search(rounds=60, short=5, hope=1.5)"


@pytest.mark.parametrize(
    ("model", "literal", "expected", "left"),
    [
        (FULL, "linf:0.1", ["local_search", CHECK], False),
        (FULL, "l2:1", ["ddn(steps=50)", BLOCKS, "fab_t(steps=60, hope=1.3)", CHECK], False),
        (FULL, "l2:1,knowledge=scores", [CHECK], True),
        (FULL, "l1:1", [CLIMB, "pdpgd(steps=150)", "fab_t(steps=60, hope=1.3)", CHECK], False),
        (FULL, "l0:2", [CORNERS, "sigma_zero", "pdpgd", "pointwise(restarts=2)"], False),
        (FULL, "l0:2,knowledge=scores", ["pointwise(restarts=2)"], True),
        (shown(), "l0:2", ["pointwise(restarts=2)"], False),
        (shown(scores=lambda x: x), "linf:0.1", [CHECK], False),
        (shown(scores=lambda x: x), "l2:1", [CHECK], False),
        (shown(), "l2:1", ["hop_skip_jump(steps=5)"], False),
    ],
)
def test_frugal_has_a_plan_for_each_norm_and_ends_without_gradients(model, literal, expected, left):
    """What a threat leaves out is said of the threat; what the model does not show, in the suite's note."""
    suite, threat = adapted(resolve("frugal"), model), parse(literal)
    assert [describe(a) for a in suite.serving(threat).attacks] == expected
    assert bool(left_out(suite, threat)) == left
    assert bool(suite.note) == (model is not FULL)


def test_the_note_speaks_of_the_threats_that_are_asked_for():
    note = adapted(resolve("frugal"), shown(scores=lambda x: x), [parse("linf:0.1")]).note
    assert "local_search" in note
    assert "ddn" not in note
    assert "ddn" in adapted(resolve("frugal"), shown(scores=lambda x: x), [parse("linf:0.1"), parse("l2:1")]).note


def test_the_plan_counts_what_searches_the_curve():
    """Five radii of a single descent, not of the first stage."""
    threat = parse("linf:0.1")
    frugal, bare = resolve("frugal"), dataclasses.replace(resolve("frugal"), curve=None)
    costs = [estimate(suite, [threat], 10, 1.0, 4).forwards for suite in (frugal, bare)]
    first, curve = passes(attacks.LocalSearch()), passes(attacks.LocalSearch(targets=1, ways=1, rounds=0))
    assert costs[1] - costs[0] == 10 * len(radii(threat, [threat])) * (first - curve)


def test_each_searcher_of_a_curve_is_named():
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    model = hf.wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), bounds=(0, 1))
    run = hf.audit(model, (x, model.predict(x)), threat=["linf:0.001", "l1:0.01"], suite="frugal")
    (line,) = [line for line in run.summary.limits if line.startswith("The curve below")]
    assert CLIMB in line
    assert "local_search(targets=1, ways=1, rounds=0)" in line


def test_the_curve_of_frugal_is_searched_by_one_descent_where_gradients_are_seen():
    curve = attacks.LocalSearch(targets=1, ways=1, rounds=0)
    assert resolve("frugal").serving(parse("linf:0.1")).curve == curve
    assert adapted(resolve("frugal"), FULL).serving(parse("l2:1")).curve == curve
    for model, literal in [(FULL, "l1:1"), (FULL, "l2:1,knowledge=scores"), (shown(scores=lambda x: x), "l2:1")]:
        assert adapted(resolve("frugal"), model).serving(parse(literal)).curve is None
    random = adapted(resolve("frugal"), dataclasses.replace(FULL, random=True))
    assert random.serving(parse("l2:1")).curve == attacks.Eot(curve, PASSES)
    assert [type(a).__name__ for a in random.serving(parse("l2:1")).attacks] == ["Eot", "Eot", "Eot", "Square"]


def test_two_norms_in_one_run_have_each_their_plan_and_the_report_says_what_searched_the_curve():
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    model = hf.wrap(net, bounds=(0, 1))
    run = hf.audit(model, (x, model.predict(x)), threat=["linf:0.02", "l2:0.2"], suite="frugal")
    names = {t.literal: [a.name for a in t.attacks] for t in run.summary.threats}
    assert names == {"linf:1/50": ["local_search", "square"], "l2:1/5": ["ddn", "local_search", "fab_t", "square"]}
    assert any("local_search(targets=1, ways=1, rounds=0) alone" in line for line in run.summary.limits)


@pytest.mark.parametrize(
    ("model", "literal", "expected", "star"),
    [
        (FULL, "linf:0.1", ["apgd", "apgd(loss='dlr', targets=9)", "fab_t", "square"], False),
        (FULL, "l1:1", ["apgd", "apgd(loss='dlr', targets=9)", "fab_t", "square"], False),
        (FULL, "l0:3", [CORNERS, "jsma", "sigma_zero(steps=1000)", "pointwise"], True),
        (shown(), "l0:3", ["pointwise"], True),
        (FULL, "linf:0.1,knowledge=scores", ["square"], True),
        (FULL, "linf:0.1,knowledge=labels", ["hop_skip_jump"], True),
        (shown(scores=lambda x: x), "linf:0.1", ["square"], True),
        (shown(), "l2:0.5", ["hop_skip_jump"], True),
    ],
)
def test_what_cannot_be_served_gives_way(model, literal, expected, star):
    suite = adapted(resolve("standard"), model)
    assert [describe(a) for a in suite.serving(parse(literal)).attacks] == expected
    changed = bool(suite.note) or [describe(a) for a in suite.attacks] != expected
    assert changed == star


def test_few_classes_and_random_models_are_said():
    few = adapted(resolve("standard"), dataclasses.replace(FULL, classes=3))
    assert "fewer than 4 classes" in few.note
    random = adapted(resolve("standard"), dataclasses.replace(FULL, random=True))
    assert isinstance(random.attacks[0], attacks.Eot)
    assert random.attacks[0].samples == PASSES
    assert isinstance(random.attacks[-1], attacks.Square)
    assert "random" in random.note


def test_a_suite_that_was_written_out_runs_as_written_or_is_refused():
    assert adapted(resolve("pgd+square"), shown(scores=lambda x: x)) == resolve("pgd+square")


def test_a_model_that_shows_labels_is_audited_and_the_report_names_the_substitute():
    x = torch.rand(12, 4, generator=torch.Generator().manual_seed(0))
    model = hf.wrap(lambda z: (z.sum(1) > 2).astype(int), bounds=(0, 1), output="labels", classes=2)
    y = (x.sum(1) > 2).long()
    run = hf.audit(model, (x, y), threat="l2:0.5,queries=200", suite="quick", seed=0)
    assert run.summary.provenance.suite == "quick*"
    assert set(run.samples.column("broken_by").to_pylist()) == {"hop_skip_jump", None}
    assert any("does not show" in line for line in run.summary.limits)
    assert run.empirical_robust_accuracy.k < 12
