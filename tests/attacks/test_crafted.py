"""What is made once for all inputs: universal perturbations and patches, on models whose best answer is known."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

import holdfast as hf
from holdfast.attacks.crafted.adversarial_patch import INKS, AdversarialPatch, Patch
from holdfast.attacks.crafted.universal_perturbation import UniversalPerturbation
from holdfast.core.errors import DataError, ModelError, ParameterError, ThreatError
from laws.oracles import linear


def plane(seed=0, n=60):
    """Two classes on either side of a plane that all inputs of class 0 lie near, and data of that class."""
    draw = torch.Generator().manual_seed(seed)
    w = torch.randn(1, 12, generator=draw, dtype=torch.float64)
    x = 0.3 + 0.4 * torch.rand(n, 12, generator=draw, dtype=torch.float64)
    b = -(x @ w.T).amax() - 0.05  # every input has a margin of 0.05 or more
    model = linear(torch.cat([-w, w]), torch.stack([-b, b]))
    return model, hf.Dataset(x, torch.zeros(n, dtype=torch.long), classes=("a", "b")), w[0]


@pytest.mark.parametrize(
    ("threat", "best"), [("linf:0.1", lambda w: 0.1 * w.sign()), ("l2:0.3", lambda w: 0.3 * w / w.norm())]
)
def test_on_a_plane_the_universal_perturbation_is_the_steepest_one(threat, best):
    model, data, w = plane()
    made = UniversalPerturbation(epochs=3, step=0.5).craft(model, data, threat)
    assert torch.allclose(made.delta, best(w), atol=2e-3)
    found = hf.effect(model, made, data, looks=1)
    moved = data.x + made.delta
    assert found.attacked.k == int((model.labels(moved) == 0).sum()) < found.clean.k == 60
    assert found.control.k > found.attacked.k


def test_a_target_is_reached_and_counted_among_other_classes():
    model, data, w = plane()
    labels = torch.cat([data.y, torch.ones(1, dtype=torch.long)])
    more = hf.Dataset(torch.cat([data.x, (data.x[:1] + 0.5 * w.sign()).clamp(0, 1)]), labels, classes=("a", "b"))
    made = UniversalPerturbation(epochs=3, target=1).craft(model, more, "linf:0.15")
    found = hf.effect(model, made, more, looks=1)
    assert found.reached.n == 60
    assert found.reached.k == 60 - int((model.labels(data.x + made.delta) == 0).sum())
    assert hf.effect(model, dataclasses.replace(made, target=None), more, looks=1).reached is None


def test_the_change_stays_in_its_ball_and_the_inputs_in_their_box():
    model, data, _ = plane()
    edge = dataclasses.replace(data, x=data.x.round())
    made = UniversalPerturbation(epochs=1).craft(model, edge, "linf:0.25")
    shown = made.apply(edge)
    assert float((shown.x - edge.x).abs().max()) <= 0.25 + 1e-12
    assert 0 <= shown.x.min() <= shown.x.max() <= 1
    twin = made.control(3)
    assert torch.equal(twin.delta.abs().sort().values, made.delta.abs().sort().values)
    again = UniversalPerturbation(epochs=1).craft(model, edge, "linf:0.25")
    assert torch.equal(again.delta, made.delta)


def test_what_cannot_be_made():
    model, data, _ = plane()
    blind = hf.Model(space=model.space, classes=2, labels=model.labels)
    with pytest.raises(ThreatError, match="HF303"):
        UniversalPerturbation().craft(model, data, "linf:inf")
    with pytest.raises(ThreatError, match="HF304"):
        UniversalPerturbation().craft(blind, data, "linf:0.1")
    with pytest.raises(DataError, match="HF102"):
        AdversarialPatch().craft(model, data)
    with pytest.raises(ParameterError, match="HF001"):
        AdversarialPatch(area=0.0)
    colored = pictures()
    with pytest.raises(ThreatError, match="HF304"):
        AdversarialPatch().craft(hf.Model(space=model.space, classes=2, labels=lambda x: x[:, 0, 0, 0].long()), colored)
    with pytest.raises(DataError, match="no masks"):
        AdversarialPatch(on="object").craft(redness(), colored)
    with pytest.raises(DataError, match="HF102"):
        AdversarialPatch(colors="print").craft(redness(), dataclasses.replace(colored, x=colored.x[:, :1]))
    with pytest.raises(ParameterError, match="looks=0"):
        hf.effect(redness(), AdversarialPatch(steps=1).craft(redness(), colored), colored, looks=0)
    for target in (-1, 2):
        with pytest.raises(ThreatError, match="HF305.*0 to 1"):
            UniversalPerturbation(target=target).craft(model, data, "linf:0.1")
        with pytest.raises(ThreatError, match="HF305.*0 to 1"):
            AdversarialPatch(target=target).craft(redness(), colored)
    with pytest.raises(DataError, match="HF120"):
        hf.effect(redness(), AdversarialPatch(steps=1).craft(redness(), colored), colored.take(torch.arange(0)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda net, model, data: UniversalPerturbation().craft(net, data, "linf:0.1"),
        lambda net, model, data: AdversarialPatch().craft(net, data),
        lambda net, model, data: hf.effect(net, AdversarialPatch(steps=1).craft(model, data), data),
        lambda net, model, data: hf.spatial(net, data),
        lambda net, model, data: hf.run(hf.attacks.Pgd(steps=1), net, data.x, data.y, "linf:0.1"),
        lambda net, model, data: hf.transfer(hf.attacks.TransferPgd(), net, model, data.x, data.y, "linf:0.1"),
        lambda net, model, data: hf.transfer(hf.attacks.TransferPgd(), model, net, data.x, data.y, "linf:0.1"),
    ],
)
def test_a_network_that_is_not_wrapped_is_named(ask):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 2))
    with pytest.raises(ModelError, match="HF240.*Sequential"):
        ask(net, redness(), pictures())


def pictures(n=24, side=16, masks=False):
    """Gray pictures of class 0, with an object in the middle of its half."""
    draw = torch.Generator().manual_seed(1)
    x = 0.4 + 0.05 * torch.rand(n, 3, side, side, generator=draw)
    x[:, :, 3, 3] = 0.9
    where = torch.zeros(n, side, side, dtype=torch.bool)
    where[:, 2:10, 2:10] = True
    more = {"masks": where} if masks else {}
    return hf.Dataset(x, torch.zeros(n, dtype=torch.long), classes=("gray", "red"), **more)


def redness():
    """Says red where the picture has more red than green and blue by a little."""

    def scores(x):
        red = (x[:, 0] - x[:, 1:].mean(1)).mean((1, 2))
        return torch.stack([-red + 0.01, red - 0.01], 1) * 50

    space = hf.wrap(torch.nn.Flatten(), bounds=(0, 1)).space
    return hf.Model(space=space, classes=2, module=scores, scores=scores, labels=lambda x: scores(x).argmax(1))


@pytest.mark.parametrize(("on", "area"), [("picture", 0.1), ("object", 0.4)])
def test_against_a_model_of_redness_the_patch_turns_red(on, area):
    data = pictures(masks=True)
    made = AdversarialPatch(on=on, area=area, steps=40, rate=0.3, cells=4).craft(redness(), data)
    assert float(made.pixels[0].mean()) > 0.9 > 0.1 > float(made.pixels[1:].mean())
    found = hf.effect(redness(), made, data, looks=2)
    assert found.clean.k == 24
    assert found.attacked.k == found.always.k == 0
    assert found.attacked.n == 48


def test_printed_cells_are_inks_and_the_red_one_is_chosen():
    made = AdversarialPatch(colors="print", steps=60, rate=0.3, cells=3).craft(redness(), pictures())
    found = {tuple(round(v, 2) for v in cell) for cell in made.pixels.flatten(1).T.tolist()}
    assert found <= set(INKS)
    assert found == {(0.89, 0.12, 0.15)}


def test_each_cell_of_a_sticker_is_nearly_the_best_ink_for_its_place():
    """Every ninth of an object asks for a color of its own; of what inks differ by there, a tenth may be lost."""
    draw = torch.Generator().manual_seed(0)
    wanted = torch.randn(3, 3, 3, generator=draw, dtype=torch.float64)
    w = torch.zeros(3, 20, 20, dtype=torch.float64)
    w[:, 4:16, 4:16] = wanted.repeat_interleave(4, 1).repeat_interleave(4, 2)
    masks = torch.zeros(8, 20, 20, dtype=torch.bool)
    masks[:, 4:16, 4:16] = True
    x = torch.rand(8, 3, 20, 20, generator=draw, dtype=torch.float64)
    data = hf.Dataset(x, torch.zeros(8, dtype=torch.long), classes=("a", "b"), masks=masks)

    def scores(z):
        value = (z * w.to(z)).sum((1, 2, 3)) / 40
        return torch.stack([0 * value, value - 3], 1)

    space = hf.wrap(torch.nn.Flatten(), bounds=(0, 1)).space
    model = hf.Model(space=space, classes=2, module=scores, scores=scores, labels=lambda z: scores(z).argmax(1))
    still = {"turn": 0.0, "scale": 0.0, "shift": 0.0, "light": 0.0}
    attack = AdversarialPatch(on="object", area=1.0, colors="print", cells=3, steps=80, rate=0.3, **still)
    made = attack.craft(model, data)
    worth = torch.einsum("kc,chw->khw", torch.tensor(INKS, dtype=torch.float64), wanted)
    lost = (worth.amax(0) - (made.pixels * wanted).sum(0)) / (worth.amax(0) - worth.amin(0))
    assert len(worth.argmax(0).unique()) > 3
    assert lost.max() < 0.1
    twin = made.control()
    assert ((worth.amax(0) - (twin.pixels * wanted).sum(0)) / (worth.amax(0) - worth.amin(0))).max() > 0.3


def test_a_sticker_stays_on_its_object_and_is_lit_like_it():
    data = pictures(masks=True)
    made = AdversarialPatch(on="object", area=0.3, steps=1, light=0.0).craft(redness(), data)
    bright = dataclasses.replace(made, pixels=torch.ones_like(made.pixels))
    for seed in range(3):
        shown = bright.apply(data, seed)
        changed = (shown.x != data.x).any(1)
        assert not (changed & ~data.masks).any()
        assert changed.flatten(1).any(1).all()
        assert float(shown.x.max()) < 0.95  # the brightest spots of a dim object, not paper in the sun
    assert not torch.equal(bright.apply(data, 0).x, bright.apply(data, 1).x)


def test_a_sticker_lies_turned_and_lit_where_scipy_and_numpy_put_it():
    data = pictures(n=4, side=24, masks=True)
    draw = torch.Generator().manual_seed(2)
    data = dataclasses.replace(data, x=0.2 + 0.6 * torch.rand(4, 3, 24, 24, generator=draw, dtype=torch.float64))
    attack = AdversarialPatch(on="object", area=0.5, turn=40.0, scale=0.3, shift=0.2, light=0.1, cells=5)
    colors = torch.rand(3, 5, 5, generator=draw, dtype=torch.float64)
    pose = Patch(colors, attack).pose(data, seed=3)
    bare, shown, masks = data.x.numpy(), Patch(colors, attack).put_on(data, seed=3).numpy(), data.masks.numpy()
    for i, (center, side) in enumerate(zip(pose.center.numpy(), pose.side.tolist(), strict=True)):
        middle, extent = np.argwhere(masks[i]).mean(0), masks[i].sum() ** 0.5
        white = np.quantile(bare[i].max(0)[masks[i]], 0.95)
        assert np.abs(center - middle).max() <= 0.2 * extent
        assert abs(side / (0.5**0.5 * extent) - 1) <= 0.3
        assert abs(float(pose.light[i]) / white - 1) <= 0.1
        turn = np.radians(float(pose.angle[i]))
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * 5 / side
        cells = np.einsum("ab,bhw->ahw", matrix, np.indices((24, 24)) - center[:, None, None])
        away, half = np.abs(cells).max(0), 2.51 / side  # of a pixel, in cells
        wanted = np.stack([ndimage.map_coordinates(c, cells + 2, order=1, mode="nearest") for c in colors.numpy()])
        inner, outer = masks[i] & (away < 2.5 - half), ~masks[i] | (away > 2.5 + half)
        assert inner.sum() > 8
        assert np.allclose(shown[i][:, inner], (wanted * float(pose.light[i])).clip(0, 1)[:, inner], atol=1e-9)
        assert np.array_equal(shown[i][:, outer], bare[i][:, outer])
    assert len(pose.angle.unique()) == len(pose.light.unique()) == 4
    assert pose.angle.abs().max() <= 40


def test_placements_belong_to_the_sample_and_cover_what_was_asked():
    data = pictures(n=200, side=32)
    made = AdversarialPatch(area=0.1, steps=1, turn=0.0, light=0.0).craft(redness(), data)
    white = dataclasses.replace(made, pixels=torch.zeros_like(made.pixels))
    shown = white.apply(data, seed=5)
    some = white.apply(data.take(torch.tensor([7, 3])), seed=5)
    assert torch.allclose(some.x, shown.x[[7, 3]])
    share = (shown.x == 0).all(1).double().mean((1, 2))
    assert 0.05 < float(share.mean()) < 0.11
    assert float(share.max()) < 0.14
    twin = made.control(1)
    assert torch.equal(twin.pixels.flatten(1).sort().values, made.pixels.flatten(1).sort().values)


def test_groups_are_drawn_whole():
    data = dataclasses.replace(pictures(), groups=torch.arange(24) // 6)
    made = AdversarialPatch(steps=1).craft(redness(), data)
    assert hf.effect(redness(), made, data, looks=2).attacked.groups == 4
