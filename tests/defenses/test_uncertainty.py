"""Uncertainty under dropout, beside a count over all masks, and where it is refused."""

import itertools

import pytest
import torch
from torch import nn

import holdfast as hf
from holdfast.core.errors import DataError
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._masks import Masks, _learning, inserted, networks, own
from holdfast.defenses.detection.bayesian_uncertainty import BayesianUncertainty
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap

UNITS, SHARE = 5, 0.4


def network(*dropout, units=UNITS):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, last = nn.Linear(4, units), nn.Linear(units, 3)
        last.weight.data *= 4
    return nn.Sequential(first, nn.Tanh(), *dropout, last).double().eval()


def points(n=60, seed=0):
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Dataset(x, torch.arange(n) % 3)


def variance(net, x):
    """Of the answers under dropout, summed over classes: every mask of the hidden units with its probability."""
    hidden = net[:2](x)
    mean, square = 0.0, 0.0
    for kept in itertools.product((0, 1), repeat=UNITS):
        chance = (1 - SHARE) ** sum(kept) * SHARE ** (UNITS - sum(kept))
        p = net[-1](hidden * torch.tensor(kept) / (1 - SHARE)).softmax(1)
        mean, square = mean + chance * p, square + chance * p**2
    return (square - mean**2).sum(1).detach()


@pytest.mark.parametrize("share", [0.0, SHARE])
def test_many_masks_have_the_variance_of_all_of_them(share):
    net = network() if share else network(nn.Dropout(SHARE))
    data = points()
    score = BayesianUncertainty(passes=300, share=share).learn(settle(wrap(net), data.x), data, 0)
    torch.testing.assert_close(score(data.x), variance(net, data.x), rtol=0.3, atol=1e-3)


def test_a_score_is_the_variance_under_its_masks():
    net, data = network(nn.Dropout(SHARE)), points()
    model = settle(wrap(net), data.x)
    masks = own(model, 7)
    score = BayesianUncertainty(passes=4).learn(model, data, 7)(data.x)
    said = []
    for k in range(4):
        with masks.worn(k):
            model.answer(data.x[:1])
        scale, shift = masks.kept[(k, 0, 1, (UNITS,))]
        torch.testing.assert_close(scale * (1 - SHARE), (scale > 0).float())
        assert not shift.any()
        said.append(net[-1](net[:2](data.x) * scale).softmax(1))
    mean = sum(said) / 4
    expected = sum(((p - mean) ** 2).sum(1) for p in said) / 4
    torch.testing.assert_close(score, expected)
    assert torch.equal(score, BayesianUncertainty(passes=4).learn(model, data, 7)(data.x)), "drawn once"
    other = BayesianUncertainty(passes=4).learn(model, data, 8)(data.x)
    assert not torch.equal(score, other)


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.3), nn.Dropout2d(0.3), nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)]
)
def test_every_kind_of_dropout_is_the_line_that_torch_draws(layer):
    """Torch's own layer in training mode, with the numbers held still, on any activation."""
    z = torch.randn(1, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    masks = Masks(((layer.eval(), _learning(layer)),), 0, after=True)
    with masks.worn(0):
        mine = layer.eval()(z)
    scale, shift = masks.kept[(0, 0, 1, (4, 3, 3))]
    torch.testing.assert_close(mine, z * scale + shift)
    with torch.random.fork_rng():
        torch.manual_seed(int(digest(["dropout", 0, 0, 0, 1])[:15], 16))
        torch.testing.assert_close(mine, layer.train()(z))
    assert not layer._forward_hooks


def test_a_layer_that_is_called_twice_has_two_masks_and_hooks_come_down():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.last = nn.Dropout(0.5), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(self.drop(x)) + self.last(self.drop(x))

    net = Twice().double().eval()
    model = settle(wrap(net), points().x)
    masks = own(model, 0)
    with masks.worn(0):
        model.answer(points().x)
    first, second = (masks.kept[(0, 0, call, (4,))][0] for call in (1, 2))
    assert not torch.equal(first, second) or not first.any()
    with pytest.raises(RuntimeError), masks.worn(1):
        raise RuntimeError
    assert not net.drop._forward_hooks


def test_it_looks_through_stages_and_into_ensembles():
    nets, data = [network(nn.Dropout(SHARE)), network(nn.Dropout(0.2), units=6)], points()
    together = settle(wrap(nets), data.x)
    assert list(networks(together)) == nets
    behind = settle(together | hf.defenses.Rescale(factor=0.9), data.x)
    assert len(own(behind, 0).layers) == len(inserted(behind, 0.5, 0).layers) == 2
    stage = BayesianUncertainty(passes=5).fit(behind, data, 0)
    assert stage.slope == "exact"
    assert (stage.score(data.x) > 0).double().mean() > 0.5


@pytest.mark.parametrize(("net", "share"), [(network(), 0.0), (network(nn.Dropout(0.0)), 0.0), (nn.Tanh(), 0.3)])
def test_a_network_without_dropout_is_refused_in_one_line(net, share):
    data = points()
    model = settle(wrap(net), data.x)
    with pytest.raises(DataError, match="HF136") as caught:
        BayesianUncertainty(share=share).fit(model, data, 0)
    assert "\n" not in str(caught.value)
    function = settle(wrap(lambda x: x[:, :3]), data.x)
    with pytest.raises(DataError, match="HF136"):
        BayesianUncertainty().fit(function, data, 0)


def test_a_network_that_learned_with_dropout_carries_no_layer_and_needs_a_share():
    data = points()
    model = hf.defenses.Dropout(of=hf.Train(network="mlp", width=8, epochs=1, batch=30), share=0.5).fit(data, 0)
    with pytest.raises(DataError, match="HF136"):
        BayesianUncertainty().fit(model, data)
    stage = BayesianUncertainty(share=0.5, passes=4).fit(model, data)
    assert stage.slope == "exact"
    assert (stage.score(data.x) > 0).double().mean() > 0.5
