"""`--threshold` on every verb that opens a model: what is decided, what is remembered, what reports say."""

import json
import random
import types

import pytest
from sklearn.ensemble import RandomForestClassifier

import holdfast as hf
from holdfast.cli.audit import Request, folder_of, reproducing
from holdfast.cli.compare_models import folder_of as folder_of_several
from holdfast.cli.main import main
from holdfast.cli.subject import load_model, remembered
from holdfast.core.errors import UsageError
from holdfast.data import load
from holdfast.evaluation.defending import estimator
from holdfast.models.card import path_of
from holdfast.models.threshold import Threshold

SEARCH = ("--suite", "graph_search(steps=2,width=1)", "--threat", "table:features=1", "-n", "12")
SAID = "Class 0 (fraud) is decided where its probability is at least 0.2."


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A forest on payments, whose class 0 is fraud, and their rows."""
    dump = pytest.importorskip("skops.io").dump
    place, draw = tmp_path_factory.mktemp("table"), random.Random(0)
    rows = ["amount,age,label,split"]
    for i in range(120):
        amount, age = draw.randint(1, 60), draw.randint(18, 80)
        label, part = "fraud" if amount + draw.randint(-20, 20) > 40 else "ok", "train" if i % 2 else "test"
        rows.append(f"{amount},{age},{label},{part}")
    (place / "t.csv").write_text("\n".join(rows) + "\n")
    train = load(place / "t.csv").train
    made = RandomForestClassifier(10, max_depth=4, random_state=0).fit(train.x.numpy(), train.y.numpy())
    dump(made, place / "f.skops")
    return types.SimpleNamespace(model=str(place / "f.skops"), data=str(place / "t.csv"), made=made, place=place)


def test_an_audit_at_a_threshold_is_that_decision_and_recheck_and_replay_remember_it(table, tmp_path, capsys):
    words = [table.model, table.data, *SEARCH, "--threshold", "fraud:0.2", "--evade", "fraud:ok"]
    assert main(["audit", *words, "-o", str(tmp_path / "a")]) == 0
    assert SAID in capsys.readouterr().out
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert SAID[1:-1] in " ".join(summary["model"]["notes"])
    run = hf.open_run(tmp_path / "a")
    test = load(table.data).test
    places = {int(each): k for k, each in enumerate(test.ids)}
    rows = {r["sample"]: r for r in run.folder.samples.to_pylist()}
    flagged = table.made.predict_proba(test.x.numpy())[:, 0] >= 0.2
    assert all((r["predicted"] == 0) == flagged[places[i]] for i, r in rows.items())
    argmax = table.made.predict(test.x.numpy()) == 0
    assert any(argmax[places[i]] != flagged[places[i]] for i in rows), "else the threshold decides nothing"
    broken = next(i for i, r in rows.items() if r["status"] == "broken")
    assert main(["recheck", str(tmp_path / "a"), "-q"]) == 0
    assert main(["replay", str(tmp_path / "a"), str(broken), "-q"]) == 0
    capsys.readouterr()
    assert main(["recheck", str(tmp_path / "a"), "--threshold", "fraud:0.5", "-q"]) == 3
    assert "HF402" in capsys.readouterr().err
    for ending in ("md", "html"):
        page = tmp_path / f"r.{ending}"
        assert main(["report", str(tmp_path / "a"), "-o", str(page), "-q"]) == 0
        assert "is decided where its probability is at least 0.2" in page.read_text()


def test_the_threshold_is_in_the_command_and_in_the_name_of_the_folder(table):
    request = Request(model=table.model, data=table.data, threshold="fraud:0.2")
    folder = types.SimpleNamespace(summary=types.SimpleNamespace(provenance=types.SimpleNamespace(command="")))
    folder.summary.provenance.command = reproducing(request)
    assert remembered(folder, "", "", "", "").threshold == "fraud:0.2"
    assert remembered(folder, "", "", "", "", threshold="0.3").threshold == "0.3"
    for name in (folder_of, folder_of_several):
        other = Request(model=table.model, data=table.data, threshold="fraud:0.3")
        plain = Request(model=table.model, data=table.data)
        assert len({str(name(each)) for each in (request, other, plain)}) == 3


def test_models_are_compared_looked_at_and_hardened_at_it(table, tmp_path, capsys, monkeypatch):
    given = ["--threshold", "fraud:0.2"]
    folder = tmp_path / "c"
    assert main(["compare-models", table.model, table.data, *SEARCH, *given, "-o", str(folder), "-q"]) == 0
    summary = json.loads(next(folder.glob("*/summary.json")).read_text())
    assert SAID[1:-1] in " ".join(summary["model"]["notes"])
    assert main(["doctor", table.model, table.data, *given]) == 0
    assert SAID[1:-1] in capsys.readouterr().out
    seen = []

    def harden(given, splits, **asked):
        seen.append(asked)
        raise UsageError("HF834", "enough was seen")

    monkeypatch.setattr(estimator, "harden_estimator", harden)
    assert main(["harden", table.model, table.data, *SEARCH, *given, "-o", str(tmp_path / "h")]) == 2
    assert seen[0]["threshold"] == Threshold(0.2, 0)
    assert "--threshold fraud:0.2" in seen[0]["command"]


def test_what_is_no_threshold_is_one_line(table, capsys):
    for told in ("thief:0.2", "1.5", "a half", ""):
        assert main(["audit", table.model, table.data, *SEARCH, "--threshold", told]) in (2, 3)
        error = capsys.readouterr().err.strip()
        assert error.startswith("HF282 ")
        assert "\n" not in error


def test_a_card_beside_a_file_tells_it_and_the_command_line_overrules_the_card(table):
    card = path_of(table.place / "f.skops")
    card.write_text(json.dumps({"threshold": "fraud:0.3", "class_names": ["fraud", "ok"]}))
    try:
        assert hf.load_model(table.model, bounds=(0, 100)).threshold == Threshold(0.3, 0)
        assert load_model(table.model, "", (0, 100), "ok:0.4", ("fraud", "ok")).threshold == Threshold(0.4, 1)
    finally:
        card.unlink()
