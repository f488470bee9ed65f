"""How well the masking battery judges: masked and honest models from `tests/evaluation/masking`, audited one by one.

The battery was set on models with low numbers (masked below 160, honest below 140; how: `masking/limits.py`). The table
is about higher numbers, which had no say in it: missed masks and false alarms, by kind and by check.

    python tools/masking_table.py                 the unseen half: 60 masked and 56 honest models, about 8 minutes
    python tools/masking_table.py --half tuned    the models on which the battery was set
"""

import argparse
import collections
import contextlib
import json
import pathlib
import sys
import tempfile
import time
import warnings

import torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))

from evaluation.masking.families import Case, case  # noqa: E402
from holdfast.attacks.evasion.square import Square  # noqa: E402
from holdfast.attacks.run import run  # noqa: E402
from holdfast.evaluation.audit import audit  # noqa: E402
from holdfast.evaluation.masking.trials import doubled  # noqa: E402
from holdfast.evaluation.statistics import interval  # noqa: E402
from holdfast.models.settle import settle  # noqa: E402

HALVES = {"tuned": (range(160), range(140)), "unseen": (range(160, 220), range(140, 196))}
FEW, CLEAR = 40, 0.05


def judge(made: Case, suite: str) -> dict:
    """What the battery says about a model, and what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        summary = audit(made.model, made.data, threat=made.threat, suite=suite, out=f"{folder}/run").summary
    found = summary.masking
    return {
        "name": made.name,
        "kind": made.kind,
        "masked": made.masked,
        "data": made.data.name,
        "threat": made.threat,
        "clean": summary.rates.clean_accuracy.point,
        "robust": summary.rates.empirical_robust_accuracy.point,
        "state": found.state,
        "counts": {c.name: [c.rate.k, c.rate.n, c.allowed, c.state] for c in found.checks if c.rate is not None},
        "forwards": [found.forwards, summary.cost.forwards],
        "seconds": [found.seconds, summary.cost.seconds],
    }


def hidden(made: Case) -> float:
    """Share of a few samples that an attack without gradients breaks and a gradient attack of 80 steps does not."""
    x, y = made.data.x[:FEW], made.data.y[:FEW]
    model = settle(made.model, x)
    steep = run(doubled("linf"), model, x, y, made.threat)
    left = torch.tensor([status == "unbroken" for status in steep.status])
    if not left.any():
        return 0.0
    blind = run(Square(steps=1000), model, x[left], y[left], made.threat)
    return float(blind.success.sum()) / FEW


def results(numbers: range, masked: bool, suite: str) -> list[dict]:
    """One after the other, a line each on stderr."""
    found = []
    for number in numbers:
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = case(number, masked)
            row = judge(made, suite)
            row["hidden"] = hidden(made) if masked else 0.0
        found.append(row)
        told = " ".join(f"{name}:{k}/{n}" for name, (k, n, *_) in row["counts"].items() if k)
        head = f"{made.name:20} {made.data.name:7} {made.threat:12} clean {row['clean']:.2f} robust {row['robust']:.2f}"
        print(f"{head} {row['state']:18} {time.perf_counter() - began:5.1f} s  {told}", file=sys.stderr, flush=True)
    return found


def share(k: int, n: int) -> str:
    """`3 of 60 (5.0 %, 95 % interval 1.0 to 13.9 %)`."""
    low, high = interval(k, n)
    return f"{k} of {n} ({100 * k / n:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


def table(rows: list[dict]) -> str:
    """Missed masks and false alarms, then by kind and by check."""
    masked, honest = [r for r in rows if r["masked"]], [r for r in rows if not r["masked"]]
    biting = [r for r in masked if r["hidden"] >= CLEAR or r["state"] == "suspect" and "determinism" in fired(r)]
    missed, alarms = [r for r in masked if r["state"] != "suspect"], [r for r in honest if r["state"] == "suspect"]
    lines = [
        f"missed masks:  {share(len(missed), len(masked))}",
        f"   of those that hide at least {100 * CLEAR:.0f} points from a gradient attack of 80 steps, or are random: "
        f"{share(sum(r['state'] != 'suspect' for r in biting), len(biting))}"
        if biting
        else "",
        f"false alarms:  {share(len(alarms), len(honest))}",
        "",
        f"{'kind':20} {'suspect':>9}  checks that fired",
    ]
    for group in (masked, honest):
        for kind in sorted({r["kind"] for r in group}):
            kin = [r for r in group if r["kind"] == kind]
            checks = collections.Counter(name for r in kin for name in fired(r))
            told = ", ".join(f"{name} {count}" for name, count in checks.most_common())
            lines.append(f"{kind:20} {sum(r['state'] == 'suspect' for r in kin):4} of {len(kin):2}  {told}")
        lines.append("")
    lines += [f"{'check':14} {'fired on masked':>16} {'on honest':>10} {'alone':>6}"]
    for name in dict.fromkeys(name for r in rows for name in r["counts"]):
        counts = [sum(name in fired(r) for r in group) for group in (masked, honest)]
        lines.append(f"{name:14} {counts[0]:16} {counts[1]:10} {sum(fired(r) == [name] for r in masked):6}")
    spent, whole = (sum(r["seconds"][i] for r in rows) for i in (0, 1))
    lines += ["", f"the battery took {100 * spent / whole:.1f} % of the seconds of these audits"]
    return "\n".join(lines)


def fired(row: dict) -> list[str]:
    """The checks that called a model suspect."""
    return [name for name, (*_, state) in row["counts"].items() if state == "suspect"]


def main() -> None:
    """Audit the models of a half and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=HALVES, default="unseen")
    parser.add_argument("--suite", default="quick")
    parser.add_argument("-o", "--out", type=pathlib.Path, help="also write the results there, as JSON")
    parser.add_argument("--saved", type=pathlib.Path, help="print the table of results written earlier")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.saved:
        rows = json.loads(chosen.saved.read_text())
    else:
        masked, honest = HALVES[chosen.half]
        rows = results(masked, True, chosen.suite) + results(honest, False, chosen.suite)
    if chosen.out:
        chosen.out.write_text(json.dumps(rows, indent=1))
    with contextlib.suppress(BrokenPipeError):
        print(table(rows))


if __name__ == "__main__":
    main()
