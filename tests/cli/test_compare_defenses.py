"""`holdfast compare-defenses` and `holdfast list defenses`: pages, exit codes, one line for every mistake."""

import json

import pytest

from holdfast.cli.main import main
from holdfast.evaluation.defending import work

PROTOCOL = """
data: digits
samples: 12
held_out: 40
base: {network: mlp, width: 16, depth: 2, epochs: 2, samples: 300}
threat: linf:0.1
suite: pgd(steps=2)
defenses: [bit_depth(bits=2)]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A protocol and its finished comparison."""
    place = tmp_path_factory.mktemp("defenses")
    (place / "signs.yaml").write_text(PROTOCOL)
    assert main(["compare-defenses", str(place / "signs.yaml"), "-o", str(place / "all"), "-qq"]) == 0
    return place


def compare(folder, *words):
    return main(["compare-defenses", str(folder / "signs.yaml"), "-o", str(folder / "all"), *words])


def test_the_same_command_prints_what_is_there(folder, capsys):
    assert compare(folder) == 0
    out, told = capsys.readouterr()
    assert out.startswith("What defenses buy and cost: digits")
    assert "What they buy" in out
    assert "What they cost" in out
    assert "1 bit_depth(bits=2)" in out
    assert max(map(len, out.splitlines())) <= 100
    assert "comparison.html" in told
    assert "bit_depth(bits=2): broke" in told


def test_the_folder_holds_pages_models_and_runs(folder):
    names = {path.name for path in (folder / "all").iterdir()}
    assert names == {
        "comparison.json",
        "comparison.html",
        "comparison.md",
        "protocol.yaml",
        "identity.txt",
        "undefended",
        "bit_depth-bits-2",
    }
    assert (folder / "all" / "undefended" / "model.safetensors").is_file()
    assert (folder / "all" / "bit_depth-bits-2" / "run" / "summary.json").is_file()
    assert main(["show", str(folder / "all" / "bit_depth-bits-2" / "run"), "-q"]) in (0, 4)


def test_json_is_one_document_and_quiet_a_sentence(folder, capsys):
    assert compare(folder, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads((folder / "all" / "comparison.json").read_text())
    assert compare(folder, "-q") == 0
    out, told = capsys.readouterr()
    assert "First" in out or "first" in out
    assert told == ""
    assert main(["schema", "defenses"]) == 0
    assert json.loads(capsys.readouterr().out)["$id"] == values["schema"]


def test_an_interrupt_keeps_what_is_done_and_ends_with_130(folder, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(work, "audit", interrupted)
    assert main(["compare-defenses", str(folder / "signs.yaml"), "-o", str(tmp_path / "all")]) == 130
    out, told = capsys.readouterr()
    assert "Partial: undefended, bit_depth(bits=2) not finished." in out
    assert "continues" in told
    assert (tmp_path / "all" / "undefended" / "model.safetensors").is_file(), "the training is kept"


def test_one_that_cannot_be_made_is_left_out_with_its_line_and_ends_with_3(folder, tmp_path, capsys):
    (tmp_path / "few.yaml").write_text(PROTOCOL.replace("40", "5").replace("[bit", "[mahalanobis, bit"))
    for _ in range(2):
        assert main(["compare-defenses", str(tmp_path / "few.yaml"), "-o", str(tmp_path / "all")]) == 3
        out, told = capsys.readouterr()
        assert "Left out: mahalanobis: HF1" in " ".join(out.split())
        assert "1 bit_depth(bits=2)" in out
        assert "continues" not in out + told


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("data: digits\nthreat: linf:0.1\ndefenses: [bit_dept]\n", "HF830"),
        ("data: digits\nthreat: linf:0.1\ndefenses: ['bit_depth(']\n", "HF831"),
        ("a: &a [1]\nb: *a\n", "HF832"),
        (PROTOCOL + "suit: quick\n", "HF833"),
        (PROTOCOL.replace("digits", "no_such_data"), "HF107"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_or_3(text, code, tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text(text)
    exit_code = main(["compare-defenses", str(tmp_path / "bad.yaml"), "-o", str(tmp_path / "all"), "--json"])
    out, told = capsys.readouterr()
    assert exit_code == (3 if code == "HF107" else 2)
    assert json.loads(out)["code"] == code
    assert "Traceback" not in told
    assert not (tmp_path / "all").exists(), "nothing is written before everything was looked at"


def test_the_list_of_defenses_comes_from_the_catalog(capsys):
    assert main(["list", "defenses", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["bit_depth"]["family"] == "preprocessing"
    assert rows["bit_depth"]["kind"] == "stage"
    assert rows["bit_depth"]["gradient"] == "straight-through"
    assert rows["adversarial_training"]["kind"] == "learner"
    assert all(row["cost"] and row["paper"] for row in rows.values())
