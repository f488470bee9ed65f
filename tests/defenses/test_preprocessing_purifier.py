"""A purifier takes noise off, keeps the laws of stages, and tells what the gradient of a given function is worth."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

import holdfast as hf
from cases.preprocessing import Case
from holdfast.core.errors import ModelError
from holdfast.core.progress import BatchDone
from holdfast.defenses.preprocessing.purifier import Purifier
from holdfast.models.files import load_model
from holdfast.models.settle import fingerprint, settle
from laws import test_stages as laws

QUICK = Purifier(width=4, updates=30, rate=0.01)


@pytest.fixture(scope="module")
def digits():
    return hf.data.load("digits")


@pytest.fixture(scope="module")
def model(digits):
    return settle(load_model("digits-mlp"), digits.test.x)


@pytest.fixture(scope="module")
def stage(digits, model):
    return Purifier(width=16, updates=500, batch=32, rate=0.005, noise=0.2).fit(model, digits.train)


def test_noise_is_taken_off(digits, stage):
    x, space = digits.test.x, digits.test.space
    noisy = (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    with torch.no_grad():
        before, after = ((z - x).square().mean() for z in (noisy, stage.apply(noisy, space)))
    assert after < 0.85 * before


def test_clean_accuracy_stays(digits, model, stage):
    test = digits.test
    plain, behind = ((m.predict(test.x) == test.y).double().mean() for m in (model, model | stage))
    assert behind > plain - 0.05


@pytest.mark.parametrize("shape", [(3, 9, 7), (1, 5, 5), (11,)], ids=str)
def test_the_laws_of_stages_hold(shape, model):
    draw = torch.Generator().manual_seed(0)
    data = hf.Dataset(torch.rand(64, *shape, generator=draw), torch.arange(64) % 2)
    made = Case(dataclasses.replace(QUICK, updates=2).fit(model, data), shape=shape)
    laws.test_what_it_declares_is_so(made)
    for dtype in (torch.float32, torch.float64):
        for bounds in ((0.0, 1.0), (-3.0, 255.0)):
            laws.test_outputs_lie_in_the_box_and_keep_their_type(made, dtype, bounds)
    laws.test_rows_do_not_see_each_other(made)
    laws.test_the_value_that_gradient_attacks_see_is_the_deployed_one(made)


def test_the_same_seed_learns_the_same_and_disturbs_nothing(digits, model):
    part = digits.train.sample(200)
    state, heard = torch.get_rng_state(), []
    one, two, other = (QUICK.fit(model, part, seed, heard.append) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.learned() == two.learned() != other.learned()
    assert [e.done for e in heard if isinstance(e, BatchDone)] == [20, 30] * 3
    prints = {fingerprint(settle(m, part.x), (1, 8, 8)) for m in (model | one, model | two, model | other, model)}
    assert len(prints) == 3


def test_the_detector_of_the_same_paper_measures_against_the_same_network(digits, model):
    """With the same settings both learn the same weights: the score is the distance to the purified input."""
    data, settings = digits.train.sample(200), {"width": 4, "updates": 4, "noise": 0.2, "rate": 0.01}
    detector = hf.defenses.Reconstruction(**settings).fit(model, data, 3)
    stage = Purifier(batch=64, **settings).fit(model, data.divide(0.5, 3)[0], 3)
    x = digits.test.x[:20]
    apart = (x - stage.apply(x, digits.test.space)).double().abs().flatten(1).mean(1)
    torch.testing.assert_close(detector.score(x), apart, rtol=1e-6, atol=0)


def test_gradients_through_both_networks_break_it(digits, model, stage):
    part = digits.test.sample(40)
    out = hf.run(hf.attacks.Pgd(steps=20), settle(model | stage, part.x), part.x, part.y, "linf:0.3")
    assert out.status.count("broken") > 20


def test_one_that_diverges_or_has_nothing_to_learn_is_refused(digits, model):
    wrong = digits.train.sample(50)
    object.__setattr__(wrong, "x", wrong.x / 0 * 0)
    with pytest.raises(ModelError, match="HF251 The autoencoder diverged in step"):
        QUICK.fit(model, wrong)
    with pytest.raises(ModelError, match="HF220"):
        QUICK.fit(model, digits.train.take([]))


def halved(x):
    return x / 2


def median(x):
    return ndimage.median_filter(x.numpy(), size=(1, 1, 2, 2))


def jittered(x):
    return x + 0.01 * torch.rand_like(x)


def from_numpy(x):
    return x.numpy() + 0.01 * np.random.rand(*x.shape)


@pytest.mark.parametrize(
    ("ask", "gradient", "random"),
    [(halved, "exact", False), (median, "none", False), (jittered, "exact", True), (from_numpy, "none", True)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_function_is_taken_for_what_it_is(ask, gradient, random, digits, model):
    x = digits.test.x[:8]
    found = Purifier(reconstruct=ask).fit(model, digits.test)
    assert (found.gradient, found.random, str(found)) == (gradient, random, f"purifier(reconstruct={ask.__name__})")
    behind = settle(model | found, x)
    assert (behind.module is None) == (gradient == "none")
    assert found.apply(x, digits.test.space).dtype == x.dtype
    if not random:
        want = torch.as_tensor(ask(x)).clamp(0, 1)
        torch.testing.assert_close(behind.answer(x).scores, model.answer(want).scores)


def test_a_function_without_gradient_can_be_passed_straight_through(digits, model):
    found = Purifier(reconstruct=median, slope="straight-through").fit(model, digits.test)
    assert settle(model | found, digits.test.x).module is not None
    assert str(found) == "purifier(slope='straight-through', reconstruct=median)"


@pytest.mark.parametrize("wrong", [lambda x: x[:, :, :4], lambda x: x / 0 * 0], ids=["shape", "nan"])
def test_what_a_function_may_not_return(wrong, digits, model):
    with pytest.raises(ModelError, match="HF252 A purifier"):
        Purifier(reconstruct=wrong).fit(model, digits.test)
