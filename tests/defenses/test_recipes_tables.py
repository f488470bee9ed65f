"""Trainings on a table keep its schema: recipes search among possible rows, or refuse in one line."""

import dataclasses

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.core.errors import ModelError, ThreatError
from holdfast.data.dataset import Dataset
from holdfast.defenses.distillation.robust_distillation import RobustDistillation
from holdfast.defenses.ensembles.adaptive_diversity import AdaptiveDiversity
from holdfast.defenses.regularization.dropout import Dropout
from holdfast.defenses.training import _recipe
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.defenses.training.curriculum_adversarial_training import CurriculumAdversarialTraining
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining
from holdfast.defenses.training.free_adversarial_training import FreeAdversarialTraining
from holdfast.defenses.training.multi_norm import MultiNorm
from holdfast.learning.train import Train

PLAIN = Train(network="mlp", width=8, depth=2, epochs=2, batch=32)
PATIENT = dataclasses.replace(PLAIN, patience=2)
TWO = hf.Table(features=2)
SCHEMA = hf.Schema(
    (
        hf.Feature("age", "integer", low=18, high=90),
        hf.Feature("amount", low=0, high=100),
        hf.Feature("job", "categorical", levels=("a", "b", "c")),
        hf.Feature("known", "binary", immutable=True),
    ),
    name="loans",
)


@pytest.fixture(scope="module")
def loans():
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(120, 4, generator=draw, dtype=torch.float64) * torch.tensor([72.0, 100, 2.99, 1.99])
    x = torch.stack([x[:, 0].round() + 18, x[:, 1], x[:, 2].floor(), x[:, 3].floor()], 1)
    y = (x[:, 0] > 50).long() + (x[:, 1] > 60).long()
    return Dataset(x, y, schema=SCHEMA, classes=("0", "1", "2"))


@pytest.mark.parametrize(
    "learner",
    [
        PLAIN,
        AdversarialTraining(of=PLAIN, threat=TWO, steps=1),
        AdversarialTraining(of=PATIENT, threat=TWO, steps=1),
        FastAdversarialTraining(of=PLAIN, threat=TWO),
        CurriculumAdversarialTraining(of=PLAIN, threat=TWO, steps=2, level=0.01),
        MultiNorm(of=PATIENT, threat=TWO, threats=(hf.Table(linf=1),), steps=1),
        Dropout(of=PLAIN),
        AdaptiveDiversity(of=PLAIN, members=2),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_what_learns_from_a_table_is_a_model_of_the_table(learner, loans):
    made = learner.fit(loans)
    assert isinstance(made.space, hf.Tabular)
    assert made.space.schema is SCHEMA
    assert hf.run(hf.attacks.Capgd(steps=2), made, loans.x[:8], loans.y[:8], TWO).status.count("invalid") == 0


def test_validation_attacks_keep_to_possible_rows(loans, monkeypatch):
    seen = []

    def run(attack, model, x, y, threat, **more):
        seen.append((type(attack).__name__, attack.steps, threat))
        return hf.run(attack, model, x, y, threat, **more)

    monkeypatch.setattr(_recipe, "run", run)
    FastAdversarialTraining(of=dataclasses.replace(PLAIN, epochs=1), threat=TWO, validation_steps=3).fit(loans)
    assert seen == [("Capgd", 3, TWO), ("Capgd", 1, TWO)]


@pytest.mark.parametrize(
    ("recipe", "code"),
    [
        (FreeAdversarialTraining(of=PLAIN, threat=TWO), "HF303"),
        (AdversarialTraining(of=PLAIN, threat=hf.Linf(0.1)), "HF307"),
        (MultiNorm(of=PLAIN, threat=TWO), "HF307"),
        (RobustDistillation(teacher=PLAIN, of=PLAIN, threat=hf.Linf(0.1)), "HF307"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_does_not_suit_a_table_is_one_line_before_anything_is_trained(recipe, code, loans, monkeypatch):
    monkeypatch.setattr(Train, "fit", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ThreatError, match=f"^{code} "):
        recipe.fit(loans)


def test_a_table_threat_needs_a_table():
    digits = hf.data.load("digits").train.take(torch.arange(60))
    for recipe in (FreeAdversarialTraining(of=PLAIN, threat=TWO), AdversarialTraining(of=PLAIN, threat=TWO)):
        with pytest.raises(ThreatError, match="^HF308 "):
            recipe.fit(digits)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ThreatError, match="^HF308 "):
        hf.harden(net, digits, threat="table:features=2", budget="1s")


def test_hardening_on_one_class_is_refused():
    digits = hf.data.load("digits").train
    three = digits.take((digits.y == 3).nonzero()[:50, 0])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ModelError, match="^HF220 "):
        hf.harden(net, three, threat="linf:0.1", budget="1s")


def test_a_network_of_plain_numbers_stays_one_on_a_table(loans):
    """Who wrapped it with bounds means the ball: hardened, it is asked about the same ball."""
    start = hf.wrap(nn.Sequential(nn.Linear(4, 3)), loans.bounds, output="logits")
    made = AdversarialTraining(of=Train(start=start, epochs=1, batch=32), threat=hf.Linf(0.1), steps=1).fit(loans)
    assert not isinstance(made.space, hf.Tabular)
