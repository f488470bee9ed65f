"""Comparing defenses: their names as text, the protocol, what a pass costs, the whole of it on digits, the advice."""

import csv
import dataclasses
import itertools
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.core.errors import HoldfastError, IntegrityError, ParameterError, Stop, UsageError
from holdfast.core.progress import Note, RunStarted, StageDone
from holdfast.data import Dataset, load
from holdfast.data.dataset import Splits
from holdfast.evaluation.bench.machine import machine
from holdfast.evaluation.defending import protocol as protocols
from holdfast.evaluation.defending import work
from holdfast.evaluation.defending.advice import READERS, advise, alike, helps
from holdfast.evaluation.defending.chain import catalog, chain, kind_of
from holdfast.evaluation.defending.measure import Passes, held, passes
from holdfast.evaluation.defending.place import Place, name_of, refused
from holdfast.evaluation.defending.records import Against, DefenseComparison, Facts, Row, Spent
from holdfast.evaluation.defending.rows import BARE, comparison
from holdfast.evaluation.document import adapter, dump, to_json
from holdfast.evaluation.paired import paired
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.store import Folder
from holdfast.learning.train import Train
from holdfast.models.settle import settle
from holdfast.models.stage import Stage
from holdfast.report import pareto
from holdfast.report.defenses import marks, page, render, screen

THREAT = hf.Linf(0.1)
EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "defenses" / "road-signs.yaml"


def read(text, tmp_path):
    """A protocol from its text."""
    path = tmp_path / "protocol.yaml"
    path.write_text(text, encoding="utf-8")
    return protocols.read(path)


# Text


@pytest.mark.parametrize(
    ("text", "told", "kind"),
    [
        ("bit_depth", "bit_depth", "stage"),
        ("bit_depth(bits = 3)", "bit_depth(bits=3)", "stage"),
        ("bit_depth(bits=4)", "bit_depth", "stage"),
        ("bit_depth(bits=2)+bit_depth(bits=5)", "bit_depth(bits=2)+bit_depth(bits=5)", "stage"),
        ("adversarial_training(steps=3)", "adversarial_training(steps=3)", "learner"),
        ("adversarial_training+bit_depth(bits=3)", "bit_depth(bits=3)+adversarial_training", "learner"),
        ("adversarial_training(threat='l2:1/2')", "adversarial_training(threat='l2:1/2')", "learner"),
        ("adversarial_training(step=1/2)", "adversarial_training(step=0.5)", "learner"),
        (
            "feature_squeezing(squeezers=[bit_depth(bits=1),median_smoothing(size=3)])",
            "feature_squeezing(squeezers=[bit_depth(bits=1), median_smoothing(size=3)])",
            "fitted",
        ),
    ],
)
def test_a_defense_is_read_and_told_so_that_it_reads_back(text, told, kind):
    of = Train(epochs=3)
    made = chain(text, of, THREAT)
    assert (str(made), made.kind) == (told, kind)
    assert chain(str(made), of, THREAT) == made
    if made.learner is not None:
        assert made.learner.of == of
        assert made.learner.threat == (hf.L2(0.5) if "l2" in text else THREAT)


def test_lists_of_learners_are_written_as_calls_and_names():
    of = Train(epochs=3)
    made = chain("stacking(of=[trades(beta=3), adversarial_training], folds=3)", of, THREAT)
    assert [type(one).__name__ for one in made.learner.of] == ["Trades", "AdversarialTraining"]
    assert [(one.of, one.threat) for one in made.learner.of] == [(of, THREAT)] * 2
    assert made.learner.of[0].beta == 3
    assert str(made) == "stacking(of=[trades(beta=3), adversarial_training], folds=3)"
    assert chain(str(made), of, THREAT) == made
    inside = chain("weight_perturbation(of=trades(beta=3))", of, THREAT).learner
    assert inside == chain("weight_perturbation(of='trades(beta=3)')", of, THREAT).learner
    both = chain("multi_norm(threats=['l2:1/2', 'l1:3'])", of, THREAT).learner
    assert both.threats == (hf.L2(0.5), hf.L1(3))


def test_a_chain_is_written_in_the_order_in_which_an_input_meets_its_parts():
    data = load("digits", split="test").take(slice(0, 40))
    model = chain("bit_depth(bits=2)+bit_depth(bits=5)", Train(), THREAT).before(_linear(data), data, 0)
    assert model.guards == ("bit_depth(bits=2)", "bit_depth(bits=5)")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("bit_dept", "HF830", "did you mean bit_depth"),
        ("Stage", "HF830", "There is no defense 'Stage'"),
        ("bit_depth(bit=3)", "HF831", "did you mean bits"),
        ("bit_depth(3)", "HF831", "name(parameter=value)"),
        ("bit_depth(bits=__import__('os').getpid())", "HF831", "cannot be read"),
        ("bit_depth.__class__", "HF831", "cannot be read"),
        ("", "HF831", "cannot be read"),
        ("bit_depth+", "HF831", "cannot be read"),
        ("+".join(["bit_depth"] * 9), "HF831", "1 to 8 parts"),
        ("(" * 3000, "HF831", "cannot be read"),
        ("adversarial_training+adversarial_training(steps=2)", "HF831", "once only"),
        ("adversarial_training(of=no_such)", "HF830", "no_such"),
        ("feature_squeezing(squeezers=[bit_dept])", "HF830", "did you mean bit_depth"),
        ("feature_squeezing(squeezers=[bit_depth(bit=3)])", "HF831", "did you mean bits"),
        ("feature_squeezing(squeezers=[bit_depth(3)])", "HF831", "cannot be read"),
        ("feature_squeezing(squeezers=[__import__('os').getpid(a=1)])", "HF831", "cannot be read"),
        ("feature_squeezing(squeezers=[one for one in (1,)])", "HF831", "cannot be read"),
    ],
)
def test_a_text_that_is_no_defense_is_one_clear_line(text, code, said):
    with pytest.raises(UsageError, match=f"^{code} ") as found:
        chain(text, Train(), THREAT)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_a_value_outside_its_range_is_refused_as_anywhere():
    with pytest.raises(ParameterError, match="'bits' parameter of BitDepth"):
        chain("bit_depth(bits=0)", Train(), THREAT)


def test_every_defense_of_the_catalog_has_a_name_and_a_kind():
    assert {"bit_depth", "adversarial_training"} <= set(catalog())
    for name, kind in catalog().items():
        assert getattr(hf.defenses, kind.__name__) is kind
        assert kind_of(kind) in ("stage", "fitted", "learner")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


def test_two_texts_never_share_a_folder():
    texts = [
        "a(b=1)",
        "a(b=-1)",
        "a-b-1",
        "a(b='1')",
        "a(b=(1, 2))",
        "a(b=1, c=2)",
        "a" * 99,
        "a" * 100,
        "a/../b",
        "..",
    ]
    names = [name_of(text) for text in texts]
    assert name_of("bit_depth(bits=3)+x(y=0.5)") == "bit_depth-bits-3+x-y-0.5"
    assert all(re.fullmatch(r"[\w+-][\w.+-]*", name) for name in names)
    assert len(set(names) - {name_of("a-b-1")}) == len(texts) - 3, "only spellings of one defense are alike"


# Protocol

SMALL = "data: digits\nthreat: linf:0.1\ndefenses: [bit_depth]\n"


def test_the_example_reads_and_what_is_written_reads_back(tmp_path):
    found = protocols.read(EXAMPLE)
    assert found.data == "road_signs"
    assert len(found.unseen) == 2
    assert read(protocols.write(found), tmp_path) == found
    assert read(SMALL, tmp_path).identity() == dataclasses.replace(read(SMALL, tmp_path), title="other").identity()


def test_a_later_field_at_its_default_leaves_the_identity_of_older_folders(tmp_path):
    """The digests are those that were written before `precision` was there."""
    found = read(SMALL, tmp_path)
    assert found.digest() == "233cd96537ff7593494537ddd430f340"
    assert protocols.read(EXAMPLE).digest() == "741dbbc7206112c97d671d355bf061b4"
    faster = read(SMALL + "base: {precision: auto}\n", tmp_path)
    assert faster.digest() != found.digest()
    assert (found.base.learner().precision, faster.base.learner().precision) == ("float32", "auto")
    assert read(protocols.write(faster), tmp_path) == faster


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + SMALL


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (BOMB, "HF832", "alias"),
        ("data: !!python/object/apply:os.system ['echo hi']\n", "HF832", "line 1"),
        (SMALL + "#" * 70_000, "HF832", "more than 64 KiB"),
        ("a: " + "[" * 500 + "]" * 500, "HF832", "inside each other"),
        ("data: digits\ndata: mnist\n", "HF832", "twice"),
        ("data: [\n", "HF832", "line 2"),
        ("[1, 2]", "HF833", "a list"),
        ("", "HF833", "nothing"),
        (SMALL + "suit: quick\n", "HF833", "did you mean suite?"),
        (SMALL + "base: {widht: 3}\n", "HF833", "did you mean width?"),
        (SMALL + "base: {width: 99999999}\n", "HF833", "base width"),
        (SMALL + "samples: -1\n", "HF833", "samples"),
        (SMALL + "samples: many\n", "HF833", "samples"),
        (SMALL + "base: {network: cn}\n", "HF833", "did you mean cnn?"),
        (SMALL + "base: {precision: bfloat16}\n", "HF833", "base precision"),
        (SMALL + "other_threats: ['l3:1']\n", "HF833", "Unknown threat"),
        (SMALL + "other_threats: ['linf:1/10']\n", "HF833", "twice"),
        (SMALL + "other_threats: ['l2:inf']\n", "HF833", "Seen l2:inf"),
        (SMALL + "suite: quik\n", "HF811", "did you mean quick?"),
        (SMALL.replace("bit_depth", "bit_dept"), "HF830", "did you mean bit_depth?"),
        (SMALL.replace("[bit_depth]", "[bit_depth, bit_depth(bits=4)]"), "HF833", "twice"),
        (SMALL.replace("[bit_depth]", "[]"), "HF833", "defenses"),
        (SMALL.replace("[bit_depth]", "[bit_depth(bits=0)]"), "HF833", "'bits' parameter"),
        ("data: digits\n", "HF833", "threat"),
    ],
)
def test_a_hostile_or_mistaken_protocol_is_one_clear_line(text, code, said, tmp_path):
    with pytest.raises(HoldfastError, match=f"^{code} ") as found:
        read(text, tmp_path)
    assert said in str(found.value)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 1500


def test_a_protocol_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "bytes.yaml", tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UsageError, match="^HF832 "):
            protocols.read(path)


# Cost of a pass


class Chain(nn.Module):
    """Three steps of known size and a linear layer."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(100, 3, bias=False)

    def forward(self, x):
        once = x * 2
        twice = once + 1
        del once
        return self.last(twice * 3)


def test_memory_is_what_lives_at_once():
    x = torch.rand(64, 100, generator=torch.Generator().manual_seed(0))
    model = settle(hf.wrap(Chain().eval(), (0, 1)), x)
    rows, weights, scores = 64 * 100 * 4, 3 * 100 * 4, 64 * 3 * 4
    assert held(model, x) == 3 * rows + weights + scores, "x, two steps, the weights and the scores"
    assert held(model | hf.defenses.BitDepth(bits=3), x) > held(model, x)


def test_a_pass_is_timed_side_by_side_and_medians_count():
    x = torch.rand(8, 100, generator=torch.Generator().manual_seed(0))
    model = settle(hf.wrap(Chain().eval(), (0, 1)), x)
    spans = itertools.cycle([1.0, 3.0])  # of the plain side, of the defended one
    now = [0.0]
    ticks = itertools.count()

    def clock():
        if next(ticks) % 2:
            now[0] += next(spans)
        return now[0]

    found = passes(model, model | hf.defenses.BitDepth(bits=3), x, clock)
    assert (found.plain, found.defended, found.ratio, found.rows) == (1.0, 3.0, 3.0, 8)
    assert found.bytes_ratio > 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dim(Stage):
    """Rejects what is dark."""

    def suspicion(self, x, space):
        return 0.5 - x.flatten(1).mean(1)


def test_refused_clean_samples_are_counted():
    x = torch.rand(50, 100, generator=torch.Generator().manual_seed(0))
    data = Dataset(x, torch.zeros(50, dtype=torch.long), classes=range(3))
    model = settle(hf.wrap(Chain().eval(), (0, 1)), x)
    assert refused(model, data) is None
    assert refused(model | Dim(), data) == int((x.mean(1) < 0.5).sum())


# The whole of it

PROTOCOL = """
title: tiny
data: digits
samples: 20
held_out: 60
base: {network: mlp, width: 24, depth: 2, epochs: 3, samples: 400}
threat: linf:0.1
other_threats: [l2:0.5]
suite: pgd(steps=3)
defenses: [bit_depth(bits=2), bit_depth(bits=5)+adversarial_training(steps=1)]
"""


def _linear(data):
    net = nn.Sequential(nn.Flatten(), nn.Linear(data.x[0].numel(), data.n_classes)).eval()
    return settle(hf.wrap(net, data.bounds, output="logits", classes=data.n_classes), data.x)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished comparison and its folder."""
    folder = tmp_path_factory.mktemp("defenses")
    asked = read(PROTOCOL, folder)
    return asked, work.compare_defenses(asked, folder / "all"), folder / "all"


def test_every_defense_is_measured_beside_the_undefended_model(done):
    _, found, folder = done
    bare, stage, trained = found.rows
    assert found.complete
    assert (bare.facts.kind, stage.facts.kind, trained.facts.kind) == ("none", "stage", "learner")
    assert bare.facts.passes is None
    assert bare.aware == bare.oblivious
    assert all(row.facts.passes.rows == 20 for row in (stage, trained))
    assert stage.facts.trained is None
    assert trained.facts.trained.seconds > 0
    assert [[each.threat for each in row.others] for row in found.rows] == [["l2:1/2"], [], ["l2:1/2"]]
    for row in (stage, trained):
        assert row.aware.k <= row.oblivious.k <= row.clean.k
        assert row.aware_difference.difference == pytest.approx(row.aware.point - bare.aware.point)
        assert row.clean_difference.difference == pytest.approx(row.clean.point - bare.clean.point)
        summary = Folder(folder / row.run).summary
        assert summary.rates.empirical_robust_accuracy == row.aware
        assert summary.rates.clean_accuracy.k == row.clean.k
        assert summary.replay is not None


def test_agreement_is_what_right_answers_exceed_chance_by(done):
    _, found, folder = done
    seen = Folder(folder / found.undefended.run).samples.select(["predicted", "label"]).to_pylist()
    right = sum(each["predicted"] == each["label"] for each in seen) / 20
    counts = [[sum(each[what] == k for each in seen) for k in range(10)] for what in ("predicted", "label")]
    chance = sum(a * b for a, b in zip(*counts, strict=True)) / 400
    assert found.undefended.agreement == pytest.approx((right - chance) / (1 - chance))


def test_oblivious_is_the_inputs_of_the_undefended_model_shown_to_the_defended_one(done):
    asked, found, folder = done
    first = Folder(folder / found.undefended.run)
    parts = work.divided(asked, load("digits"))
    test = parts.test.sample(20, 0)
    model = Place(folder / BARE).model(parts.train) | hf.defenses.BitDepth(bits=2)
    x = test.x.clone()
    place = {digest: i for i, digest in enumerate(test.digests)}
    for question in first.parts.questions():
        if question.kind == "search" and question.threat == "linf:1/10":
            for key, array in first.parts.arrays(question, "adversarial").items():
                x[place[key.partition(".")[0]]] = torch.from_numpy(np.array(array))
    right = (model.predict(test.x) == test.y) & (model.predict(x) == test.y)
    assert found.rows[1].oblivious.k == int(right.sum())
    assert (x != test.x).any()


def test_what_is_there_is_not_computed_again(done, monkeypatch):
    asked, found, folder = done

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(work, "audit", never)
    monkeypatch.setattr(Train, "fit", never)
    heard = []
    again = work.compare_defenses(asked, folder, on_event=heard.append)
    assert dataclasses.replace(again, machine=found.machine, notes=()) == dataclasses.replace(found, notes=())
    assert (folder / "comparison.json").read_text() == to_json(again)
    assert [e.stage for e in heard if isinstance(e, StageDone)] == [BARE, *asked.defenses]
    assert [e.samples for e in heard if isinstance(e, RunStarted)] == [20]


def test_one_that_cannot_be_made_does_not_stop_the_others(done, tmp_path):
    asked = read(PROTOCOL.replace("[bit_depth(bits=2), bit", "[adaptive_diversity(members=12), bit"), tmp_path)
    heard = []
    shutil.copytree(done[2], tmp_path / "all")
    found = work.compare_defenses(asked, tmp_path / "all", on_event=heard.append)
    assert [row.facts.defense for row in found.rows] == [BARE, asked.defenses[1]]
    assert (found.complete, found.left) == (False, ())
    assert [each.defense for each in found.refused] == [asked.defenses[0]]
    assert any("adaptive_diversity(members=12) could not be made, and is left out: HF269 " in n for n in found.notes)
    assert "Left out: adaptive_diversity(members=12): HF269 " in str(found)
    assert "Not finished" not in str(found)
    assert "Left out: adaptive_diversity(members=12): HF269 " in render(found, ".md").replace("\\", "")
    assert [e.code for e in heard if isinstance(e, Note)] == ["HF269"]


def test_one_that_could_not_be_made_is_tried_again_and_then_counts(done, tmp_path):
    shutil.copytree(done[2], tmp_path / "all")
    place = Place(tmp_path / "all" / name_of(done[0].defenses[0]))
    place.refuse("HF701 something was not installed")
    shutil.rmtree(place.run)
    assert [each.reason for each in comparison(done[0], tmp_path / "all", machine(None)).refused] == [place.reason]
    again = work.compare_defenses(done[0], tmp_path / "all")
    assert (again.complete, again.refused, place.reason) == (True, (), "")


def test_a_stopped_comparison_keeps_what_is_done_and_continues(done, tmp_path, monkeypatch):
    asked, found, _ = done
    heard = []

    def stop(event):
        heard.append(event)
        if isinstance(event, StageDone) and event.stage == "bit_depth(bits=2)":
            raise Stop

    partial = work.compare_defenses(asked, tmp_path / "all", on_event=stop)
    assert not partial.complete
    assert [row.facts.defense for row in partial.rows] == [BARE, "bit_depth(bits=2)"]
    assert partial.left == ("bit_depth(bits=5)+adversarial_training(steps=1)",)
    assert "Not finished" in str(partial)
    assert "Partial" in render(partial, ".md")
    trained = []
    fit = Train.fit
    monkeypatch.setattr(Train, "fit", lambda self, *a, **k: (trained.append(self.perturb), fit(self, *a, **k))[1])
    whole = work.compare_defenses(asked, tmp_path / "all")
    assert whole.complete
    assert None not in trained[:1]
    shares = [[(r.clean.k, r.oblivious.k, r.aware.k) for r in each.rows] for each in (whole, found)]
    assert shares[0] == shares[1], "an interrupted comparison ends where an unbroken one does"


def test_another_protocol_or_other_files_are_refused(done, tmp_path):
    asked, _, folder = done
    with pytest.raises(IntegrityError, match=r"^HF416 .*another value for base"):
        work.compare_defenses(dataclasses.replace(asked, base=protocols.Base(network="mlp")), folder)
    with pytest.raises(IntegrityError, match=r"^HF416 .*threat"):
        work.compare_defenses(dataclasses.replace(asked, threat="linf:1/5"), folder)
    (tmp_path / "letter.txt").write_text("private")
    with pytest.raises(IntegrityError, match=r"^HF417 .*letter\.txt"):
        work.compare_defenses(asked, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_facts_that_were_changed_are_one_clear_line(done, tmp_path):
    (tmp_path / "facts.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"^HF418 "):
        _ = Place(tmp_path).facts


def test_held_out_samples_are_neither_learned_from_nor_judged_on():
    x = torch.rand(100, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset(x, torch.arange(100) % 2)
    splits = Splits(data.take(slice(0, 80)), data.take(slice(80, 100)))
    asked = protocols.Protocol(data="x", threat="linf:1/10", defenses=("bit_depth",), held_out=30)
    parts = work.divided(asked, splits)
    digests = [set(part.digests) for part in (parts.train, parts.held_out, parts.test)]
    assert [len(each) for each in digests] == [50, 30, 20]
    assert not any(a & b for a, b in itertools.combinations(digests, 2))


def test_the_document_keeps_its_schema(done):
    found = done[1]
    values = json.loads(to_json(found))
    assert values["schema"] == "urn:holdfast:defenses:1"
    assert adapter(DefenseComparison).validate_python(values) == found
    assert dump(found)["rows"][1]["facts"]["defense"] == "bit_depth(bits=2)"


@pytest.mark.parametrize("form", [".html", ".md", ".txt", ".csv", ".json"])
def test_every_page_tells_every_defense_and_the_runs(done, form):
    _, found, _ = done
    text = render(found, form)
    assert "undefended" in text
    assert "bit_depth(bits=2)" in text.replace(r"\_", "_").replace("\\", "")
    if form == ".html":
        assert text.count("<svg ") >= 1
        assert text.count("<table>") == 1
        assert "<script" not in text
        assert not re.search(r"(src|href)=", text)
        assert 'aria-label="Clean accuracy against' in text
    if form == ".txt":
        assert max(map(len, text.splitlines())) <= 100
    if form == ".csv":
        lines = list(csv.DictReader(text.splitlines()))
        spent = [float(each["value"]) for each in lines if each["measure"] == "audited in, seconds"]
        assert spent == [each.audited for each in found.rows]
        refused = [float(each["value"]) for each in lines if each["measure"] == "refused"]
        assert refused == [each.facts.rejected.point for each in found.rows if each.facts.rejected is not None]
    assert len(screen(found).tables) == 2
    assert len(page(found).figures) == 1


def test_a_partial_comparison_without_any_run_has_a_page(tmp_path):
    found = comparison(read(PROTOCOL, tmp_path), tmp_path, machine(None))
    assert found.rows == ()
    assert not found.complete
    assert "No defense is finished" in render(found, ".html")
    assert screen(found).tables == ()


# Advice, on tables made by hand

N = 400


def row(
    name,
    clean,
    aware,
    *,
    ratio=1.0,
    state="measured",
    masking="no sign of masking",
    kind="stage",
    agreement=0.8,
    **more,
):
    """A defense with so many right and so many that withstand of 400, where no defense has 360 and 40."""
    bare = name == BARE
    others = tuple(Against(threat=t, withstood=_share(k), difference=None) for t, k in more.pop("others", {}).items())
    trained = Spent(seconds=9.0, processor_seconds=more.pop("trained", 8.0)) if kind == "learner" else None
    cost = Passes(rows=64, plain=1.0, defended=ratio, ratio=ratio, bytes_plain=10, bytes_defended=20, bytes_ratio=2.0)
    refuses = more.pop("rejected", None)
    facts = Facts(
        defense=name,
        kind="none" if bare else kind,
        random=False,
        gradient=True,
        trained=trained,
        passes=None if bare else cost,
        rejected=None if refuses is None else _share(refuses),
    )
    return Row(
        facts=facts,
        run=f"{name}/run",
        clean=_share(clean),
        clean_difference=None if bare else _beside(360, clean),
        oblivious=_share(more.pop("oblivious", aware)),
        aware=_share(aware),
        aware_difference=None if bare else _beside(40, aware),
        others=others,
        state=state,
        masking=masking,
        agreement=agreement,
    )


def _share(k):
    return rate(k, N, "all samples")


def _beside(first, second):
    """The counts where nothing differs but what must."""
    both = min(first, second)
    return paired(both, first - both, second - both, N - max(first, second))


NONE = row(BARE, 360, 40)


def picks(*rows):
    """Reader -> the defense that is recommended."""
    return {each.reader: each.defense for each in advise((NONE, *rows), "linf:1/10")}


def test_without_a_defense_there_is_no_advice():
    assert advise((NONE,), "linf:1/10") == ()
    assert advise((), "linf:1/10") == ()


def test_where_nothing_is_clearly_better_that_is_said():
    found = advise((NONE, row("weak", 360, 43)), "linf:1/10")
    assert [each.defense for each in found] == [""] * len(READERS)
    assert all("No defense is clearly better than none under linf:1/10" in each.text for each in found)
    assert all("which may be chance" in each.text for each in found)
    assert found[0].runs == ("undefended/run", "weak/run")


@pytest.mark.parametrize("doubt", [{"masking": "suspect"}, {"state": "doubtful"}, {"state": "partial"}])
def test_numbers_in_doubt_are_never_recommended(doubt):
    strong = row("strong", 360, 300, **doubt)
    assert not helps(strong)
    assert set(picks(strong).values()) == {""}
    assert "is in doubt" in advise((NONE, strong), "linf:1/10")[0].text
    assert set(picks(strong, row("sound", 360, 120)).values()) == {"sound"}


def test_one_answer_to_everything_withstands_all_and_is_never_recommended():
    blind = row("blind", 250, 250, agreement=0.02)
    assert not helps(blind)
    assert set(picks(blind).values()) == {""}
    assert "nearly the same answer to all inputs" in advise((NONE, blind), "linf:1/10")[0].text
    assert set(picks(blind, row("sound", 360, 120)).values()) == {"sound"}
    assert [mark.name for mark in pareto.front(marks((NONE, blind)))] == [BARE]
    assert helps(row("one class only", 250, 250, agreement=None))


def test_each_reader_gets_what_counts_for_it():
    found = picks(
        row("accurate", 360, 100, ratio=2.0),
        row("robust", 300, 250, ratio=3.0, kind="learner"),
        row("fast", 330, 160, ratio=1.05),
    )
    assert found == {
        "accuracy first": "accurate",
        "robustness first": "robust",
        "latency first": "fast",
        "health": "accurate",
        "driving": "fast",
        "security": "robust",
    }


def test_what_cannot_be_told_apart_is_said_and_the_cheaper_is_taken():
    dear, cheap = row("dear", 360, 205, ratio=2.0), row("cheap", 360, 200)
    assert alike(dear.aware, cheap.aware)
    found = advise((NONE, dear, cheap), "linf:1/10")[1]
    assert found.defense == "cheap"
    assert "cannot be told apart from dear" in found.text
    assert "it is the cheaper [" in found.text
    assert found.runs == ("cheap/run", "dear/run")
    assert picks(row("dear", 360, 300, ratio=2.0), cheap)["robustness first"] == "dear"


def test_of_equals_at_one_price_none_is_called_cheaper_and_the_shorter_training_is_named():
    long, short = (
        row(name, 360, share, kind="learner", trained=t) for name, share, t in (("a", 205, 9), ("b", 200, 3))
    )
    found = advise((NONE, long, short), "linf:1/10")[1]
    assert found.defense == "a"
    assert "cheaper in accuracy or a pass, and its share is the highest; b trains in 3 s [a/run]" in found.text
    assert "trains in" not in advise((NONE, row("b", 360, 205, kind="learner", trained=3), long), "linf:1/10")[1].text


def test_where_no_defense_meets_a_reader_the_nearest_is_named_as_such():
    found = {each.reader: each for each in advise((NONE, row("slow", 300, 200, ratio=4.0)), "linf:1/10")}
    assert found["latency first"].text.startswith("No defense that helps has at most 1.1 times the time of a pass")
    assert found["accuracy first"].text.startswith("No defense that helps has no measurable loss of clean accuracy")
    assert found["robustness first"].text.startswith("slow [slow/run].")


def test_refusals_suit_a_clinic_and_not_a_car():
    refusing, plain = row("refusing", 320, 250, rejected=30), row("plain", 345, 150, ratio=1.4)
    found = picks(refusing, plain)
    assert found["health"] == "refusing"
    assert found["driving"] == "plain"


def test_the_worst_of_several_threats_is_not_compared_with_one():
    stage = row("stage", 350, 280)
    trained = row("trained", 350, 260, kind="learner", others={"l2:1": 150})
    found = picks(stage, trained)
    assert (found["robustness first"], found["security"], found["driving"]) == ("stage", "trained", "trained")
    assert picks(stage)["security"] == "stage"


def test_cars_and_guards_look_at_the_worst_threat():
    narrow = row("narrow", 350, 280, kind="learner", others={"l2:1": 50})
    broad = row("broad", 350, 220, kind="learner", others={"l2:1": 210})
    found = picks(narrow, broad)
    assert (found["robustness first"], found["security"], found["driving"]) == ("narrow", "broad", "broad")
    told = {each.reader: each.text for each in advise((NONE, narrow, broad), "linf:1/10")}
    assert "Under threats it was not trained for: l2:1" in told["security"]
    assert "[broad/other-threats]" in told["security"]


def test_accuracy_lost_is_weighed_against_robustness_gained():
    """15 points lost on clean inputs, 40 gained on attacked ones: even where 15 of 55 are attacked."""
    text = advise((NONE, row("dear", 300, 200)), "linf:1/10")[1].text
    assert "right more often than no defense where over 27% of inputs are attacked [dear/run]." in text
    assert "are attacked" not in advise((NONE, row("free", 360, 200)), "linf:1/10")[1].text


def test_a_gap_between_attackers_is_a_warning():
    found = advise((NONE, row("shown", 360, 200, oblivious=340)), "linf:1/10")
    told = {each.reader: each.text for each in found}
    assert "85.0%: do not count on that" in told["security"]
    assert "do not count on that" not in told["latency first"]


@pytest.mark.parametrize(
    "rows",
    [
        (row("one", 350, 200, rejected=2, kind="learner", others={"l2:1": 9}), row("two", 350, 190, ratio=3)),
        (row("stage", 350, 280), row("trained", 350, 200, kind="learner", others={"l2:1": 150})),
        (row("seen", 350, 280), row("trained", 350, 50, kind="learner", others={"l2:1": 40})),
        (row("shown", 360, 200, oblivious=340),),
        (row("slow", 300, 200, ratio=4.0),),
        (row("weak", 360, 43),),
        (row("odd", 360, 300, masking="suspect"),),
        (row("blind", 250, 250, agreement=0.02),),
    ],
    ids=lambda rows: rows[0].facts.defense,
)
def test_every_sentence_names_its_run(rows):
    runs = [f"{each.facts.defense}/" for each in (NONE, *rows)]
    for each in advise((NONE, *rows), "linf:1/10"):
        sentences = re.split(r"(?<=\.) (?=[A-Z]|\w+ gives)", each.text)
        assert len(sentences) > 1
        for sentence in sentences:
            assert any(re.search(rf"\[{run}[\w-]+\]\.$", sentence) for run in runs), sentence


# The plot


def test_the_front_holds_what_no_other_beats_on_both_axes():
    rows = [NONE, row("a", 350, 200), row("b", 340, 190), row("c", 300, 250), row("d", 350, 180)]
    assert [mark.name for mark in pareto.front(marks(rows))] == [BARE, "a", "c"]
    told = pareto.told(marks(rows), "defense-aware")
    assert "1 a: clean 87.5\u00a0%, defense-aware 50.0\u00a0%, on the front" in told


def test_the_plot_tells_doubt_by_shape_and_keeps_inside():
    rows = [NONE, row("sound", 350, 200), row("odd", 340, 390, masking="suspect"), row("<b>", 400, 0, ratio=100)]
    drawn = str(pareto.plot(marks(rows), "held"))
    assert drawn.count('class="mark-doubt"') == 1
    assert drawn.count('class="mark-sound"') == 2
    assert drawn.count('class="mark-bare"') == 1
    assert "<b>" not in drawn
    assert drawn.index('class="strong"') > drawn.rindex('class="mark-'), "a mark may hide a number"
    assert re.findall(r">([\d, ]+)</text>", drawn) == ["0", "1", "2", "3"]
    alike = marks([*rows, row("alike", 350, 200)])
    assert ">1, 4</text>" in str(pareto.plot(alike, "held")), "one would be written over the other"
    places = [float(value) for value in re.findall(r' (?:cx|cy|x|y|x1|x2|y1|y2)="([\d.]+)%"', drawn)]
    assert all(0 <= value <= 100 for value in places)
    assert marks(rows)[3].radius == pareto.LARGEST
