r"""How much farther an attack must go behind the defenses of a comparison, by the shortest changes that are found.

    HOLDFAST_DATA=... python benchmarks/farther.py runs/table-mnist purifier mag_net --norm l2 --within 1.5 --samples 60
    HOLDFAST_DATA=... python benchmarks/farther.py runs/table-pneumonia-twice purifier --norm linf --samples 100

Minutes; after the table. Minimal attacks of the catalog look for a wrong and accepted answer of the undefended network
and of the network behind each defense, on the same images; the nearest that any of them finds counts. Printed are how
many are right at all, how many of these break at some distance, the median, and how many within the radius of the
table. Carlini and Wagner, 2017, arXiv:1711.08478, found MagNet defeated "with only a slight increase in distortion", in
L2. The defense is fitted again with the protocol's seed, which gives the same bits.
"""

import argparse
import pathlib

import torch

import holdfast as hf
from holdfast.evaluation.defending import protocol as protocols
from holdfast.evaluation.defending import work
from holdfast.evaluation.defending.place import Place, name_of
from holdfast.models.settle import settle
from holdfast.threats.literals import parse

SHORTEST = {
    "l2": (hf.attacks.Ddn(steps=200), hf.attacks.Fmn(steps=200), hf.attacks.CarliniWagner(steps=200)),
    "linf": (hf.attacks.Fmn(steps=200), hf.attacks.Pdpgd(steps=200), hf.attacks.CarliniWagnerLinf()),
}
UNIT = {"l2": 1.0, "linf": 255.0}  # Linf is told in steps of a picture


def lengths(model: hf.Model, x: torch.Tensor, y: torch.Tensor, norm: str) -> torch.Tensor:
    """Of the shortest change that makes a wrong and accepted answer, `(n,)`; zero where it is one already."""
    found, p = [], {"l2": 2.0, "linf": torch.inf}[norm]
    for attack in SHORTEST[norm]:
        out = hf.run(attack, model, x, y, f"{norm}:inf")
        far = (out.adversarial - x).flatten(1).norm(p=p, dim=1)
        status = torch.tensor([{"broken": 0, "wrong": 1}.get(said, 2) for said in out.status])
        found.append(torch.where(status == 0, far, torch.where(status == 1, 0.0, torch.inf)))
    return torch.stack(found).amin(0) * UNIT[norm]


def study(folder: pathlib.Path, rows: list[str], norm: str, within: float, samples: int) -> None:
    """The undefended network, then row after row."""
    protocol = protocols.read(folder / "protocol.yaml")
    parts = work.divided(protocol, hf.data.load(protocol.data))
    part, chains = parts.test.sample(samples, 0), {name_of(str(chain)): chain for chain in protocol.chains()}
    threat = parse(protocol.threat)
    if not within and threat.norm != norm:
        raise SystemExit(f"the table's threat is {threat.literal}: --within says what to count in {norm}")
    radius = within or float(threat.radius) * UNIT[norm]
    for row in ("undefended", *rows):
        base = Place(folder / (row if row not in chains or chains[row].kind == "learner" else "undefended"))
        model = base.model(parts.train)
        if row in chains:
            model = chains[row].before(model, parts.held_out, protocol.seed, lambda event: None)
        far = lengths(settle(model, part.x), part.x, part.y, norm)
        right, unit = far[far > 0], "/255" * (norm == "linf")
        print(
            f"{row}: right and accepted {len(right)} of {len(part)}, broken {int(right.isfinite().sum())}, "
            f"median {norm} {float(right.median()):.2f}{unit}, within {radius:g}{unit}: {int((right <= radius).sum())}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of compare-defenses")
    parser.add_argument("rows", nargs="+", help="folders of rows")
    parser.add_argument("--norm", choices=sorted(SHORTEST), default="linf")
    parser.add_argument("--within", type=float, default=0.0, help="counted; the table's radius where none is given")
    parser.add_argument("--samples", type=int, default=60)
    torch.set_num_threads(1)
    study(**vars(parser.parse_args()))
