"""SelectivePgd: its steps by hand, and past detectors that stop attacks which begin at random."""

import math
import os

import pytest
import torch

import holdfast as hf
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.selective_pgd import SelectivePgd, largest
from holdfast.attacks.run import run
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.stage import Stage
from holdfast.models.wrap import wrap

FOUR = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 0.5, 0.2]])


def linear():
    net = torch.nn.Linear(4, 2)
    with torch.no_grad():
        net.weight.copy_(FOUR)
        net.bias.copy_(torch.tensor([100.0, 0.0]))
    return wrap(net, (0, 1), output="logits")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"share": 0.5}, [0.6, 0.4, 0.5, 0.5]),
        ({}, [0.6, 0.4, 0.6, 0.6]),
        ({"shape": "gradient"}, [0.6, 0.5 - 0.1 / 3, 0.5 + 0.1 / 6, 0.5 + 0.02 / 3]),
    ],
)
def test_one_step_moves_the_features_that_tell_most(more, expected):
    x = torch.full((1, 4), 0.5)
    attack = SelectivePgd(steps=1, first=0.5, **more)
    found = run(attack, linear(), x, torch.tensor([0]), "linf:0.2", perturb=True)
    torch.testing.assert_close(found.strongest, torch.tensor([expected]), rtol=1e-5, atol=1e-6)


def test_steps_shrink_from_the_first_length_to_the_last():
    x = torch.full((1, 4), 0.5)
    attack = SelectivePgd(steps=3, first=0.4, last=0.1)
    found = run(attack, linear(), x, torch.tensor([0]), "l2:0.1", perturb=True)
    far = 0.1 * (0.4 + math.sqrt(0.4 * 0.1) + 0.1)
    assert float((found.strongest - x).norm()) == pytest.approx(far, rel=1e-5)


def test_features_that_cannot_move_leave_their_share_to_others():
    """The steepest ones stand at the bound of the box, or have gone as far as the threat allows."""
    net = torch.nn.Linear(100, 2)
    with torch.no_grad():
        net.weight.copy_(torch.stack([torch.linspace(1, 2, 100), torch.zeros(100)]))
        net.bias.copy_(torch.tensor([-30.0, 0.0]))
    x = torch.cat([torch.full((1, 90), 0.5), torch.zeros(1, 10)], 1)
    found = run(SelectivePgd(share=0.05), wrap(net, (0, 1), output="logits"), x, torch.tensor([0]), "linf:0.4")
    assert found.status == ("broken",)
    assert int((found.adversarial != x).sum()) > 50


def test_the_largest_components_stay_at_least_one_in_each_row():
    g = torch.tensor([[[1.0, -4.0], [2.0, 3.0]], [[0.0, 0.5], [-0.1, 0.2]]])
    assert torch.equal(largest(g, 0.5), torch.tensor([[[0.0, -4.0], [0.0, 3.0]], [[0.0, 0.5], [0.0, 0.2]]]))
    assert int((largest(g, 0.01) != 0).sum()) == 2


class Untouched(Stage):
    """Suspicious of pictures in which too few values are exactly as dark as a sensor's darkest."""

    def suspicion(self, x, space):
        dark = torch.sigmoid((0.02 - x) / 0.01).flatten(1).mean(1)
        return 5 * (0.3 - dark)


def test_past_a_detector_of_untouched_values_where_a_random_start_is_stopped():
    digits = hf.data.load("digits").test.sample(60, 0)
    x, y = digits.x, digits.y
    model = settle(load_model("digits-mlp"), x) | Untouched()
    assert bool((model.suspicion(x) < 0).all())
    few = run(Apgd(steps=100), model, x, y, "linf:0.2", seed=0).status.count("broken")
    many = run(SelectivePgd(shape="gradient", loss="margin"), model, x, y, "linf:0.2", seed=0).status.count("broken")
    assert many > few + 15, (few, many)


def test_detectors_bring_it_along_and_the_audit_runs_it():
    digits = hf.data.load("digits")
    model, part = settle(load_model("digits-mlp"), digits.test.x), digits.part("train")
    guarded = model | hf.defenses.Reconstruction().fit(model, part)
    found = hf.audit(guarded, digits.test.sample(8, 0), threat="linf:0.05", suite="quick")
    assert [a.name for a in found.summary.threats[0].attacks].count("selective_pgd") == 3


@pytest.mark.slow
def test_what_a_detector_brings_along_finds_small_steps_past_camera_realism():
    """On MNIST four of five pixels are exactly black: who moves them far in the first step finds no way back."""
    if not os.environ.get("HOLDFAST_DATA"):
        pytest.skip("needs MNIST in HOLDFAST_DATA")
    data = hf.data.load("mnist")
    net = hf.Train(network="cnn", width=8, epochs=6, rate=0.1).fit(data.train.sample(8000, 0), 0)
    stage = hf.defenses.CameraRealism().fit(net, data.train.sample(2000, 1))
    model, part = settle(net | stage, data.test.x[:8]), data.test.sample(60, 0)
    tiny, *longer = (
        run(attack, model, part.x, part.y, "linf:0.15", seed=0).status.count("unbroken")
        for attack in stage.attacks(hf.Linf(0.15))
    )
    assert tiny <= 5 < 15 < min(longer), (tiny, longer)
