"""MagNet is its published parts on one autoencoder, and lets an attacker through who knows it."""

import pytest
import torch

import holdfast as hf
from cases.preprocessing import Case
from holdfast.core.errors import DataError
from holdfast.defenses.detection.mag_net import MagNet
from holdfast.defenses.detection.reconstruction import Reconstruction
from holdfast.defenses.preprocessing.purifier import Purifier
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.stage import why
from laws import test_stages as laws

SETTINGS = {"width": 8, "updates": 100, "noise": 0.2, "rate": 0.01}


@pytest.fixture(scope="module")
def digits():
    found = hf.data.load("digits")
    return found.train.take(torch.arange(600)), found.test.take(torch.arange(200))


@pytest.fixture(scope="module")
def model(digits):
    return settle(load_model("digits-mlp"), digits[1].x)


@pytest.fixture(scope="module")
def stage(digits, model):
    return MagNet(fpr=0.09, **SETTINGS).fit(model, digits[0], 3)


def test_it_is_three_detectors_and_a_purifier_of_the_same_weights(digits, model, stage):
    train, test = digits
    kinds = {"error": 10.0, "10": 10.0, "40": 40.0}
    parts = [
        Reconstruction(
            fpr=0.03, by="error" if kind == "error" else "divergence", temperature=temperature, **SETTINGS
        ).fit(model, train, 3)
        for kind, temperature in kinds.items()
    ]
    x, space = test.x[:60], test.space
    apart = torch.stack([part.suspicion(x, space) for part in parts]).amax(0)
    torch.testing.assert_close(stage.suspicion(x, space), apart, rtol=1e-4, atol=1e-4)
    reformer = Purifier(batch=64, **SETTINGS).fit(model, train.divide(0.5, 3)[0], 3)
    torch.testing.assert_close(stage.apply(x, space), reformer.apply(x, space))
    guarded = settle(model | stage, x)
    torch.testing.assert_close(guarded.answer(x).scores, model.answer(reformer.apply(x, space)).scores)
    assert torch.equal(guarded.answer(x).suspicion, stage.suspicion(x, space))


def test_together_the_detectors_reject_at_most_the_stated_share(digits, stage):
    """Of 200 clean inputs 9 % or less are expected: 18, and 32 with probability 0.0005."""
    alarms = int((stage.suspicion(digits[1].x, digits[1].space) > 0).sum())
    assert 0 < alarms <= 32
    noise = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round()
    assert (stage.suspicion(noise, digits[1].space) > 0).double().mean() > 0.5


def test_the_laws_of_stages_hold(model, stage):
    case = Case(stage, shape=(1, 8, 8))
    laws.test_what_it_declares_is_so(case)
    for dtype in (torch.float32, torch.float64):
        laws.test_outputs_lie_in_the_box_and_keep_their_type(case, dtype, (0.0, 1.0))
    laws.test_rows_do_not_see_each_other(case)


def test_every_detector_that_rejects_says_why(digits, model, stage):
    noise = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round()
    flags = (stage.suspicion(noise, model.space) > 0).tolist()
    said = why(settle(model | stage, digits[1].x), noise)
    assert [bool(text) for text in said] == flags
    assert any("reconstruction" in text and "divergence" in text and "; " in text for text in said)


def test_the_same_seed_learns_the_same_and_disturbs_nothing(digits, model, stage):
    state = torch.get_rng_state()
    again, other = (MagNet(fpr=0.09, **SETTINGS).fit(model, digits[0], seed) for seed in (3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert stage.learned() == again.learned() != other.learned()
    assert str(stage) == "mag_net(fpr=0.09, updates=100, rate=0.01, noise=0.2)"


def test_an_attack_that_knows_it_is_wrong_and_accepted(digits, model, stage):
    x, y = digits[1].x[:40], digits[1].y[:40]
    guarded = settle(model | stage, x)
    out = hf.run(hf.attacks.Pgd(steps=20), guarded, x, y, "linf:0.3")
    broken = [k for k, status in enumerate(out.status) if status == "broken"]
    assert len(broken) > 12
    assert out.status.count("unbroken") <= 4
    answer = guarded.answer(out.adversarial[broken])
    assert bool((answer.suspicion <= 0).all())
    assert bool((answer.scores.argmax(1) != y[broken]).all())


@pytest.mark.parametrize("before", [hf.defenses.BitDepth(bits=3), hf.defenses.ResizePad()], ids=str)
def test_it_stands_in_front_of_defended_models(digits, model, before):
    behind = settle(model | before, digits[1].x)
    stage = MagNet(fpr=0.3, **SETTINGS).fit(behind, digits[0].take(slice(0, 200)), 3)
    assert stage.random == before.random
    settle(behind | stage, digits[1].x)


def test_too_few_samples_are_refused(digits, model):
    with pytest.raises(DataError, match="HF130"):
        MagNet(updates=1).fit(model, digits[0].take(torch.arange(60)))
    with pytest.raises(DataError, match="HF139"):
        MagNet(updates=1, held_out=0.99).fit(model, digits[0].take(torch.arange(60)))
