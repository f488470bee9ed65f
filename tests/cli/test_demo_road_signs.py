"""The demonstration with road signs: at a tiny size, interrupted and continued, on other pictures."""

import dataclasses
import json
import os
import re

import numpy as np
import pytest

from holdfast.cli import demo, demo_story
from holdfast.cli.demo_pace import Pace
from holdfast.cli.demo_story import Story, tell
from holdfast.cli.demo_told import document, screen
from holdfast.cli.main import main
from holdfast.cli.progress import Plain
from holdfast.core.errors import Stop, UsageError
from holdfast.core.progress import BatchDone, Note, RunDone, RunStarted, StageDone
from holdfast.data import road_signs
from holdfast.evaluation.masking import surrogate, trials
from holdfast.models.files import load_model

COLORS = np.array([[150, 110, 110], [110, 150, 110], [110, 110, 150], [130, 130, 130]])
SUITE = "pgd(steps=3)+pgd(steps=6)"
NAMES = ("ResNet-18", "VGG-11", "hardened ResNet-18")


@pytest.fixture(scope="module", autouse=True)
def _brief_masking():
    """The trials of the masking battery, half of a tiny audit's work, with a few steps each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "STEPS", 4)
        patch.setattr(trials, "QUERIES", 20)
        patch.setattr(surrogate, "STEPS", 4)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A story of small pictures that are easily told apart: four colors, with noise."""
    draw, file = np.random.default_rng(0), tmp_path_factory.mktemp("colors") / "colors.npz"
    arrays = {}
    for split, n in (("train", 320), ("test", 64)):
        y = np.arange(n) % len(COLORS)
        noisy = COLORS[y][:, :, None, None] + draw.normal(0, 25, (n, 3, 16, 16))
        arrays |= {f"x_{split}": noisy.clip(0, 255).astype(np.uint8), f"y_{split}": y}
    np.savez(file, **arrays)
    return Story(
        data=str(file), pictures=256, validation=32, samples=16, width=2, epochs=2, batch=8, hardening=2, suite=SUITE
    )


@pytest.fixture(scope="module")
def told(tiny, tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("demo") / "signs", []
    return tell(tiny, folder, Pace(Plain(write=lines.append))), lines


def networks(folder):
    """The bytes of every network in the folder."""
    return {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}


def test_three_networks_three_runs_three_reports(told):
    story, lines = told
    assert [each.part.name for each in story.judged] == list(NAMES)
    samples = [each.summary.data.digest for each in story.judged]
    assert len(set(samples)) == 1, "all are judged on the same pictures"
    for each in story.judged:
        assert each.page.read_text(encoding="utf-8").startswith("<!")
        assert each.summary.complete
        assert each.summary.model.name == each.part.name
        assert load_model(each.file).classes == 4
    assert [[t.model for t in each.summary.transfer] for each in story.judged] == [["VGG-11"], ["ResNet-18"], []]
    hardened, plain = (load_model(story.judged[i].file).parameters() for i in (2, 0))
    assert hardened != plain
    assert not list((story.judged[0].file.parent / "training").iterdir()), "checkpoints go when the network is saved"
    done = [line.partition(":")[0] for line in lines if ": done in" in line]
    assert done == list(story.seconds)[1:], "a line for each step, in order"


def test_the_screen_has_the_table_the_reports_and_three_commands(told):
    text = screen(told[0])
    for each in told[0].judged:
        rates = each.summary.rates
        row = next(line for line in text.splitlines() if line.startswith(each.part.name))
        assert re.findall(r"\((\d+)/(\d+)\)", row) == [
            (str(r.k), str(r.n)) for r in (rates.clean_accuracy, rates.empirical_robust_accuracy)
        ]
        assert str(each.page) in text
    assert len(re.findall(r"^  holdfast ", text, re.MULTILINE)) == 3
    assert "Time of this call" in text
    allowed = ("/", "holdfast ")
    assert not [line for line in text.splitlines() if len(line) > 80 and not line.strip().startswith(allowed)]
    assert screen(told[0], quiet=1).count("\n") == 3
    assert [r["name"] for r in json.loads(document(told[0]))["runs"]] == list(NAMES)


def test_a_finished_demonstration_learns_and_attacks_nothing_again(tiny, told, monkeypatch):
    folder = told[0].judged[0].file.parent
    before = networks(folder)
    monkeypatch.setattr(demo_story._Teller, "_pictures", lambda self: pytest.fail("nothing is left to learn"))
    again = tell(tiny, folder, Pace(None))
    assert networks(folder) == before
    for old, new in zip(told[0].judged, again.judged, strict=True):
        assert new.summary.rates == old.summary.rates
        assert new.summary.cost.queries == old.summary.cost.queries
    assert "in the folder already" in screen(again)


class Stopping:
    """A view that stops the work in the middle of a step: by Stop, which an audit and a training both understand."""

    def __init__(self, step):
        self.step = step

    def __call__(self, event):
        if isinstance(event, BatchDone) and event.stage == self.step:
            raise Stop

    def close(self):
        pass


@pytest.mark.parametrize("step", ["attack ResNet-18", "train hardened ResNet-18"])
def test_the_same_command_continues_where_it_was_stopped(tiny, told, tmp_path, step):
    with pytest.raises((Stop, KeyboardInterrupt)):
        tell(tiny, tmp_path / "cut", Pace(Stopping(step)))
    assert (tmp_path / "cut" / "resnet18.safetensors").is_file()
    whole = tell(tiny, tmp_path / "cut", Pace(None))
    assert "train ResNet-18" not in whole.seconds
    assert networks(tmp_path / "cut") == networks(told[0].judged[0].file.parent), "resumed or not: the same networks"
    assert [e.summary.rates for e in whole.judged] == [e.summary.rates for e in told[0].judged]


def test_a_folder_of_another_story_is_refused(tiny, told):
    folder = told[0].judged[0].file.parent
    with pytest.raises(UsageError, match="HF813"):
        tell(dataclasses.replace(tiny, seed=1), folder, Pace(None))
    more = tell(dataclasses.replace(tiny, samples=20), folder, Pace(None))
    assert more.judged[0].summary.data.n == 20, "more samples are no other story"


def test_rendered_signs_are_those_of_the_named_set(tiny, tmp_path):
    story = dataclasses.replace(tiny, data=demo_story.RENDERED, pictures=32, validation=16, judged=16)
    teller = demo_story._Teller(story, tmp_path, Pace(None))
    parts = [*teller._pictures(), teller._test()]
    assert [len(part) for part in parts] == [32, 16, 16]
    for part, split in zip(parts, ("train", "val", "test"), strict=True):
        assert part.digests == road_signs.render(len(part), road_signs.PARTS[split][1]).digests


def test_the_command_line(tiny, told, monkeypatch, capsys):
    folder = told[0].judged[0].file.parent
    monkeypatch.setattr(demo_story, "Story", lambda data: tiny)
    assert main(["demo", "road-signs", "-o", str(folder), "-q"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(NAMES[-1])
    assert main(["demo", "road-sings"]) == 2
    assert "road-signs" in capsys.readouterr().err
    assert main(["demo", "--data", "gtsrb"]) == 2
    assert "HF805" in capsys.readouterr().err
    assert set(demo.DEMOS) == {"digits", "road-signs"}


@pytest.mark.skipif("HOLDFAST_DATA" not in os.environ, reason="HOLDFAST_DATA names no folder")
def test_real_signs_are_divided_by_tracks(tiny, tmp_path):
    teller = demo_story._Teller(dataclasses.replace(tiny, data="gtsrb", pictures=192), tmp_path, Pace(None))
    train, validation = teller._pictures()
    assert (len(train), len(validation)) == (192, 32)
    assert not set(train.groups.tolist()) & set(validation.groups.tolist())
    test = teller._test()
    assert test.split == "test"
    assert not set(test.digests) & set(train.digests + validation.digests)


def test_what_is_left_follows_the_share_of_the_work():
    events, time = [], [0.0]

    class View:
        def __call__(self, event):
            events.append(event)

    pace = Pace(View(), lambda: time[0])
    pace.plan("f", 8, {"learn": 60.0, "attack": 40.0})
    with pace.step("learn") as listener:
        listener(RunStarted("train", "", 4, ("train",)))
        time[0] = 30.0
        listener(BatchDone("train", 2, 4, 0, 0))
        listener(RunDone("", True, 30.0))
    assert events[1] == BatchDone("learn", 50, 100, 0, 0, 70.0)
    with pace.step("attack") as listener:
        listener(RunStarted("audit", "f", 8, ("one", "two")))
        listener(Note("a note"))
        listener(BatchDone("clean", 8, 8, 8, 8))
        listener(StageDone("one", 8, 4, 1.0))
        time[0] = 90.0
        listener(BatchDone("two", 4, 8, 2, 8))
        listener(BatchDone("masking slope linf:1/10", 1, 1, 1, 1))
    assert events[3] == Note("a note")
    assert events[4] == BatchDone("attack", 75, 100, 2, 8, 10.0)
    assert len(events) == 6
    assert events[5].done == 100


def test_a_step_that_says_what_is_left_is_believed_and_time_between_steps_is_not_counted():
    events, time = [], [0.0]

    class View:
        def __call__(self, event):
            events.append(event)

    pace = Pace(View(), lambda: time[0])
    pace.plan("f", 8, {"learn": 60.0, "attack": 40.0})
    time[0] = 1000.0  # pictures are drawn
    with pace.step("learn") as listener:
        listener(RunStarted("audit", "f", 8, ("one", "two", "three", "four")))
        time[0] += 30.0
        listener(BatchDone("one", 8, 8, 2, 8, 10.0))
    assert events[1] == BatchDone("learn", 75, 100, 2, 8, pytest.approx(30 * 55 / 45))
    time[0] += 500.0
    with pace.step("attack") as listener:
        time[0] += 10.0
        listener(BatchDone("one", 4, 8, 2, 8, 10.0))
    assert events[3] == BatchDone("attack", 50, 100, 2, 8, pytest.approx(40 * 20 / 80))
