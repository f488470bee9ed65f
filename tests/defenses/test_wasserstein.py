"""Inputs at a price per squared distance, against closed forms."""

import dataclasses

import pytest
import torch

from holdfast.data.dataset import Dataset
from holdfast.defenses.training.wasserstein_robust import WassersteinRobust, _Priced
from holdfast.learning.train import Train
from holdfast.threats.space import Box

WIDE = Box((-50.0, 50.0))  # a box that is not in the way, 100 wide


def priced(gamma, steps=60, step=1.0, space=WIDE):
    """Gamma per squared unit."""
    width = space.bounds[1] - space.bounds[0]
    return _Priced(gamma=gamma * width**2, steps=steps, step=step, space=space)


def binary(value):
    """Two logits whose cross-entropy for class 0 is softplus(value)."""
    return lambda x: torch.stack([torch.zeros(len(x), dtype=x.dtype), value(x)], 1)


def batch(n=6, features=4):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(n, features, generator=draw), torch.zeros(n, dtype=torch.long), torch.Generator()


def test_a_linear_loss_sends_the_input_by_its_gradient_over_twice_gamma_in_one_step():
    x, y, draw = batch()
    a = torch.tensor([1.0, -2.0, 0.5, 3.0])
    ask = binary(lambda z: 200 + z @ a)  # softplus is the identity here
    for steps in (1, 7):
        found = priced(3.0, steps=steps)(ask, x, y, draw)
        torch.testing.assert_close(found, x + a / 6, rtol=0, atol=1e-4)


def test_a_quadratic_loss_is_solved_as_a_linear_system():
    x, y, draw = batch()
    a = torch.tensor([1.0, -2.0, 0.5, 3.0])
    root = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    h = root @ root.T / 4 - 0.5 * torch.eye(4)  # curved both ways
    gamma = float(torch.linalg.eigvalsh(h).max())  # twice the least that makes one maximum
    found = priced(gamma, steps=400)(binary(lambda z: 400 + z @ a + ((z @ h) * z).sum(1) / 2), x, y, draw)
    wanted = x + torch.linalg.solve(2 * gamma * torch.eye(4) - h, (a + x @ h).T).T
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-3)


def test_the_logistic_loss_moves_along_its_weights_to_the_root_of_one_equation():
    x, y, draw = batch()
    a, gamma = torch.tensor([1.0, -2.0, 0.5, 3.0]), 2.0
    found = priced(gamma, steps=300)(binary(lambda z: z @ a), x, y, draw)
    for row, moved in zip(x, found, strict=True):
        low, high = 0.0, 1 / (2 * gamma)  # x' = x + s a with s = sigmoid(a . x') / (2 gamma)
        for _ in range(60):
            s = (low + high) / 2
            low, high = (s, high) if torch.sigmoid(a @ row + s * a @ a) / (2 * gamma) > s else (low, s)
        torch.testing.assert_close(moved, row + low * a, rtol=0, atol=1e-4)


def test_the_box_holds_and_the_price_is_in_its_widths():
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(0))
    y, draw, a = torch.zeros(6, dtype=torch.long), torch.Generator(), torch.tensor([9.0, -9.0, 0.1, 3.0])
    one = _Priced(gamma=2.0, steps=9, step=0.7, space=Box())(binary(lambda z: z @ a), x, y, draw)
    other = _Priced(gamma=2.0, steps=9, step=0.7, space=Box((0.0, 255.0)))
    torch.testing.assert_close(other(binary(lambda z: z @ a / 255), x * 255, y, draw), one * 255, rtol=0, atol=1e-3)
    assert float(one.min()) >= 0
    assert float(one.max()) <= 1
    assert float((one - x).abs().max()) > 0.1
    dear = _Priced(gamma=2000.0, steps=9, step=0.7, space=Box())(binary(lambda z: z @ a), x, y, draw)
    assert float((dear - x).abs().max()) < 0.01


def test_a_training_pays_the_stated_price_and_its_checkpoint_knows(monkeypatch):
    data, seen = Dataset(torch.rand(20, 4), torch.arange(20) % 2), []
    monkeypatch.setattr(Train, "fit", lambda how, *_: seen.append(how))
    own = WassersteinRobust()
    for one in (own, *(dataclasses.replace(own, **more) for more in ({"gamma": 2.0}, {"steps": 3}, {"step": 0.5}))):
        one.fit(data)
        assert seen[-1].perturb == _Priced(gamma=one.gamma, steps=one.steps, step=one.step, space=data.space)
    assert len({how._identity(data, 0) for how in seen}) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_type_stays(dtype):
    x, y, draw = batch()
    found = priced(2.0, steps=3)(binary(lambda z: z.sum(1)), x.to(dtype), y, draw)
    assert found.dtype == dtype
