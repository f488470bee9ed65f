r"""MagNet in the norm it was broken in: how much farther an attack must go that knows the purifier and the detectors.

    HOLDFAST_DATA=... python benchmarks/magnet.py runs/table-mnist --samples 60            # minutes; after the table

Carlini and Wagner, 2017, arXiv:1711.08478, found that MagNet is defeated "with only a slight increase in distortion",
in L2. Here the three minimal attacks of the catalog that seek the shortest L2 look for a wrong and accepted answer of
the undefended network of the table, of the network behind the purifier, and behind the whole of MagNet, on the same
images; printed are how many they break, the median length, and how many within 1.5, what the table allows in L2.
"""

import argparse
import pathlib

import torch

import holdfast as hf
from holdfast.evaluation.defending import protocol as protocols
from holdfast.evaluation.defending import work
from holdfast.models.files import load_model
from holdfast.models.settle import settle

SHORTEST = (hf.attacks.Ddn(steps=200), hf.attacks.Fmn(steps=200), hf.attacks.CarliniWagner(steps=200))


def lengths(model: hf.Model, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """L2 of the shortest change that makes a wrong and accepted answer, `(n,)`; zero where it is one already."""
    found = []
    for attack in SHORTEST:
        out = hf.run(attack, model, x, y, "l2:inf")
        far = (out.adversarial - x).flatten(1).norm(dim=1)
        status = torch.tensor([{"broken": 0, "wrong": 1}.get(said, 2) for said in out.status])
        found.append(torch.where(status == 0, far, torch.where(status == 1, 0.0, torch.inf)))
    return torch.stack(found).amin(0)


def study(folder: pathlib.Path, samples: int) -> None:
    """Both studies."""
    protocol, data = protocols.read(folder / "protocol.yaml"), hf.data.load("mnist")
    parts = work.divided(protocol, data)
    part = parts.test.sample(samples, 0)
    bare = settle(load_model(folder / "undefended" / "model.safetensors"), part.x)
    fits = {"purifier": hf.defenses.Purifier(), "mag_net": hf.defenses.MagNet()}
    guarded = {
        name: settle(bare | each.fit(bare, parts.held_out, protocol.seed), part.x) for name, each in fits.items()
    }
    for name, model in {"undefended": bare, **guarded}.items():
        far = lengths(model, part.x, part.y)
        right = far[far > 0]
        print(
            f"{name}: right and accepted {len(right)} of {len(part)}, broken {int(right.isfinite().sum())}, median L2 "
            f"{float(right.median()):.2f}, within 1.5: {int((right <= 1.5).sum())}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of compare-defenses")
    parser.add_argument("--samples", type=int, default=60)
    torch.set_num_threads(1)
    study(**vars(parser.parse_args()))
