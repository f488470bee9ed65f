"""What is made once, beside ART's at no more passes: a universal perturbation, a patch; and a sticker on stop signs.

    make bench-env
    .venv-bench/bin/python benchmarks/crafted_peers.py

Everything is made on training samples and judged on others. *Universal perturbation*: scikit-learn's digits, Linf 0.1,
ART's with DeepFool inside, until it has gone twice over the samples; the share of right answers that is left.
*Patch* and *sticker*: rendered road signs of five kinds, 24 x 24 pixels, those that a small network reads. The patch
is made toward one class, of the same area, without play of light, with equal pictures and passes; each is also put on
by the other side (ART's is a disk, ours a square, and ours is as bright as the picture lets it be); the share of other
signs read as that class. The sticker: printable inks on 15 % of a stop sign, to be read as speed limit 80; its cells
shuffled are the control. Eykholt et al. report that all their pictures of such a stop sign in the laboratory were read
as the class aimed at.
"""

import argparse
import dataclasses
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transfer_peers import networks, trained

import holdfast as hf
from holdfast.attacks.crafted.adversarial_patch import Patch

SIZE = 24
KINDS = ("stop", "speed limit 80", "yield", "no entry", "priority road")
STOP, EIGHTY, AIM = 0, 1, 2
RADIUS = 0.1
SCALE = 0.4  # diameter of ART's disk, as a share of the side


class Counted(nn.Module):
    """A network that counts the pictures it is asked about."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.rows = net, 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.rows += len(x)
        return self.net(x)


def reader(data: hf.Dataset) -> nn.Module:
    """Two strided convolutions and two linear layers, taught in seconds."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * (SIZE // 4) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, len(KINDS)),
    )
    return trained(net, data.x, data.y, 0, epochs=30)


def signs(n: int, seed: int) -> hf.Dataset:
    """Rendered signs of the five kinds."""
    data = hf.data.road_signs.render(n, seed=seed, size=SIZE)
    kinds = torch.full((len(data.classes),), -1)
    kinds[[data.classes.index(kind) for kind in KINDS]] = torch.arange(len(KINDS))
    kept = (kinds[data.y] >= 0).nonzero()[:, 0]
    return dataclasses.replace(data.take(kept), y=kinds[data.y[kept]], classes=KINDS)


def art(net: nn.Module, shape: tuple[int, ...], classes: int) -> Any:
    """The network as ART knows it."""
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(net, nn.CrossEntropyLoss(), shape, classes, clip_values=(0.0, 1.0))


def universal(net: nn.Module, part: hf.Dataset, test: hf.Dataset) -> None:
    """Print what is left, ours first, and who asked about how many pictures."""
    from art.attacks.evasion import UniversalPerturbation

    counted = Counted(net).eval()
    theirs = UniversalPerturbation(
        art(counted, (1, 8, 8), 10), "deepfool", {"verbose": False}, max_iter=2, delta=0.0, eps=RADIUS, verbose=False
    )
    theirs.generate(part.x.numpy(), part.y.numpy())
    asked, counted.rows = counted.rows, 0
    made = hf.crafted.UniversalPerturbation().craft(hf.wrap(counted, bounds=(0, 1)), part, f"linf:{RADIUS}")
    control = made.control()
    left = {
        "clean": torch.zeros_like(made.delta),
        "ours": made.delta,
        "ART": torch.from_numpy(theirs.noise[0]),
        "signs at random": control.delta,
    }
    shares = (f"{name} {right(net, (test.x + d).clamp(0, 1), test.y):.3f}" for name, d in left.items())
    print(f"universal perturbation, right of {len(test)}: {', '.join(shares)}; pictures asked {counted.rows}, {asked}")


def right(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of right answers."""
    return float((net(x).argmax(1) == y).double().mean())


def patches(net: nn.Module, part: hf.Dataset, test: hf.Dataset, steps: int) -> None:
    """Print how many other signs are read as the class aimed at, by who made the patch and who put it on."""
    from art.attacks.evasion import AdversarialPatchNumpy

    how = {"area": np.pi / 4 * SCALE**2, "turn": 22.5, "scale": 0.0, "light": 0.0}
    recipe = hf.crafted.AdversarialPatch(steps=steps, batch=len(part), target=AIM, **how)
    made = recipe.craft(hf.wrap(net, bounds=(0, 1)), part)
    np.random.seed(0)  # noqa: NPY002
    sides = {"rotation_max": 22.5, "scale_min": SCALE, "scale_max": SCALE}
    theirs = AdversarialPatchNumpy(
        art(net, (3, SIZE, SIZE), len(KINDS)), max_iter=steps, batch_size=len(part), verbose=False, **sides
    )
    disk, _ = theirs.generate(part.x.numpy(), np.full(len(part), AIM))
    others = test.take((test.y != AIM).nonzero()[:, 0])

    def reached(x: Tensor) -> str:
        return f"{float((net(x).argmax(1) == AIM).double().mean()):.3f}"

    squares = {
        "ours": made,
        "ART": Patch(torch.from_numpy(disk).float(), recipe),
        "control": made.control(),
    }
    for name, patch in squares.items():
        whole = functional.interpolate(patch.pixels[None], size=(SIZE, SIZE), mode="bilinear")[0].numpy()
        put = theirs.apply_patch(others.x.numpy(), SCALE, patch_external=disk if name == "ART" else whole)
        print(
            f"patch of {name:8s} put on by ours: {reached(patch.apply(others).x)}, by ART: "
            f"{reached(torch.from_numpy(put).float().clamp(0, 1))}; without: {reached(others.x)} of {len(others)}"
        )


def sticker(net: nn.Module, train: hf.Dataset, test: hf.Dataset, steps: int) -> None:
    """Print how many stop signs are read as speed limit 80."""
    stops, seen = (d.take((d.y == STOP).nonzero()[:, 0]) for d in (train, test))
    recipe = hf.crafted.AdversarialPatch(on="object", area=0.15, colors="print", target=EIGHTY, steps=steps, batch=32)
    model = hf.wrap(net, bounds=(0, 1))
    made = recipe.craft(model, stops)
    for name, patch in (("sticker", made), ("its cells shuffled", made.control())):
        found = hf.effect(model, patch, seen)
        print(f"{name} on {len(seen)} stop signs, 4 looks: clean {found.clean}, {found.attacked}, {found.reached}")


def main() -> None:
    """Print the three parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="universal, patch or sticker")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.only in ("", "universal"):
        digits = hf.data.load("digits")
        universal(networks(digits.train)["source"], digits.train.sample(100, 0), digits.test)
    if options.only == "universal":
        return
    train, test = signs(3200, 1), signs(800, 2)
    net = reader(train)
    train, test = (d.take((net(d.x).argmax(1) == d.y).nonzero()[:, 0]) for d in (train, test))
    print(f"{len(test)} test signs that the network reads", flush=True)
    if options.only in ("", "patch"):
        patches(net, dataclasses.replace(train.take(torch.arange(64)), masks=None), test, 60)
    if options.only in ("", "sticker"):
        sticker(net, train, test, 150)


if __name__ == "__main__":
    main()
