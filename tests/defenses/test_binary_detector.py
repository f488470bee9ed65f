"""A detector that learned from attacks: what it knows, what it does not, and the attack that knows it."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import holdfast as hf
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import DataError, ModelError
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._binary import learned
from holdfast.defenses.detection.binary_detector import BinaryDetector
from holdfast.evaluation.defending.chain import chain
from holdfast.evaluation.metrics.detection import auroc
from holdfast.learning.train import Train
from holdfast.models.settle import settle
from laws.oracles import torch_model


@functools.cache
def setting():
    """Points of two classes along one of six directions; the others vary little, and an attack moves them all."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(600) % 2
    x = 0.5 + 0.02 * torch.randn(600, 6, generator=draw, dtype=torch.float64)
    x[:, 0] = 0.5 + (y - 0.5) * 0.3 + 0.03 * torch.randn(600, generator=draw, dtype=torch.float64)
    w = torch.tensor([8.0, 4, 4, 4, 4, 4], dtype=torch.float64)
    model = torch_model(lambda x: ((x - 0.5) @ w.to(x))[:, None] * torch.tensor([-1.0, 1.0]).to(x), 2)
    model = settle(dataclasses.replace(model, features=lambda x: (x - 0.5) * w.to(x)), x)
    return model, Dataset(x, y)


SHOWN = BinaryDetector(attack=Pgd(steps=5, step=0.5), threat=hf.Linf(0.15), epochs=40)


@functools.cache
def fitted():
    model, data = setting()
    return SHOWN.fit(model, data.take(slice(0, 400)), 0)


@pytest.mark.parametrize("layer", ["inputs", "features"])
def test_it_tells_the_attack_it_was_shown_from_clean_inputs(layer):
    model, data = setting()
    stage = dataclasses.replace(SHOWN, layer=layer).fit(model, data.take(slice(0, 400)), 0)
    fresh = data.take(slice(400, 600))
    out = run(Pgd(steps=5, step=0.5), model, fresh.x, fresh.y, "linf:0.15", perturb=True)
    bad = out.strongest[out.success]
    assert len(bad) > 150
    area = auroc(stage.suspicion(bad, model.space), stage.suspicion(fresh.x, model.space), range(len(bad)))
    assert area.point > 0.97
    assert (stage.suspicion(bad, model.space) > 0).double().mean() > 0.9
    assert (stage.suspicion(fresh.x, model.space) > 0).double().mean() < 0.12


def test_it_does_not_know_an_attack_that_goes_another_way():
    """Half the radius, and one feature alone: most of these break the model and are accepted."""
    model, data = setting()
    fresh = data.take(slice(400, 600))
    unseen = fresh.x.clone()
    unseen[:, 0] = 1 - unseen[:, 0]
    fooled = model.predict(unseen) != fresh.y
    assert fooled.double().mean() > 0.9
    assert (fitted().suspicion(unseen, model.space) > 0).double().mean() < 0.3


def test_an_attack_that_knows_it_gets_past_it():
    model, data = setting()
    fresh = data.take(slice(400, 500))
    joint = model | fitted()
    out = run(Pgd(steps=100, step=0.02), joint, fresh.x, fresh.y, "linf:0.3")
    assert out.success.double().mean() > 0.8
    answer = settle(joint, fresh.x).answer(out.adversarial[out.success])
    assert (answer.suspicion <= 0).all()


def test_the_network_is_as_good_as_the_closed_form_on_two_normal_clouds():
    """The log odds of two clouds of one covariance are linear: scikit-learn's logistic regression finds them too."""
    draw = np.random.default_rng(0)
    clean, bad = draw.normal(size=(1500, 5)), draw.normal(size=(1500, 5)) + [1.0, -0.5, 0.5, 0, 0]
    net = learned(torch.from_numpy(clean), torch.from_numpy(bad), width=4, epochs=6, rate=1e-2, seed=0)
    fresh = draw.normal(size=(1000, 5)) + 0.5 * np.array([1.0, -0.5, 0.5, 0, 0])
    linear = LogisticRegression().fit(np.concatenate([clean, bad]), np.repeat([0, 1], 1500))
    mine, theirs = net(torch.from_numpy(fresh)).numpy(), linear.decision_function(fresh)
    assert np.corrcoef(mine, theirs)[0, 1] > 0.97
    truth = fresh @ [1.0, -0.5, 0.5, 0, 0] - 0.75
    assert np.corrcoef(mine, truth)[0, 1] > 0.97
    assert abs((mine - truth).mean()) < 0.2


@pytest.mark.parametrize(
    ("change", "error", "code"),
    [
        ({"threat": hf.Linf(1e-4)}, DataError, "HF137"),
        ({"threat": hf.L2()}, hf.ThreatError, "HF303"),
        ({"layer": "features"}, ModelError, "HF256"),
    ],
)
def test_what_it_cannot_learn_from_is_refused_in_one_line(change, error, code):
    model, data = setting()
    blind = dataclasses.replace(model, features=None)
    with pytest.raises(error, match=code) as caught:
        dataclasses.replace(SHOWN, **change).fit(blind, data)
    assert "\n" not in str(caught.value)


def test_in_a_protocol_it_learns_from_the_protocols_threat():
    made = chain("binary_detector(layer='features')+bit_depth", Train(), hf.Linf(0.25))
    assert made.front[0].threat == hf.Linf(0.25)
    assert str(made) == "binary_detector(layer='features')+bit_depth"
    own = chain("binary_detector(threat='l2:1')", Train(), hf.Linf(0.25))
    assert own.front[0].threat == hf.L2(1)
