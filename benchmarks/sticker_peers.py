"""Stickers on road signs: beside those of Eykholt et al., written a second time, and beside ART's, in equal passes.

    make demo                                   # trains the network
    make bench-env
    .venv-bench/bin/python benchmarks/sticker_peers.py

Everything is made on rendered signs and judged on others, put on by ours and by a *camera*: Pillow draws the sticker's
flat cells four times as fine, from the same poses, and a pixel is the mean of 16 points. *Pictures* says how far the
two lie apart. *RP2* (arXiv:1707.08945) follows cross-entropy, and the paper's non-printability score where colors are
inks, by Adam on the colors themselves, cut to [0, 1]; its pictures are drawn by plain indexing, four points a pixel.
The distance term is left out: an opaque sticker hides what it lies on. *ART's* AdversarialPatchNumpy gets the middles
that our poses reach as its mask, and a disk of our mean area (its torch twin needs torchvision). Where inks are asked
for, both are rounded to the nearest ink at the end. *control* is ours with its cells in random order.
"""

import argparse
import math
import pathlib
import random
import warnings

import numpy as np
import torch
from crafted_peers import art
from PIL import Image
from torch import Tensor
from torch.nn import functional

import holdfast as hf
from holdfast.attacks.crafted.adversarial_patch import INKS, AdversarialPatch, Patch
from holdfast.evaluation.bench.peers import Asked
from holdfast.geometry.pasting import Pose, middle_of
from holdfast.models.files import load_model
from holdfast.models.source import source_of

FINE = 4  # points of the camera along a pixel's side
POINTS = 2  # of RP2's pictures
RATE, SCORE = 0.1, 0.01  # of Adam, as in the authors' code; weight of the non-printability score
UNSEEN = 1_000  # first seed of the placements that are judged
NO_ENTRY = 8
SEEDS = (1, 2, 3)


def camera(patch: Patch, data: hf.Dataset, seed: int) -> Tensor:
    """The pictures with the patch on them, drawn by Pillow: `(n, 3, height, width)`."""
    height, width = data.x.shape[2:]
    bands = [Image.fromarray(band.float().numpy()) for band in (*patch.pixels, torch.ones_like(patch.pixels[0]))]
    pose, shown = patch.pose(data, seed), []
    for i in range(len(data)):
        way = _way(pose, i, patch.pixels.shape[-1])
        drawn = [
            band.transform((width * FINE, height * FINE), Image.Transform.AFFINE, way, Image.Resampling.NEAREST)
            for band in bands
        ]
        *colors, cover = (torch.from_numpy(np.array(band.reduce(FINE))) for band in drawn)
        lit = (torch.stack(colors) / cover.clamp(min=1e-6) * pose.light[i]).clamp(0, 1)
        shown.append(data.x[i] + cover * data.masks[i] * (lit - data.x[i]))
    return torch.stack(shown)


def _way(pose: Pose, i: int, cells: int) -> tuple[float, ...]:
    """Pillow's affine map from points of the fine picture to cells."""
    turn, by = math.radians(float(pose.angle[i])), cells / float(pose.side[i])
    c, s = by * math.cos(turn), by * math.sin(turn)
    down, across = (-0.5 - float(at) for at in pose.center[i])
    half = cells / 2
    return (c / FINE, s / FINE, half + c * across + s * down, -s / FINE, c / FINE, half - s * across + c * down)


def drawn(pixels: Tensor, pose: Pose, data: hf.Dataset) -> Tensor:
    """RP2's pictures, differentiable in the colors."""
    (_, _, height, width), cells = data.x.shape, pixels.shape[-1]
    at = [(torch.arange(size * POINTS) + 0.5) / POINTS - 0.5 for size in (height, width)]
    down = at[0][:, None] - pose.center[:, :1, None]
    across = at[1] - pose.center[:, 1:, None]
    turn, by = torch.deg2rad(pose.angle)[:, None, None], (cells / pose.side)[:, None, None]
    row = (by * (turn.cos() * down - turn.sin() * across) + cells / 2).floor().long()
    column = (by * (turn.sin() * down + turn.cos() * across) + cells / 2).floor().long()
    inside = (row >= 0) & (row < cells) & (column >= 0) & (column < cells)
    places = torch.where(inside, row * cells + column, 0)
    colors = pixels.flatten(1)[:, places].movedim(1, 0) * inside[:, None]
    cover = functional.avg_pool2d(inside[:, None].float(), POINTS)
    lit = torch.minimum(functional.avg_pool2d(colors, POINTS) * pose.light[:, None, None, None], cover)
    return torch.where(data.masks[:, None], (1 - cover) * data.x + lit, data.x)


def rp2(net: Asked, recipe: AdversarialPatch, data: hf.Dataset, seed: int) -> Tensor:
    """Colors `(3, cells, cells)` of a sticker made as Eykholt et al. made theirs, from our poses."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.full((3, recipe.cells, recipe.cells), 0.5, requires_grad=True)
    adam, inks = torch.optim.Adam([pixels], RATE), torch.tensor(INKS)[:, :, None, None]
    for i in range(recipe.steps):
        part = data.take(torch.randperm(len(data), generator=draw)[: recipe.batch])
        scores = net(drawn(pixels, Patch(pixels, recipe).pose(part, seed + 1 + i), part))
        if recipe.target is None:
            loss = -functional.cross_entropy(scores, part.y)
        else:
            loss = functional.cross_entropy(scores, torch.full_like(part.y, recipe.target))
        if recipe.colors == "print":
            loss = loss + SCORE * (pixels - inks).norm(dim=1).prod(0).sum()
        (pixels.grad,) = torch.autograd.grad(loss, pixels)
        adam.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)
    return pixels.detach()


def disk(net: Asked, recipe: AdversarialPatch, data: hf.Dataset) -> Tensor:
    """Colors `(3, side, side)` of ART's patch; only its disk is shown to the network while it is made."""
    from art.attacks.evasion import AdversarialPatchNumpy

    part, side = data.take(torch.arange(recipe.batch)), data.x.shape[-1]
    middle, extent = middle_of(part.masks)
    far = (recipe.shift * extent).clamp(min=0.5)[:, None, None]
    rows = torch.arange(side)
    near = [(rows - middle[:, axis : axis + 1]).abs() for axis in (0, 1)]
    mask = (near[0][:, :, None] <= far) & (near[1][:, None, :] <= far)
    scale = 2 * (recipe.area / math.pi) ** 0.5 * float(extent.mean()) / side
    random.seed(0)  # from which ART draws
    np.random.seed(0)
    attack = AdversarialPatchNumpy(
        art(net, side, channels=3, classes=len(data.classes)),
        rotation_max=recipe.turn,
        scale_min=scale * (1 - recipe.scale),
        scale_max=scale * (1 + recipe.scale),
        max_iter=recipe.steps,
        batch_size=recipe.batch,
        verbose=False,
    )
    pixels, _ = attack.generate(part.x.numpy(), np.full(recipe.batch, recipe.target), mask=mask.numpy())
    return torch.from_numpy(pixels).float()


def rounded(pixels: Tensor) -> Tensor:
    """Every color as the nearest ink."""
    inks = torch.tensor(INKS)
    return inks[(pixels - inks[:, :, None, None]).norm(dim=1).argmin(0)].permute(2, 0, 1)


def told(model: hf.Model, patch: Patch, test: hf.Dataset, looks: int) -> list[float]:
    """The share of wrong answers, or of other signs read as the target: put on by ours, by the camera."""
    aim, shares = patch.target, []
    part = test if aim is None else test.take((test.y != aim).nonzero()[:, 0])
    for put in (patch.put_on, lambda data, seed: camera(patch, data, seed)):
        answers = torch.stack([model.predict(put(part, UNSEEN + look)) for look in range(looks)])
        shares.append(float(((answers != part.y) if aim is None else (answers == aim)).double().mean()))
    return shares


def compared(model: hf.Model, recipe: AdversarialPatch, parts: tuple[hf.Dataset, hf.Dataset], looks: int) -> None:
    """Print a line for each maker, the mean over the seeds."""
    (train, test), net = parts, Asked(source_of(model).ask)
    made = [recipe.craft(model, train, seed=seed) for seed in SEEDS]
    found = {"ours": [patch.pixels for patch in made], "control": [patch.control().pixels for patch in made]}
    peers = {"RP2": [rp2(net, recipe, train, seed) for seed in SEEDS]}
    if recipe.target is not None:
        peers["ART"] = [disk(net, recipe, train)]  # toward a class only
    for name, several in peers.items():
        found[name] = [rounded(pixels) if recipe.colors == "print" else pixels for pixels in several]
    what = "read as no entry" if recipe.target is not None else "wrong"
    for name, several in found.items():
        shares = torch.tensor([told(model, Patch(pixels, recipe), test, looks) for pixels in several])
        each = ", ".join(f"{share:.3f}" for share in shares[:, 1].tolist())
        ours, by_camera = shares.mean(0).tolist()
        print(
            f"{recipe.colors:5s} colors, {what:16s}, {name:7s} put on by ours {ours:.3f}, "
            f"by the camera {by_camera:.3f} ({each})",
            flush=True,
        )


def main() -> None:
    """Print how far the pictures lie apart, and who made what."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("runs/demo-road-signs/vgg11.safetensors"))
    parser.add_argument("--area", type=float, default=0.15, help="share of the sign that is covered")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--count", type=int, default=160, help="signs that are judged")
    parser.add_argument("--looks", type=int, default=2, help="placements on each")
    parser.add_argument("--only", default="", help='of "any wrong", "print wrong", "any target", "print target"')
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = load_model(options.model)
    train, test = hf.data.road_signs.render(640, seed=1), hf.data.road_signs.render(options.count, seed=2)
    wrong = float((model.predict(test.x) != test.y).double().mean())
    some = Patch(torch.tensor(INKS)[torch.randint(16, (12, 12))].permute(2, 0, 1), AdversarialPatch(on="object"))
    apart = (some.put_on(test, 0) - camera(some, test, 0)).abs()[test.masks[:, None].expand_as(test.x)].mean()
    print(
        f"{len(test)} signs, {wrong:.3f} wrong as they are; on the signs, pictures {float(apart):.4f} apart", flush=True
    )
    for target in (None, NO_ENTRY):
        for colors in ("any", "print"):
            if options.only in f"{colors} {'wrong' if target is None else 'target'}":
                how = {"area": options.area, "steps": options.steps, "colors": colors, "target": target}
                compared(model, AdversarialPatch(on="object", **how), (train, test), options.looks)


if __name__ == "__main__":
    main()
