"""Networks: shapes, sizes, refusals."""

import pytest
import torch

from holdfast.core.errors import ModelError
from holdfast.models.networks import NAMES, build


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8), (1, 32, 8)])
def test_logits_of_any_small_picture(name, shape):
    torch.manual_seed(0)
    net = build(name, shape=shape, classes=7, width=8)
    z = net(torch.rand(3, *shape))
    assert z.shape == (3, 7)
    assert torch.isfinite(z).all()


@pytest.mark.parametrize("name", NAMES)
def test_initial_logits_are_of_moderate_size(name):
    torch.manual_seed(0)
    net = build(name, shape=(3, 32, 32), classes=10, width=8)
    z = net(torch.rand(16, 3, 32, 32))
    assert 1e-3 < z.std() < 10


@pytest.mark.parametrize("name", ["resnet18", "preact18"])
def test_resnet_of_full_width_has_the_papers_size(name):
    net = build(name, shape=(3, 32, 32), classes=10, width=64)
    assert abs(sum(p.numel() for p in net.parameters()) - 11.17e6) < 0.02e6


def test_width_scales_the_network():
    small, large = (build("vgg11", shape=(3, 32, 32), classes=10, width=w) for w in (8, 16))
    assert sum(p.numel() for p in large.parameters()) > 3 * sum(p.numel() for p in small.parameters())


@pytest.mark.parametrize(
    ("name", "code", "options"),
    [
        ("resnet50", "HF216", {}),
        ("cnn", "HF202", {"depth": 3}),
        ("cnn", "HF202", {"width": 0}),
        ("cnn", "HF202", {"width": True}),
        ("mlp", "HF202", {"width": 10**6}),
    ],
)
def test_refusals(name, code, options):
    with pytest.raises(ModelError) as caught:
        build(name, shape=(1, 8, 8), classes=3, **options)
    assert caught.value.code == code


@pytest.mark.parametrize(("shape", "classes"), [((8,), 3), ((1, 8, 8), 0), ((0, 8, 8), 3)])
def test_impossible_sizes(shape, classes):
    with pytest.raises(ModelError, match="HF202"):
        build("cnn", shape=shape, classes=classes)
