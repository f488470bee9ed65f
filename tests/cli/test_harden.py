"""`holdfast harden`: a model file and a paired audit, within the time that was given."""

import itertools
import json
import shlex
import types

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.cli.main import main
from holdfast.core.errors import IntegrityError, ParameterError, UsageError
from holdfast.core.progress import BatchDone, Note
from holdfast.data import load
from holdfast.data.dataset import Splits
from holdfast.evaluation.defending import harden as hardening
from holdfast.evaluation.defending import recipe
from holdfast.evaluation.store import Folder
from holdfast.evaluation.table import SCHEMA
from holdfast.learning import precision
from holdfast.learning import train as training
from holdfast.learning.attacked import attacked
from holdfast.learning.train import Train
from holdfast.models.files import load_model
from holdfast.models.networks import build
from holdfast.models.source import source_of

pytestmark = pytest.mark.usefixtures("tried_here")

QUICK = {"suite": "pgd(steps=2)", "limit": 12}
ONE = "adversarial_training(steps=1)"


@pytest.fixture(scope="module")
def digits():
    """A few of them."""
    found = load("digits")
    return Splits(found.train.take(slice(0, 256)), found.test.take(slice(0, 60)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))


def copied(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_network_goes_in_and_a_network_comes_out(net, digits):
    before, mode = copied(net), net.training
    made, found = hf.harden(net, digits, threat="linf:0.1", recipe=ONE, epochs=2, **QUICK)
    assert isinstance(made, nn.Module)
    assert type(made) is type(net)
    assert made is not net
    assert same(before, net.state_dict()), "the network that was given stays as it is"
    assert net.training is mode
    assert not same(before, made.state_dict())
    assert not made.training
    assert (found.choice.recipe, found.choice.epochs) == (ONE, 2)
    assert found.comparison.threats == ("linf:1/10",)
    assert found.comparison.samples == 12
    assert torch.equal(found.model.predict(digits.test.x), made(digits.test.x).argmax(1))
    assert found.before is None, "temporary folders are gone"
    rows = found.to_frame("arrow")
    assert rows.column("audit").to_pylist() == ["before"] * 12 + ["after"] * 12
    assert rows.schema.names[1:] == list(SCHEMA.names)


def test_the_budget_ends_a_training_after_the_epoch_in_which_it_ran_out(net, digits, tmp_path, monkeypatch):
    seconds = itertools.count(step=40)
    choice = recipe.Choice(recipe=ONE, epochs=9, budget=60.0, epoch_seconds={}, text="nine")
    monkeypatch.setattr(hardening, "chosen", lambda *_, **__: choice)
    clock = types.SimpleNamespace(perf_counter=lambda: float(next(seconds)), monotonic=lambda: 0.0)
    monkeypatch.setattr(hardening, "time", clock)
    heard = []
    made, _ = hf.harden(
        net, digits, threat="linf:0.1", out=tmp_path / "h", budget="60s", on_event=heard.append, **QUICK
    )
    epochs = [e.done for e in heard if isinstance(e, BatchDone) and e.stage == "train"]
    assert epochs == [1], "the clock says 80 s after the first epoch"
    assert any("the budget ran out" in e.text for e in heard if isinstance(e, Note))
    held = torch.load(tmp_path / "h" / "checkpoint.pt", weights_only=True)
    assert same(held["average"], made.state_dict())


def test_the_same_call_continues_and_another_is_refused(net, digits, tmp_path, monkeypatch):
    asked = {"threat": "linf:0.1", "recipe": ONE, "epochs": 1, "out": tmp_path / "h", **QUICK}
    first, one = hf.harden(net, digits, **asked)

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(hardening, "audit", never)
    again, two = hf.harden(net, digits, **asked)
    assert same(first.state_dict(), again.state_dict())
    assert one.comparison == two.comparison
    with pytest.raises(IntegrityError, match="^HF416 "):
        hf.harden(net, digits, **{**asked, "threat": "linf:0.2"})


@pytest.fixture
def pictures():
    """A network with convolutions and batch norms."""
    torch.manual_seed(0)
    return build("cnn", shape=(1, 8, 8), classes=10, width=4).eval()


def trained(net, data, folder, **more):
    """What hardening gives, and what the trainings computed in."""
    seen = []

    def asked(like, space, x, bfloat16):
        seen.append(bfloat16)
        return attacked(like, space, x, bfloat16)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "attacked", asked)
        made, found = hf.harden(net, data, threat="linf:0.1", recipe=ONE, epochs=1, out=folder, **more, **QUICK)
    return made.state_dict(), found, set(seen)


def test_a_network_that_stands_bfloat16_is_trained_in_it_and_judged_as_it_is(pictures, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_processor", lambda: True)
    fast, found, in_bfloat16 = trained(pictures, digits, tmp_path / "fast")
    assert in_bfloat16 == {True}
    assert found.choice.precision == "bfloat16"
    assert "in bfloat16 as it trains" in found.choice.text
    assert {value.dtype for name, value in fast.items() if "num" not in name} == {torch.float32}
    assert {Folder(path).summary.provenance.precision for path in (found.before, found.after)} == {"float32"}
    again, _, _ = trained(pictures, digits, tmp_path / "again")
    assert same(fast, again), "to the same bits"
    slow, other, in_bfloat16 = trained(pictures, digits, tmp_path / "slow", precision="float32")
    assert in_bfloat16 == {False}
    assert other.choice.precision == "float32"
    assert not same(fast, slow)
    with pytest.raises(IntegrityError, match="^HF416 "):
        trained(pictures, digits, tmp_path / "fast", precision="float32")


def test_a_folder_keeps_the_precision_it_was_begun_in(pictures, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_processor", lambda: False)
    slow, found, _ = trained(pictures, digits, tmp_path / "h")
    assert found.choice.precision == "float32"
    choice = tmp_path / "h" / "choice.json"
    values = json.loads(choice.read_text())
    del values["precision"]  # as folders were written before there was a choice
    choice.write_text(json.dumps(values))
    monkeypatch.setattr(precision, "_processor", lambda: True)
    (tmp_path / "h" / "checkpoint.pt").unlink()
    again, _, in_bfloat16 = trained(pictures, digits, tmp_path / "h")
    assert in_bfloat16 == {False}
    assert same(slow, again)


def test_another_precision_and_one_for_an_estimator_are_one_clear_line(pictures, digits, tmp_path):
    with pytest.raises(ParameterError, match="^HF001 .*'precision' parameter"):
        trained(pictures, digits, tmp_path / "h", precision="half")
    from sklearn.tree import DecisionTreeClassifier

    with pytest.raises(UsageError, match="^HF834 .*precision='bfloat16' for an estimator"):
        hf.harden(DecisionTreeClassifier(), digits, threat="linf:0.1", precision="bfloat16")


@pytest.mark.parametrize(
    ("costs", "plan", "wanted"),
    [
        ({"a": 1.0, "b": 3.0, "c": 9.0}, 24.0, "b"),
        ({"a": 1.0, "b": 3.0, "c": 9.0}, 72.0, "c"),
        ({"a": 1.0, "b": 3.0}, 7.9, "a"),
        ({"a": 5.0, "b": 3.0}, 1.0, "b"),
    ],
)
def test_the_rule_takes_the_dearest_that_fits_eight_times_else_the_cheapest(costs, plan, wanted):
    assert recipe.pick(costs, plan) == wanted


def test_auto_measures_the_catalog_and_plans_what_fits(net, digits, monkeypatch):
    monkeypatch.setattr(recipe, "epoch_seconds", lambda *_: 2.0)
    of = Train(start=hf.wrap(net, (0, 1), output="logits", classes=10), epochs=1)

    def chosen(seconds, clock=lambda: 0.0):
        return recipe.chosen("auto", of, digits.train, hf.Linf(0.1), seconds=seconds, clock=clock)

    assert set(recipe.recipes()) >= {"adversarial_training"}
    assert chosen(40.0).epochs == 17, "0.85 of 40 s hold 17 epochs of 2 s"
    assert chosen(1.0).epochs == 1, "one epoch at least"
    assert chosen(1e6).epochs == recipe.LONG
    assert "Rule: of the recipes" in chosen(40.0).text


def test_auto_chooses_among_recipes_for_one_threat_whose_epochs_cost_the_same():
    assert set(recipe.recipes()) == {*recipe.automatic(), *recipe.UNPLANNED}
    assert {"trades", "fast_adversarial_training"} <= set(recipe.automatic())


@pytest.mark.parametrize(
    "text",
    [
        "multi_norm(threats=['l2:1/2'],steps=1)",
        "curriculum_adversarial_training(steps=1,validation_samples=5)",
        "fast_adversarial_training(alignment=0.2,validation_samples=5)",
        "averaged(of='trades(steps=1)')",
        "wasserstein_robust(steps=1)",
        "group_dro",
        "parseval_networks",
        "lipschitz_margin",
    ],
)
def test_learners_train_a_given_network_on(text, net, digits):
    of = Train(start=hf.wrap(net, (0, 1), output="logits", classes=10), epochs=2, batch=16, rate=0.01)
    made = recipe.learner_of(text, of, hf.Linf(0.1)).fit(digits.train.take(slice(0, 40)))
    found, before = source_of(made).ask.net.state_dict(), net.state_dict()
    assert found.keys() == before.keys()
    assert not all(torch.equal(found[name], before[name]) for name in before)


def test_a_batch_is_what_three_cost_more_than_one(net, digits):
    of = Train(start=hf.wrap(net, (0, 1), output="logits", classes=10), epochs=5, batch=64)
    learner = recipe.learner_of(ONE, of, hf.Linf(0.1))
    ticks = iter([0, 9, 10, 15, 20, 35])  # the first training, one batch in 5 s, three in 15 s
    assert recipe.epoch_seconds(learner, digits.train, clock=lambda: float(next(ticks))) == 4 * 5.0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bit_depth", "HF834"),
        ("bit_depth+adversarial_training", "HF834"),
        ("adversarial_trainin", "HF830"),
        ("adversarial_rounds", "HF834"),
        ("defensive_distillation", "HF834"),
        ("spectral_normalization", "HF834"),
        ("averaged(of='defensive_distillation')", "HF834"),
    ],
)
def test_what_is_no_recipe_is_one_clear_line(name, code, net, digits, tmp_path):
    with pytest.raises(UsageError, match=f"^{code} "):
        hf.harden(net, digits, threat="linf:0.1", recipe=name, epochs=1, out=tmp_path / "h")


def test_a_guarded_model_or_another_library_is_refused(net, digits):
    for model in (
        hf.wrap(net, (0, 1), output="logits") | hf.defenses.BitDepth(bits=3),
        hf.wrap(lambda x: torch.zeros(len(x), 10), (0, 1)),
    ):
        with pytest.raises(UsageError, match="^HF835 "):
            hf.harden(model, digits, threat="linf:0.1", recipe=ONE, epochs=1)


def test_the_command_writes_a_model_with_its_card(tmp_path, capsys):
    file = tmp_path / "h.safetensors"
    words = ["harden", "digits-mlp", "digits", "--threat", "linf:0.1", "--recipe", ONE, "--epochs", "1"]
    words += ["--suite", "pgd(steps=2)", "-n", "12", "-o", str(file), "--json"]
    assert main(words) == 0
    out, told = capsys.readouterr()
    values = json.loads(out)
    assert values["schema"] == "urn:holdfast:comparison:1"
    assert values["runs"][1]["model"].endswith("hardened")
    assert f"Model: {file}" in told
    card = json.loads((tmp_path / "h.card.json").read_text())
    wanted = {"from": "digits-mlp", "recipe": ONE, "epochs": 1, "threat": "linf:0.1", "precision": "float32"}
    assert card["hardened"] == wanted
    found = load_model(file)
    assert found.stages == load_model("digits-mlp").stages
    assert main(["recheck", str(tmp_path / "h.runs" / "after"), str(file), "digits", "-qq"]) == 0


def test_the_command_refuses_another_kind_of_file(capsys):
    assert main(["harden", "digits-mlp", "digits", "-o", "model.pt"]) == 2
    assert "HF820" in capsys.readouterr().err


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    """A forest in a file."""
    from sklearn.ensemble import RandomForestClassifier

    train = load("breast_cancer").train
    made = RandomForestClassifier(3, max_depth=3, random_state=0).fit(train.x.double().numpy(), train.y.numpy())
    file = tmp_path_factory.mktemp("models") / "forest.skops"
    pytest.importorskip("skops.io").dump(made, file)
    return file


def test_the_command_hardens_a_model_file_of_a_table(forest, tmp_path, capsys):
    words = ["harden", str(forest), "breast_cancer", "--threat", "linf:1", "--recipe", "robust-splitting"]
    words += ["--suite", "square(steps=3)", "-n", "12", "-o", str(tmp_path / "h")]
    assert main(words) == 0
    out, told = capsys.readouterr()
    assert "forest hardened by robust_splitting(trees=3, depth=3)" in out
    assert "right, and nothing in the ball changes it" in out
    assert f"Model: {tmp_path / 'h' / 'model.skops'}" in told
    there = {path.name for path in (tmp_path / "h").iterdir()}
    assert {"model.skops", "hardening.html", "hardening.md", "hardening.json", "before", "after"} <= there
    assert (tmp_path / "h" / "after" / "report.html").is_file()
    page = (tmp_path / "h" / "hardening.html").read_text()
    assert all(f'href="{part}/report.html"' in page for part in ("before", "after"))
    assert "square(steps=3)*" not in page
    again = ["recheck", str(tmp_path / "h" / "after"), str(tmp_path / "h" / "model.skops"), "breast_cancer", "-qq"]
    assert main(again) == 0
    longer, rows = [line.strip() for line in out.splitlines() if line.startswith("  holdfast ")]
    assert "--threat linf:1" in longer
    short = ["-n", "3", "--suite", "square(steps=1)", "-o", str(tmp_path / "a"), "-qq"]
    assert main([*shlex.split(longer)[1:], *short]) == 0
    assert main([*shlex.split(rows)[1:], "-qq"]) == 0


def test_a_suite_that_gave_way_and_a_model_that_knows_too_much_are_told(forest, tmp_path, capsys):
    words = ["harden", str(forest), "breast_cancer", "--threat", "linf:1", "--recipe", "robust-stumps"]
    assert main([*words, "--suite", "quick", "-n", "6", "-o", str(tmp_path / "h")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "quick*: what cannot ask the model" in told
    assert "The given model is fitted. What it learned from is not known" in told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-o", "x.safetensors", "--threat", "linf:1"], "HF820"),
        (["--threat", "linf:1", "--recipe", "trades"], "HF834"),
        (["--threat", "linf:1", "--epochs", "3"], "HF834"),
        (["--threat", "linf:1", "--evade", "benign:evil"], "HF309"),
        (["--profile", "spam"], "HF311"),
        ([], "HF808"),
    ],
)
def test_the_command_refuses_what_makes_no_sense_for_a_table(words, code, forest, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["harden", str(forest), "breast_cancer", *words]) in (2, 3)
    assert code in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
