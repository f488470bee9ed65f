"""Thermometer codes beside a literal loop, the way back through them, and the learner that trains a network on them."""

import dataclasses
import random

import numpy as np
import pytest
import torch

import holdfast as hf
from cases.encoding import ENCODING
from cases.preprocessing import Case
from holdfast.core.errors import DataError, ModelError, Stop
from holdfast.core.progress import BatchDone
from holdfast.data.dataset import Dataset
from holdfast.defenses.preprocessing.thermometer import NEAR, Thermometer
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.space import space_of
from holdfast.threats.threats import Linf
from laws import test_stages as laws

every = pytest.mark.parametrize("case", ENCODING, ids=str)
QUICK = Train(network="mlp", width=32, epochs=12, batch=32, rate=0.1, smoothing=0.0)


@pytest.fixture(scope="module")
def digits():
    found = hf.data.load("digits")
    return found.train.take(torch.arange(400)), found.test.take(torch.arange(100))


@pytest.fixture(scope="module")
def made(digits):
    return Thermometer(of=QUICK, levels=8).fit(digits[0])


def few(n=64):
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    return Dataset((torch.rand(n, 1, 6, 6, generator=draw) * 0.6 + 0.2 * y.reshape(-1, 1, 1, 1)).clamp(0, 1), y)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
@pytest.mark.parametrize("shape", [(2, 4, 3), (5,)], ids=str)
def test_a_bit_says_whether_the_value_reaches_its_level(shape, bounds):
    width = bounds[1] - bounds[0]
    u = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u[0], u[1] = 0.0, 1.0
    out = Thermometer(levels=4).code.apply(bounds[0] + width * u, space_of(u, bounds))
    bits = (out - bounds[0]) / width
    assert out.shape == (3, 4 * shape[0], *shape[1:])
    assert bits[0].reshape(shape[0], 4, -1).mean((0, 2)).tolist() == [1, 0, 0, 0]
    assert bool((bits[1] == 1).all())
    for row in range(3):
        for place in np.ndindex(*shape):
            said = [float(bits[(row, 4 * place[0] + k, *place[1:])]) for k in range(4)]
            assert said == [1.0 if float(u[(row, *place)]) >= k / 4 else 0.0 for k in range(4)]


def test_on_the_way_back_every_bit_near_the_value_has_the_slope_of_its_ramp():
    x = torch.tensor([[0.03, 0.5, 0.71, 1.0]], dtype=torch.float64, requires_grad=True)
    space, code = space_of(x), Thermometer(levels=16).code
    weights = torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = code.passed(x, space)
    assert torch.equal(value, code.apply(x, space))
    (slope,) = torch.autograd.grad((value * weights).sum(), x)
    for i, u in enumerate(x[0].tolist()):
        near = [weights[16 * i + k] for k in range(1, 16) if abs(u - k / 16) < NEAR]
        assert near
        torch.testing.assert_close(slope[0, i], sum(near) / (2 * NEAR))


@pytest.mark.parametrize("shape", [(3, 5, 4), (1, 6, 6), (7,)], ids=str)
def test_the_laws_of_stages_hold(shape):
    case = Case(Thermometer(levels=5).code, shape=shape)
    laws.test_what_it_declares_is_so(case)
    for dtype in (torch.float32, torch.float64):
        for bounds in ((0.0, 1.0), (-3.0, 255.0)):
            laws.test_outputs_lie_in_the_box_and_keep_their_type(case, dtype, bounds)
    laws.test_rows_do_not_see_each_other(case)


@every
def test_the_seed_decides_and_the_process_stays_as_it_is(case):
    data = few()
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, again, other = (case.learner.fit(data, seed=s) for s in (0, 0, 1))
    assert first.parameters() == again.parameters() != other.parameters()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@every
def test_an_interrupted_training_resumes_bit_for_bit(case, tmp_path):
    def stop(event):
        if isinstance(event, BatchDone):
            raise Stop

    kept = dataclasses.replace(case.learner, of=dataclasses.replace(case.learner.of, checkpoint=str(tmp_path / "s.pt")))
    with pytest.raises(Stop):
        kept.fit(few(), on_event=stop)
    torch.rand(7)
    assert kept.fit(few()).parameters() == case.learner.fit(few()).parameters()


def test_the_model_is_the_network_behind_the_code(digits, made):
    x = digits[1].x
    assert made.guards == ("thermometer(levels=8)",)
    assert made.classes == 10
    base = made.guarded.base
    code = torch.stack([(x >= k / 8).float() for k in range(8)], 2).flatten(1, 2)
    torch.testing.assert_close(made.answer(x).scores, base.answer(code).scores)
    assert (made.predict(x) == digits[1].y).double().mean() > 0.8


def test_data_in_other_units_give_the_same_model(digits, made):
    """Values of -1 to 15, exact in binary: the network sees the same bits, and learns the same weights."""
    data = Dataset(digits[0].x * 16 - 1, digits[0].y, bounds=(-1.0, 15.0))
    other = Thermometer(of=QUICK, levels=8).fit(data)
    x = digits[1].x
    torch.testing.assert_close(other.answer(x * 16 - 1).scores, made.answer(x).scores)


def test_its_network_is_saved_and_goes_behind_the_code_again(digits, made, tmp_path):
    card = {"network": "mlp", "width": 32, "classes": 10, "shape": (8, 8, 8), "bounds": (0, 1), "output": "logits"}
    file = save_model(made.guarded.base, tmp_path / "net.safetensors", card)
    back = settle(load_model(file) | Thermometer(levels=8).code, digits[1].x)
    assert torch.equal(back.answer(digits[1].x).scores, made.answer(digits[1].x).scores)


def test_the_way_back_breaks_it(digits, made):
    """As few survive as of the same network without a code."""
    x, y = digits[1].x, digits[1].y
    plain = QUICK.fit(digits[0])
    held = [hf.run(hf.attacks.Pgd(steps=20), m, x, y, "linf:0.3").status.count("unbroken") for m in (plain, made)]
    assert held[1] <= held[0] + 10


def test_adversarial_training_of_the_network_goes_back_through_the_code(digits, made):
    x, y = digits[1].x, digits[1].y
    around = AdversarialTraining(of=dataclasses.replace(QUICK, epochs=25), threat=Linf(0.1), steps=3)
    hard = Thermometer(of=around, levels=8).fit(digits[0])
    assert hard.guards == made.guards
    held = [hf.run(hf.attacks.Pgd(steps=20), m, x, y, "linf:0.1").status.count("unbroken") for m in (made, hard)]
    assert held[1] >= held[0] + 10


def test_what_it_cannot_train_is_refused(digits):
    data = few()
    start = dataclasses.replace(QUICK, start=wrap(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 3))))
    for of in (start, hf.defenses.Voting(of=(QUICK,), members=2), hf.defenses.Dropout(of=start)):
        with pytest.raises(ModelError, match="HF220 A thermometer needs the training of one new network"):
            Thermometer(of=of).fit(data)
    table = Dataset(data.x.flatten(1)[:, :2], data.y, bounds=((0.0, 0.0), (1.0, 2.0)))
    with pytest.raises(DataError, match="HF132 A thermometer has one scale for all values"):
        Thermometer(of=QUICK).fit(table)
