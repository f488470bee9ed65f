"""Turns and shifts beside Foolbox's: the same pictures, and which samples of digits fall on the same grid.

    make bench-env
    .venv-bench/bin/python benchmarks/spatial_peers.py

scikit-learn's digits in the test half that `digits-mlp` gets right. Foolbox turns after it has shifted and measures a
shift in units of (n - 1) / n pixels; *pictures* are compared with its shift carried through the turn and in pixels,
and so are the grids of turns alone and of shifts alone. On the grid of both the two shift along other axes. ART's
attack picks one turn and shift for all samples and is not the same question.
"""

import argparse
import itertools
import math
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

import holdfast as hf
from holdfast.evaluation.bench.peers import Asked
from holdfast.geometry.turning import turned
from holdfast.models.files import load_model
from holdfast.models.source import source_of

ROTATE, SHIFT = 20.0, 0.4  # degrees; pixels, a twentieth of the side
GRIDS = {"turns alone": (31, 1), "shifts alone": (1, 5), "both": (31, 5)}


def pictures(x: Tensor) -> float:
    """The greatest difference between a picture of ours and Foolbox's, over the grid of both."""
    import eagerpy
    from foolbox.attacks.spatial_attack_transformations import rotate_and_shift

    far, side = 0.0, x.shape[-1]
    places = itertools.product(np.linspace(-ROTATE, ROTATE, 31), *[np.linspace(-SHIFT, SHIFT, 5)] * 2)
    for angle, down, right in places:
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        carried = np.array([s * down - c * right, -c * down - s * right]) * side / (side - 1)
        theirs = rotate_and_shift(eagerpy.astensor(x), tuple(carried), angle).raw
        ours = turned(x, torch.full((len(x),), angle), torch.tensor([[down, right]]).expand(len(x), 2))
        far = max(far, float((ours - theirs).abs().max()))
    return far


def fallen(net: Any, x: Tensor, y: Tensor, angles: int, shifts: int) -> Tensor:
    """Which samples Foolbox breaks, `(n,)`."""
    import foolbox

    reach = SHIFT * x.shape[-1] / (x.shape[-1] - 1)
    attack = foolbox.attacks.SpatialAttack(
        max_translation=reach if shifts > 1 else 0,
        max_rotation=ROTATE if angles > 1 else 0,
        num_translations=shifts,
        num_rotations=angles,
    )
    return attack(foolbox.PyTorchModel(net, bounds=(0, 1)), x, y)[2]


def main() -> None:
    """Print how alike the pictures are, and a line for each grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="samples")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model, data = load_model("digits-mlp"), hf.data.load("digits").test
    right = (model.predict(data.x) == data.y).nonzero()[: options.count, 0]
    data = data.take(right)
    net = Asked(source_of(model).ask)
    print(f"pictures: at most {pictures(data.x[:50]):.0e} apart")
    for name, (angles, shifts) in GRIDS.items():
        how = {"rotate": ROTATE if angles > 1 else 0.0, "translate": SHIFT / data.x.shape[-1] if shifts > 1 else 0.0}
        ours = hf.spatial(model, data, angles=angles, shifts=shifts, looks=1, **how).broken
        theirs = fallen(net, data.x, data.y, angles, shifts)
        print(f"{name}: of {len(data)} fall {int(ours.sum())}, {int(theirs.sum())}, both {int((ours & theirs).sum())}")


if __name__ == "__main__":
    main()
