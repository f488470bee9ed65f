"""One direction: from some classes into others, on models of more than two classes."""

import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import minmax_scale

import holdfast as hf
from holdfast.cli.main import main
from holdfast.core.errors import ThreatError
from holdfast.defenses import BitDepth
from holdfast.evaluation.evading import direction, in_direction, of_source
from holdfast.models.direction import sides, toward
from holdfast.models.settle import settle
from holdfast.report import words
from holdfast.threats.goals import Answer, Evade, Target, overall

NAMES = ("barolo", "grignolino", "barbera")
ASKED = {"threat": "linf:0.15", "suite": "pgd(steps=10)"}


@pytest.fixture(scope="module")
def wine():
    """scikit-learn's wine with the names of its classes, every second row, and a linear model of the others."""
    x, y = load_wine(return_X_y=True)
    x = torch.tensor(minmax_scale(x), dtype=torch.float32)
    data = hf.Dataset(x[::2], y[::2], classes=NAMES, name="wine")
    return data, LogisticRegression(max_iter=500).fit(x[1::2], y[1::2])


@pytest.mark.parametrize("into", [(0,), (1,), (2, 3), (0, 3)])
def test_two_sides_decide_as_all_classes_do_also_at_ties(into):
    scores = torch.randint(0, 3, (400, 4), generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    rest = tuple(k for k in range(4) if k not in into)
    pair = sides(scores, rest, into)
    wanted = torch.isin(scores.argmax(1), torch.tensor(into))
    assert torch.equal(pair.argmax(1) == 1, wanted)
    assert torch.allclose(pair[:, 1], scores[:, list(into)].amax(1))
    (slope,) = torch.autograd.grad((pair[:, 0] - pair[:, 1]).sum(), scores)
    assert torch.allclose(slope.sum(1), torch.zeros(400, dtype=torch.double)), "the gradient of both sides is there"
    labels = torch.zeros(400, dtype=torch.long)
    reached = overall(Evade(labels, 0, into).margins(Answer(scores.detach()))) < 0
    assert torch.equal(reached, wanted), "the goal for attacks called by hand says the same"


def test_the_goal_with_one_class_is_the_target_and_several_take_any():
    scores = torch.tensor([[3.0, 1, 2, 0], [0, 5, 1, 4]])
    labels = torch.tensor([0, 1])
    assert torch.equal(
        Evade(labels, (0, 1), 2).margins(Answer(scores)), Target(torch.tensor([2, 2])).margins(Answer(scores))
    )
    assert overall(Evade(labels, (0, 1), (2, 3)).margins(Answer(scores))).tolist() == [1.0, 1.0]
    assert overall(Evade(labels, 1, [2, 3]).margins(Answer(scores))).tolist() == [torch.inf, 1.0]
    assert Evade(labels, (0, 1), (2, 3)).take(torch.tensor([1, 1])).labels.tolist() == [1, 1]


@pytest.mark.parametrize("sides", [(0, (0, 1, 2, 3)), (0, 4), (0, ()), ((), 1), (-1, 1), (4, 0)])
def test_a_goal_of_classes_that_are_none_is_one_line(sides):
    with pytest.raises(ThreatError, match="^HF309 "):
        Evade(torch.zeros(2, dtype=torch.long), *sides).margins(Answer(torch.rand(2, 4)))


def test_recall_is_told_for_every_source(wine):
    data, linear = wine
    run = hf.audit(hf.wrap(linear), data, **ASKED, evade="barolo,grignolino:barbera")
    chosen = (data.y < 2).numpy()
    said = linear.predict(data.x[chosen].numpy())
    assert (run.clean_accuracy.k, run.clean_accuracy.n) == ((said != 2).sum(), chosen.sum())
    facts = run.summary.threats[0]
    assert [(c.label, c.name, c.robust.n) for c in facts.per_class] == [
        (k, NAMES[k], int((data.y == k).sum())) for k in (0, 1)
    ]
    assert sum(c.robust.k for c in facts.per_class) == run.empirical_robust_accuracy.k
    assert facts.statuses["broken"]
    assert run.summary.model.class_names == ("not barbera", "barbera")
    assert run.summary.data.split == "barolo or grignolino to be taken for barbera"
    whole = hf.audit(hf.wrap(linear), data, **ASKED)
    held = {c.label: c.robust.k for c in whole.summary.threats[0].per_class}
    assert all(c.robust.k >= held[c.label] for c in facts.per_class), "one direction is never easier than any"


def test_the_evasion_rate_of_every_source_is_told_in_every_view(wine):
    data, linear = wine
    run = hf.audit(hf.wrap(linear), data, **ASKED, evade="barolo,grignolino:barbera")
    facts, rows = run.summary.threats[0], run.samples.to_pylist()
    for source in facts.per_class:
        mine = [row["status"] for row in rows if data.y[row["sample"]] == source.label]
        assert (source.evasion.k, source.evasion.n) == (mine.count("broken"), len(mine) - mine.count("wrong"))
        assert source.evasion.n == source.clean.k
    assert 0 < facts.success_rate.k == sum(source.evasion.k for source in facts.per_class)
    assert len({source.evasion.k for source in facts.per_class}) == 2, "no class has the number of another one"
    told = {form: run.report(run.path / f"told{form}").read_text() for form in (".html", ".md", ".txt")}
    for source in (facts.success_rate, *(source.evasion for source in facts.per_class)):
        of, point, ends = f"{source.k}/{source.n}", words.percent(source.point), words.interval(source)
        assert f'<span class="ci">{ends}</span> <span class="kn">{of}</span>' in told[".html"]
        assert f"{point} {ends} ({of})" in told[".md"]
        assert f"{point} {ends} ({of})".replace("\u00a0", " ") in " ".join(told[".txt"].split())
    assert "<dt>evasion rate: barolo or grignolino to be taken for barbera</dt>" in told[".html"]
    assert '<th scope="col">evasion rate</th>' in told[".html"]
    assert f"Evasion rate: {words.rate(facts.success_rate)}." in told[".md"]
    assert "| clean accuracy | evasion rate |" in told[".md"]
    assert "evasion rate: " in told[".txt"]


def test_with_two_classes_the_evasion_rate_is_that_of_all_samples(wine):
    data, linear = wine
    two = data.take(data.y < 2)
    pair = hf.Dataset(two.x, two.y, classes=NAMES[:2])
    model = hf.wrap(LogisticRegression(max_iter=500).fit(pair.x.numpy(), pair.y.numpy()))
    run = hf.audit(model, pair, **ASKED, evade="barolo:grignolino")
    (source,) = run.summary.threats[0].per_class
    assert (source.evasion.k, source.evasion.n) == (
        (run.summary.threats[0].success_rate.k, run.summary.threats[0].success_rate.n)
    )
    assert run.summary.data.direction == "barolo to be taken for grignolino"
    assert "evasion rate: " in str(run.report(run.path / "told.txt").read_text())


def test_an_audit_of_all_directions_has_no_evasion_rate(wine):
    data, linear = wine
    run = hf.audit(hf.wrap(linear), data, **ASKED)
    assert run.summary.data.direction == ""
    assert all(source.evasion is None for source in run.summary.threats[0].per_class)
    for form in (".md", ".txt"):
        assert "vasion rate" not in run.report(run.path / f"told{form}").read_text()
    page = run.report(run.path / "told.html").read_text()
    assert "success rate of the attacks" in page
    assert '<th scope="col">evasion rate</th>' not in page


def test_broken_rows_are_exactly_those_that_a_linear_model_gives_up(wine):
    """Two sides of a linear model: the largest change of each difference of scores under Linf is known."""
    data, linear = wine
    part = data.take(data.y == 0)
    run = hf.audit(hf.wrap(linear), data, threat="linf:0.15", suite="apgd(steps=40)", evade="0:1")
    low, high = (part.x - 0.15).clamp(0, 1), (part.x + 0.15).clamp(0, 1)
    w, b = torch.tensor(linear.coef_).float(), torch.tensor(linear.intercept_).float()
    toward_one = w[1] - w[0]
    best = torch.where(toward_one > 0, high, low)
    scores = best @ w.T + b
    surely = (scores.argmax(1) == 1).sum()
    never = ((best @ toward_one) + b[1] - b[0] < 0).sum()
    broken = run.summary.threats[0].statuses.get("broken", 0)
    assert surely > 0
    assert surely <= broken <= len(part) - never


def test_an_answer_that_nobody_aimed_at_is_still_found(wine):
    data, _ = wine
    other = hf.wrap(lambda x: (x[:, :3] * 0) + [0.1, 0.8, 0.1], output="probabilities", name="always grignolino")
    run = hf.audit(other, data, threat="linf:0.1", suite="square(steps=2)", evade="barolo:barbera")
    assert run.clean_accuracy.point == run.empirical_robust_accuracy.point == 1
    assert hf.audit(other, data, threat="linf:0.1", suite="square(steps=2)").clean_accuracy.point < 1


def test_stages_scores_and_labels_go_the_same_way(wine):
    data, linear = wine
    x, into = data.x, torch.tensor([2])
    models = [
        hf.wrap(linear) | BitDepth(bits=5),
        hf.wrap(linear.predict_proba, output="probabilities"),
        hf.wrap(linear.predict, output="labels", classes=3),
    ]
    for model in models:
        seen = in_direction(model, data, "0:2")
        before = settle(model, x).predict(x)
        assert torch.equal(seen.predict(x) == 1, torch.isin(before, into))
        assert torch.equal(seen.labels(x) == 1, torch.isin(before, into))
        assert (seen.classes, seen.random) == (2, False)
        assert (seen.module is None, seen.scores is None) == (model.module is None, settle(model, x).scores is None)
        assert settle(seen, x) == seen
    guarded = in_direction(models[0], data, "0:2")
    assert guarded.guards == models[0].guards
    run = hf.audit(models[0], data, **ASKED, evade="1:2")
    assert run.summary.model.stages == ("bit_depth(bits=5)",)
    assert run.summary.threats[0].statuses["broken"]


def test_two_classes_stay_as_they_are(wine):
    data, linear = wine
    two = data.take(data.y < 2)
    pair = hf.Dataset(two.x, two.y, classes=NAMES[:2])
    model = hf.wrap(linear)
    assert in_direction(model, pair, "barolo:grignolino") is model
    assert of_source(pair, "barolo:grignolino").kinds is None
    assert of_source(data, "") is data
    assert in_direction(model, data, "") is model


def test_names_may_hold_colons_and_commas():
    data = hf.Dataset(torch.zeros(3, 1), [0, 1, 2], classes=("a:b", "c,d", "e"))
    assert direction(data, "a:b:c,d").told == "a:b to be taken for c,d"
    assert direction(data, "0, 2:c,d").source == (0, 2)
    assert direction(data, "e:0,1").into == (0, 1)


@pytest.mark.parametrize(
    "wrong", ["barolo", "barolo:barolo", "barolo,barbera:barbera", "0:7", ":1", "merlot:1", "0:1,0"]
)
def test_what_cannot_be_told_is_refused(wine, wrong):
    data, linear = wine
    with pytest.raises(ThreatError, match="HF309") as told:
        hf.audit(hf.wrap(linear), data, threat="linf:0.1", evade=wrong)
    assert "barolo" in str(told.value)


def test_a_near_name_is_offered_and_other_classes_are_refused(wine):
    data, linear = wine
    with pytest.raises(ThreatError, match="did you mean barolo"):
        hf.audit(hf.wrap(linear), data, threat="linf:0.1", evade="barollo:barbera")
    four = hf.Dataset(data.x, data.y, classes=(*NAMES, "merlot"))
    with pytest.raises(ThreatError, match="3 classes of the model, 4 of the data"):
        hf.audit(hf.wrap(linear), four, threat="linf:0.1", evade="0:1")


def test_kinds_go_with_their_samples(wine):
    data, _ = wine
    chosen = of_source(data, "barolo,barbera:grignolino")
    assert set(chosen.y.tolist()) == {0}
    assert chosen.take([3, 1]).kinds.tolist() == [chosen.kinds[3], chosen.kinds[1]]
    assert chosen.kind_names == NAMES
    assert torch.equal(chosen.kinds, data.y[data.y != 1])


def test_the_view_searches_where_the_model_does(wine):
    data, linear = wine
    model = settle(hf.wrap(linear), data.x)
    assert toward(model, (0, 2)).trees is None
    assert model.classes == 3
    found = hf.run(hf.attacks.Pgd(steps=10), model, data.x, Evade(data.y, (0, 1), 2), "linf:0.3")
    assert found.success.any()
    assert (model.predict(found.adversarial[found.success]) == 2).all()


def test_a_run_in_one_direction_is_checked_and_replayed_in_it(tmp_path, capsys):
    words = ["audit", "digits-mlp", "digits", "--threat", "linf:0.15", "--suite", "pgd(steps=5)", "-n", "20"]
    run = str(tmp_path / "run")
    assert main([*words, "--evade", "3,8:0,9", "-o", run, "-q"]) == 0
    assert main(["recheck", run, "-q"]) == 0
    capsys.readouterr()
    facts = hf.open_run(run).summary.threats[0]
    assert {c.name for c in facts.per_class} == {"3", "8"}
    broken = [row["sample"] for row in hf.open_run(run).samples.to_pylist() if row["status"] == "broken"]
    assert broken
    assert main(["replay", run, str(broken[0]), "-q"]) == 0
    assert main(["audit", "digits-mlp", "digits", "--evade", "3:11", "--dry-run"]) == 2
