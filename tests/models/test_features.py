"""Features of torch networks: what goes into the last linear layer, as deployed, and nothing is left behind."""

import pytest
import torch
from torch import nn

from holdfast.core.errors import ModelError
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.networks import NAMES, build
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap


class Backward(nn.Module):
    """Its layers stand in the other order than they run in."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.body = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(input=self.body(x).tanh())


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_a_named_network_on_its_features_gives_its_scores(name):
    x = torch.rand(4, 3, 16, 16)
    net = build(name, shape=(3, 16, 16), classes=5, width=4).eval()
    model = settle(wrap(net, mean=[0.4, 0.5, 0.6], std=0.3), x)
    torch.testing.assert_close(net.head(model.features(x)), model.module(x))
    assert model.features(x).shape == (4, net.head.in_features)


def test_the_last_layer_is_the_last_one_that_runs():
    x, net = torch.rand(5, 6), Backward()
    model = settle(wrap(net.eval()), x)
    leaf = x.clone().requires_grad_()
    found = model.features(leaf)
    torch.testing.assert_close(found, net.body(x).tanh())
    assert torch.autograd.grad(found.sum(), leaf)[0].abs().sum() > 0
    assert not net.head._forward_pre_hooks
    with pytest.raises(RuntimeError):
        model.features(torch.rand(5, 7))
    assert not net.head._forward_pre_hooks
    assert not net.body._forward_pre_hooks


def test_they_stand_behind_stages_and_are_hidden_from_who_sees_no_gradients():
    x = torch.rand(5, 6)
    model = settle(wrap(Backward().eval()), x)
    guarded = settle(model | BitDepth(bits=2), x)
    torch.testing.assert_close(guarded.features(x), model.features((x * 3).round() / 3))
    assert guarded.seen_as("gradients").features is not None
    for knowledge in ("scores", "labels"):
        assert model.seen_as(knowledge).features is None
        hidden = settle((model | BitDepth(bits=2)).seen_as(knowledge), x)
        assert hidden.features is None
        assert hidden.guarded.base.features is None


def test_a_cut_softmax_leaves_the_layer_before_it():
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3), nn.Softmax(1)).eval()
    x = torch.rand(5, 6)
    torch.testing.assert_close(settle(wrap(net), x).features(x), net[1](net[0](x)))


def test_networks_without_a_linear_head_show_none():
    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    assert wrap(pooled).features is None
    assert wrap(lambda x: x[:, :2], output="logits").features is None
    odd = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Unflatten(1, (3, 2)), nn.AvgPool1d(2), nn.Flatten()).eval()
    with pytest.raises(ModelError, match="HF256"):
        wrap(odd).features(torch.rand(2, 3, 2, 2))
