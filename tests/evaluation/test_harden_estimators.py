"""Hardening estimators: what comes out, how it is chosen, that it goes on, and what is refused."""

import dataclasses
import json
import pathlib
import signal

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import holdfast as hf
from cases.tables import SCHEMA, possible_rows
from cases.training import hints
from holdfast.core.errors import IntegrityError, ModelError, ThreatError, UsageError
from holdfast.core.progress import BatchDone, Note, RunDone, StageDone
from holdfast.evaluation.defending import estimator as hardening
from holdfast.evaluation.defending import trying
from holdfast.evaluation.defending.estimator import HardenedEstimator
from holdfast.evaluation.defending.tabular import Asked, Subject, fewer, fitting, own
from holdfast.evaluation.defending.trying import Trying
from holdfast.report.hardening import page, render
from holdfast.report.sheet import text

pytestmark = pytest.mark.usefixtures("tried_here")

QUICK = {"suite": "graph_search(steps=1, width=1, samples=60)", "limit": 16}
ONE = "adversarial_rounds(rounds=1, samples=20)"
UNDER = hf.Table(features=1)


@pytest.fixture(scope="module")
def table():
    """Possible rows with a relation between columns, in parts."""
    x = possible_rows()[::9]
    y = (x[:, 0] + 2 * x[:, 3] > 3).long()
    whole = hf.Dataset(x, y, schema=SCHEMA, classes=("bad", "good"), name="loans")
    train, test = whole.divide(0.6, 0)
    return hf.data.Splits(train, dataclasses.replace(test, shared=True, split="test"))


def pipeline():
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.tree import DecisionTreeClassifier

    coded = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["grade", "job"]), remainder="passthrough")
    return make_pipeline(coded, DecisionTreeClassifier(max_depth=3))


def fitted(table):
    """A pipeline of raw rows that says words."""
    rows = hf.Tabular(SCHEMA).frame(table.train.x)
    return pipeline().fit(rows, np.array(["bad", "good"])[table.train.y.numpy()])


def test_a_pipeline_of_raw_rows_comes_back_saying_its_words_with_a_file(table, tmp_path):
    pytest.importorskip("skops")
    given, heard = fitted(table), []
    before = given.predict(hf.Tabular(SCHEMA).frame(table.test.x))
    asked = {"threat": UNDER, "recipe": ONE, "evade": "bad:good", "out": tmp_path / "h", **QUICK}
    made, found = hf.harden(given, table, on_event=heard.append, **asked)
    assert isinstance(found, HardenedEstimator)
    assert type(made) is type(given)
    assert (given.predict(hf.Tabular(SCHEMA).frame(table.test.x)) == before).all(), "the given one stays as it is"
    said = made.predict(hf.Tabular(SCHEMA).frame(table.test.x))
    assert set(said) == {"bad", "good"}
    assert (found.model.predict(table.test.x).numpy() == (said == "good")).all()
    opened = hf.load_model(found.file, bounds=hf.Tabular(SCHEMA))
    assert torch.equal(opened.predict(table.test.x), found.model.predict(table.test.x))
    assert [e.stage for e in heard if isinstance(e, StageDone)][0] == "round 1"
    run = hf.open_run(found.after)
    assert run.findings == found.findings != ()
    assert run.summary.data.split.endswith("bad to be taken for good")
    told = found.report
    assert told.comparison.samples == 16
    rows = found.to_frame("arrow").filter(pc.field("status") == "broken").column("audit").to_pylist()
    assert (rows.count("before"), rows.count("after")) == told.broken
    assert told.accuracy is not None
    assert sum(c.before for c in told.columns) >= told.broken[0] > 0
    assert {c.name for c in told.columns} <= {f.group or f.name for f in SCHEMA.features} - {"owner"}
    assert told.examples[0].before
    assert "Recall under attack" in text(page(told))
    assert "What broke single rows" in render(told, ".html")
    assert json.loads(render(told, ".json"))["schema"] == "urn:holdfast:hardening:1"


@pytest.mark.parametrize(("evade", "judged"), [("fair:good", 1), ("good:bad,fair", 2)])
def test_one_of_three_classes_is_judged_by_what_it_shall_be_taken_for(table, evade, judged):
    """The audits ask whether a row is taken for what is aimed at; the classes of the estimator stay three."""
    train, test = (
        dataclasses.replace(
            part,
            y=(part.x[:, 0] > 1).long() + (part.x[:, 0] > 0).long(),
            classes=("bad", "fair", "good"),
        )
        for part in (table.train, table.test)
    )
    given = pipeline().fit(hf.Tabular(SCHEMA).frame(train.x), np.array(train.classes)[train.y.numpy()])
    said, truth = given.predict(hf.Tabular(SCHEMA).frame(test.x)), np.array(test.classes)[test.y.numpy()]
    rows = truth == test.classes[judged]
    aimed = evade.partition(":")[2].split(",")
    asked = {"threat": UNDER, "recipe": ONE, **QUICK, "limit": None}
    made, found = hf.harden(given, hf.data.Splits(train, test), evade=evade, **asked)
    assert made.classes_.tolist() == list(test.classes)
    clean = next(c.counts for c in found.comparison.pairs[0].contrasts if c.metric == "clean_accuracy")
    assert clean.n == rows.sum() > 10
    assert clean.both + clean.lost == (~np.isin(said, aimed) & rows).sum() > 0
    assert found.report.accuracy is not None
    assert found.report.accuracy[0].point == (said == truth).mean()


@pytest.fixture
def unopened(monkeypatch):
    """No child process that tries the file."""
    monkeypatch.setattr(hardening, "read_back", lambda path, made, x: (made, ""))


@pytest.mark.usefixtures("unopened")
def test_the_same_call_continues_and_another_is_refused(table, tmp_path, monkeypatch):
    pytest.importorskip("skops")
    given = fitted(table)
    asked = {"threat": UNDER, "recipe": ONE, "out": tmp_path / "h", **QUICK}
    _, first = hf.harden(given, table, **asked)

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(hardening, "audit", never)
    monkeypatch.setattr("holdfast.defenses.training.adversarial_rounds.broken", never)
    _, again = hf.harden(given, table, **asked)
    assert again.comparison == first.comparison
    with pytest.raises(IntegrityError, match="^HF416 "):
        hf.harden(given, table, **{**asked, "seed": 1})


@pytest.mark.usefixtures("unopened")
def test_a_hardening_that_was_stopped_goes_on_with_its_rounds(table, tmp_path):
    heard = []

    def stop(event):
        heard.append(event)
        if isinstance(event, StageDone):
            raise hf.Stop

    asked = {"threat": UNDER, "recipe": "adversarial_rounds(rounds=2, samples=20)", "out": tmp_path / "h", **QUICK}
    with pytest.raises(hf.Stop):
        hf.harden(pipeline(), table, on_event=stop, **asked)
    hf.harden(pipeline(), table, on_event=heard.append, **asked)
    rounds = [(e.stage, e.reused) for e in heard if isinstance(e, StageDone) and e.stage.startswith("round")]
    assert rounds == [("round 1", 0), ("round 1", 20), ("round 2", 0)]


def phase_of(event):
    """What an event belongs to, where it is the last of its phase; empty for all others."""
    if isinstance(event, StageDone) and event.stage.startswith("round"):
        return "learning"
    if isinstance(event, BatchDone) and event.done == event.total:
        return "validation" if event.stage == "validation" else ""
    return pathlib.Path(event.folder).name if isinstance(event, RunDone) else ""


@pytest.mark.usefixtures("unopened")
@pytest.mark.parametrize(
    ("phase", "left"),
    [("validation", set()), ("learning", set()), ("before", {"before"}), ("after", {"before", "after"})],
)
def test_ctrl_c_at_the_end_of_a_phase_begins_no_other_and_the_same_call_goes_on(phase, left, table, tmp_path):
    heard = []

    def press(event):
        heard.append(phase_of(event))
        if heard[-1] == phase and heard.count(phase) == 1:
            signal.raise_signal(signal.SIGINT)

    recipe = "auto" if phase == "validation" else ONE
    asked = {"threat": UNDER, "recipe": recipe, "budget": "1s", "out": tmp_path / "h", **QUICK}
    if phase == "after":
        hf.harden(pipeline(), table, on_event=press, **asked)
    else:
        with pytest.raises(KeyboardInterrupt, match="the same command continues"):
            hf.harden(pipeline(), table, on_event=press, **asked)
    assert {name for name in ("before", "after") if (tmp_path / "h" / name).exists()} == left
    hf.harden(pipeline(), table, on_event=press, **asked)
    assert heard.count("before") == 1
    assert (tmp_path / "h" / "hardening.json").is_file()


@pytest.mark.usefixtures("unopened")
def test_ctrl_c_while_nothing_tells_of_progress_is_no_crash(table, tmp_path, monkeypatch):
    """The estimator learns in one piece; what is told first after it is no part of learning."""
    learned = hardening._Work.before

    def pressed(self):
        signal.raise_signal(signal.SIGINT)
        return learned(self)

    monkeypatch.setattr(hardening._Work, "before", pressed)
    with pytest.raises(KeyboardInterrupt, match="the same command continues"):
        hf.harden(pipeline(), table, threat=UNDER, recipe=ONE, out=tmp_path / "h", **QUICK)


def test_the_budget_ends_rounds_after_the_one_in_which_it_ran_out(table, tmp_path, monkeypatch):
    seconds = iter(range(0, 10**6, 70))
    clock = type("Clock", (), {"perf_counter": staticmethod(lambda: float(next(seconds)))})
    monkeypatch.setattr(hardening, "time", clock)
    heard = []
    asked = {"recipe": "adversarial_rounds(rounds=4, samples=20)", "budget": "60s", "out": tmp_path / "h"}
    made, found = hf.harden(pipeline(), table, threat=UNDER, on_event=heard.append, **asked, **QUICK)
    assert [e.text for e in heard if isinstance(e, Note) and "budget" in e.text] == [
        "the budget ran out: stopped after round 1"
    ]
    two, _ = hf.harden(pipeline(), table, threat=UNDER, recipe=ONE, **QUICK)
    rows = hf.Tabular(SCHEMA).frame(table.test.x)
    assert (made.predict_proba(rows) == two.predict_proba(rows)).all()
    assert found.choice.recipe == "adversarial_rounds(rounds=1, samples=20)", "what was made, not what was asked for"
    assert found.report.choice.text.endswith("The budget of 60 s ran out after round 1.")
    _, again = hf.harden(pipeline(), table, threat=UNDER, **asked, **QUICK)
    assert again.comparison == found.comparison, "no more rounds in the second call"


def test_a_damaged_choice_is_one_line(table, tmp_path):
    asked = {"threat": UNDER, "recipe": ONE, "out": tmp_path / "h", **QUICK}
    work = {"choice.json": "HF418", "asked.txt": "HF416"}

    def stop(event):
        if isinstance(event, StageDone):
            raise hf.Stop

    for name, code in work.items():
        with pytest.raises(hf.Stop):
            hf.harden(pipeline(), table, on_event=stop, **asked)
        whole = (tmp_path / "h" / name).read_bytes()
        (tmp_path / "h" / name).write_bytes(b"{\xff")
        with pytest.raises(IntegrityError, match=f"^{code} "):
            hf.harden(pipeline(), table, **asked)
        (tmp_path / "h" / name).write_bytes(whole)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("adversarial_rounds", "adversarial_rounds(rounds=2)"),
        ("adversarial_rounds(samples=9)", "adversarial_rounds(rounds=2, samples=9)"),
        ("adversarial_rounds(samples=9, rounds = 14)", "adversarial_rounds(samples=9, rounds=2)"),
    ],
)
def test_fewer_rounds_have_a_text_of_their_own(text, wanted):
    assert fewer(text, 2) == wanted


def trier(data, tmp_path, seconds=600.0, clock=lambda: 0.0, **more):
    subject = Subject.of(RandomForestClassifier(5, max_depth=3))
    learned, validation = data.divide(0.7, 0)
    return Trying(
        subject=subject, learned=learned, validation=validation, asked=Asked(hf.Linf(0.05)), folder=tmp_path,
        seconds=seconds, again=True, clock=clock, **more,
    )  # fmt: skip


def scored(scores):
    """A measurement that says what a list says."""
    left = iter(scores)

    def measured(text, model, part, asked, *_):
        k = next(left)
        share = trying.rate(k, 100, "rows")
        return trying.Tried(recipe=text, right=trying.rate(90, 100, "rows"), held=share, rest=None, seconds=1.0)

    return measured


@pytest.mark.parametrize(
    ("scores", "wanted", "count"),
    [
        ((10, 50, 20, 30, 25, 24), "robust_splitting(trees=5, depth=3)", 6),
        ((10, 20, 30, 60, 50, 40), "adversarial_rounds(rounds=2, samples=500)", 6),
        ((10, 20, 30, 25, 24), "adversarial_rounds(rounds=1, samples=500)", 5),
        ((70, 20, 30, 25, 24), "adversarial_rounds(rounds=1, samples=500)", 5),
    ],
)
def test_auto_takes_what_holds_best_and_stops_where_rounds_bring_nothing(scores, wanted, count, tmp_path, monkeypatch):
    monkeypatch.setattr(trying, "measured", scored(scores))
    found = trier(hints(60), tmp_path).choice()
    assert found.recipe == wanted
    assert len(found.tried) == count
    assert ("None of them is better" in found.text) is (scores[0] == 70)


def test_auto_keeps_to_the_budget_and_goes_on_with_what_was_tried(tmp_path, monkeypatch):
    data, heard = hints(60), []
    monkeypatch.setattr(trying, "measured", scored([10, 20, 30, 40, 41]))
    first = trier(data, tmp_path, seconds=2.5, on_event=heard.append).choice()
    assert len(first.tried) == 3, "a second each, and 85 % of 2.5 s"
    assert any("not tried, the budget" in e.text for e in heard if isinstance(e, Note))
    monkeypatch.setattr(trying, "measured", scored([77]))
    again = trier(data, tmp_path, seconds=3.6).choice()
    assert [t.held.k for t in again.tried] == [10, 20, 30, 77], "what was measured is not measured again"
    (tmp_path / "tried.json").write_text("{")
    with pytest.raises(IntegrityError, match="^HF418 "):
        trier(data, tmp_path).choice()


def test_one_class_is_judged_with_the_others():
    rate = trying.rate
    quiet = trying.Tried(recipe="a", right=rate(9, 10, ""), held=rate(6, 10, ""), rest=rate(9, 10, ""), seconds=0.0)
    loud = dataclasses.replace(quiet, held=rate(10, 10, ""), rest=rate(1, 10, ""))
    assert quiet.score == 0.75
    assert loud.score < quiet.score, "a model that says the one class always is no better"


def test_which_recipes_suit():
    data = hints(40)
    forest = Subject.of(RandomForestClassifier(7))
    boosted = Subject.of(HistGradientBoostingClassifier(max_iter=9))
    linear = Subject.of(LogisticRegression())
    every = ("adversarial_rounds", "robust_splitting", "robust_stumps", "robust_boosting")
    assert fitting(forest, data, hf.Linf(0.1)) == every
    assert fitting(forest, data, hf.L2(0.1)) == ("adversarial_rounds",)
    assert fitting(linear, data, hf.Linf(0.1)) == ("adversarial_rounds",)
    assert own("robust_splitting", forest) == "robust_splitting(trees=7, depth=8)"
    assert own("robust_boosting", boosted) == "robust_boosting(trees=9, depth=4)"
    assert own("robust_stumps", boosted) == "robust_stumps(stumps=9)"
    assert (trying.kin(forest), trying.kin(boosted)) == ("robust_splitting", "robust_stumps")


def test_an_unfitted_forest_under_linf_is_proven_by_the_exact_search(tmp_path):
    data = hints(150)
    splits = hf.data.Splits(data.take(slice(0, 100)), data.take(slice(100, 150)))
    made, found = hf.harden(
        RandomForestClassifier(5, max_depth=4), splits, threat="linf:0.1", recipe="robust-splitting",
        suite="square(steps=20)", limit=30,
    )  # fmt: skip
    assert type(made).__name__ == "RobustForestClassifier"
    before, after = found.report.exact
    assert (before.n, after.n) == (30, 30)
    assert after.k > before.k
    counts = found.comparison.pairs[0].contrasts[0].counts
    assert after.k <= counts.both + counts.won, "attacks leave no less than what is proven"
    assert found.file is None, "the folder was a temporary one"
    assert "nothing in the ball changes it" in render(found.report, ".md")


def test_what_cannot_be_written_is_handed_out_all_the_same(table, tmp_path):
    pytest.importorskip("skops")
    from sklearn.preprocessing import FunctionTransformer

    given = pipeline()
    given.steps.insert(1, ("same", FunctionTransformer(lambda x: x)))
    heard = []
    made, found = hf.harden(
        given, table, threat=UNDER, recipe=ONE, out=tmp_path / "h", on_event=heard.append, **QUICK
    )  # fmt: skip
    assert found.file is None
    assert not (tmp_path / "h" / "model.skops").exists()
    assert len(made.predict(hf.Tabular(SCHEMA).frame(table.test.x))) == len(table.test)
    lines = [e.text for e in heard if isinstance(e, Note) and e.text.startswith("No model file: HF224 ")]
    assert len(lines) == 1
    assert lines[0] in found.report.notes


@pytest.mark.parametrize(
    ("asked", "error", "line"),
    [
        ({"recipe": "trades"}, UsageError, "^HF834 'trades' .*DecisionTreeClassifier.*one of adversarial_rounds, or"),
        ({"recipe": "bit_depth"}, UsageError, "^HF834 .*parts in front of a model"),
        ({"recipe": "robust_splitting"}, UsageError, "^HF834 .*no ensemble of trees alone"),
        ({"recipe": "robust_stump"}, UsageError, "^HF834 .*no defense of that name.*one of adversarial_rounds, or"),
        ({"recipe": "adversarial_rounds(of=trades)"}, UsageError, "^HF834 .*a learner of its own"),
        ({"recipe": "adversarial_rounds(threat='l2:1')"}, UsageError, "^HF834 .*a threat or"),
        ({"threat": "linf:0.1"}, ThreatError, "^HF307 "),
        ({"threat": hf.Table()}, ModelError, "^HF260 "),
        ({"evade": "good:evil"}, ThreatError, "^HF309 "),
        ({"evade": ":good"}, ThreatError, "^HF309 "),
        ({"budget": "soon"}, UsageError, "^HF827 "),
        ({"epochs": 3}, UsageError, "^HF834 Epochs"),
        ({"threat": hf.profile("spam")}, ThreatError, "^HF311 "),
    ],
)
def test_what_makes_no_sense_is_one_line_before_anything_is_learned(asked, error, line, table, tmp_path):
    with pytest.raises(error, match=line):
        hf.harden(pipeline(), table, **{"threat": UNDER, "out": tmp_path / "h", **QUICK, **asked})
    assert not (tmp_path / "h").exists()


def test_one_class_is_hardened_at_a_time(table, tmp_path):
    three = dataclasses.replace(table.train, y=(table.train.x[:, 0] % 3).long(), classes=("bad", "fair", "good"))
    with pytest.raises(UsageError, match="^HF834 One class .*Fix: bad:good"):
        hf.harden(pipeline(), three, threat=UNDER, evade="bad,fair:good", out=tmp_path / "h", **QUICK)


def test_a_direction_is_for_tables_and_rounds_are_not_for_networks():
    net = torch.nn.Linear(4, 2)
    with pytest.raises(UsageError, match="^HF834 One direction"):
        hf.harden(net, hints(40), threat="linf:0.1", evade="0:1")
    with pytest.raises(UsageError, match="^HF834 'adversarial_rounds'"):
        hf.harden(net, hints(40), threat="linf:0.1", recipe="adversarial-rounds", epochs=1)


@pytest.mark.parametrize("recipe", ["adversarial_rounds(rounds=1)", "robust_splitting"])
def test_the_hardened_model_decides_at_the_threshold_of_the_given_one(recipe, tmp_path):
    from sklearn.tree import DecisionTreeClassifier

    draw = np.random.default_rng(0)
    x = draw.random((200, 2))
    y = (x[:, 0] + 0.3 * draw.normal(size=200) > 0.5).astype(int)
    data = hf.Dataset(torch.from_numpy(x), torch.from_numpy(y), bounds=(0, 1))
    given = hf.wrap(DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y), (0, 1), threshold=0.2)
    asked = {"threat": "linf:0.05", "recipe": recipe, "suite": "noise(samples=5)", "limit": 12}
    made, found = hf.harden(given, data, out=tmp_path / "h", **asked)
    assert found.model.threshold == given.threshold
    rows = torch.from_numpy(x)
    want = torch.from_numpy(made.predict_proba(x)[:, 1] >= 0.2)
    assert torch.equal(found.model.predict(rows) == 1, want)
    assert bool((want != torch.from_numpy(made.predict(x) == 1)).any())
    for folder in (found.before, found.after):
        assert any("at least 0.2" in note for note in hf.open_run(folder).summary.model.notes)
