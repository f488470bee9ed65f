"""How much of the work of audits goes into samples that nothing broke.

    .venv/bin/python benchmarks/survivors.py runs/table-*      # every run folder below, by the share that survived

A search in a coarser precision may only add successes: what survives it is searched again in the model's own. With `c`
the cost of a coarse pass over that of a careful one and `s` the share of the work that goes into survivors, an audit
that searches coarsely first takes `c + s` of the time. It pays below `s = 1 - c`: 0.42 where bfloat16 takes 0.58 of a
folded float32 pass (ResNet-18, a processor with AVX-512 bf16). Work is forward passes and two for each backward pass.
"""

import argparse
import pathlib
import statistics

from holdfast.evaluation.store import Folder

EDGES = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)  # of the share of right samples that survived


def shares(folder: pathlib.Path) -> tuple[float, float]:
    """Of the samples that were right, those that survived; and of the work, what they took."""
    rows = [each for each in Folder(folder).samples.to_pylist() if each["status"] in ("broken", "unbroken")]
    work = [int(each["queries"] or 0) + 2 * int(each["gradients"] or 0) for each in rows]
    kept = [each["status"] == "unbroken" for each in rows]
    return sum(kept) / max(1, len(rows)), sum(w for w, k in zip(work, kept, strict=True) if k) / max(1, sum(work))


def main() -> None:
    """A line for each class of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=pathlib.Path, nargs="+")
    files = [file for runs in parser.parse_args().runs for file in sorted(runs.rglob("samples.parquet"))]
    found = [shares(file.parent) for file in files]
    print("survived            runs   share of the work on survivors: least, median, largest")
    for low, high in zip((-1.0, *EDGES), EDGES, strict=False):
        inside = [spent for kept, spent in found if low < kept <= high]
        if inside:
            name = "nothing" if high == 0 else f"{max(low, 0):.0%} to {high:.0%}"
            least, middle, most = min(inside), statistics.median(inside), max(inside)
            print(f"{name:18s} {len(inside):5d}   {least:.2f} {middle:.2f} {most:.2f}")


if __name__ == "__main__":
    main()
