"""`--threshold` on every verb that opens a model: what is decided, what is remembered, what reports say."""

import dataclasses
import json
import random
import types

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

import holdfast as hf
from holdfast.cli.audit import Request, folder_of, reproducing
from holdfast.cli.compare_models import folder_of as folder_of_several
from holdfast.cli.main import main
from holdfast.cli.subject import load_model, remembered
from holdfast.core.errors import ModelError, UsageError
from holdfast.data import load
from holdfast.evaluation.defending import estimator
from holdfast.evaluation.defending.protocol import read
from holdfast.evaluation.defending.work import compare_defenses
from holdfast.evaluation.evading import in_direction, of_source
from holdfast.models.card import path_of
from holdfast.models.cuts import differing
from holdfast.models.deciding import at_threshold, decision
from holdfast.models.settle import fingerprint, settle
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


@pytest.fixture(scope="module")
def two(table, tmp_path_factory):
    """The same model audited at two thresholds."""
    place = tmp_path_factory.mktemp("two")
    for at in ("0.2", "0.6"):
        words = [table.model, table.data, *SEARCH, "--threshold", f"fraud:{at}", "-o", str(place / at), "-q"]
        assert main(["audit", *words]) == 0
    return place


APART = "0.2: class 0 (fraud) is decided where its probability is at least 0.2; "
APART += "0.6: class 0 (fraud) is decided where its probability is at least 0.6."


def test_runs_at_two_thresholds_are_compared_gated_and_ranked_with_the_difference_shown(two, tmp_path, capsys):
    folders = [str(two / at) for at in ("0.2", "0.6")]
    assert main(["compare", *folders]) == 0
    assert APART in " ".join(capsys.readouterr().out.split())
    assert main(["compare", folders[0], folders[0]]) == 0
    assert "not made in the same way" not in capsys.readouterr().out
    policy = tmp_path / "holdfast.toml"
    policy.write_text('[policy]\nrequire = []\n[[gate]]\nmetric = "empirical_robust_accuracy"\nmax_regression = 0.9\n')
    assert main(["gate", folders[1], "--baseline", folders[0], "--policy", str(policy)]) in (0, 1)
    assert "not made in the same way" in " ".join(capsys.readouterr().out.split())
    assert main(["board", str(two)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert SAID in said
    assert SAID.replace("0.2", "0.6") in said


def test_how_runs_decide_is_told_where_they_differ():
    cut, other = Threshold(0.2, 1).told("b"), Threshold(0.3, 1).told()
    assert differing([("x", (cut,)), ("y", ("a note", cut))]) == ""
    assert differing([("x", ()), ("y", ("a note",))]) == ""
    told = "x, z: the class with the highest score is decided; "
    told += "y: class 1 (b) is decided where its probability is at least 0.2."
    assert differing([("x", ("a note",)), ("y", (cut,)), ("z", ())]).endswith(told)
    assert "at least 0.3" in differing([("x", (cut,)), ("y", (other,))])


def test_several_classes_in_one_direction_keep_the_name_of_the_class_that_is_decided():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 3, generator=draw), torch.arange(60) % 3
    data = hf.Dataset(x, y, bounds=(0, 1), classes=("dos", "probe", "normal"))
    for given in (1, "probe:0.3"):
        names = data.classes if given != 1 else ()
        model = at_threshold(hf.wrap(lambda rows: rows, (0, 1), output="logits"), given if names else 0.3, names)
        asked, part = in_direction(model, data, "dos,probe:normal"), of_source(data, "dos,probe:normal")
        assert decision(asked, part.classes) == "Class 1 (probe) is decided where its probability is at least 0.3."
    plain = in_direction(hf.wrap(lambda rows: rows, (0, 1), output="logits"), data, "dos:normal")
    assert decision(plain, data.classes) == ""


def test_attacks_are_timed_at_it_on_a_table_under_its_schema(table, tmp_path, capsys):
    schema = tmp_path / "s.toml"
    assert main(["data", "inspect", table.data, "-o", str(schema)]) == 0
    asked = ["--threat", "table:features=1", "--attack", "graph_search(steps=1,width=1)", "--batch", "4"]
    asked += ["--repeat", "1", "--schema", str(schema), "--label", "label", "--threshold", "fraud:0.2", "--json"]
    capsys.readouterr()
    assert main(["bench", table.model, table.data, *asked]) == 0
    found = json.loads(capsys.readouterr().out)
    assert SAID in found["notes"]
    assert found["attacks"][0]["queries"] > 0
    plain = hf.load_model(table.model, bounds=load(table.data).test.space)
    assert found["fingerprint"] != fingerprint(settle(plain, load(table.data).test.x), (2,), torch.float64)


def test_corruptions_are_counted_at_it_and_a_table_is_no_picture(table, capsys):
    asked = ["digits-mlp", "digits", "--only", "brightness", "--severity", "1", "-n", "40", "--json"]
    assert main(["corrupt", *asked]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["decided"] == ""
    assert main(["corrupt", *asked, "--threshold", "3:0.000001"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["decided"] == "Class 3 is decided where its probability is at least 1e-06."
    assert found["clean"]["k"] < plain["clean"]["k"], "nearly all are taken for a 3"
    assert found["fingerprint"] != plain["fingerprint"]
    assert main(["corrupt", table.model, table.data, "--threshold", "fraud:0.2"]) in (2, 3)
    assert capsys.readouterr().err.splitlines()[-1].startswith("HF102 Common corruptions are changes of pictures")


def test_defenses_are_compared_at_it(tmp_path):
    text = (
        "data: digits\nsamples: 8\nheld_out: 60\nbase: {network: mlp, width: 24, depth: 2, epochs: 1, samples: 100}\n"
    )
    text += "threat: linf:0.05\nsuite: pgd(steps=1)\ndefenses: [bit_depth(bits=2)]\n"
    file = tmp_path / "p.yaml"
    file.write_text(text)
    plain = read(file)
    assert "threshold" not in plain.identity(), "folders that were begun before go on"
    file.write_text(text + "threshold: 0.5\n")
    assert read(file).threshold == "0.5"
    file.write_text(text + "threshold: a half\n")
    with pytest.raises(UsageError, match="HF833 .*threshold"):
        read(file)
    file.write_text(text + 'threshold: "9:0.000001"\n')
    asked = read(file)
    assert asked.identity()["threshold"] == "9:0.000001"
    found = compare_defenses(asked, tmp_path / "all")
    assert found.notes[0] == "Class 9 is decided where its probability is at least 1e-06."
    for row in found.rows:
        run = hf.open_run(tmp_path / "all" / row.run)
        assert found.notes[0][1:-1] in " ".join(run.summary.model.notes)
        rows = run.folder.samples.to_pylist()
        assert {r["predicted"] for r in rows} == {9}, "the threshold decides, in the defended model too"
    with pytest.raises(ModelError, match="HF282 "):
        compare_defenses(dataclasses.replace(asked, threshold="nine:0.2"), tmp_path / "other")
