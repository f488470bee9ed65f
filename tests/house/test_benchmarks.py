"""Studies under benchmarks/ are run by hand, for hours: here each is loaded, and tells how it is called."""

import pathlib
import runpy
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_loads_and_tells_how_it_is_called(file, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", [file.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(file), run_name="__main__")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_there_are_some():
    assert len(FILES) > 20


def test_kept_cells_make_one_table_and_nothing_is_learned_again(monkeypatch, capsys, tmp_path):
    """A pair where rows broke before and none after: every figure is in its place, and no data are loaded."""
    kept = {
        "adult-mlp-fraud": "adult mlp before 85.4% 94.0% 74.0% [59.7%, 85.4%] 100% 1 + 3 s",
        "adult-mlp-fraud-hard-3-300": "adult mlp after 85.0% 96.0% 80.0% [66.3%, 90.0%] – 8 + 3 s",
    }
    for name, told in kept.items():
        (tmp_path / f"{name}-50-8000.txt").write_text(told, encoding="utf-8")
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr("holdfast.data.load", None)
    words = "--profile --harden --samples 50 --data adult --models mlp --runs"
    monkeypatch.setattr(sys, "argv", ["tables.py", *words.split(), str(tmp_path)])
    runpy.run_path(str(FOLDER / "tables.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "| data | classifier | accuracy | recall | recall under attack [95 %] | possible |",
        "| --- | --- | --- | --- | --- | --- |",
        "| Adult | MLP | 85.4 → 85.0 | 94.0 → 96.0 | 74.0 [59.7, 85.4] → 80.0 [66.3, 90.0] | 100 → – |",
    ]
