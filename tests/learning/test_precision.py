"""Which networks are trained in bfloat16 where "auto" asks for it: those that stand it, on processors that have it."""

import pytest
import torch
from torch import nn

from holdfast.learning import precision
from holdfast.models.networks import build
from holdfast.models.torch_module import Normalized
from holdfast.threats.space import Box

SHAPE = (1, 8, 8)
SPACE = Box(bounds=(0.0, 1.0))


class Narrow(nn.Module):
    """A network that runs as it is and is off, or fails, where its layers multiply in bfloat16."""

    def __init__(self, fails):
        super().__init__()
        self.inside, self.fails = network("cnn"), fails

    def forward(self, x):
        found = self.inside(x)
        if not torch.is_autocast_enabled("cpu"):
            return found
        if self.fails:
            raise RuntimeError("mat1 and mat2 must have the same dtype")
        return -found


def network(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build(name, shape=SHAPE, classes=3, width=4)


def taken(net, asked="auto", processor=True, monkeypatch=None):
    monkeypatch.setattr(precision, "_processor", lambda: processor)
    like = Normalized(net, (0.4,), (0.3,))
    before = [value.clone() for value in net.state_dict().values()]
    found = precision.stands(asked, like, SPACE, torch.zeros(1, *SHAPE))
    assert all(map(torch.equal, before, net.state_dict().values()))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    return found


@pytest.mark.parametrize(
    ("net", "wanted"),
    [
        (network("cnn"), "bfloat16"),
        (network("preact18"), "bfloat16"),
        (network("mlp"), "float32"),
        (Narrow(fails=True), "float32"),
        (Narrow(fails=False), "float32"),
    ],
    ids=["cnn", "preact18", "no copy", "fails", "off"],
)
def test_auto_is_bfloat16_for_networks_that_agree_in_it(net, wanted, monkeypatch):
    assert taken(net, monkeypatch=monkeypatch) == wanted


def test_auto_is_float32_on_a_processor_without_it_and_what_was_asked_stays(monkeypatch):
    net = network("cnn")
    assert taken(net, processor=False, monkeypatch=monkeypatch) == "float32"
    assert taken(net, "bfloat16", processor=False, monkeypatch=monkeypatch) == "bfloat16"
    assert taken(net, "float32", monkeypatch=monkeypatch) == "float32"
