"""`holdfast compare`: two digit networks, one with noise on its weights."""

import json

import pytest

from holdfast.cli.main import main


def test_the_sentence_comes_first_and_the_table_agrees(capsys, pair):
    assert main(["compare", *pair]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 runs compared: 60 samples under linf:1/10"
    assert lines[2].startswith("weak withstands ")
    assert max(map(len, lines)) <= 100
    assert main(["compare", *pair, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    counts = document["pairs"][0]["contrasts"][0]["counts"]
    assert counts["lost"] > counts["won"]
    row = next(line for line in lines if line.startswith("not broken"))
    assert f"{100 * counts['difference']:+.1f} [" in row
    assert main(["compare", *pair, "-q"]) == 0
    assert capsys.readouterr().out.strip() == document["pairs"][0]["text"]
    assert main(["compare", *pair, "-qq"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("form", ["html", "md", "txt", "json"])
def test_a_page_is_written(capsys, pair, tmp_path, form):
    assert main(["compare", *pair, "-qq", "-o", str(tmp_path / "new" / f"page.{form}")]) == 0
    assert "weak" in (tmp_path / "new" / f"page.{form}").read_text()


@pytest.mark.parametrize(
    ("words", "code", "number"),
    [
        ([], 2, "HF804"),
        (["RUN"], 2, "HF821"),
        (["RUN", "nowhere"], 3, "HF407"),
        (["RUN", "RUN", "-o", "a.pdf"], 2, "HF820"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, pair, words, code, number):
    assert main(["compare", *(pair[0] if word == "RUN" else word for word in words), "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == number
    assert len(err.splitlines()) == 1


def test_runs_that_cannot_be_compared_are_refused(capsys, pair, run):
    assert main(["compare", pair[0], str(run)]) == 3
    assert "HF413 These runs cannot be compared: they have other threats" in capsys.readouterr().err
    assert main(["compare", pair[0], str(run), "--common", "-q"]) == 0
    assert "sample" in capsys.readouterr().out


def test_the_verb_in_python(pair):
    import holdfast as hf

    found = hf.compare(*pair)
    assert str(found) == str(hf.compare(hf.open_run(pair[0]), hf.open_run(pair[1])))
    assert found.pairs[0].contrasts[0].counts.significant
