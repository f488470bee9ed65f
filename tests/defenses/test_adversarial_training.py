"""Adversarial training buys robustness, costs accuracy at most a little here, and looks only inside the region."""

import dataclasses

import pytest
import torch
from torch.nn.functional import cross_entropy

import holdfast as hf
from holdfast.core.progress import BatchDone
from holdfast.defenses.training._recipe import Withstands
from holdfast.defenses.training._worst import Worst
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning.train import Train

PLAIN = Train(network="mlp", width=32, epochs=10, batch=64, rate=0.05, smoothing=0.0)


@pytest.fixture(scope="module")
def digits():
    return hf.data.load("digits")


@pytest.mark.parametrize("threat", [hf.Linf(0.1), hf.L2(0.8)], ids=str)
def test_the_trained_twin_withstands_more(digits, threat):
    plain = PLAIN.fit(digits.train, 0)
    twin = AdversarialTraining(of=PLAIN, threat=threat, steps=4, step=0.4).fit(digits.train, 0)
    test = digits.test
    rates = [
        hf.run(hf.attacks.Pgd(), m, test.x, test.y, threat).status.count("unbroken") / len(test) for m in (plain, twin)
    ]
    assert rates[1] >= rates[0] + 0.1
    clean = (twin.predict(test.x) == test.y).double().mean()
    assert clean >= 0.9


def test_worst_inputs_lie_inside_and_raise_the_loss(digits):
    part = digits.train.take(torch.arange(40))
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    for threat in (hf.Linf(0.1), hf.L2(0.5), hf.L1(2.0)):
        worst = Worst(threat=threat, space=part.space, steps=5, step=0.3)
        x = worst(net, part.x, part.y, torch.Generator().manual_seed(0))
        again = worst(net, part.x, part.y, torch.Generator().manual_seed(0))
        assert torch.equal(x, again)
        assert threat.around(part.x, part.space).contains(x).all()
        before, after = (cross_entropy(net(z), part.y, reduction="none") for z in (part.x, x))
        assert (after > before).all()


def test_the_epoch_is_chosen_by_robustness(digits):
    """The judge is the share that PGD leaves standing, on the same seeded part each time."""
    model = PLAIN.fit(digits.train, 0)
    judge = Withstands(threat=hf.Linf(0.1), steps=5, samples=100, seed=3)
    part = digits.test.sample(100, 3)
    out = hf.run(hf.attacks.Pgd(steps=5, step=0.25), model, part.x, part.y, hf.Linf(0.1), seed=3)
    found = judge(model, digits.test)
    assert found.score == judge(model, digits.test).score == out.status.count("unbroken") / 100
    assert found.samples == 100
    scores = []
    twin = AdversarialTraining(
        of=dataclasses.replace(PLAIN, epochs=4, patience=2), threat=hf.Linf(0.1), steps=1, step=1.0
    )
    twin.fit(digits.train, 0, lambda e: scores.append(e.held / e.judged) if isinstance(e, BatchDone) else None)
    assert len(scores) == 4
    assert 0 < max(scores) < 1
