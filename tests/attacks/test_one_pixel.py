"""OnePixel: its members by hand, who breeds with whom, whole pixels of color images."""

import numpy as np
import pytest
import torch

from holdfast.attacks.evasion.one_pixel import OnePixel
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.threats.goals import Wrong
from holdfast.threats.space import space_of
from holdfast.threats.threats import L0
from laws.oracles import corners, linear, weights


def probe_of(x, threat):
    model = linear(weights(2, *x.shape[1:]), space=space_of(x))
    region, draw = threat.around(x), Draw(0, "a", range(len(x)), x)
    return Probe(model, x, Wrong(model.labels(x)), region, draw, stop=False)


def test_a_member_is_a_place_and_a_value_for_each_channel():
    x = corners(2, 3, 4, 8)
    probe = probe_of(x, L0(5))
    member = torch.tensor([[[0.3, 0.8, 1.0, 0.25, 0.5], [1.0, 0.0, 0.0, 0.0, 0.0]]], dtype=torch.float64)
    left = [torch.full((2,), 5.0), torch.full((2,), 2.0)]
    y = OnePixel()._painted(probe, x.shape, member.expand(2, 1, 2, 5), left).reshape(2, 3, 4, 8)
    expected = x.clone()
    expected[:, :, 1, 6] = torch.tensor([1.0, 0.25, 0.5], dtype=torch.float64)
    for i in range(2):  # two values are left: the channels of the second pixel that are farthest from 0
        for c in np.argsort(-x[i, :, 3, 0].numpy(), kind="stable")[:2]:
            expected[i, c, 3, 0] = 0.0
    assert torch.equal(y, expected)


def test_others_are_three_different_ones():
    probe = probe_of(corners(3, 6), L0(1))
    for samples in (4, 5, 40):
        a, b, c = OnePixel(samples=samples)._others(probe)
        own = torch.arange(samples).expand_as(a)
        four = torch.stack([own, a, b, c], 2).sort(2).values
        assert (four.diff(dim=2) > 0).all()
        assert four.min() == 0
        assert four.max() == samples - 1


def test_generations_by_hand():
    """Every child is a + (b - c) / 2, reflected and clipped, and takes its parent's place only where it is better."""
    x, attack = corners(1, 100), OnePixel(steps=3, samples=20)
    probe, twin = probe_of(x, L0(1)), probe_of(x, L0(1))
    seen = []

    def spy(z, real=probe.margins):
        seen.append((z[0].numpy(), real(z)[0].numpy()))
        return real(z)

    probe.margins = spy
    attack.search(probe)
    members, margin = attack._first(twin, [torch.ones(1)], 1)[0, :, 0].numpy(), np.full(20, np.inf)
    child, kept, above = members, [], 0
    for asked, found in seen:
        expected = np.repeat(x.numpy(), 20, 0)
        expected[range(20), np.minimum((child[:, 1] * 100).astype(int), 99)] = child[:, 2]
        assert np.allclose(asked, expected)
        members = np.where((found < margin)[:, None], child, members)
        kept.append((found < margin).mean())
        margin = np.minimum(found, margin)
        a, b, c = (j[0].numpy() for j in attack._others(twin))
        child = members[a] + 0.5 * (members[b] - members[c])
        above += (child[:, 1] > 1).sum()
        child[:, :2] = np.where(child[:, :2] > 1, 2 - child[:, :2], np.abs(child[:, :2]))
        child = child.clip(0, 1)
    assert len(seen) == 4
    assert above, "nothing to reflect"
    assert 0 < np.min(kept[1:]) < 1


@pytest.mark.parametrize(("radius", "pixels"), [(1, 1), (3, 1), (4, 2), (6, 2)])
def test_color_costs_as_many_values_as_channels(radius, pixels):
    x = corners(4, 3, 6, 6)
    model = linear(weights(1, 3, 6, 6), -1000.0, space=space_of(x))
    out = run(OnePixel(steps=20, samples=30), model, x, model.labels(x), L0(radius), perturb=True)
    changed = out.strongest != x
    assert (changed.flatten(1).sum(1) <= radius).all()
    assert (changed.any(1).flatten(1).sum(1) <= pixels).all()
    assert changed.flatten(1).any(1).all()


def test_the_best_pixel_of_a_plane():
    """One value of a gray image: the largest weight times room, found in every row."""
    x, w = corners(8, 1, 6, 6), weights(1, 1, 6, 6)
    model = linear(w, -1000.0, space=space_of(x))
    out = run(OnePixel(steps=60, samples=100), model, x, model.labels(x), L0(1), perturb=True)
    best = (w * torch.where(w > 0, 1 - x, -x)).flatten(1).amax(1)
    moved = ((out.strongest - x) * w).flatten(1).sum(1)
    assert torch.allclose(moved, best)
