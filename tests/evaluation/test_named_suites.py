"""The suites by name: what runs where a model or a threat cannot be served, and that the report says so."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast import attacks
from holdfast.evaluation.suites import PASSES, adapted, describe, resolve
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


def test_frugal_is_a_local_search_and_a_check_without_gradients():
    assert [describe(a) for a in resolve("frugal").attacks] == ["local_search", "square(steps=200)"]
    assert [describe(a) for a in adapted(resolve("frugal"), shown(scores=lambda x: x)).attacks] == ["square(steps=200)"]
    assert adapted(resolve("frugal"), dataclasses.replace(FULL, classes=2)).note == ""


@pytest.mark.parametrize(
    ("model", "literal", "expected", "star"),
    [
        (FULL, "linf:0.1", ["apgd", "apgd(loss='dlr', targets=9)", "fab_t", "square"], False),
        (FULL, "l1:1", ["apgd", "apgd(loss='dlr', targets=9)", "fab_t", "square"], False),
        (FULL, "l0:3", ["pgd(step=1.0, random_start=False)", "jsma"], True),
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
