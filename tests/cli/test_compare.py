"""`holdfast compare`: two digit networks, one with noise on its weights."""

import json
import re

import pytest

from holdfast.cli.main import main


def test_the_sentence_comes_first_and_the_table_agrees(capsys, pair):
    assert main(["compare", *pair]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 runs compared: 60 samples under linf:1/10"
    assert lines[2].startswith("weak withstands ")
    assert max(map(len, lines)) <= 100
    start = lines.index("The same samples in both runs, under all threats")
    assert sum(int(n) for line in lines[start + 2 : start + 4] for n in line.split()[-2:]) == 60
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


def test_what_changed_sides_is_told_with_what_broke_it(capsys, pair, tmp_path):
    import holdfast as hf

    page = tmp_path / "page.html"
    assert main(["compare", *pair, "--json", "-o", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)["pairs"][0]
    headline, flips = found["contrasts"][0], found["flips"]
    assert sorted(f["sample"] for f in flips if not f["won"]) == sorted(headline["lost"])
    assert sorted(f["sample"] for f in flips if f["won"]) == sorted(headline["won"])
    tables = [{row["sample"]: row for row in hf.open_run(run).samples.to_pylist()} for run in pair]
    for flip in flips:
        lost, held = (tables[not flip["won"]][flip["sample"]], tables[flip["won"]][flip["sample"]])
        assert held["status"] == "unbroken"
        assert (flip["status"], flip["size"]) == (lost["status"], lost["linf"])
        assert flip["attack"] == (lost["broken_by"] or "")
    assert {flip["status"] for flip in flips} == {"broken", "wrong"}, "the pair has both"
    text = page.read_text()
    assert "img-src data:" in text
    told = re.findall(r"holdfast (replay|show) (\S+) (\d+)", text)
    known = {("replay" if f["status"] == "broken" else "show", pair[not f["won"]], str(f["sample"])) for f in flips}
    assert set(told) <= known
    assert len(told) == sum(min(12, sum(f["won"] == won for f in flips)) for won in (False, True))
    assert text.count("<img ") > 2 * len(told), "most have all three pictures"
    assert [text.count(f'class="{kind} second"') for kind in ("line", "band")] == [1, 1], "both curves in one picture"
    assert main(["compare", *pair, "-qq", "-o", str(tmp_path / "page.md")]) == 0
    marked = (tmp_path / "page.md").read_text()
    assert all(f"| {flip['sample']} |" in marked for flip in flips[:12])


def test_rows_of_ones_own_data_are_shown_only_when_asked_for(tmp_path, capsys):
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    import holdfast as hf
    from holdfast.evaluation.audit import audit

    draw = np.random.default_rng(0)
    x = draw.random((80, 3)).astype(np.float32)
    y = (x.sum(1) > 1.5).astype(np.int64)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    for name, c in (("a", 100.0), ("b", 0.05)):
        model = hf.wrap(LogisticRegression(C=c).fit(x, y), (0, 1), name=name)
        data = hf.data.load(str(tmp_path / "own.npz"), bounds=(0, 1), split="test")
        command = f"holdfast audit {name} {tmp_path / 'own.npz'} --bounds 0,1"
        audit(model, data, threat="linf:0.05", suite="pgd(steps=3)", out=tmp_path / name, command=command)
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-qq", "-o", str(tmp_path / "page.html")]
    assert main(words) == 0
    assert "x[" not in (tmp_path / "page.html").read_text()
    assert "--rows" in (tmp_path / "page.html").read_text()
    assert main([*words, "--rows"]) == 0
    shown = (tmp_path / "page.html").read_text()
    assert " -&gt; " in shown
    assert "x[0] " in shown


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
