"""TransferPgd: what each trick does to a gradient, by hand; and that tricks carry over better than none."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

import holdfast as hf
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.transfer_pgd import TransferPgd, framed, smooth
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.attacks.transfer import transfer
from holdfast.core.errors import ThreatError
from laws.oracles import linear

BARE = {"diversity": 0.0}


def images(n=4, side=9):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def curved(seed=0, side=9):
    """A small smooth network over pictures, three classes."""
    draw = torch.Generator().manual_seed(seed)
    a = torch.randn(3 * side * side, 16, generator=draw, dtype=torch.float64) / 6
    b = torch.randn(16, 3, generator=draw, dtype=torch.float64)
    return hf.Model(space=hf.wrap(torch.nn.Flatten(), bounds=(0, 1)).space, classes=3, **fields(a, b))


def fields(a, b):
    def scores(x):
        return torch.tanh((x.flatten(1) - 0.5) @ a) @ b

    return {"module": scores, "scores": scores, "labels": lambda x: scores(x).argmax(1)}


def test_without_tricks_it_is_momentum():
    model, x = curved(), images()
    y = model.labels(x)
    plain = run(Pgd(steps=7, momentum=1.0, random_start=False), model, x, y, "linf:0.05", perturb=True)
    mine = run(TransferPgd(steps=7, **BARE), model, x, y, "linf:0.05", perturb=True)
    assert torch.equal(plain.strongest, mine.strongest)
    ahead = run(TransferPgd(steps=7, lookahead=True, **BARE), model, x, y, "linf:0.05", perturb=True)
    assert not torch.equal(plain.strongest, ahead.strongest)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_lookahead_by_hand(norm, monkeypatch):
    """Two steps on one row: the second gradient is taken one momentum step ahead, in Linf as long as momentum is."""
    model, x = curved(), images(1)
    y = model.labels(x)

    def slope(z):
        leaf = z.clone().requires_grad_()
        s = model.module(leaf)
        others = torch.cat([s[:, :y], s[:, y + 1 :]], 1)
        (g,) = torch.autograd.grad(torch.logsumexp(others, 1).sum() - s[0, y].sum(), leaf)
        return g / g.abs().mean()

    stride = 0.1 * 0.05
    forward, lead = {"linf": (torch.sign, lambda m: m), "l2": (lambda m: m / m.norm(),) * 2}[norm]
    m = slope(x)
    one = (x + stride * forward(m)).clamp(0, 1)
    m = m + slope((one + stride * lead(m)).clamp(0, 1))
    two = (one + stride * forward(m)).clamp(0, 1)
    attack = TransferPgd(steps=2, step=0.1, lookahead=True, **BARE)
    asked, margin = [], Probe.margin
    monkeypatch.setattr(Probe, "margin", lambda probe, x: (asked.append(x), margin(probe, x))[1])
    run(attack, model, x, y, f"{norm}:0.05", perturb=True)
    assert torch.allclose(asked[-1], two, atol=1e-9)


@pytest.mark.parametrize("sizes", [(4, 4), (2, 3), (3, 1), (4, 2)])
def test_a_frame_holds_the_resized_picture(sizes):
    """Torch's own bilinear resize and padding, for two pictures with places of their own."""
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first = torch.tensor([[0, 0], [4 - sizes[0], 4 - sizes[1]]])
    got = framed(x, torch.tensor([sizes, sizes]), first)
    small = functional.interpolate(x, size=sizes, mode="bilinear", align_corners=False)
    for k, (top, left) in enumerate(first.tolist()):
        around = (left, 4 - sizes[1] - left, top, 4 - sizes[0] - top)
        assert torch.allclose(got[k], functional.pad(small[k], around), atol=1e-12)
    if sizes == (4, 4):
        assert torch.equal(got, x)


def test_neighbors_lie_on_both_sides_of_a_value_on_its_bound(monkeypatch):
    """Half of them are cut off at the bound, so that half of the looks see a black pixel black."""
    asked = []
    slope = Probe.slope
    monkeypatch.setattr(Probe, "slope", lambda probe, x, *rest: (asked.append(x), slope(probe, x, *rest))[1])
    model, x = curved(), torch.zeros(1, 3, 9, 9, dtype=torch.float64)
    run(TransferPgd(steps=1, neighbors=8, reach=1.5, **BARE), model, x, model.labels(x), "linf:0.1", perturb=True)
    near = torch.cat(asked[1:])
    assert 0.45 < float((near == 0).double().mean()) < 0.55
    assert 0.145 < float(near.max()) <= 0.15


def test_diversity_resizes_that_often_and_not_below_its_least(monkeypatch):
    """Sizes are read off the pictures that the model is shown: white ones, so that the frame is seen."""
    shown = []
    model = linear(torch.zeros(2, 3 * 400, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    seen = hf.Model(
        space=model.space,
        classes=2,
        module=lambda x: (shown.append(x.detach()), model.module(x.flatten(1)))[1],
        scores=lambda x: model.scores(x.flatten(1)),
        labels=lambda x: model.labels(x.flatten(1)),
    )
    x = torch.ones(50, 3, 20, 20, dtype=torch.float64)
    run(TransferPgd(steps=10, diversity=0.5, least=0.7), seen, x, torch.zeros(50).long(), "linf:1e-6", perturb=True)
    sizes = torch.cat([(s[:, 0] > 0.5).any(2).sum(1) for s in shown])
    assert sizes.min() == 14
    assert sizes.max() == 20
    assert 0.4 < float((sizes < 20).double().mean()) < 0.55  # a resize to 20 of 20 is none
    places = torch.cat([(s[:, 0] > 0.5).any(2).long().argmax(1) for s in shown])
    assert places.max() >= 4


def test_the_gradient_goes_back_through_the_resize():
    """On a linear model: of one sign everywhere, as every pixel has a part in a picture of half the size or more."""
    w = torch.rand(1, 3 * 81, dtype=torch.float64) + 0.5
    flat = linear(torch.cat([w, -w]), torch.zeros(2, dtype=torch.float64))
    model = hf.Model(
        space=flat.space,
        classes=2,
        module=lambda x: flat.module(x.flatten(1)),
        scores=lambda x: flat.scores(x.flatten(1)),
        labels=lambda x: flat.labels(x.flatten(1)),
    )
    x = images(8) * 0.5 + 0.25
    attack = TransferPgd(steps=1, step=1.0, diversity=1.0, least=0.6)
    out = run(attack, model, x, torch.zeros(8).long(), "l2:0.1", perturb=True)
    moved = (out.strongest - x)[:, 0]
    assert (moved < 0).all()
    plain = run(dataclasses.replace(attack, diversity=0.0), model, x, torch.zeros(8).long(), "l2:0.1", perturb=True)
    assert not torch.allclose(plain.strongest, out.strongest, atol=1e-4)


@pytest.mark.parametrize("side", [3, 4, 7])
def test_the_gaussian_over_the_gradient(side):
    g = images(2) - 0.5
    window = np.exp(-(np.linspace(-3, 3, side) ** 2) / 2)
    kernel = np.outer(window, window) / window.sum() ** 2
    origin = -1 if side % 2 == 0 else 0
    for k in range(3):
        wanted = ndimage.correlate(g[1, k].numpy(), kernel, mode="constant", origin=origin)
        assert np.allclose(smooth(g, side)[1, k].numpy(), wanted)
    assert smooth(g, 1) is g
    assert smooth(g.flatten(1), 5).dim() == 2


def test_neighbors_cost_what_the_docstring_says_and_change_nothing_on_a_plane():
    w = torch.randn(2, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    model = linear(w, torch.zeros(2, dtype=torch.float64))
    x = torch.full((3, 12), 0.5, dtype=torch.float64)
    y = model.labels(x)
    one, many = (run(TransferPgd(steps=5, neighbors=n), model, x, y, "linf:0.01", perturb=True) for n in (0, 3))
    assert torch.allclose(one.strongest, many.strongest)
    assert one.queries.tolist() == [6] * 3
    assert many.queries.tolist() == [21] * 3


@pytest.mark.parametrize("threat", ["linf:0.05", "l2:0.5"])
def test_a_picture_is_attacked_in_the_same_way_in_any_company(threat):
    model, x = curved(), images()
    y = model.labels(x)
    attack = TransferPgd(steps=5, neighbors=1, kernel=3)
    whole = run(attack, model, x, y, threat, perturb=True, seed=3)
    alone = run(attack, model, x[2:3], y[2:3], threat, perturb=True, seed=3, ids=[2])
    assert torch.allclose(whole.strongest[2:3], alone.strongest, atol=1e-9)


def test_transfer_shows_the_surrogates_points_to_the_target():
    w = torch.randn(2, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    near = w + 0.3 * torch.randn(2, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    target, surrogate = (linear(m, torch.zeros(2, dtype=torch.float64)) for m in (w, near))
    x = torch.rand(40, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y = target.labels(x)
    y[:5] = 1 - y[:5]
    blind = hf.Model(space=target.space, classes=2, labels=target.labels)
    for seen in (target, blind):
        out = transfer(TransferPgd(), surrogate, seen, x, y, "linf:0.2")
        made = run(TransferPgd(), surrogate, x, y, "linf:0.2", perturb=True).strongest
        fooled = target.labels(made) != y
        wanted = ["wrong" if i < 5 else "broken" if f else "unbroken" for i, f in enumerate(fooled.tolist())]
        assert list(out.status) == wanted
        assert set(wanted) == {"wrong", "broken", "unbroken"}
        assert torch.equal(out.adversarial[out.success], made[out.success])
        assert torch.equal(out.adversarial[~out.success], x[~out.success])
        assert out.queries.tolist() == [1] * 40
    with pytest.raises(ThreatError):
        transfer(TransferPgd(), surrogate, target, x, y, "linf:inf")


def test_a_target_that_gives_no_number_is_an_error():
    target = linear(torch.zeros(2, 12, dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64))
    mute = hf.Model(space=target.space, classes=2, scores=lambda x: torch.full((len(x), 2), torch.nan), labels=None)
    x = torch.rand(3, 12, dtype=torch.float64)
    assert set(transfer(TransferPgd(), target, mute, x, torch.zeros(3).long(), "linf:0.1").status) == {"error"}
