import dataclasses
import gc
import json

import numpy as np
import pytest

from holdfast.core.errors import IntegrityError, UsageError
from holdfast.evaluation import store
from holdfast.evaluation.document import to_json
from holdfast.report import gallery, run
from holdfast.report.run import Run
from report import fixture, hostile


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fixture.write(tmp_path_factory.mktemp("run") / "digits")


def test_rates_and_line(folder):
    found = Run(folder)
    assert (found.empirical_robust_accuracy.k, found.empirical_robust_accuracy.n) == (35, 120)
    assert found.clean_accuracy.k == 113
    assert repr(found) == "Run(linf:1/8, n=120, robust ≤ 29.2 % [21.2, 38.2])"
    assert found.complete
    assert found == Run(str(folder))
    assert found != Run(fixture.write(folder.parent / "other", fixture.summary(complete=False, stopped="Ctrl-C")))


def test_findings_are_those_of_the_report(folder):
    found = Run(folder)
    assert len(found.findings) == len(found.summary.findings) > 0
    assert found.findings[0].title in found.report(folder.parent / "r.md").read_text()


def test_partial_line(tmp_path):
    found = Run(fixture.write(tmp_path / "run", fixture.summary(complete=False, stopped="Ctrl-C")))
    assert repr(found).endswith(", partial)")
    assert "Partial run" in found._repr_html_()


def test_by_threat_takes_any_spelling(folder):
    from holdfast.threats.threats import Linf

    found = Run(folder).by_threat
    assert list(found) == ["linf:1/8"]
    assert found["linf:1/8"] is found["linf:0.125"] is found[Linf(1 / 8)]
    assert found["linf:1/8"].empirical_robust_accuracy.k == 35
    with pytest.raises(KeyError, match="l2:1"):
        found["l2:1"]


def test_frames(folder):
    found = Run(folder)
    assert found.to_frame("arrow") is found.samples
    pytest.importorskip("pandas", reason="pandas is an extra")
    frame = found.to_frame()
    assert frame.shape == (120, found.samples.num_columns)
    assert (frame.status == "broken").sum() == 78


@pytest.mark.parametrize(
    ("ending", "first"),
    [("html", "<!doctype html>"), ("md", "# digits"), ("csv", '"sample"'), ("json", "{"), ("txt", "digits-mlp")],
)
def test_reports(folder, tmp_path, ending, first):
    path = Run(folder).report(tmp_path / f"x.{ending}")
    assert path.read_text(encoding="utf-8").lstrip().startswith(first)


def test_json_report_is_the_summary(folder, tmp_path):
    assert json.loads(Run(folder).report(tmp_path / "x.json").read_text()) == json.loads(
        (folder / "summary.json").read_text()
    )


def test_other_endings_are_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="HF820"):
        Run(folder).report(tmp_path / "x.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="HF407"):
        Run(tmp_path)


def test_temporary_folders_disappear_with_the_run_and_others_stay(tmp_path):
    kept, gone = fixture.write(tmp_path / "kept"), fixture.write(tmp_path / "gone")
    first, second = Run(kept), Run(gone, temporary=True)
    assert first == second
    del first, second
    gc.collect()
    assert kept.exists()
    assert not gone.exists()


def test_notebook_page_is_static_small_and_keeps_its_text(folder):
    page = Run(folder)._repr_html_()
    assert len(page.encode()) <= 20_000
    assert "<script" not in page
    assert "<svg" in page
    assert f"<pre>{repr(Run(folder)).replace('≤', '≤')}</pre>" in page


@pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))
def test_notebook_hostile(tmp_path, name):
    found = hostile.everywhere(fixture.summary(), name)
    folder = fixture.write(tmp_path / "run")
    (folder / "summary.json").write_bytes(to_json(found).encode("utf-8", "backslashreplace"))
    page = Run(folder)._repr_html_()
    assert len(page.encode()) <= 20_000
    assert not any(word in page.lower() for word in ("<script", "<img", "<iframe", "<svg onload"))
    repr(Run(folder)).encode("utf-8")


def test_images(folder):
    assert len(Run(folder).images(3)) == 3
    assert "data:image/webp" in Run(folder).images(1)._repr_html_()


def test_a_budget_leaves_cards_out_and_says_how_many(folder, monkeypatch):
    monkeypatch.setattr(gallery, "BUDGET", 2_000)
    found = store.Folder(folder)
    shown = gallery.gallery(found.summary, found.samples, found.examples, "r")
    assert 0 < len(shown.cards) < 20
    assert len(shown.cards) + shown.left_out == 20


def test_difference_states_its_amplification(folder):
    found = store.Folder(folder)
    card = gallery.gallery(found.summary, found.samples, found.examples, "r").cards[0]
    delta = np.abs(found.examples.adversarial[0].astype(float) - found.examples.clean[0]).max()
    assert card.peak == pytest.approx(delta)
    assert card.amplified == pytest.approx(1 / delta)


def test_commands_are_quoted_for_a_shell():
    assert gallery.command("runs/a b; rm -rf ~", 3) == "holdfast replay 'runs/a b; rm -rf ~' 3"
    assert gallery.command("~/my runs/a", 3) == "holdfast replay ~/'my runs/a' 3"


def test_folders_are_named_as_a_person_would(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run.typed(tmp_path / "runs" / "a") == "runs/a"
    monkeypatch.chdir("/")
    monkeypatch.setattr(run.pathlib.Path, "home", lambda: tmp_path)
    monkeypatch.setattr(run.pathlib.Path, "cwd", lambda: tmp_path / "elsewhere")
    assert run.typed(tmp_path / "runs" / "a") == "~/runs/a"


def test_dataclasses_of_the_fixture_agree_with_its_rows():
    found = fixture.summary()
    assert sum(found.coverage.statuses.values()) == found.data.n
    assert sum(a.broken for a in found.threats[0].attacks) == found.coverage.statuses["broken"]
    assert dataclasses.is_dataclass(found)
