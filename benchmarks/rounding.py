r"""What one-bit rounding keeps on MNIST, counted pixel by pixel: is it robust, or is the attack on it weak?

    HOLDFAST_DATA=... python benchmarks/rounding.py runs/table-mnist                   # two minutes; after the table

A threat of radius r carries a pixel over the edge at 1/2 only where |x - 1/2| <= r. All other pixels are rounded as
before, so the network behind sees one of 2^k pictures, where k counts the pixels that can be carried. Here they are
searched without any gradient: from the rounded picture and from random ones, the flip that lowers the margin most is
taken until none does; with 14 pixels or fewer all pictures are asked. What survives is compared, image by image, with
what survived the attack of the table.
"""

import argparse
import pathlib

import torch

import holdfast as hf
from holdfast.evaluation.store import Folder
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.threats.goals import Wrong, overall
from holdfast.threats.literals import parse

EDGE, FEW = 0.5, 14


def margin(model: hf.Model, x: torch.Tensor, label: int) -> torch.Tensor:
    """Lead of the true class over the best other one, `(batch,)`."""
    with torch.no_grad():
        return overall(Wrong(torch.full((len(x),), label)).margins(model.answer(x)))


def flipped(picture: torch.Tensor, places: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Copies of a picture of zeros and ones with some of `places` flipped: `which` `(copies, places)`."""
    copies = picture.flatten().repeat(len(which), 1)
    copies[:, places] = (copies[:, places] - which.to(copies)).abs()
    return copies.reshape(len(which), *picture.shape)


def holds(model: hf.Model, picture: torch.Tensor, label: int, places: torch.Tensor, restarts: int) -> bool:
    """Whether no picture that was asked is decided otherwise."""
    k = len(places)
    if k <= FEW:
        every = (torch.arange(2**k)[:, None] >> torch.arange(k)) & 1
        return all(float(margin(model, flipped(picture, places, part), label).min()) > 0 for part in every.split(1024))
    draw = torch.Generator().manual_seed(0)
    for restart in range(restarts):
        state = torch.zeros(k, dtype=torch.long) if restart == 0 else torch.randint(0, 2, (k,), generator=draw)
        lead = float(margin(model, flipped(picture, places, state[None]), label))
        while lead > 0:
            near = state[None] ^ torch.eye(k, dtype=torch.long)
            found = margin(model, flipped(picture, places, near), label)
            if float(found.min()) >= lead:
                break
            state, lead = near[int(found.argmin())], float(found.min())
        if lead <= 0:
            return False
    return True


def study(folder: pathlib.Path, restarts: int) -> None:
    """Both searches on the images of the table."""
    run = Folder(next(folder.glob("bit_depth-bits-1/run")))
    status = {row["sample"]: row["status"] for row in run.samples.to_pylist()}
    threat, data = parse(run.summary.threats[0].literal), hf.data.load("mnist").test
    model = settle(load_model(folder / "undefended" / "model.safetensors"), data.x[:32])
    radius = float(threat.radius)
    chosen = sorted(status)
    part = data.take(torch.tensor(chosen))
    ours, table, sizes = [], [], []
    for i, sample in enumerate(chosen):
        x, label = part.x[i], int(part.y[i])
        picture = (x >= EDGE).to(x)
        places = ((x - radius < EDGE) & (x + radius >= EDGE)).flatten().nonzero()[:, 0]
        sizes.append(len(places))
        right = float(margin(model, picture[None], label)) > 0
        ours.append(right and holds(model, picture, label, places, restarts))
        table.append(status[sample] == "unbroken")
    middle = torch.tensor(sizes).double().quantile(torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)).tolist()
    both = sum(a and b for a, b in zip(ours, table, strict=True))
    print(f"{len(chosen)} images, {threat.literal}: {middle[1]:.0f} of 784 pixels can be carried over the edge "
          f"({middle[0]:.0f} to {middle[2]:.0f})")  # fmt: skip
    print(
        f"holds against flips without gradients {sum(ours)}, against the attack of the table {sum(table)}, both {both}"
    )
    print(f"broken by flips alone {sum(table) - both}, by the attack alone {sum(ours) - both}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of compare-defenses")
    parser.add_argument("--restarts", type=int, default=6)
    torch.set_num_threads(1)
    study(**vars(parser.parse_args()))
