"""The table of `benchmarks/ratios.py`: when a ratio counts, what the aim is, and that both sides take equal steps."""

import pathlib
import runpy
import sys
import types

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.evaluation.bench.peers import Asked, Peer, victim
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.threats.literals import parse

FOLDER = pathlib.Path(__file__).parents[2] / "benchmarks"
COUNT = 6


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return types.SimpleNamespace(**runpy.run_path(str(FOLDER / "ratios.py")))


@pytest.fixture
def subject(study):
    flat = nn.Linear(6, 3)
    flat.weight.data = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    x = torch.rand(COUNT, 6, generator=torch.Generator().manual_seed(1))
    model = settle(hf.wrap(flat.eval(), bounds=(0, 1)), x)
    return lambda threat, target=None: study.Subject(
        model=model, threat=parse(threat), x=x, y=model.predict(x), target=target, repeat=2
    )


def entry(attack, **more):
    entries = runpy.run_path(str(FOLDER / "ratio_peers.py"))
    return entries["Entry"](name="some", attack=attack, threat="linf:0.2", **more)


def beside(study, ratio, passes=40.0, theirs=40.0, found=(10, 10), far=(None, None)):
    one, other = (study.Strength(samples=10, found=n, distance=d) for n, d in zip(found, far, strict=True))
    return study.Beside(ratio=ratio, passes=passes, passes_theirs=theirs, ours=one, theirs=other)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"ratio": 0.7}, {"ratio": 0.2}], "met, 0.70"),
        ([{"ratio": 0.71}, {"ratio": 0.2}], "missed, 0.71"),
        ([{"ratio": 1.1, "passes": 19.0, "theirs": 19.0}], "met, 1.10"),
        ([{"ratio": 1.1, "passes": 20.0, "theirs": 20.0}], "missed, 1.10"),
        ([{"ratio": 0.1, "found": (8, 10)}], "weaker"),
        ([{"ratio": 0.1, "found": (9, 10)}], "met, 0.10"),
        ([{"ratio": 0.5}, {"ratio": 3.0, "found": (8, 10)}], "met, 0.50, but weaker than one"),
        ([{"ratio": 0.5, "far": (1.03, 1.0)}], "weaker"),
        ([{"ratio": 0.5, "far": (1.01, 1.0)}], "met, 0.50"),
        ([{"ratio": 0.5, "far": (1.0, float("inf"))}], "met, 0.50"),
        ([{"ratio": 0.5, "far": (float("inf"), 1.0)}], "weaker"),
        ([{"ratio": 2.0, "theirs": 30.0}, {"ratio": 0.6}], "missed, 2.00; met at equal passes, 0.60"),
        ([{"ratio": 2.0, "theirs": 30.0}], "missed, 2.00; of a peer that makes fewer passes"),
        ([], "no peer"),
    ],
)
def test_the_verdict_is_against_the_fastest_peer_beside_which_ours_is_not_weaker(study, rows, said):
    assert study.verdict([beside(study, **row) for row in rows]) == said


def test_a_row_of_the_table_marks_what_does_not_count(study):
    found = {"foolbox": beside(study, 0.4, found=(5, 10)), "art": beside(study, 0.9, theirs=20.0)}
    cells = study.line("PGD", "linf:0.2", "0.66", found, ["torchattacks ended"]).strip("| ").split(" | ")
    assert cells[:4] == ["PGD", "linf:0.2", "40; 40, 20", "0.66"]
    assert cells[4:7] == ["0.40 w", "–", "0.90 f"]
    assert cells[7] == "5; 10, 10"
    assert cells[8].endswith("but weaker than one; torchattacks ended") or cells[8].startswith("missed, 0.90")


def test_our_questions_are_the_peers_where_only_decisions_are_seen(study, subject):
    some = subject("l2:inf")
    seen = victim(some.model, some.threat, some.x, some.y, 0)

    def asking():
        for _ in range(31):
            seen.net(some.x)
        return some.x

    row = study.beside(some, entry(hf.attacks.Boundary(), equal_questions=True), Peer("p", seen, asking), seen)
    assert row.passes == row.passes_theirs == 31
    assert row.theirs.found == 0


def test_gradient_attacks_go_to_the_end_and_attacks_on_scores_stop_at_success(study, subject):
    some = subject("linf:0.9")
    steps = some.attacked(entry(hf.attacks.Pgd(steps=7)), None)
    assert steps.gradients.tolist() == [7] * COUNT
    questions = some.attacked(entry(hf.attacks.Square(steps=300)), None).queries
    assert int(questions.max()) < 300


def test_backward_passes_of_a_peer_are_counted():
    net = Asked(source_of(hf.wrap(nn.Linear(2, 3), bounds=(0, 1))).ask)
    x = torch.zeros(5, 2, requires_grad=True)
    net(torch.zeros(4, 2))
    scores = net(x)
    for k in range(3):
        torch.autograd.grad(scores[:, k].sum(), x, retain_graph=True)
    assert (net.rows, net.gradients) == (9, 15)


def test_strength_toward_a_class_counts_that_class_alone(study, subject):
    some = subject("l2:inf", target=torch.full((COUNT,), 2))
    answers = some.model.predict(some.x)
    assert some.strength(some.x, True).found == int((answers == 2).sum())
    plain = subject("l2:inf")
    assert plain.strength(plain.x, True).found == 0


def test_a_slow_peer_runs_once(study, monkeypatch):
    now, runs = [0.0], []

    def side(name, seconds):
        def act(*_):
            runs.append(name)
            now[0] += seconds

        return act

    monkeypatch.setattr("time.process_time", lambda: now[0])
    study.turns(side("slow", 6.0), side("ours", 1.0), 3)
    assert runs == ["slow", "ours"]
    runs.clear()
    peer, ours = study.turns(side("peer", 5.0), side("ours", 1.0), 3)
    assert runs == ["peer", "ours"] * 3
    assert (peer.seconds, ours.seconds) == ((5.0,) * 3, (1.0,) * 3)


def test_every_row_is_served_by_its_threat_and_names_are_printed(monkeypatch, capsys):
    table = runpy.run_path(str(FOLDER / "ratio_peers.py"))["TABLE"]
    for row in table:
        assert row.attack.serves(parse(row.threat)), row.name
        assert row.attack.minimal != parse(row.threat).bounded, row.name
    monkeypatch.setattr(sys, "argv", ["ratio_peers.py"])
    runpy.run_path(str(FOLDER / "ratio_peers.py"), run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) == len(table)
