"""Run folders compared: counted by hand, refused where they cannot be compared."""

import dataclasses
import json
import shutil
import statistics

import pytest
import torch

from evaluation import world
from holdfast.core.errors import IntegrityError, UsageError
from holdfast.evaluation.audit import audit
from holdfast.evaluation.comparison import Comparison, compare
from holdfast.evaluation.document import schema, to_json
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import read_file
from holdfast.report.comparison import ELSEWHERE, page, render
from holdfast.report.run import Run

PLAN = {"threat": ["linf:1/50", "linf:1/20"], "suite": "pgd(steps=5)", "seed": 0}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The class means, and the same means moved so that the model is worse."""
    folder = tmp_path_factory.mktemp("runs")
    models = {"means": 0.0, "moved": 0.4}
    for name, shift in models.items():
        audit(world.model(shift=shift)[0], world.data(60), out=folder / name, **PLAN)
    return folder


@pytest.fixture
def copies(runs, tmp_path):
    for run in runs.iterdir():
        shutil.copytree(run, tmp_path / run.name)
    return tmp_path


def edited(path, **fields):
    """A run whose summary says something else."""
    summary = read_file(path / "summary.json")
    (path / "summary.json").write_text(to_json(dataclasses.replace(summary, **fields)))
    return Folder(path)


def statuses(path, threat):
    return {r["sample"]: r["status"] for r in Folder(path).samples.to_pylist() if r["threat"] == threat}


def broken(folder, threats):
    """The adversarial input of each sample: where a smaller threat broke it already, the one found there."""
    found, ids = {}, dict(zip(folder.manifest.samples.keys, folder.manifest.samples.ids, strict=True))
    for literal in threats:
        for asked in folder.parts.questions():
            if (asked.kind, asked.threat) == ("search", literal):
                for key, array in folder.parts.arrays(asked, "adversarial").items():
                    found.setdefault(ids[key], torch.as_tensor(array))
    return found


def test_the_counts_are_those_of_the_samples(runs):
    found = compare([Folder(runs / "means"), Folder(runs / "moved")])
    assert found.threats == ("linf:1/50", "linf:1/20")
    assert found.samples == 60
    (pair,) = found.pairs
    by = {(c.metric, c.threat): c for c in pair.contrasts}
    for threat in found.threats:
        first, other = (statuses(runs / name, threat) for name in ("means", "moved"))
        contrast = by["empirical_robust_accuracy", threat]
        lost = [i for i in first if first[i] == "unbroken" != other[i]]
        won = [i for i in first if other[i] == "unbroken" != first[i]]
        assert (list(contrast.lost), list(contrast.won)) == (lost, won)
        assert (contrast.counts.lost, contrast.counts.won, contrast.counts.n) == (len(lost), len(won), 60)
        assert contrast.counts.both == sum(first[i] == other[i] == "unbroken" for i in first)
    whole = by["empirical_robust_accuracy", ""].counts
    assert whole.lost + whole.won > 0, "the two models differ"
    for metric in ("clean_accuracy", "empirical_robust_accuracy"):
        rates = [getattr(Folder(runs / name).summary.rates, metric) for name in ("means", "moved")]
        assert by[metric, ""].counts.difference == pytest.approx(rates[1].point - rates[0].point)
    assert pair.p == whole.p
    assert pair.text == str(found)


def test_what_breaks_one_and_was_shown_to_another_stands_in_the_comparison(tmp_path):
    """Counted here from the inputs that the first run keeps; the second run showed its own to nobody."""
    (means, _), (near, _), plan = world.model(), world.model(shift=0.1), {**PLAN, "threat": ["linf:1/20", "linf:1/8"]}
    audit(means, world.data(60), out=tmp_path / "means", transfer_to=near, **plan)
    audit(near, world.data(60), out=tmp_path / "near", **plan)
    first, other = Folder(tmp_path / "means"), Folder(tmp_path / "near")
    found = compare([first, other])
    assert [(t.source, t.target, t.threat) for t in found.transferred] == [(0, 1, t) for t in found.threats]
    clean = {r["sample"]: r["predicted"] == r["label"] for r in other.samples.to_pylist()}
    label = {r["sample"]: r["label"] for r in first.samples.to_pylist()}
    for told in found.transferred:
        own = [i for i, status in statuses(first.path, told.threat).items() if status == "broken" and clean[i]]
        inputs = broken(first, found.threats[: found.threats.index(told.threat) + 1])
        fooled = sum(int(near.predict(inputs[i][None])) != label[i] for i in own)
        assert (told.rate.k, told.rate.n) == (fooled, len(own))
        assert fooled > 0
        assert f"({fooled}/{len(own)})" in render(found, ".md")
    assert render(found, ".md").count("not shown") == 2, "one of each threat"
    assert compare([other, first]).transferred[0] == dataclasses.replace(found.transferred[0], source=1, target=0)
    moved = dataclasses.replace(first.summary.transfer[0], fingerprint="that of another model of this name")
    assert not compare([edited(first.path, transfer=(moved,)), other]).transferred


def test_what_the_runs_cost_stands_beside_it(runs, tmp_path):
    folders = [Folder(runs / name) for name in ("means", "moved")]
    found = compare(folders)
    for side, folder in zip(found.runs, folders, strict=True):
        took = [r["queries"] for r in folder.samples.to_pylist() if r["status"] == "broken"]
        assert side.cost == folder.summary.cost
        assert side.effort == statistics.median(took) > 0
    assert ELSEWHERE not in page(found).notes
    there = dataclasses.replace(folders[1].summary.provenance, threads=64)
    shutil.copytree(runs / "moved", tmp_path / "moved")
    assert ELSEWHERE in page(compare([folders[0], edited(tmp_path / "moved", provenance=there)])).notes


def test_a_run_against_itself_differs_nowhere(runs):
    found = compare([Folder(runs / "means"), Folder(runs / "means")])
    main = found.pairs[0].contrasts[0].counts
    assert (main.lost, main.won, main.difference, main.p) == (0, 0, 0.0, 1.0)
    assert found.pairs[0].text.startswith("No significant difference between")
    assert "Both runs attacked the same model." in found.pairs[0].notes


def test_several_runs_are_corrected_for_their_number(runs):
    one = compare([Folder(runs / "means"), Folder(runs / "moved")]).pairs[0]
    both = compare([Folder(runs / name) for name in ("means", "moved", "means")])
    assert both.pairs[0].p == pytest.approx(min(1, 2 * one.p))
    assert "corrected for 2 comparisons" in both.pairs[0].text


def test_the_document_follows_its_schema(runs):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(to_json(compare([Folder(runs / "means"), Folder(runs / "moved")])))
    jsonschema.validate(document, schema(Comparison))
    assert next(iter(document)) == "schema"


def test_one_run_is_no_comparison(runs):
    with pytest.raises(UsageError, match="HF821"):
        compare([Folder(runs / "means")])


def test_other_samples_are_refused_unless_the_common_ones_are_asked_for(runs, tmp_path):
    audit(world.model()[0], world.data(40, first=1030), out=tmp_path / "b", **PLAN)
    audit(world.model()[0], world.data(5, first=900), out=tmp_path / "c", **PLAN)
    pair = [Folder(runs / "means"), Folder(tmp_path / "b")]
    with pytest.raises(IntegrityError, match=r"HF413 .*other samples\. Seen 60 and 40 samples, 30 in common"):
        compare(pair)
    found = compare(pair, common=True)
    assert found.samples == found.pairs[0].contrasts[0].counts.n == 30
    assert found.pairs[0].contrasts[0].counts.difference == 0.0
    assert "Compared on what the runs share: 30 samples" in " ".join(found.pairs[0].notes)
    with pytest.raises(IntegrityError, match="HF413 .*0 in common"):
        compare([Folder(runs / "means"), Folder(tmp_path / "c")], common=True)


def test_other_threats_are_refused_unless_the_common_ones_are_asked_for(runs, tmp_path):
    audit(world.model()[0], world.data(60), out=tmp_path / "b", **PLAN | {"threat": ["linf:1/20"]})
    audit(world.model()[0], world.data(60), out=tmp_path / "c", **PLAN | {"threat": ["l2:0.5"]})
    pair = [Folder(runs / "means"), Folder(tmp_path / "b")]
    with pytest.raises(IntegrityError, match="HF413 .*other threats"):
        compare(pair)
    found = compare(pair, common=True)
    assert found.threats == ("linf:1/20",)
    assert found.pairs[0].contrasts[0].counts.difference == 0.0
    with pytest.raises(IntegrityError, match="HF413 .*other threats"):
        compare([Folder(runs / "means"), Folder(tmp_path / "c")], common=True)


def test_other_attacks_are_refused(runs, tmp_path):
    audit(world.model()[0], world.data(60), out=tmp_path / "b", **PLAN | {"suite": "pgd(steps=6)"})
    for common in (False, True):
        with pytest.raises(
            IntegrityError, match=r"HF413 .*other ways under linf:1/50\. Seen pgd\(steps=5\) and pgd\(steps=6\)"
        ):
            compare([Folder(runs / "means"), Folder(tmp_path / "b")], common)


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"complete": False, "stopped": "interrupted"}, "is not complete"), ({"result_version": 1}, "count differently")],
)
def test_unfinished_and_older_runs_are_refused(copies, fields, why):
    other = edited(copies / "moved", **fields)
    with pytest.raises(IntegrityError, match=f"HF413 .*{why}"):
        compare([Folder(copies / "means"), other])


def test_other_bounds_are_refused(copies):
    data = dataclasses.replace(Folder(copies / "moved").summary.data, bounds=(0.0, 2.0))
    with pytest.raises(IntegrityError, match="HF413 .*bounds"):
        compare([Folder(copies / "means"), edited(copies / "moved", data=data)])


def test_files_of_two_runs_in_one_folder_are_refused(copies):
    shutil.copy(copies / "moved" / "samples.parquet", copies / "means" / "samples.parquet")
    with pytest.raises(IntegrityError, match="HF414"):
        compare([Folder(copies / "means"), Folder(copies / "moved")])


@pytest.mark.parametrize("damage", ["missing", "torn", "columns"])
def test_a_table_that_cannot_be_read_is_one_line(copies, damage):
    import pyarrow.parquet as pq

    path = copies / "moved" / "samples.parquet"
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        pq.write_table(pq.read_table(path).drop_columns(["status"]), path)
    with pytest.raises(IntegrityError, match="HF414"):
        compare([Folder(copies / "means"), Folder(copies / "moved")])


def test_doubtful_numbers_are_said_to_be(copies):
    verdict = dataclasses.replace(Folder(copies / "moved").summary.verdict, state="doubtful")
    found = compare([Folder(copies / "means"), edited(copies / "moved", verdict=verdict)])
    assert "doubtful" in found.pairs[0].notes[0]


def test_a_run_compares_itself_as_the_function_does(runs):
    first, second = Run(runs / "means"), Run(runs / "moved")
    expected = compare([first.folder, second.folder])
    assert first.compare(second) == first.compare(runs / "moved") == first.compare(str(runs / "moved")) == expected
    assert first.compare(second, first).pairs == compare([first.folder, second.folder, first.folder]).pairs
    assert first.compare(second, common=True) == compare([first.folder, second.folder], common=True)
    with pytest.raises(UsageError, match="HF821"):
        first.compare()
