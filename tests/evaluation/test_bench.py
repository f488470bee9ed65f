"""What an attack costs: order, medians, ratios, disagreements, peers there and not there. No test looks at a clock."""

import csv
import io
import json
import math
import sys
import types

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.cli.main import main
from holdfast.core.errors import DataError, MissingExtra, ThreatError, UsageError
from holdfast.core.progress import Note, StageDone
from holdfast.evaluation.audit import audit
from holdfast.evaluation.bench import machine, measure, memory, peers
from holdfast.evaluation.bench.measure import bench
from holdfast.evaluation.bench.plain import Plain, weights_asking
from holdfast.evaluation.bench.records import Bench, MemoryRow
from holdfast.evaluation.bench.timing import alternated
from holdfast.evaluation.document import schema, to_json
from holdfast.evaluation.parts import Parts
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.report.bench import FORMS, page, render

COUNT = 24


class Counted(nn.Module):
    """A linear network of three classes on inputs of six numbers, which counts the rows it is asked: the clock here."""

    def __init__(self):
        super().__init__()
        self.flat, self.rows = nn.Linear(6, 3, bias=False), 0
        self.flat.weight.data = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        self.rows += len(x)
        return self.flat(x - 0.5)


class Still(nn.Module):
    """A convolution and a mean: takes pictures of any size."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.conv.weight.data = torch.randn(3, 1, 3, 3, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


@pytest.fixture
def net():
    return Counted().eval()


@pytest.fixture
def data(net):
    x = torch.rand(COUNT, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = net(x).argmax(1)
    return hf.Dataset(x, y, classes=range(3), ids=torch.arange(COUNT) + 100, name="points", split="test")


def measured(net, data, **more):
    """A bench whose seconds are rows that the network was asked."""
    asked = {"threat": "linf:0.2", "attacks": ["pgd(steps=5)"], "batch": 16, "others": "none"} | more
    return bench(hf.wrap(net, bounds=(0, 1)), data, clock=lambda: float(net.rows), **asked)


def fake(monkeypatch, name, **members):
    """A toolkit that is there; the two others are not."""
    for other in peers.INSTALL:
        monkeypatch.setitem(sys.modules, other, None)
    module = types.ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def making(way):
    """A class of torchattacks that returns `way(net, x, y)`."""
    return lambda net, **options: lambda x, y: way(net, x, y)


def signed(net, x, y):
    """One signed step of the gradient of another toolkit."""
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(net(leaf), y), leaf)
    return (x + 0.2 * slope.sign()).clamp(0, 1)


# Timing


def test_sides_take_turns_and_medians_count():
    now, calls = [0.0], []

    def side(name, durations):
        def act(*given):
            calls.append((name, *given))
            now[0] += durations.pop(0)
            return f"{name}{len(calls)}"

        return act

    one, other = alternated(side("a", [1.0, 9.0, 2.0]), side("b", [4.0, 3.0, 50.0]), 3, lambda: now[0])
    assert [call[0] for call in calls] == ["a", "b", "a", "b", "a", "b"]
    assert [call[1:] for call in calls if call[0] == "b"] == [("a1",), ("a3",), ("a5",)]
    assert (one.seconds, other.seconds) == ((1.0, 9.0, 2.0), (4.0, 3.0, 50.0))
    assert (one.median, other.median) == (2.0, 4.0)
    assert (one.value, other.value) == ("a5", "b6")


def test_the_plain_loop_makes_as_many_passes_and_ratios_are_quotients(net, data):
    found = measured(net, data, attacks=["pgd(steps=5)", "square(steps=7)"], repeat=2)
    first, second = found.attacks
    n = found.samples
    assert n == 16
    assert (first.gradients, first.queries) == (5, 6)
    assert first.seconds_plain == (6 * n, 6 * n)
    assert (second.gradients, second.plain) == (0, second.queries * n)
    assert first.ours >= 6 * n
    assert first.ratio == first.ours / first.plain
    assert found.plain_pass.frozen == found.plain_pass.textbook == n
    assert first.per_pass == first.ours / 5 / n
    assert first.held_plain is not None
    assert second.held_plain is None
    assert set(found.ids) <= set(range(100, 100 + COUNT))


@pytest.mark.parametrize("threat", ["linf:0.1", "l2:0.3"])
def test_the_plain_loop_climbs_inside_the_ball_and_the_box(net, data, threat):
    model = settle(hf.wrap(net, bounds=(0, 1)), data.x)
    asked = measure.parse(threat)
    found = Plain(model=model, threat=asked, x=data.x, y=data.y).run(10, 0)
    assert bool(asked.around(data.x).contains(found).all())
    before, after = (nn.functional.cross_entropy(net(x), data.y) for x in (data.x, found))
    assert after > before + 0.1


def test_everything_is_left_as_it_was(net, data):
    net.flat.weight.requires_grad_(False)
    net.flat.weight.grad = torch.ones(3, 6)
    net.train()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    measured(net, data, threads=threads + 1, repeat=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)
    assert not net.flat.weight.requires_grad
    assert torch.equal(net.flat.weight.grad, torch.ones(3, 6))
    assert net.training


def test_weights_ask_for_gradients_in_the_loop_of_a_textbook_only(net, data):
    net.requires_grad_(False)
    with weights_asking(net):
        net(data.x).sum().backward()
        assert net.flat.weight.grad is not None
    assert not net.flat.weight.requires_grad
    assert net.flat.weight.grad is None


def test_rows_do_not_stop_early_and_minimal_attacks_are_held_at_the_radius(net, data):
    found = measured(net, data, threat="l2:0.05", attacks=["pgd(steps=5)", "deep_fool"])
    assert found.attacks[0].gradients == 5
    assert found.attacks[0].distance is None
    assert found.attacks[1].minimal
    assert found.attacks[1].distance > 0
    model = hf.wrap(net, bounds=(0, 1))
    rows = torch.tensor([data.ids.tolist().index(i) for i in found.ids])
    out = hf.run(hf.attacks.DeepFool(), model, data.x[rows], data.y[rows], "l2:inf", ids=data.ids[rows])
    assert found.attacks[1].held == pytest.approx(float((out.distance("l2") > 0.05).double().mean()))
    assert found.attacks[1].held > 0


# Peers


def test_disagreements_are_lists_of_the_samples_that_one_side_breaks(net, data, monkeypatch):
    fake(monkeypatch, "torchattacks", PGD=making(lambda net, x, y: x))
    row = measured(net, data, others="auto").peers[0]
    assert row.peer == "torchattacks PGD"
    assert row.held_theirs == 1
    assert len(row.only_ours) == round(16 * (1 - row.held)) > 0
    assert set(row.only_ours) <= set(range(100, 100 + COUNT))
    assert row.only_theirs == ()
    fake(monkeypatch, "torchattacks", PGD=making(signed))
    other = measured(net, data, others="torchattacks", attacks=["pgd(steps=1, step=0.0001, random_start=False)"])
    assert len(other.peers[0].only_theirs) == round(16 * (1 - other.peers[0].held_theirs)) > 0
    assert set(other.peers[0].only_theirs) >= set(row.only_ours)
    assert other.peers[0].only_ours == ()


def test_a_point_outside_the_radius_breaks_nothing(net, data, monkeypatch):
    fake(monkeypatch, "torchattacks", PGD=making(lambda net, x, y: 1 - x))
    assert measured(net, data, others="auto").peers[0].held_theirs == 1


def test_a_peer_gets_a_frozen_copy_and_our_numbers(net, data, monkeypatch):
    seen = {}

    def pgd(asked, **options):
        seen.update(options, net=asked)
        return lambda x, y: x

    fake(monkeypatch, "torchattacks", PGD=pgd)
    measured(net, data, others="auto", attacks=["pgd(steps=3, step=0.5, random_start=False)"])
    assert (seen["eps"], seen["steps"], seen["random_start"]) == (0.2, 3, False)
    assert seen["alpha"] == pytest.approx(0.1)
    assert seen["net"].net is not net
    alone = peers.Asked(source_of(hf.wrap(net.train(), bounds=(0, 1))).ask)
    assert not any(p.requires_grad for p in alone.parameters())
    assert not alone.net.training
    assert net.flat.weight.requires_grad


def test_where_only_labels_are_seen_ours_gets_the_questions_of_the_peer(net, data, monkeypatch):
    def hop(**options):
        def attack(asked, x, y, epsilons):
            for _ in range(37):
                asked(x)
            return None, x, None

        return attack

    attacks = types.SimpleNamespace(HopSkipJumpAttack=hop)
    fake(monkeypatch, "foolbox", attacks=attacks, PyTorchModel=lambda asked, bounds: asked)
    row = measured(net, data, others="auto", attacks=["hop_skip_jump"], repeat=1, batch=4).peers[0]
    assert row.queries == 37
    assert row.held_theirs == 1


def test_a_peer_that_breaks_down_is_a_note_and_no_row(net, data, monkeypatch):
    def bad(asked, x, y):
        raise AssertionError("no such\nthing")

    fake(monkeypatch, "torchattacks", PGD=making(bad))
    found = measured(net, data, others="auto")
    assert found.peers == ()
    assert any("torchattacks, which ended with AssertionError: no such" in note for note in found.notes)


def test_toolkits_that_are_not_there(net, data, monkeypatch):
    for name in peers.INSTALL:
        monkeypatch.setitem(sys.modules, name, None)
    assert peers.toolkits("auto") == {} == peers.toolkits("none")
    with pytest.raises(MissingExtra, match="HF701 .*pip install adversarial-robustness-toolbox"):
        peers.toolkits("art")
    with pytest.raises(UsageError, match="HF805 .*'cleverhans'"):
        peers.toolkits("foolbox,cleverhans")


def test_a_model_that_peers_cannot_take_is_said(data, net, monkeypatch):
    fake(monkeypatch, "torchattacks")
    model = hf.wrap(lambda x: net(torch.from_numpy(x)).detach().numpy(), bounds=(0, 1), output="logits")
    found = bench(model, data, threat="linf:0.2", attacks=["square(steps=3)"], others="auto", repeat=1)
    assert any("want a torch module" in note for note in found.notes)
    assert found.plain_pass is None
    assert found.attacks[0].per_pass is None


def tables():
    """Every row of the tables of peers: toolkit, our class, exponent, options."""
    yield from (("foolbox", kind, p, options) for (kind, p), (_, options) in peers._FOOLBOX.items())
    yield from (("art", kind, p, options) for kind, (_, norms, options) in peers._ART.items() for p in norms)


@pytest.mark.parametrize("row", list(tables()), ids=lambda row: f"{row[0]} {row[1]} {row[2]}")
def test_the_tables_of_peers_name_attacks_and_fields_that_exist(row, net, data):
    _, kind, p, options = row
    attack = getattr(hf.attacks, kind)()
    assert p in attack.norms
    threat = {math.inf: "linf:0.2", 2.0: "l2:1", 1.0: "l1:2", 0.0: "l0:2"}[p]
    model = settle(hf.wrap(net, bounds=(0, 1)), data.x)
    seen = peers.victim(model, measure.parse(threat), data.x, data.y, 0)
    values = options(attack, seen)
    steps = [value for name, value in values.items() if name in ("steps", "max_iter")]
    assert steps == [attack.steps]


# Growth, memory, machine


def test_growth_with_the_batch_the_side_and_the_classes():
    x = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    net = Still().eval()
    model = hf.wrap(net, bounds=(0, 1))
    data = hf.Dataset(x, model.predict(x), classes=range(3))
    found = bench(model, data, threat="linf:0.1", attacks=["pgd(steps=30)"], others="none", repeat=1, growth=True)
    sizes = [(row.by, row.value) for row in found.growth]
    assert sizes[:4] == [("batch", 1), ("batch", 8), ("batch", 64), ("batch", 256)]
    assert sizes[4:7] == [("side", 3), ("side", 6), ("side", 12)]
    assert sizes[7:] == [("classes", 3), ("classes", 10), ("classes", 43), ("classes", 200)]
    assert found.growth_attack == "pgd(steps=10)"


def test_a_cost_of_growth_is_one_sample_and_one_pass(net, data):
    found = measured(net, data, growth=True, repeat=1)
    assert [row.plain for row in found.growth if row.by == "batch"] == [1.0] * 4
    assert any("no pictures" in note for note in found.notes)


def test_a_model_that_takes_one_size_only_is_said():
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    x = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    model = hf.wrap(net, bounds=(0, 1))
    data = hf.Dataset(x, model.predict(x), classes=range(3))
    found = bench(model, data, threat="linf:0.1", attacks=["pgd(steps=2)"], others="none", repeat=1, growth=True)
    assert [row.value for row in found.growth if row.by == "side"] == [6]
    assert any("no pictures of 3 x 3" in note for note in found.notes)


def test_memory_of_an_audit_in_a_process_of_its_own():
    row = memory.remembered(40, 0)
    assert (row.samples, row.data) == (40, 40 * 28 * 28 * 4)
    assert 0 < row.broken < 40
    assert row.peak >= row.before > 2**24


def test_an_input_that_a_run_keeps_does_not_hold_its_whole_batch(net, data, tmp_path, monkeypatch):
    made, first = [], Parts.__init__
    monkeypatch.setattr(
        Parts, "__init__", lambda self, *words, **more: made.append(self) or first(self, *words, **more)
    )
    audit(hf.wrap(net, bounds=(0, 1)), data, threat="linf:0.1", suite="pgd(steps=3)", out=tmp_path / "run")
    kept = [
        array for p in made for names in p._arrays.values() for arrays in names.values() for array in arrays.values()
    ]
    assert kept
    assert all(array.base is None for array in kept)


def test_a_child_without_an_answer_is_a_sentence(monkeypatch):
    monkeypatch.setattr(memory.sys, "executable", "/bin/false")
    assert "40 samples ended without an answer" in memory.remembered(40, 0)


def test_larger_audits_are_announced_with_their_time(net, data, monkeypatch):
    events = []

    def remembered(count, seed):
        events.append(count)
        if count == 600:
            return "Memory: no."
        return MemoryRow(
            samples=count, broken=1, data=4 * count, before=2**20, peak=2**20 + 8 * count, seconds=count / 10
        )

    monkeypatch.setattr(measure, "remembered", remembered)
    found = measured(net, data, memory=(200, 100, 600), on_event=events.append)
    told = [event.text if isinstance(event, Note) else event for event in events if isinstance(event, Note | int)]
    assert [t for t in told if isinstance(t, int)] == [100, 200, 600]
    assert "200 samples, about 20 s" in told[told.index(200) - 1]
    assert [row.samples for row in found.memory] == [100, 200]
    assert "Memory: no." in found.notes


def test_a_loaded_machine_is_warned_of(net, data, monkeypatch):
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (5.04, 0, 0))
    monkeypatch.setattr(machine, "processors", lambda: 4)
    found = measured(net, data)
    assert found.machine.load_before == found.machine.load_after == 5.04
    assert any("loaded (5.0 processes for 4 processors)" in note for note in found.notes)
    monkeypatch.setattr(machine, "processors", lambda: 6)
    assert not any("loaded" in note for note in measured(net, data).notes)


# The default list, refusals, interruption, documents


def test_the_usual_list_serves_the_threat(net, data):
    for threat in ("linf:0.1", "l2:0.2", "l1:0.5", "l0:2"):
        assert len(measured(net, data, threat=threat, attacks=(), repeat=1, batch=2).attacks) >= 2
    rows = measured(net, data, threat="l2:inf", attacks=(), repeat=1, batch=2).attacks
    assert all(row.minimal for row in rows)
    labels = measured(net, data, threat="l2:inf,knowledge=labels,queries=30", attacks=(), repeat=1, batch=2)
    assert [row.attack for row in labels.attacks] == ["hop_skip_jump(steps=10)"]
    with pytest.raises(UsageError, match="HF810"):
        measured(net, data, threat="l1:1,knowledge=labels", attacks=())


def test_what_cannot_be_measured(net, data):
    with pytest.raises(ThreatError, match="HF303"):
        measured(net, data, attacks=["ddn"])
    with pytest.raises(DataError, match="HF120"):
        measured(net, data.take([]))
    wrong = hf.Dataset(data.x, (data.y + 1) % 3, classes=range(3))
    with pytest.raises(DataError, match="HF120 .*none of these samples right"):
        measured(net, wrong)


def test_ctrl_c_keeps_what_is_finished(net, data):
    def stop(event):
        if isinstance(event, StageDone):
            raise KeyboardInterrupt

    found = measured(net, data, attacks=["pgd(steps=2)", "apgd(steps=2)"], on_event=stop, memory=(10,))
    assert not found.complete
    assert [row.attack for row in found.attacks] == ["pgd(steps=2)"]
    assert found.memory == ()
    assert "Interrupted" in found.notes[0]
    assert "Interrupted" in render(found, ".txt")


def test_the_document_and_every_form_of_the_page(net, data, monkeypatch):
    jsonschema = pytest.importorskip("jsonschema")
    fake(monkeypatch, "torchattacks", PGD=making(lambda net, x, y: x))
    row = MemoryRow(samples=10, broken=1, data=40, before=2**20, peak=2**21, seconds=1.0)
    monkeypatch.setattr(measure, "remembered", lambda count, seed: row)
    found = measured(net, data, others="auto", growth=True, memory=(10,))
    jsonschema.validate(json.loads(to_json(found)), schema(Bench))
    assert found.precision == "float32"
    for form in FORMS:
        text = render(found, form)
        assert "pgd(steps=5)" in text
        assert "float32" in text or form == ".csv"
    assert [table.heads[0] for table in page(found).tables] == ["attack", "attack", "what grows", ">samples"]
    lines = list(csv.DictReader(io.StringIO(render(found, ".csv"))))
    ratio = [line["value"] for line in lines if (line["table"], line["measure"]) == ("peers", "ratio")]
    assert [float(value) for value in ratio] == [found.peers[0].ratio]
    assert f"broken by ours only: {found.peers[0].only_ours[0]}" in render(found, ".txt")


WORDS = ["bench", "digits-mlp", "digits", "--peers", "none", "--batch", "8", "--repeat", "1"]


def test_the_command(tmp_path, capsys):
    words = [*WORDS, "--attack", "pgd(steps=2)"]
    assert main([*words, "-o", str(tmp_path / "page.csv")]) == 0
    shown = capsys.readouterr()
    assert "Beside the plain loop" in shown.out
    assert "pgd(steps=2)" in shown.err
    assert (tmp_path / "page.csv").read_text().startswith('"table"')
    assert main([*words, "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "urn:holdfast:bench:1"
    assert main([*words, "-qq"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--attack", "pgdd"], "HF811"),
        (["--attack", "ddn", "--threat", "linf:0.1"], "HF303"),
        (["--threat", "linf:much"], "HF30"),
        (["--memory", "--memory-to", "5"], "HF805"),
        (["--memory-to", "5000"], "HF805"),
        (["--threads", "100000"], "HF805"),
        (["--peers", "nobody"], "HF805"),
        (["--peers", "foolbox,none"], "HF805 'none' stands alone"),
        (["-o", "page.pdf"], "HF820"),
        (["--repeat", "0"], "HF805"),
    ],
)
def test_bad_input_is_one_line(capsys, more, code):
    assert main([*WORDS, *more]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert code in shown.err


def test_ctrl_c_on_the_command_line_prints_the_finished_rows(monkeypatch, capsys):
    whole = measure.beside_plain

    def once(subject, attack, one):
        if type(attack).__name__ == "Apgd":
            raise KeyboardInterrupt
        return whole(subject, attack, one)

    monkeypatch.setattr(measure, "beside_plain", once)
    assert main([*WORDS, "--attack", "pgd(steps=2)", "--attack", "apgd(steps=2)"]) == 130
    shown = capsys.readouterr().out
    assert "pgd(steps=2)  " in shown
    assert "Interrupted: only the rows that were finished." in shown
