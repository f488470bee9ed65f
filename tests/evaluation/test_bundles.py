"""Samples that attacks have left are asked together, whatever team they were enrolled in."""

import json

import pytest

from evaluation.world import data, model
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.evaluation import manifest, steps
from holdfast.evaluation.audit import audit
from holdfast.evaluation.parts import Question
from holdfast.evaluation.steps import bundles
from holdfast.evaluation.work import KEEP


def test_small_teams_go_together_and_full_ones_alone():
    teams = ["abc", "d", "", "ef", "ghij", "k", "l"]
    found = bundles([list(t) for t in teams], 4)
    assert ["".join(key for team in b for key in team) for b in found] == ["abcd", "ef", "ghij", "kl"]
    assert bundles([], 4) == []
    assert bundles([["a"] * 9, ["b"]], 4) == [[["a"] * 9], [["b"]]]


def test_what_is_left_is_cut_as_it_would_have_been():
    teams = [[f"{t}{i}" for i in range(1 + 7 * t % 5)] for t in range(12)]
    whole = bundles(teams, 8)
    for done in range(len(whole)):
        rest = [team for b in whole[done:] for team in b]
        assert bundles(rest, 8) == whole[done:]


def test_a_second_attack_takes_fewer_parts_and_keeps_the_nearest_of_each_team(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", 8)
    folder = audit(model()[0], data(40), threat="linf:0.35", suite=[Pgd(steps=4), Pgd(steps=6)], out=tmp_path / "a")
    commits = [
        c for c in folder.parts.commits if c.question["kind"] == "search" and c.question["threat"] == "linf:7/20"
    ]
    first, second = ([c for c in commits if json.loads(c.question["attack"])["steps"] == n] for n in (4, 6))
    left = sum(c.rows for c in second)
    assert len(first) == 5
    assert left < 37 == sum(c.rows for c in first)
    assert len(second) < 5
    kept = [key for c in commits for key in folder.parts.arrays(Question(**c.question), "strongest")]
    assert 0 < len(set(kept)) <= 5 * KEEP * 2


@pytest.mark.parametrize(("hope", "parts"), [(None, 5), (0.01, 2)])
def test_groups_start_together_where_most_rows_leave_early(tmp_path, monkeypatch, hope, parts):
    """The rows are the same, in whatever company they were searched."""
    monkeypatch.setattr(manifest, "GROUP", 8)
    monkeypatch.setattr(steps, "TOGETHER", 32)
    attack, alone = Square(steps=3, hope=hope), tmp_path / "alone"
    folder = audit(model()[0], data(40), threat="linf:0.01", suite=[attack], out=tmp_path / "a")
    assert sum(c.question["kind"] == "search" for c in folder.parts.commits) == parts
    monkeypatch.setattr(steps, "TOGETHER", 0)
    other = audit(model()[0], data(40), threat="linf:0.01", suite=[attack], out=alone)
    assert folder.summary.rates == other.summary.rates
    assert folder.summary.cost.queries == other.summary.cost.queries


@pytest.mark.parametrize(
    ("sample", "width"), [((1, 16, 16), 256), ((1, 28, 28), 167), ((3, 32, 32), 128), ((3, 224, 224), 64), ((30,), 256)]
)
def test_groups_of_small_samples_are_large(sample, width):
    assert manifest.width_of(sample) == width
