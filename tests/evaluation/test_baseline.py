"""`holdfast baseline update`: three files, whole or refused, and what changed in one line."""

import dataclasses
import json
import pathlib

import pytest

from evaluation import world
from evaluation.audits import FEW
from holdfast.cli.main import main
from holdfast.core.errors import IntegrityError, ResourceError, Stop
from holdfast.core.progress import RunStarted
from holdfast.evaluation import baseline
from holdfast.evaluation.audit import audit
from holdfast.evaluation.baseline import FILES, update
from holdfast.evaluation.comparison import compare
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Verdict


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, shift in {"means": 0.0, "moved": 0.4}.items():
        audit(world.model(shift=shift)[0], world.data(60), out=folder / name, threat="linf:1/20", suite=FEW)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def test_it_is_the_three_files_of_the_run_and_compares_like_it(runs, tmp_path):
    told = update(Folder(runs / "means"), tmp_path / "baseline")
    assert files(tmp_path / "baseline") == {name: (runs / "means" / name).read_bytes() for name in FILES}
    assert (told.replaced, told.doubt, told.change) == (False, "", "There was no baseline before.")
    there, here = (compare([Folder(f), Folder(runs / "moved")]) for f in (tmp_path / "baseline", runs / "means"))
    assert there.pairs[0].contrasts == here.pairs[0].contrasts


def test_what_changed_is_the_paired_comparison_with_the_one_before(runs, tmp_path):
    update(Folder(runs / "means"), tmp_path / "baseline")
    expected = compare([Folder(tmp_path / "baseline"), Folder(runs / "moved")]).pairs[0].text
    told = update(Folder(runs / "moved"), tmp_path / "baseline")
    assert told.replaced
    assert told.change == f"Against the baseline before: {expected}"
    assert "\n" not in told.change
    assert files(tmp_path / "baseline")["summary.json"] == (runs / "moved" / "summary.json").read_bytes()


def test_another_question_is_told_and_does_not_stop_it(runs, tmp_path):
    update(Folder(runs / "means"), tmp_path / "baseline")
    other = audit(world.model()[0], world.data(20), out=tmp_path / "other", threat="l2:1", suite=FEW)
    told = update(other, tmp_path / "baseline")
    assert told.change.startswith("The baseline before cannot be compared with it: HF413")
    assert Folder(tmp_path / "baseline").summary.data.n == 20


def stopped(out):
    def listen(event):
        if isinstance(event, RunStarted):
            raise Stop

    return audit(world.model()[0], world.data(20), out=out, threat="l2:1", suite=FEW, on_event=listen)


def test_an_incomplete_run_is_refused_unless_forced(tmp_path):
    found = stopped(tmp_path / "run")
    with pytest.raises(IntegrityError, match=r"HF415.*not complete: stopped by the listener"):
        update(found, tmp_path / "baseline")
    assert not (tmp_path / "baseline").exists()
    told = update(found, tmp_path / "baseline", force=True)
    assert "not complete" in told.doubt
    assert "in spite of it: it is not complete" in str(told)


@pytest.mark.parametrize(
    ("state", "text", "why"),
    [
        ("doubtful", "101 of 200. Doubtful: masking, it is.", "doubtful: masking, it is"),
        ("empty", "None.", "no sample"),
    ],
)
def test_a_run_not_to_be_trusted_is_refused(runs, tmp_path, state, text, why):
    folder = Folder(runs / "means")
    folder.__dict__["summary"] = dataclasses.replace(folder.summary, verdict=Verdict(text=text, state=state))
    with pytest.raises(IntegrityError, match=f"HF415.*{why}"):
        update(folder, tmp_path / "baseline")


def test_files_that_do_not_belong_together_are_refused(runs, tmp_path):
    update(Folder(runs / "means"), tmp_path / "torn")
    other = audit(world.model()[0], world.data(20), out=tmp_path / "other", threat="l2:1", suite=FEW)
    (tmp_path / "torn" / "samples.parquet").write_bytes((other.path / "samples.parquet").read_bytes())
    with pytest.raises(IntegrityError, match="HF414"):
        update(Folder(tmp_path / "torn"), tmp_path / "baseline", force=True)


def test_nothing_else_is_written_over(runs, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "manifest.json").write_text('{"name": "my web app"}')
    (tmp_path / "web" / "index.html").write_text("mine")

    def everything():
        return {p: p.read_bytes() for top in (tmp_path, runs) for p in top.rglob("*") if p.is_file()}

    before = everything()
    for out in (tmp_path / "notes", tmp_path / "web", tmp_path / "file", runs / "moved", runs / "means"):
        with pytest.raises(IntegrityError, match="HF406"):
            update(Folder(runs / "means"), out)
    assert everything() == before


def test_a_first_update_that_was_killed_is_mended_by_the_same_call(runs, tmp_path):
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / ".manifest.json.new.tmp").write_text("half")
    update(Folder(runs / "means"), tmp_path / "baseline")
    assert files(tmp_path / "baseline") == {name: (runs / "means" / name).read_bytes() for name in FILES}


def test_a_note_of_ones_own_in_the_folder_stays(runs, tmp_path):
    update(Folder(runs / "means"), tmp_path / "baseline")
    (tmp_path / "baseline" / "README").write_text("mine")
    update(Folder(runs / "moved"), tmp_path / "baseline")
    assert set(files(tmp_path / "baseline")) == {*FILES, "README"}


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_a_full_disk_leaves_the_old_baseline(runs, tmp_path, monkeypatch, fails):
    update(Folder(runs / "means"), tmp_path / "baseline")
    before, real, left = files(tmp_path / "baseline"), baseline.write_atomic, [fails]

    def full(path, data):
        left[0] -= 1
        if left[0] == 0:
            raise ResourceError("HF501", "The disk is full")
        real(path, data)

    monkeypatch.setattr(baseline, "write_atomic", full)
    with pytest.raises(ResourceError):
        update(Folder(runs / "moved"), tmp_path / "baseline")
    assert files(tmp_path / "baseline") == before


@pytest.mark.parametrize("at", [1, 2, 3])
def test_stopped_between_two_files_it_is_no_run_and_the_same_call_mends_it(runs, tmp_path, monkeypatch, at):
    update(Folder(runs / "means"), tmp_path / "baseline")
    real, left = pathlib.Path.replace, [at]

    def killed(path, target):
        left[0] -= path.name.endswith(".new.tmp")
        if left[0] == 0:
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            update(Folder(runs / "moved"), tmp_path / "baseline")
    with pytest.raises(IntegrityError, match="HF408"):
        assert Folder(tmp_path / "baseline").summary
    update(Folder(runs / "moved"), tmp_path / "baseline")
    assert files(tmp_path / "baseline") == {name: (runs / "moved" / name).read_bytes() for name in FILES}


def test_the_command(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["baseline", "update", str(runs / "means")]) == 0
    assert "There was no baseline before." in capsys.readouterr().out
    assert main(["baseline", "update", str(runs / "moved"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["replaced"] is True
    assert main(["baseline", "update", str(runs / "moved"), "-q", "-o", "other"]) == 0
    assert capsys.readouterr().out == "There was no baseline before.\n"
    assert main(["baseline", "delete", str(runs / "moved")]) == 2
    assert "HF805" in capsys.readouterr().err
    stopped(tmp_path / "run")
    assert main(["baseline", "update", "run"]) == 3
    assert "HF415" in capsys.readouterr().err
    assert main(["baseline", "update", "run", "--force"]) == 0
