"""`holdfast board` over two runs."""

import json
import pathlib

from holdfast.cli.main import main


def test_the_better_model_stands_first(capsys, pair, tmp_path):
    assert main(["board", *pair, "-o", str(tmp_path / "board.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert "2 runs in 1 table" in lines[2]
    folder = str(pathlib.Path(pair[0]).parent)
    assert main(["board", folder, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rankings"][0]["rows"]
    assert [(row["run"].rpartition("/")[2], row["best"], row["worst"]) for row in rows] == [
        ("good", 1, 1),
        ("weak", 2, 2),
    ]
    assert "digits-mlp" in (tmp_path / "board.html").read_text()
    assert main(["board", folder, "-qq"]) == 0
    assert capsys.readouterr().out == ""


def test_nothing_to_rank(capsys, tmp_path):
    assert main(["board", str(tmp_path)]) == 2
    assert "HF825" in capsys.readouterr().err
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "manifest.json").write_text("{")
    assert main(["board", str(tmp_path)]) == 5, "there is a run, and no number"
    assert "Left out" in capsys.readouterr().out
