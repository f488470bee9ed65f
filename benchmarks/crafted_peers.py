"""What is made once, beside ART's at no more passes: a universal perturbation and a patch.

    make bench-env
    export HOLDFAST_DATA=...
    .venv-bench/bin/python benchmarks/crafted_peers.py

Everything is made on training samples and judged on others. *Universal perturbation*: scikit-learn's digits, Linf 0.1,
ART's with DeepFool inside, until it has gone twice over the samples; the share of right answers that is left.
*Patch*: MNIST and a small network; made toward one class, of the same area, without play of light, on the same pictures
in equal passes. Each patch is also put on by the other side (ART's is a disk, ours a square, and ours is as bright as
the picture lets it be); the share of other digits read as that class.
"""

import argparse
import random
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transfer_peers import networks, trained

import holdfast as hf
from holdfast.attacks.crafted.adversarial_patch import Patch

SIZE, AIM, LOOKS = 28, 2, 4
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
        return self.net(x.float())


def reader(data: hf.Dataset) -> nn.Module:
    """Two strided convolutions and two linear layers, taught in seconds."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, 2, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (SIZE // 4) ** 2, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    return trained(net, data.x, data.y, 0, epochs=5)


def art(net: nn.Module, side: int, channels: int = 1, classes: int = 10) -> Any:
    """The network as ART knows it."""
    from art.estimators.classification import PyTorchClassifier

    made = PyTorchClassifier(net, nn.CrossEntropyLoss(), (channels, side, side), classes, clip_values=(0.0, 1.0))
    made._clip_values = np.array([0.0, 1.0])  # its patch cannot begin at a float32
    return made


def universal(net: nn.Module, part: hf.Dataset, test: hf.Dataset) -> None:
    """Print what is left, ours first, and who asked about how many pictures."""
    from art.attacks.evasion import UniversalPerturbation

    random.seed(0)  # from which ART draws
    counted = Counted(net).eval()
    theirs = UniversalPerturbation(
        art(counted, 8), "deepfool", {"verbose": False}, max_iter=2, delta=0.0, eps=RADIUS, verbose=False
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
    random.seed(0)  # from which ART draws
    sides = {"rotation_max": 22.5, "scale_min": SCALE, "scale_max": SCALE}
    theirs = AdversarialPatchNumpy(
        art(Counted(net).eval(), SIZE),
        max_iter=steps,
        batch_size=len(part),
        verbose=False,
        **sides,
    )
    disk, _ = theirs.generate(part.x.numpy(), np.full(len(part), AIM))
    others = test.take((test.y != AIM).nonzero()[:, 0])

    def reached(looks: list[Tensor]) -> str:
        return f"{float(torch.stack([net(x).argmax(1) == AIM for x in looks]).double().mean()):.3f}"

    def by_art(pixels: Any) -> Tensor:
        return torch.from_numpy(theirs.apply_patch(others.x.numpy(), SCALE, patch_external=pixels)).float().clamp(0, 1)

    squares = {"ours": made, "ART": Patch(torch.from_numpy(disk).float(), recipe), "control": made.control()}
    for name, patch in squares.items():
        whole = functional.interpolate(patch.pixels[None], size=(SIZE, SIZE), mode="bilinear")[0].numpy()
        ours = reached([patch.apply(others, look).x for look in range(LOOKS)])
        put = reached([by_art(disk if name == "ART" else whole) for _ in range(LOOKS)])
        print(
            f"patch of {name:8s} put on by ours: {ours}, by ART: {put}; without: {reached([others.x])}; "
            f"{len(others)} digits, {LOOKS} looks",
            flush=True,
        )


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="universal or patch")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.only in ("", "universal"):
        digits = hf.data.load("digits")
        universal(networks(digits.train)["source"], digits.train.sample(100, 0), digits.test)
    if options.only in ("", "patch"):
        mnist = hf.data.load("mnist")
        train, test = mnist.train.sample(3_000, 0), mnist.test.sample(300, 0)
        net = reader(train)
        print(f"the network reads {right(net, test.x, test.y):.3f} of {len(test)} digits", flush=True)
        patches(net, train.take(torch.arange(64)), test, 60)


if __name__ == "__main__":
    main()
