"""Models with something in front: what is rejected counts as not broken, and attacks are told by what they know."""

import dataclasses
import os
import sys

import pytest
import torch

import holdfast as hf
from evaluation.audits import FEW, run
from evaluation.world import data, digits, model
from holdfast.attacks.eot import Eot
from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.cli.main import main
from holdfast.core.errors import ModelError
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.evaluation import plan, work
from holdfast.evaluation.masking import limits
from holdfast.evaluation.masking.surrogate import transferred
from holdfast.evaluation.masking.trials import trials, tried
from holdfast.evaluation.replay import recheck, replay
from holdfast.evaluation.spatial import spatial
from holdfast.evaluation.suites import adapted, aware, resolve
from holdfast.evaluation.work import Bench
from holdfast.models.settle import settle
from holdfast.models.stage import Stage
from holdfast.report.csv import render as csv
from holdfast.report.html import render as html
from holdfast.report.markdown import render as markdown
from holdfast.report.text import text
from holdfast.threats.literals import parse

PARTLY = dataclasses.replace(FEW, steps=6)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Grid(Stage):
    """Digits have values of k/16: what lies between them is suspicious."""

    loose: float = 0.1

    def suspicion(self, x, space):
        off = (x * 16 - (x * 16).round()).abs().flatten(1)
        return off.amax(1) - self.loose

    def reasons(self, x, space):
        return ["between the levels" if flag else "" for flag in (self.suspicion(x, space) > 0).tolist()]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dark(Stage):
    """Rejects what is darker on the mean."""

    below: float

    def suspicion(self, x, space):
        return self.below - x.flatten(1).mean(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jitter(Stage):
    """A little noise of its own."""

    random = True

    def apply(self, x, space):
        low, high = space.limits(x)
        return (x + 0.01 * torch.randn_like(x)).clamp(low, high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wall(Stage):
    """No way back, and critics."""

    gradient = "none"

    def apply(self, x, space):
        return x.round()

    def attacks(self, threat):
        return (Noise(samples=3), Pgd(steps=3))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Liar(Stage):
    """Says that its gradient is exact."""

    def apply(self, x, space):
        return (x * 3).round() / 3


@pytest.fixture(autouse=True)
def _nothing_but_the_attacks(monkeypatch):
    monkeypatch.setattr(limits, "SAMPLES", 0)
    monkeypatch.setattr(plan, "CURVE", ())
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def guarded(*stages):
    m = model()[0]
    for stage in stages:
        m = m | stage
    return settle(m, data(40).x)


def rows(folder, threat=None):
    return {r["sample"]: r for r in folder.samples.to_pylist() if threat in (None, r["threat"])}


# What is rejected


def test_clean_rejections_are_wrong_and_counted(tmp_path):
    x, y = data(40).x, data(40).y
    m = guarded(Dark(below=0.29))
    folder = run(tmp_path / "run", of=m)
    flagged = x.flatten(1).mean(1) < 0.29
    right = (model()[0].predict(x) == y) & ~flagged
    rates = folder.summary.rates
    assert 5 < int(flagged.sum()) < 35
    assert (rates.benign_reject_rate.k, rates.benign_reject_rate.n) == (int(flagged.sum()), 40)
    assert rates.clean_accuracy.k == int(right.sum())
    assert folder.summary.threats[0].success_rate.n == int(right.sum())
    for row, gone in zip(folder.samples.to_pylist(), flagged.tolist(), strict=True):
        if gone:
            assert (row["status"], row["predicted"]) == ("wrong", None)
            assert "suspicious to dark" in row["reason"]
    assert run(tmp_path / "plain").summary.rates.benign_reject_rate is None


def test_an_attack_that_ends_at_a_flagged_point_is_rejected_and_counts_as_not_broken(tmp_path):
    """Between the levels everything is flagged, so nothing breaks, though every step changes the class."""
    folder = run(tmp_path / "run", of=guarded(Grid()), suite=(FEW, PARTLY))
    plain = run(tmp_path / "plain", suite=(FEW, PARTLY))
    facts = folder.summary.threats[0]
    assert plain.summary.threats[0].statuses["broken"] > 10
    assert facts.statuses["rejected"] > 5
    assert "broken" not in facts.statuses
    assert facts.empirical_robust_accuracy.k == sum(n for s, n in facts.statuses.items() if s != "wrong")
    assert folder.summary.coverage.statuses == facts.statuses
    first, second = facts.attacks
    assert first.attempted == second.attempted, "a later stage tries what an earlier one left rejected"
    for sample, row in rows(folder).items():
        if row["status"] == "rejected":
            assert row["reason"] == "between the levels"
            assert row["broken_by"] is None
            assert row["margin"] > 0, f"sample {sample} would be broken"


def test_a_rejected_sample_is_broken_where_a_later_stage_gets_through(tmp_path):
    """The first stage rounds nothing; the second finds points that the loose detector accepts."""
    m = guarded(Grid(loose=0.3))
    found = run(tmp_path / "run", of=m, suite=(FEW, Pgd(steps=60)), threat="linf:0.25").summary.threats[0]
    first = run(tmp_path / "first", of=m, suite=(FEW,), threat="linf:0.25").summary.threats[0]
    assert found.statuses.get("broken", 0) > first.statuses.get("broken", 0)
    assert found.attacks[1].attempted == found.success_rate.n - found.attacks[0].broken


def test_every_view_shows_what_is_rejected(tmp_path):
    folder = run(tmp_path / "run", of=guarded(Dark(below=0.27), Grid()))
    summary = folder.summary
    pages = (
        text(summary),
        markdown(summary),
        html(summary, folder.samples, folder.examples, "run"),
        hf.open_run(folder.path)._repr_html_(),
    )
    for page in pages:
        assert "clean, rejected" in page
        assert f"{summary.rates.benign_reject_rate.k}/40" in page
    assert '"rejected"' in csv(summary, folder.samples)
    assert "a detector refuses it" in pages[2]
    assert hf.open_run(folder.path).benign_reject_rate == summary.rates.benign_reject_rate
    assert "of the clean samples are rejected" in summary.verdict.text


def test_comparing_reads_a_rejected_clean_input_as_not_right(tmp_path):
    plain, dark = run(tmp_path / "plain"), run(tmp_path / "dark", of=guarded(Dark(below=0.29)))
    (pair,) = hf.compare(plain.path, dark.path).pairs
    clean = next(c for c in pair.contrasts if c.metric == "clean_accuracy")
    lost = plain.summary.rates.clean_accuracy.k - dark.summary.rates.clean_accuracy.k
    assert lost > 0
    assert (len(clean.lost), len(clean.won)) == (lost, 0)


# The same success everywhere


def bench(m):
    part = data(40)
    return Bench(m, {str(i): i for i in range(40)}, part.x, part.y, 0, 64), [str(i) for i in range(40)]


def test_noise_that_is_rejected_breaks_nothing():
    """The control of a detector that notices all noise is empty, that of one that notices none the undefended one."""
    threat, broke = parse("linf:0.9"), []
    for m in (model()[0], guarded(Dark(below=0.0)), guarded(Grid())):
        b, keys = bench(m)
        broke.append([row.status for row in work.control(b, keys, threat).rows].count("broken"))
    assert broke[0] == broke[1] > 5
    assert broke[2] == 0


def test_transferred_inputs_must_be_accepted(tmp_path):
    folder = run(tmp_path / "run", transfer_to=[model()[0], guarded(Grid())])
    same, noticed = folder.summary.transfer
    assert same.rate.k == same.rate.n == folder.summary.threats[0].statuses["broken"]
    assert (noticed.rate.k, noticed.rate.n) == (0, same.rate.n)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored(Stage):
    """Rejects what lies on the 256 levels of an image file, as few digits do: their levels are k/16."""

    def suspicion(self, x, space):
        return 0.01 - (x * 255 - (x * 255).round()).abs().flatten(1).amax(1)


def test_what_storage_makes_suspicious_does_not_survive_it(tmp_path):
    plain, noticed = (run(tmp_path / str(i), of=m).summary.threats[0] for i, m in enumerate((None, guarded(Stored()))))
    assert noticed.eight_bit.n == plain.eight_bit.n
    assert plain.eight_bit.k > 5
    assert noticed.eight_bit.k == 0


class Moody(Stage):
    """A threshold that nobody sees in its name."""

    below = 0.0

    def suspicion(self, x, space):
        return Moody.below - x.flatten(1).mean(1)


def test_a_stored_input_that_is_rejected_now_holds_no_longer(tmp_path, monkeypatch):
    m = guarded(Moody())
    folder = run(tmp_path / "run", of=m)
    assert recheck(folder, m, data(40)).holds
    sample = next(r["sample"] for r in folder.samples.to_pylist() if r["status"] == "broken")
    assert replay(folder, sample, m, data(40)).verified
    monkeypatch.setattr(Moody, "below", 0.4)
    found = recheck(folder, m, data(40))
    assert found.failed
    assert {claim.why for claim in found.failed} == {"the model rejects the stored input"}
    failed = {claim.sample for claim in found.failed}
    assert all(replay(folder, s, m, data(40)).decided == -1 for s in list(failed)[:2])
    assert not replay(folder, min(failed), m, data(40)).verified


def test_turned_pictures_that_are_rejected_break_nothing():
    part = data(12)
    asked = {"angles": 3, "shifts": 3, "looks": 2}
    plain, noticed = spatial(model()[0], part, **asked), spatial(guarded(Grid()), part, **asked)
    assert int(plain.broken.sum()) > 0
    assert noticed.worst.k > plain.worst.k
    assert noticed.random.k <= plain.random.k, "a rejected picture is no right answer"


def test_the_battery_asks_for_accepted_inputs_and_in_the_whole_box_for_any():
    b, keys = bench(guarded(Grid()))
    plain, _ = bench(model()[0])
    right = [k for k in keys if int(plain.model.predict(plain.take([k])[0])[0]) == int(plain.take([k])[1][0])][:6]
    threat = parse("linf:0.23")
    found = trials(threat, ("module", "scores", "labels"))
    assert "broken" in {r.status for r in tried(plain, right, found["first"], threat).rows}
    assert {r.status for r in tried(b, right, found["first"], threat).rows} == {"unbroken"}
    assert {r.status for r in tried(b, right, found["reach"], threat).rows} == {"broken"}
    lessons, decided = keys, plain.model.predict(plain.inputs).tolist()
    assert "broken" in {r.status for r in transferred(plain, right, threat, lessons, decided).rows}
    assert {r.status for r in transferred(b, right, threat, lessons, decided).rows} == {"unbroken"}


# What an attack knows


def test_oblivious_and_defense_aware_are_told_apart(tmp_path):
    """Rounding to two levels undoes small changes; who passes straight through it still gets by."""
    plain = run(tmp_path / "plain", threat="linf:0.3")
    m = guarded(BitDepth(bits=1))
    folder = run(tmp_path / "run", of=m, threat="linf:0.3", suite=Pgd(steps=30), replay=plain.path)
    held = [r for r in folder.samples.to_pylist() if r["status"] == "broken"]
    by = {"oblivious": "replay", "defense-aware": "pgd"}
    assert all(r["broken_by"] == by[r["knows_defense"]] for r in held)
    assert all(r["knows_defense"] is None for r in folder.samples.to_pylist() if r["status"] != "broken")
    counts = [sum(r["knows_defense"] == kind for r in held) for kind in by]
    facts = folder.summary.threats[0]
    assert counts == [facts.oblivious.k, facts.defense_aware.k]
    assert min(counts) > 0
    assert folder.summary.replay.knows == "oblivious"
    found = next(f for f in folder.summary.findings if f.title == "What knowing the defense adds")
    assert f"{counts[0]} of {facts.success_rate.n} samples" in found.text
    assert f"{counts[1]} more by attacks that know it" in found.text
    frame = hf.open_run(folder.path).to_frame("arrow")
    assert "knows_defense" in frame.column_names


def test_inputs_of_the_defended_model_know_it_and_those_of_strangers_nobody_knows(tmp_path):
    m = guarded(BitDepth(bits=1))
    first = run(tmp_path / "first", of=m, threat="linf:0.3")
    again = run(tmp_path / "again", of=m, threat="linf:0.3", replay=first.path)
    knows = {r["knows_defense"] for r in again.samples.to_pylist() if r["broken_by"] == "replay"}
    assert knows == {"defense-aware"}
    assert again.summary.threats[0].oblivious is None
    stranger = run(tmp_path / "stranger", of=model(shift=0.05)[0], threat="linf:0.3")
    after = run(tmp_path / "after", of=m, threat="linf:0.3", replay=stranger.path)
    assert {r["knows_defense"] for r in after.samples.to_pylist() if r["broken_by"] == "replay"} == {None}
    assert after.summary.replay.knows == ""
    plain = run(tmp_path / "plain", threat="linf:0.3")
    assert {r["knows_defense"] for r in plain.samples.to_pylist()} == {None}


def test_a_stage_that_changes_the_shape_of_inputs_replays_a_run_of_the_plain_model(tmp_path):
    """A thermometer's network reads codes: the run of the plain model is a stranger's, and nothing fails."""
    plain = run(tmp_path / "plain", threat="linf:0.3")
    code = hf.defenses.Thermometer(levels=4).code
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4 * 64, 10)).requires_grad_(False)
    m = settle(hf.wrap(net, (0, 1), output="logits") | code, digits()[0][:32])
    after = run(tmp_path / "after", of=m, threat="linf:0.3", replay=plain.path)
    assert after.summary.replay.tried > 0
    assert after.summary.replay.knows == ""
    again = run(tmp_path / "again", of=m, threat="linf:0.3", replay=after.path)
    assert again.summary.replay.knows == "defense-aware"


def test_what_is_done_about_each_stage_is_said_and_never_called_adaptive():
    threats = [parse("linf:0.1")]
    suite = adapted(resolve("quick"), guarded(BitDepth(bits=3), Jitter(), Grid()), threats)
    for way in (
        "passes straight through bit_depth(bits=3)",
        "averages 20 passes over jitter",
        "must be accepted by grid",
    ):
        assert f"Defense-aware (automatic): the attack {way}." in suite.note
    assert "adaptive" not in suite.note
    assert any(isinstance(a, Eot) for a in suite.attacks)
    assert aware(model()[0]) == []
    assert adapted(resolve("quick"), model()[0], threats).note == ""


def test_without_a_way_back_scores_are_asked_and_critics_run_beside():
    threats = [parse("linf:0.1"), parse("linf:0.1,knowledge=labels")]
    suite = adapted(resolve("quick"), guarded(Wall()), threats)
    assert "asks scores only because of wall" in suite.note
    assert "runs what was published against them: noise(samples=3)" in suite.note
    assert [type(a) for a in suite.serving(threats[0]).attacks] == [Square, Noise]
    assert adapted(resolve("pgd"), guarded(Wall()), threats) == resolve("pgd"), "a suite written out runs as written"


def test_critics_are_attacks_like_others(tmp_path):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Criticized(Grid):
        def attacks(self, threat):
            return (Pgd(steps=2),)

    folder = run(tmp_path / "run", n=8, of=guarded(Criticized()), suite="quick", threat="linf:0.05")
    assert [a.name for a in folder.summary.threats[0].attacks][-1] == "pgd"
    assert folder.summary.suite == "quick*"
    assert any("Defense-aware (automatic)" in line for line in folder.summary.limits)


# Lies


def test_a_lying_stage_fails_the_audit(tmp_path):
    with pytest.raises(ModelError, match="HF250"):
        hf.audit(model()[0] | Liar(), data(8), threat="linf:0.1", suite="pgd", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


LYING = """
import sys
sys.path.insert(0, {tests!r})
from evaluation.test_defended import Liar
from evaluation.world import model

def build():
    return model()[0] | Liar()
"""


def test_a_lying_stage_fails_the_command_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    tests = str(next(p for p in sys.path if p.endswith("tests")))
    (tmp_path / "lying_model.py").write_text(LYING.format(tests=tests))
    words = ["audit", "lying_model:build", "digits", "-n", "8", "--trust", "lying_model:build", "-o", "run"]
    assert main([*words, "--suite", "pgd(steps=2)", "--threat", "linf:0.1"]) == 3
    told = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in told if "HF250" in line]) == 1
    assert "liar" in told[-1]
    assert len(digits()[0]) > 0
