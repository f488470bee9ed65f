"""`--schema` and `--label`: a table's file under a schema that was reviewed, on every verb that loads data."""

import dataclasses
import random
import shlex
import types

import pytest
from sklearn.ensemble import RandomForestClassifier

from holdfast.cli.audit import Request, folder_of, reproducing
from holdfast.cli.compare_models import folder_of as folder_of_several
from holdfast.cli.harden import Told
from holdfast.cli.main import main
from holdfast.cli.subject import remembered
from holdfast.core.errors import UsageError
from holdfast.data import load
from holdfast.evaluation.defending import estimator
from holdfast.evaluation.store import Folder

SEARCH = ("--suite", "graph_search(steps=2,width=1)", "--threat", "table:features=1", "-n", "8")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A forest on loans, their rows, and a schema under which nobody changes anything but debts."""
    dump = pytest.importorskip("skops.io").dump
    place, draw = tmp_path_factory.mktemp("table"), random.Random(0)
    rows = ["age,income,debt,risk,split"]
    for i in range(90):
        income, debt = draw.randint(9, 90), draw.randint(0, 50)
        risk, part = "good" if income - debt > 20 else "bad", "train" if i % 3 else "test"
        rows.append(f"{draw.randint(18, 80)},{income},{debt},{risk},{part}")
    (place / "t.csv").write_text("\n".join(rows) + "\n")
    train = load(place / "t.csv", label="risk").train
    dump(
        RandomForestClassifier(5, max_depth=4, random_state=0).fit(train.x.numpy(), train.y.numpy()), place / "f.skops"
    )
    fixed = [dataclasses.replace(f, immutable=f.name != "debt") for f in train.schema.features]
    dataclasses.replace(train.schema, features=fixed).write(place / "t.toml")
    return types.SimpleNamespace(
        model=str(place / "f.skops"), data=str(place / "t.csv"), schema=str(place / "t.toml"), place=place
    )


def test_an_audit_keeps_to_the_schema_that_was_reviewed_and_the_run_remembers_it(table, tmp_path, capsys):
    assert main(["audit", table.model, table.data, *SEARCH, "-o", str(tmp_path / "a")]) == 3
    assert "HF147 Nobody says which column" in capsys.readouterr().err
    assert main(["audit", table.model, table.data, *SEARCH, "--label", "risk", "-o", str(tmp_path / "b"), "-qq"]) == 0
    given = ["--schema", table.schema]
    assert main(["audit", table.model, table.data, *SEARCH, *given, "-o", str(tmp_path / "c"), "-qq"]) == 0
    free, fixed = (Folder(tmp_path / name).summary for name in "bc")
    broken = [summary.threats[0].statuses["broken"] for summary in (free, fixed)]
    assert broken[0] > broken[1], "who may change debts alone breaks less"
    for run, option in ((free, ["--label", "risk"]), (fixed, given)):
        words = shlex.split(run.provenance.command)
        assert words[words.index(option[0]) + 1] == option[1]
    for name in "bc":
        assert main(["recheck", str(tmp_path / name), "-qq"]) == 0
    assert main(["recheck", str(tmp_path / "c"), table.model, table.data, *given, "-qq"]) == 0


def test_the_schema_and_the_label_are_in_the_command_and_in_the_name_of_the_folder(table, tmp_path):
    request = Request(model=table.model, data=table.data, schema=table.schema, label="risk")
    folder = types.SimpleNamespace(summary=types.SimpleNamespace(provenance=types.SimpleNamespace(command="")))
    folder.summary.provenance.command = reproducing(request)
    found = remembered(folder, "", "", "", "")
    assert (found.schema, found.label) == (table.schema, "risk")
    assert remembered(folder, "", "", "", "", "other.toml", "owner").schema == "other.toml"
    (tmp_path / "other.toml").write_text("schema = 1\n")
    others = [{"schema": ""}, {"label": ""}, {"schema": str(tmp_path / "other.toml")}]
    requests = [request, *(dataclasses.replace(request, **other) for other in others)]
    for name in (folder_of, folder_of_several):
        assert len({str(name(each)) for each in requests}) == 4


def test_rows_are_in_reports_where_they_are_asked_for_and_nowhere_else(table, tmp_path, capsys):
    """The last call decides: a run can be shown later, and hidden again, and every view follows."""
    run = str(tmp_path / "run")
    words = ["audit", table.model, table.data, *SEARCH, "--label", "risk", "-o", run, "-qq"]

    def told():
        """What stands in the table, in the page of the run, and in one made of it later."""
        later = str(tmp_path / "later.html")
        assert main(["report", run, "-o", later]) == 0
        pages = [(tmp_path / "run" / "report.html").read_text(), (tmp_path / "later.html").read_text()]
        return [row["change"] for row in Folder(run).samples.to_pylist() if row["status"] == "broken"], pages

    for asked in (False, True, False):
        assert main([*words, *["--show-rows"] * asked]) == 0
        changes, pages = told()
        assert changes
        assert all(" -> " in text for text in changes) if asked else set(changes) == {None}
        assert ("--show-rows" in shlex.split(Folder(run).summary.provenance.command)) is asked
        for page in pages:
            assert ("<dt>change</dt>" in page) is asked
            assert ("The same audit with --show-rows says what changed" in page) is not asked
            assert ("It contains values of rows of the data." in page) is asked
            assert ("It contains no samples of the data." in page) is not asked
        capsys.readouterr()
        assert main(["show", run, "--status", "broken"]) == 0
        assert ("change" in capsys.readouterr().out.splitlines()[0]) is asked
        assert main(["recheck", run, "-qq"]) == 0


def test_rows_of_what_is_no_table_cannot_be_asked_for(tmp_path, capsys):
    for verb in ("audit", "harden", "compare-models"):
        words = [verb, "digits-mlp", "digits", "--show-rows", "--threat", "linf:0.1", "-o", str(tmp_path / "run")]
        assert main(words) == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("HF805 ")
        assert "\n" not in error
    assert not (tmp_path / "run").exists()


def test_models_are_compared_and_looked_at_under_a_schema(table, tmp_path, capsys):
    given = ["--schema", table.schema, "--label", "risk"]
    words = ["compare-models", table.model, "missing.skops", table.data, *SEARCH, *given, "--show-rows"]
    assert main([*words, "-o", str(tmp_path / "c")]) == 3, "one model is missing"
    ahead = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith(("  holdfast doctor", "  holdfast h"))
    ]
    assert len(ahead) == 2
    assert all(shlex.join(given) in line for line in ahead)
    assert ahead[1].split()[:2] == ["holdfast", "harden"]
    assert "--show-rows" in ahead[1]
    (audited,) = (tmp_path / "c").glob("*/samples.parquet")
    rows = Folder(audited.parent).samples.to_pylist()
    assert all(row["change"] for row in rows if row["status"] == "broken")
    assert main(["doctor", table.model, table.data, *given]) == 0
    assert "clean accuracy" in capsys.readouterr().out


def test_a_model_is_hardened_under_a_schema(table, tmp_path, capsys, monkeypatch):
    seen = []

    def harden(given, splits, **asked):
        seen.append((splits, asked))
        raise UsageError("HF834", "enough was seen")

    monkeypatch.setattr(estimator, "harden_estimator", harden)
    given = ["--schema", table.schema, "--label", "risk"]
    words = ["harden", table.model, table.data, *SEARCH, *given, "-o", str(tmp_path / "h")]
    for more in ([], ["--show-rows"]):
        assert main([*words, *more]) == 2
        assert "enough was seen" in capsys.readouterr().err
    assert [splits.test.shared for splits, _ in seen] == [False, True]
    assert ["--show-rows" in asked["command"] for _, asked in seen] == [False, True]
    splits, asked = seen[0]
    assert [f.name for f in splits.train.schema.features if not f.immutable] == ["debt"]
    assert shlex.join(given) in asked["command"]
    question = {"--threat": "table:features=1", "--schema": table.schema, "--show-rows": True}
    told = Told("f.skops", table.data, question, None, splits, "h", False, 0)
    told.go_on("h/model.skops", tmp_path / "h", "quick")
    assert f"--schema {shlex.quote(table.schema)} --show-rows --suite standard\n" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["audit", "harden", "compare-models"])
def test_what_is_no_file_of_a_table_takes_neither(verb, table, capsys):
    for data, option in (("digits", ["--schema", table.schema]), (str(table.place), ["--label", "risk"])):
        assert main([verb, table.model, data, *option, "--threat", "linf:0.1"]) == 3
        error = capsys.readouterr().err.strip()
        assert error.startswith("HF112 ")
        assert "\n" not in error
    assert main([verb, table.model, table.data, "--schema", "none.toml", "--threat", "table:features=1"]) == 3
    assert "HF144 A schema that cannot be read: none.toml" in capsys.readouterr().err


def test_the_help_names_the_forms_of_models_and_data(capsys):
    main(["audit", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for form in (".skops", ".json", ".ubj", ".txt", ".cbm", ".keras", "endpoint", ".csv", ".parquet", "--schema FILE"):
        assert form in told
