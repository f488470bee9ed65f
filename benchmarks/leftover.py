r"""What six more attacks break of the samples that a row of a comparison left unbroken.

    HOLDFAST_DATA=... python benchmarks/leftover.py runs/table-mnist purifier mag_net camera_realism --samples 50

A row whose audit is far above what is known of its kind is either robust here or attacked too weakly. Attacks of other
kinds than the row's suite are tried on what it left: longer descents on two losses, one on the odds, local search, the
boundary, and one without gradients. The defense is fitted again with the protocol's seed, which gives the same bits.
"""

import argparse
import pathlib

import torch

import holdfast as hf
from holdfast.evaluation.defending import protocol as protocols
from holdfast.evaluation.defending import work
from holdfast.evaluation.defending.place import Place, name_of
from holdfast.evaluation.store import Folder
from holdfast.models.settle import settle

ATTACKS = (
    hf.attacks.Apgd(steps=300),
    hf.attacks.Apgd(steps=300, loss="dlr"),
    hf.attacks.Pgd(steps=300, step=0.03),
    hf.attacks.LocalSearch(),
    hf.attacks.FabT(steps=100),
    hf.attacks.Square(steps=3000),
)


def study(folder: pathlib.Path, rows: list[str], samples: int) -> None:
    """Row after row."""
    protocol = protocols.read(folder / "protocol.yaml")
    parts = work.divided(protocol, hf.data.load(protocol.data))
    chains = {name_of(str(chain)): chain for chain in protocol.chains()}
    for row in rows:
        run, chain = Folder(folder / row / "run"), chains[row]
        base = Place(folder / (row if chain.kind == "learner" else "undefended")).model(parts.train)
        statuses = {each["sample"]: each["status"] for each in run.samples.to_pylist()}
        kept = [i for i, said in sorted(statuses.items()) if said in ("unbroken", "rejected")][:samples]
        part = parts.test.take(torch.tensor(kept))
        model = settle(chain.before(base, parts.held_out, protocol.seed, lambda event: None), part.x)
        broken: set[int] = set()
        for attack in ATTACKS:
            out = hf.run(attack, model, part.x, part.y, protocol.threat)
            found = {i for i, said in enumerate(out.status) if said == "broken"}
            broken |= found
            print(f"  {type(attack).__name__}: {len(found)}", flush=True)
        print(f"{row}: of {len(part)} left unbroken, {len(ATTACKS)} more attacks break {len(broken)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="of compare-defenses")
    parser.add_argument("rows", nargs="+", help="folders of rows")
    parser.add_argument("--samples", type=int, default=50)
    torch.set_num_threads(1)
    study(**vars(parser.parse_args()))
