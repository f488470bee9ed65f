"""Chains of stages: the order an input meets them, and rescaling as a chain."""

import pytest
import torch

import holdfast as hf
from holdfast.models.settle import fingerprint, settle
from holdfast.threats.space import space_of


def network():
    with torch.random.fork_rng([]):
        torch.manual_seed(2)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4)).double().eval()


def pictures(n=4):
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_stage_added_last_meets_the_input_first():
    """`g.guard(f.guard(model))` is `model | f | g`, and the input meets g, then f: models print them in that order."""
    x, model = pictures(), hf.wrap(network())
    jpeg, bits = hf.defenses.Jpeg(quality=75), hf.defenses.BitDepth(bits=3)
    nested, piped = (settle(m, x) for m in (bits.guard(jpeg.guard(model)), model | jpeg | bits))
    assert nested.stages == piped.stages == (str(bits), str(jpeg)) == nested.guards == piped.guards
    assert repr(nested) == repr(piped)
    assert "bit_depth(bits=3) -> jpeg -> " in repr(piped)
    assert fingerprint(nested, (3, 16, 16)) == fingerprint(piped, (3, 16, 16))
    assert torch.equal(nested.answer(x).scores, piped.answer(x).scores)
    by_hand = network()(jpeg.apply(bits.apply(x, space_of(x)), space_of(x)))
    torch.testing.assert_close(piped.answer(x).scores, by_hand.detach())
    other = settle(model | bits | jpeg, x)
    assert other.stages == (str(jpeg), str(bits))
    assert not torch.equal(other.answer(x).scores, piped.answer(x).scores)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
def test_rescaling_is_the_affine_map_of_shares_and_clamps(bounds):
    low, width = bounds[0], bounds[1] - bounds[0]
    x = low + width * torch.tensor([[0.0, 0.25, 0.5, 1.0]], dtype=torch.float64)
    out = hf.defenses.Rescale(factor=2.0, shift=-0.4).apply(x, space_of(x, bounds))
    expected = low + width * torch.tensor([[0.0, 0.1, 0.6, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12 * width)


def test_a_map_and_its_inverse_are_a_chain_that_changes_nothing():
    x, model = pictures(), hf.wrap(network())
    small, large = hf.defenses.Rescale(factor=0.5, shift=0.25), hf.defenses.Rescale(factor=2.0, shift=-0.5)
    torch.testing.assert_close(large.apply(small.apply(x, space_of(x)), space_of(x)), x)
    chain = settle(model | large | small, x)
    torch.testing.assert_close(chain.answer(x).scores, settle(model, x).answer(x).scores)


def test_what_is_clamped_has_no_gradient_and_the_rest_its_factor():
    x = torch.tensor([[0.1, 0.5, 0.9]], dtype=torch.float64, requires_grad=True)
    out = hf.defenses.Rescale(factor=3.0, shift=-1.0).apply(x, space_of(x))
    (slope,) = torch.autograd.grad(out.sum(), x)
    assert slope.tolist() == [[0.0, 3.0, 0.0]]
