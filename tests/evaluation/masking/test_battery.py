"""The battery on models whose mask is known: which check tells, what it leaves alone, and that it survives a stop."""

import dataclasses
import functools
import json
import math
import os
import pathlib

import pytest
import torch
from torch import nn

from evaluation.masking.networks import Dice, Net, learned, task
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.cli import result
from holdfast.core.errors import Stop
from holdfast.core.progress import BatchDone
from holdfast.data.dataset import Dataset
from holdfast.evaluation.audit import audit, plan
from holdfast.evaluation.masking import battery, limits, trials
from holdfast.evaluation.masking.limits import allowed
from holdfast.evaluation.summary import read
from holdfast.models.model import Model
from holdfast.models.wrap import wrap
from holdfast.report import markdown, text
from holdfast.report.run import Run
from holdfast.threats.space import Image

FEW = Pgd(steps=4)


@pytest.fixture(autouse=True)
def _not_synced(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # durability has tests of its own


@functools.cache
def trained():
    return learned(Net(Dice("battery"), task("digits")), task("digits"), 10)


class Masked(nn.Module):
    """A trained network behind a function of the input and before a function of its scores."""

    def __init__(self, before=lambda x: x, after=lambda z: z):
        super().__init__()
        self.net, self.before, self.after = trained(), before, after

    def forward(self, x):
        return self.after(self.net(self.before(x)))


def data(n=40):
    x, y = task("digits").test
    return Dataset(x[:n], y[:n], name="digits")


def run(out, model=None, threat="linf:0.1", n=40, suite=FEW, **more):
    model = model or Masked()
    of = model if isinstance(model, Model) else wrap(model, (0, 1), output="logits")
    return audit(of, data(n), threat=threat, suite=suite, out=out, **more)


def found(folder):
    return {(check.name, check.threat): check for check in folder.summary.masking.checks}


def states(folder):
    return {name: check.state for (name, _), check in found(folder).items()}


def suspects(folder):
    return {name for name, state in states(folder).items() if state == "suspect"}


class Failing:
    """Raises where `fails` says so, from a stage of the audit on."""

    def __init__(self, stage, fails=lambda x: True):
        self.stage, self.fails, self.down = stage, fails, False

    def __call__(self, x):
        if self.down and self.fails(x):
            raise RuntimeError("device lost")
        return x

    def listen(self, event):
        if isinstance(event, BatchDone) and event.stage.startswith(self.stage):
            self.down = True


@pytest.mark.parametrize("of", ["module", "scores"])
def test_a_model_that_failed_is_no_evidence(tmp_path, of):
    lost = Failing("noise control")
    net = Masked(lost)
    model = net if of == "module" else wrap(lambda x: net(torch.as_tensor(x)).numpy(), (0, 1), output="logits")
    asked = {} if of == "module" else {"threat": "linf:0.1,knowledge=scores", "suite": Square(steps=20)}
    folder = run(tmp_path / "a", model, **asked, on_event=lost.listen)
    assert lost.down
    assert folder.complete
    assert not suspects(folder)
    assert "passed" not in states(folder).values()
    assert {c.text for c in found(folder).values() if c.state == "not_run"} == {"not checked: the model gave no answer"}
    assert states(folder)["determinism"] == states(folder)["noise"] == "not_run"
    assert folder.summary.masking.state == "not checked"
    assert "masking: not checked" in text.text(folder.summary)
    lost.down = False
    mended = run(tmp_path / "a", model, **asked)
    assert mended.summary.masking.state == "no sign of masking"


def test_samples_on_which_the_model_failed_are_left_out_of_every_check(tmp_path):
    gone = data().x[:20]
    some = Failing("noise control", lambda x: any((x == row).flatten(1).all(1).any() for row in gone))
    folder = run(tmp_path / "a", Masked(some), "linf:0.02", on_event=some.listen)
    whole = run(tmp_path / "b", Masked(), "linf:0.02")
    rows, known = ({name: check.rate.n for (name, _), check in found(f).items() if check.rate} for f in (folder, whole))
    for name in ("determinism", "company", "saturation", "gradients", "slope", "direction", "doubling", "noise"):
        assert 0 < rows[name] < known[name]
    assert not suspects(folder)


@pytest.mark.parametrize("threat", ["linf:0.02", "linf:0.1", "linf:0.4", "l2:0.8", "l1:4", "l0:6"])
def test_an_honest_network_shows_no_sign(tmp_path, threat):
    folder = run(tmp_path / "a", threat=threat)
    masking = folder.summary.masking
    assert masking.state == "no sign of masking"
    assert masking.reasons == ()
    assert masking.samples == limits.FEWEST
    assert len(masking.checks) == 12
    assert {check.state for check in masking.checks} <= {"passed", "not_applicable"}
    none = {name for name, state in states(folder).items() if state == "not_applicable"}
    assert none == ({"black_box"} if threat[:2] in ("l1", "l0") else set())
    assert folder.summary.verdict.state == "measured"


def company(x):
    return x + x.mean() - x.mean(0, keepdim=True)


def half(x):
    return torch.where(torch.arange(8) % 2 == 0, x, x.detach())


MASKS = {
    "determinism": Masked(lambda x: x + 0.1 * torch.randn_like(x)),
    "company": Masked(company),
    "saturation": Masked(after=lambda z: 300 * z),
    "gradients": Masked(after=lambda z: (50 * z).round() / 50),
    "slope": Masked(half),
    "direction": Masked(lambda x: 2 * x.detach() - x),
    "reach": Masked(after=lambda z: (50 * z).round() / 50),
    "black_box": Masked(lambda x: 2 * x.detach() - x),
    "transfer": Masked(lambda x: 2 * x.detach() - x),
    "noise": Masked(after=lambda z: (50 * z).round() / 50),
}


@pytest.mark.parametrize("check", MASKS)
def test_a_mask_is_seen_by_its_check(tmp_path, check):
    folder = run(tmp_path / "a", MASKS[check], threat="linf:0.3" if check == "noise" else "linf:0.15")
    assert folder.summary.masking.state == "suspect"
    assert check in suspects(folder)
    told = next(c for (name, _), c in found(folder).items() if name == check)
    assert told.rate.k > told.allowed
    assert told.source
    assert folder.summary.verdict.state == "doubtful"
    assert all(reason in folder.summary.verdict.text for reason in folder.summary.masking.reasons)
    assert result.exit_code(folder.summary) == 4


def test_samples_that_break_at_the_radius_alone_are_seen(tmp_path, monkeypatch):
    """A model without such samples hides nothing; the rows of one are written by hand."""
    real = trials.tried

    def helped(bench, keys, trial, threat):
        made = real(bench, keys, trial, threat)
        if trial.name != "larger":
            return made
        return dataclasses.replace(made, rows=[dataclasses.replace(r, status="unbroken") for r in made.rows])

    monkeypatch.setattr(battery.trials, "tried", helped)
    folder = run(tmp_path / "a", threat="linf:0.2")
    assert suspects(folder) == {"larger"}


def test_what_only_twice_the_work_breaks_is_seen(tmp_path, monkeypatch):
    real = trials.tried

    def weak(bench, keys, trial, threat):
        made = real(bench, keys, trial, threat)
        if trial.name != "first":
            return made
        return dataclasses.replace(made, rows=[dataclasses.replace(r, status="unbroken") for r in made.rows])

    monkeypatch.setattr(battery.trials, "tried", weak)
    assert "doubling" in suspects(run(tmp_path / "a", threat="linf:0.2"))


def seen(**fields):
    net = trained()
    ask = {"scores": lambda x: net(x).detach(), "labels": lambda x: net(x).argmax(1)}
    return Model(Image((0.0, 1.0)), 10, name="partly", **{name: ask[name] for name in fields})


GRADIENT = {"saturation", "gradients", "slope", "direction", "doubling", "reach", "black_box", "transfer"}


@pytest.mark.parametrize(
    ("sees", "suite", "threat", "absent"),
    [
        ({"scores": 1}, Square(steps=20), "linf:0.1", GRADIENT),
        ({"labels": 1}, HopSkipJump(steps=1), "linf:0.1", GRADIENT | {"larger", "noise"}),
        ({}, HopSkipJump(steps=1), "linf:0.1,knowledge=labels", GRADIENT | {"larger", "noise"}),
        ({}, "deep_fool", "l2:inf", {"direction", "doubling", "larger", "black_box", "transfer", "noise"}),
        ({}, FEW, "linf:0", {"direction", "doubling", "larger", "black_box", "transfer", "noise"}),
    ],
)
def test_what_does_not_apply_is_said(tmp_path, sees, suite, threat, absent):
    folder = run(tmp_path / "a", seen(**sees) if sees else None, threat, 20, suite)
    told = found(folder)
    assert {name for (name, _), check in told.items() if check.state == "not_applicable"} == absent
    assert all(check.text and check.rate is None for check in told.values() if check.state == "not_applicable")
    assert folder.summary.masking.state == "no sign of masking"


def test_nothing_to_look_at_is_not_checked(tmp_path):
    x, y = task("digits").test
    folder = audit(wrap(Masked(), (0, 1), output="logits"), Dataset(x[:8], (trained()(x[:8]).argmax(1) + 1) % 10),
                   threat="linf:0.1", suite=FEW, out=tmp_path / "a")  # fmt: skip
    assert folder.summary.masking.state == "not checked"
    assert folder.summary.masking.checks == ()


def essence(folder):
    document = json.loads((folder.path / "summary.json").read_text())["masking"]
    document.pop("seconds")
    return document


def test_the_same_run_again_asks_nothing_and_more_samples_give_what_a_fresh_run_gives(tmp_path):
    first = run(tmp_path / "a", n=80)
    before, commits = essence(first), len(first.parts.commits)
    again = run(tmp_path / "a", n=80)
    assert essence(again) == before
    assert len(again.parts.commits) == commits
    assert before["samples"] == 20
    more = essence(run(tmp_path / "a", n=100, threat=["linf:0.1", "l2:1"]))
    fresh = essence(run(tmp_path / "b", n=100, threat=["linf:0.1", "l2:1"]))
    spent = more.pop("forwards"), fresh.pop("forwards")
    assert more == fresh
    assert spent[0] >= spent[1]
    assert len(more["checks"]) == 5 + 2 * 7


def test_another_seed_looks_at_other_samples(tmp_path):
    folders = [run(tmp_path / str(seed), seed=seed, n=60) for seed in (0, 1)]
    keys = [{k for q in f.parts.questions() if q.kind == "answers" for k in f.parts.rows(q, None)} for f in folders]
    assert keys[0] != keys[1]
    assert len(keys[0]) == len(keys[1]) == limits.FEWEST


@pytest.mark.parametrize("after", [0, 2, 4, 7])
def test_a_stop_in_the_battery_is_not_checked_and_the_same_call_completes_it(tmp_path, after):
    told = []

    def listen(event):
        if isinstance(event, BatchDone) and event.stage.startswith("masking"):
            told.append(event)
            if len(told) > after:
                raise Stop

    partial = run(tmp_path / "a", threat="linf:0.06", on_event=listen)
    assert not partial.complete
    assert partial.summary.masking.state == "not checked"
    assert "not_run" in states(partial).values()
    whole = run(tmp_path / "a", threat="linf:0.06")
    assert essence(whole) == essence(run(tmp_path / "b", threat="linf:0.06"))
    assert whole.summary.masking.state == "no sign of masking"


def test_the_batch_changes_nothing(tmp_path):
    assert essence(run(tmp_path / "a", batch=5)) == essence(run(tmp_path / "b"))


def test_every_view_says_it(tmp_path):
    folder = run(tmp_path / "a", MASKS["slope"])
    reason = folder.summary.masking.reasons[0]
    page = Run(folder).report(tmp_path / "a.html").read_text()
    assert 'id="masking"' in page
    for view in (page, markdown.render(folder.summary), text.text(folder.summary).replace("\n", " ")):
        assert "masking: suspect: " in view
        assert reason in view
    honest = run(tmp_path / "b").summary
    assert "masking: no sign of masking." in text.text(honest)
    assert "masking: not checked." in text.text(dataclasses.replace(honest, masking=None))
    last = dataclasses.replace(honest.masking.checks[-1], state="not_applicable")
    less = dataclasses.replace(honest.masking, checks=(*honest.masking.checks[:-1], last))
    told = text.text(dataclasses.replace(honest, masking=less)).replace("\n", " ")
    assert "masking: no sign of masking (11 of 12 checks apply)." in told


def test_it_costs_what_it_says(tmp_path):
    folder = run(tmp_path / "a", threat="linf:0.01")
    masking = folder.summary.masking
    own = [c for c in folder.parts.commits if c.question["kind"] in ("answers", "slopes", "directions", "trial")]
    assert masking.forwards == sum(c.forwards for c in own)
    assert masking.forwards / masking.samples <= 400  # forward passes; with the backward ones MOST
    planned = plan(wrap(Masked(), (0, 1), output="logits"), data(), threat="linf:0.01", suite=FEW)
    bare = sum(stage.forwards for stage in planned.stages)
    assert planned.forwards - bare >= limits.MOST * masking.samples
    assert planned.forwards > folder.summary.cost.forwards
    assert folder.summary.cost.forwards > masking.forwards


@pytest.mark.parametrize("n", [1, 7, 16, 30, 64])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_the_allowance_is_the_binomial_one(n, share):
    def beyond(a):
        return 1 - sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(a + 1))

    a = allowed(n, share)
    assert beyond(a) < limits.LEVEL
    assert a == 0 or beyond(a - 1) >= limits.LEVEL


def test_a_saved_summary_without_masking_is_not_checked():
    old = read((pathlib.Path(__file__).parents[1] / "stored" / "summary-1.0.0.json").read_bytes())
    assert old.masking is None
    assert "masking: not checked." in text.text(old)
