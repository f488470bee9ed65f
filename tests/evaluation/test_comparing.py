"""Models side by side: rows from runs, what is left out, what continues, what is told."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import minmax_scale
from sklearn.tree import DecisionTreeClassifier

import holdfast as hf
from holdfast.core.errors import DataError, HoldfastError, IntegrityError, Stop, UsageError
from holdfast.core.progress import BatchDone, Note, RunStarted, StageDone
from holdfast.evaluation.comparing.places import Places, Subject, content, subjects
from holdfast.evaluation.comparing.records import ModelComparison
from holdfast.evaluation.comparing.rows import sentence
from holdfast.evaluation.comparing.work import compare_models
from holdfast.evaluation.document import adapter, dump
from holdfast.evaluation.evading import of_source
from holdfast.evaluation.paired import holm
from holdfast.evaluation.replay import recheck, replay
from holdfast.report.models import page, render, screen
from models.served import served

ASKED = {"threat": "linf:0.03", "suite": "square(steps=15)", "limit": 24}


@pytest.fixture(scope="module")
def cancer():
    """Two parts of scikit-learn's breast cancer, scaled to [0, 1]."""
    x, y = load_breast_cancer(return_X_y=True)
    x = minmax_scale(x).astype(np.float32)
    names = ("malignant", "benign")
    return [hf.Dataset(x[part], y[part], classes=names, name="cancer") for part in (slice(0, 400), slice(400, None))]


def fitted(cancer, **more):
    return LogisticRegression(max_iter=200, **more).fit(cancer[0].x.numpy(), cancer[0].y.numpy())


@pytest.fixture(scope="module")
def models(cancer):
    """A linear model, a weaker one, a tree, and the first one as a black box that says labels alone."""
    strong, weak = fitted(cancer, C=0.05), fitted(cancer, C=1e4)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(cancer[0].x.numpy(), cancer[0].y.numpy())
    box = hf.wrap(lambda x: strong.predict(x) ^ (x[:, 0] > 2), output="labels", classes=2, name="box")
    return [hf.wrap(strong, name="strong"), hf.wrap(weak, name="weak"), hf.wrap(tree, name="tree"), box]


@pytest.fixture(scope="module")
def found(cancer, models, tmp_path_factory):
    """The first three, compared."""
    return hf.compare_models(models[:3], cancer[1], tmp_path_factory.mktemp("models") / "all", **ASKED)


def test_every_row_says_what_its_run_says(found):
    assert found.complete
    assert (found.samples, found.total) == (24, 169)
    assert [-row.robust.point for row in found.rows] == sorted(-row.robust.point for row in found.rows)
    for row in found.rows:
        summary = hf.open_run(pathlib.Path(found.folder) / row.run).summary
        assert (row.clean, row.robust) == (summary.rates.clean_accuracy, summary.rates.empirical_robust_accuracy)
        assert row.per_class == summary.threats[0].per_class
        assert sum(c.robust.k for c in row.per_class) == row.robust.k
        assert row.weakest.robust.point == min(c.robust.point for c in row.per_class)
        assert (row.queries, row.masking) == (summary.cost.queries, summary.masking.state)
        assert (row.access, row.trees) == ("scores", row.name == "tree")
        assert (pathlib.Path(found.folder) / row.run / "report.html").is_file()


def test_differences_are_those_of_two_runs_compared(found):
    best, *others = found.rows
    values = {}
    for i, one in enumerate(found.rows):
        for other in found.rows[i + 1 :]:
            runs = [pathlib.Path(found.folder) / row.run for row in (one, other)]
            contrasts = hf.compare(*runs).pairs[0].contrasts
            values[one.name, other.name] = contrasts[0].counts.p
            if one is best:
                assert other.against.robust == contrasts[0].counts
                assert other.against.clean == contrasts[1].counts
    corrected = dict(zip(values, holm(list(values.values())), strict=True))
    assert best.against is None
    assert all(row.against.p == corrected[best.name, row.name] for row in others)
    assert found.tests == 3
    assert any(row.against.p < 0.05 for row in others), "the fixture has models that differ"
    for row in others:
        told = sentence(found.rows, found.threats).partition("; no significant")[2]
        assert (row.name in told.partition(";")[0]) == (row.against.p > 0.05)


def test_the_document_reads_back_and_keeps_to_its_schema(found):
    text = (pathlib.Path(found.folder) / "comparison.json").read_text()
    assert adapter(ModelComparison).validate_json(text) == found
    assert dump(found)["schema"] == "urn:holdfast:models:1"
    assert str(found).startswith(found.rows[0].name)


def test_a_model_that_cannot_be_used_is_told_and_the_others_go_on(cancer, models, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    wide = hf.wrap(lambda x: np.eye(2)[(x[:, 35] > 0).astype(int)], name="wide")
    told = []
    given = ["nowhere.skops", models[0], tmp_path / "bad.onnx", wide]
    found = hf.compare_models(given, cancer[1], tmp_path / "all", **ASKED, on_event=told.append)
    assert not found.complete
    assert [row.name for row in found.rows] == ["strong"]
    assert [each.name for each in found.left_out] == ["nowhere.skops", "bad.onnx", "wide"]
    assert found.left_out[0].code == "HF212"
    assert all(each.line and not each.line.startswith("HF") for each in found.left_out)
    notes = [event for event in told if isinstance(event, Note) and "left out" in event.text]
    assert [note.code for note in notes] == [each.code for each in found.left_out]
    assert not any(isinstance(event, StageDone) for event in told[: told.index(notes[1])]), "told before any attack"
    assert found.left == ()
    assert "bad.onnx" in str(found)
    (tmp_path / "none").mkdir()
    alone = hf.compare_models(["nowhere.skops"], cancer[1], tmp_path / "none", **ASKED)
    assert (alone.rows, alone.complete) == ((), False)
    assert "No model is finished" in render(alone, ".html")
    assert screen(alone) == page(alone)


def test_the_same_call_continues_and_asks_finished_models_nothing(cancer, models, tmp_path):
    opened = []

    def subject(place):
        def opening():
            opened.append(place)
            return models[place]

        return Subject(models[place].name, f"file {place}", opening)

    def stopping(event):
        if isinstance(event, StageDone) and event.stage == "strong":
            raise Stop

    given = [subject(place) for place in range(3)]
    part = compare_models(given, cancer[1], out=tmp_path / "all", **ASKED, on_event=stopping)
    assert ([row.name for row in part.rows], part.left) == (["strong"], ("weak", "tree"))
    assert not part.complete
    assert render(part, ".md").count("Partial: weak, tree not finished") == 1
    opened.clear()
    told = []
    whole = compare_models(given, cancer[1], out=tmp_path / "all", **ASKED, on_event=told.append)
    assert whole.complete
    assert set(opened) == {1, 2}
    assert next(e for e in told if isinstance(e, StageDone) and e.stage == "strong").reused == 24
    opened.clear()
    assert compare_models(given, cancer[1], out=tmp_path / "all", **ASKED) == whole
    assert opened == []
    more = compare_models(given, cancer[1], out=tmp_path / "all", **{**ASKED, "limit": 26})
    assert set(opened) == {0, 1, 2}
    assert {row.robust.n for row in more.rows} == {26}
    assert sorted(row.run for row in more.rows) == ["strong", "tree", "weak"], "in the same folders"


def test_what_somebody_else_asked_in_a_run_folder_is_not_taken_for_the_answer(cancer, models, tmp_path):
    whole = hf.compare_models(models[:2], cancer[1], tmp_path / "all", **ASKED)
    run = tmp_path / "all" / whole.rows[0].run
    model = next(model for model in models if model.name == whole.rows[0].name)
    hf.audit(model, cancer[1], out=run, **{**ASKED, "threat": "linf:0.3", "limit": 5})
    again = hf.compare_models(models[:2], cancer[1], tmp_path / "all", **ASKED)
    assert set(again.rows[0].threats) == {"linf:3/100"}
    assert [row.robust for row in again.rows] == [row.robust for row in whole.rows]


def test_one_folder_serves_other_questions_with_a_word_and_no_other_data(cancer, models, tmp_path):
    told, out = [], tmp_path / "all"
    asked = {**ASKED, "suite": "square(steps=2)", "on_event": told.append}
    hf.compare_models(models[:2], cancer[1], out, **asked)
    hf.compare_models(models[:3], cancer[1], out, **{**asked, "limit": 26})
    assert not any(isinstance(event, Note) and "replaced" in event.text for event in told), "it says more than before"
    hf.compare_models(models[1:2], cancer[1], out, **{**asked, "threat": "linf:0.1"})
    (note,) = (event.text for event in told if isinstance(event, Note) and "replaced" in event.text)
    assert "(under linf:3/100; with " in note
    assert "strong" in note
    before = (out / "comparison.json").read_bytes()
    with pytest.raises(IntegrityError, match="HF417 .*holds a comparison on other data"):
        hf.compare_models(models[:2], cancer[0], out, **asked)
    assert (out / "comparison.json").read_bytes() == before
    (out / "comparison.json").write_text("{}")
    assert len(hf.compare_models(models[1:2], cancer[1], out, **asked).rows) == 1


def test_interrupted_inside_the_first_model_it_goes_on_there(cancer, models, tmp_path):
    def stopping(event):
        if isinstance(event, BatchDone) and event.stage == "strong" and event.done:
            raise Stop

    asked = {**ASKED, "threat": ["linf:0.02", "linf:0.03"]}
    part = hf.compare_models(models[:2], cancer[1], tmp_path / "all", **asked, on_event=stopping)
    assert (part.rows, part.left) == ((), ("strong", "weak"))
    assert "strong, weak not finished" in render(part, ".txt")
    begun = len(list((tmp_path / "all" / "strong").rglob("*")))
    whole = hf.compare_models(models[:2], cancer[1], tmp_path / "all", **asked)
    apart = hf.compare_models(models[:2], cancer[1], tmp_path / "apart", **asked)
    assert begun > 1
    assert [(row.name, row.robust, row.queries) for row in whole.rows] == [
        (row.name, row.robust, row.queries) for row in apart.rows
    ]


def test_classes_in_another_order_are_hinted_at(cancer, models, tmp_path):
    strong = fitted(cancer, C=0.05)
    flipped = hf.wrap(lambda x: strong.predict_proba(x)[:, ::-1], output="probabilities", name="flipped")
    always = hf.wrap(lambda x: np.tile([0.1, 0.9], (len(x), 1)), output="probabilities", name="always benign")
    never = hf.wrap(lambda x: np.tile([0.9, 0.1], (len(x), 1)), output="probabilities", name="never benign")
    given = [models[0], flipped, always, never]
    found = hf.compare_models(given, cancer[1], tmp_path / "all", **ASKED)
    hints = [note for note in found.notes if "malignant, benign" in note]
    assert sorted(note.partition(" is right on ")[0] for note in hints) == ["flipped", "never benign"]
    assert not any("numbers of flipped" in note for note in found.notes)
    one_way = hf.compare_models(given[1:], cancer[1], tmp_path / "one", **ASKED, evade="malignant:benign")
    assert sum("always benign is right on 0.0 %" in note for note in one_way.notes) == 1
    untried = next(row for row in one_way.rows if row.name == "always benign")
    assert untried.attacks == ()
    table = page(one_way).tables[0]
    assert next(row for row in table.rows if row[1] == "always benign")[table.heads.index("by")] == "–"


def test_progress_has_one_stage_a_model_and_an_estimate(cancer, models, tmp_path):
    told = []
    hf.compare_models(models[:2], cancer[1], tmp_path / "all", **ASKED, on_event=told.append)
    first = next(event for event in told if isinstance(event, RunStarted))
    assert (first.what, first.stages, first.samples) == ("compare-models", ("strong", "weak"), 24)
    assert first.seconds > 0
    for name in first.stages:
        shares = [e.done / e.total for e in told if isinstance(e, BatchDone) and e.stage == name]
        assert shares
        assert shares == sorted(shares), "the bar never goes back"
        assert all(0 <= share <= 1 for share in shares)
    assert [e.stage for e in told if isinstance(e, StageDone)] == ["strong", "weak"]


def test_one_model_under_two_names_is_compared_once(cancer, models, tmp_path):
    twin = dataclasses.replace(models[0], name="twin")
    found = hf.compare_models([models[0], twin, models[1]], cancer[1], tmp_path / "all", **ASKED)
    assert [(each.name, each.code) for each in found.left_out] == [("twin", "HF836")]
    assert len(found.rows) == 2


def test_a_model_of_labels_alone_is_told_apart(cancer, models, tmp_path):
    asked = {**ASKED, "suite": "hop_skip_jump(steps=1)", "limit": 8}
    found = hf.compare_models([models[3]], cancer[1], tmp_path / "all", **asked)
    assert [row.access for row in found.rows] == ["labels"]
    mixed = hf.compare_models([models[0], models[2]], cancer[1], tmp_path / "two", **{**asked, "suite": "quick"})
    assert {row.access for row in mixed.rows} == {"gradients", "trees"}
    assert sum("knowledge=scores" in note for note in mixed.notes) == 1
    assert sum("hf.exact_distance" in note for note in mixed.notes) == 1


def test_models_that_say_labels_alone_have_the_classes_of_the_data(cancer, tmp_path):
    """An endpoint and a function, neither of which says how many classes there are."""
    strong = fitted(cancer, C=0.05)
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 30]}]
    outputs = [{"name": "label", "datatype": "INT64", "shape": [-1]}]
    bare = hf.wrap(lambda x: strong.predict(x) ^ (x[:, 0] > 2), output="labels", name="bare")
    asked = {"threat": "linf:0.3", "suite": "hop_skip_jump(steps=1)", "limit": 8}
    with served(lambda x: {"label": strong.predict(x).astype(np.int64)}, inputs, outputs) as server:
        found = hf.compare_models([bare, server.address], cancer[1], tmp_path / "all", **asked)
    assert found.complete
    assert {(row.name, row.access) for row in found.rows} == {("bare", "labels"), ("digits", "labels")}
    best, other = found.rows
    assert other.against.clean.difference == 0
    run = hf.open_run(tmp_path / "all" / "bare")
    broken = [row["sample"] for row in run.samples.to_pylist() if row["status"] == "broken"]
    checked = recheck(run.path, bare)
    assert checked.holds
    assert checked.claims >= len(broken) > 0
    assert replay(run.path, broken[0], bare, cancer[1]).identical
    one_class = hf.Dataset(cancer[1].x, cancer[1].y * 0, classes=("malignant",))
    none = hf.compare_models([bare], one_class, tmp_path / "one", **asked)
    assert [each.code for each in none.left_out] == ["HF210"], "labels outside the classes of the data"


def test_one_direction_is_recall(cancer, models, tmp_path):
    found = hf.compare_models(models[:2], cancer[1], tmp_path / "all", **ASKED, evade="malignant:benign")
    assert all([c.name for c in row.per_class] == ["malignant"] for row in found.rows)
    assert "malignant to be taken for benign" in page(found).lead[-1]
    assert len(page(found).tables) == 1, "one class has no table of classes"


def test_recall_is_of_every_source_also_under_several_threats(tmp_path):
    x, y = load_wine(return_X_y=True)
    x, names = minmax_scale(x).astype(np.float32), ("barolo", "grignolino", "barbera")
    data = hf.Dataset(x[::2], y[::2], classes=names)
    model = hf.wrap(LogisticRegression(max_iter=300).fit(x[1::2], y[1::2]))
    asked = {"threat": ["linf:0.1", "linf:0.2"], "suite": "square(steps=8)", "evade": "barolo,grignolino:barbera"}
    for limit in (20, 14):  # the second call finds more samples in the folder than it asks for
        (row,) = hf.compare_models([model], data, tmp_path / "all", **asked, limit=limit).rows
        assert [c.name for c in row.per_class] == ["barolo", "grignolino"]
        assert (sum(c.robust.k for c in row.per_class), sum(c.robust.n for c in row.per_class)) == (row.robust.k, limit)
        sources = of_source(data, asked["evade"]).sample(limit, 0).kinds
        assert [c.robust.n for c in row.per_class] == sources.bincount().tolist()


def test_what_is_wrong_for_all_models_is_refused_at_once(cancer, models, tmp_path):
    for error, code, more in (
        (UsageError, "HF821", {"models": []}),
        (HoldfastError, "HF3", {"threat": "linf:x"}),
        (UsageError, "HF811", {"suite": "nothing"}),
        (DataError, "HF120", {"limit": 0}),
        (UsageError, "HF804", {"models": ["a.onnx"], "data": (cancer[1].x, cancer[1].y)}),
    ):
        asked = {"models": models[:1], "data": cancer[1], "out": tmp_path / "all", **ASKED, **more}
        with pytest.raises(error, match=code):
            hf.compare_models(**asked)
    assert not (tmp_path / "all").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(IntegrityError, match="HF417"):
        hf.compare_models(models[:1], cancer[1], tmp_path / "other", **ASKED)


def test_files_are_known_by_what_is_in_them(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"one")
    first = content(path)
    path.with_suffix(".card.json").write_text("{}")
    carded = content(path)
    path.write_bytes(b"two")
    assert len({first, carded, content(path), content(tmp_path), ""}) == 5
    assert content(tmp_path / "nothing") == ""
    data = hf.Dataset(np.zeros((1, 2), np.float32), [0], classes=("a", "b"))
    names = [each.name for each in subjects([path, "https://host/v2/models/net", tmp_path / "b" / "model.onnx"], data)]
    assert names == ["model.onnx", "net", "model.onnx #2"]


def test_an_onnx_file_with_numbers_elsewhere_is_known_by_opening_it_alone(tmp_path):
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.float32([1, 2]), "w")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [weights])
    model, whole, apart = onnx.helper.make_model(graph), tmp_path / "whole.onnx", tmp_path / "apart.onnx"
    onnx.save(model, whole)
    onnx.save(model, apart, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert content(whole)
    assert content(apart) == "", "its numbers may change while the file stays"


def test_folders_get_names_of_their_own_and_a_broken_list_is_refused(tmp_path):
    places, given = Places(tmp_path), Subject("a b/c.onnx", "1", lambda: None)
    first = places.claimed(given, "f", "scores")
    assert first.folder == "a-b-c-onnx"
    assert places.claimed(given, "g", "scores").folder == "a-b-c-onnx-2", "a retrained model goes beside the old one"
    assert Places(tmp_path).claimed(given, "f", "scores") == first
    listed = (tmp_path / "models.json").read_text()
    for broken in ("{", listed.replace('"a-b-c-onnx"', '"../elsewhere"')):
        (tmp_path / "models.json").write_text(broken)
        with pytest.raises(IntegrityError, match="HF418"):
            Places(tmp_path)


def test_pages_quote_hostile_names_and_lead_to_the_reports(found):
    bad = '<script>alert(1)</script>"]\x1b[31m'
    rows = tuple(dataclasses.replace(row, name=bad + row.name) for row in found.rows)
    hostile = dataclasses.replace(found, rows=rows, data=bad)
    html = render(hostile, ".html")
    assert "<script" not in html
    assert "\x1b" not in render(hostile, ".txt")
    for row in found.rows:
        assert f'<a href="{row.run}/report.html">' in html
    assert json.loads(render(found, ".json"))["rows"][0]["name"] == found.rows[0].name
    assert "→" in render(found, ".txt")
    assert max(map(len, render(found, ".txt").splitlines())) <= 100


def test_errors_of_holdfast_itself_are_not_swallowed(cancer, tmp_path):
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compare_models([Subject("a", "", broken)], cancer[1], out=tmp_path / "all", **ASKED)
