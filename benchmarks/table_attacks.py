"""Attacks on tables beside each other: greedy search, beam search, breeding, gradients, and suites with and without.

    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --data heart_disease_sites --models forest mlp
    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --data spambase --models exact --threats table:l1=3
    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --suites --data german_credit --models logistic mlp

`only` counts the rows that an attack breaks and no other of the line does. Attacks that follow gradients run where the
pipeline has an exact twin (`logistic`, `mlp`, and `exact`, a scaled logistic regression of numbers alone), with the
queries that they take, 100 passes a row at most. `--suites` runs the stages of the suites `quick` and `standard` one
after the other, with those that follow gradients and without; seconds are processor time of this process.
"""

import argparse
import time
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import MODELS, WAYS, Once, unfitted

import holdfast as hf
from holdfast.attacks import Capgd, CarliniWagnerTable, FirstOf, GraphSearch, Moeva2
from holdfast.evaluation.suites import resolve

ATTACKS = {
    "greedy": GraphSearch(steps=6, width=1, samples=200),
    "beam": GraphSearch(steps=6, width=8, samples=200),
    "moeva2": Moeva2(steps=29, samples=40),
    "capgd": Capgd(steps=24, restarts=4),
    "carlini-wagner": CarliniWagnerTable(),
}


def suites() -> dict[str, FirstOf]:
    """The stages of the suites under table threats, with those that follow gradients and without."""
    found = {}
    for name in ("quick", "standard"):
        stages = resolve(name).tables
        found[name] = FirstOf(attacks=stages)
        found[f"{name} without"] = FirstOf(attacks=tuple(a for a in stages if "module" not in a.needs))
    return found


def model_of(name: str, train: hf.Dataset) -> Any:
    """A classifier of raw rows, or of codes where it is to show gradients."""
    if name != "exact":
        return Once(estimator=unfitted(name, train.schema)).fit(train)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return hf.wrap(pipeline.fit(hf.Tabular(train.schema).frame(train.x), train.y.numpy()), train.schema)


def lines(data: str, name: str, given: argparse.Namespace) -> None:
    """A line for each threat and attack."""
    found = hf.data.load(data)
    train = found.train if len(found.train) <= given.rows else found.train.sample(given.rows, 0)
    model = model_of(name, train)
    hidden = (found.test.y == train.schema.classes.index(WAYS[data].split(":")[0])).nonzero()[:, 0]
    test = found.test.take(hidden).sample(min(given.samples, len(hidden)), 0)
    attacks = suites() if given.suites else ATTACKS
    for threat in given.threats:
        outs, seconds = {}, {}
        for attack in attacks:
            if model.module is None and "module" in attacks[attack].needs:
                continue
            began = time.process_time()
            budget = "" if given.suites else f",queries={given.queries}"
            outs[attack] = hf.run(attacks[attack], model, test.x, test.y, threat + budget)
            seconds[attack] = time.process_time() - began
        right = len(test) - next(iter(outs.values())).status.count("wrong")
        for attack, out in outs.items():
            others = torch.stack([o.success for a, o in outs.items() if a != attack]).any(0)
            print(
                f"{data:20s} {name:10s} {threat:18s} {attack:16s} broken {int(out.success.sum()):3d} of {right:3d}"
                f"  only {int((out.success & ~others).sum()):2d}  queries {out.queries.double().mean():6.0f}"
                f"  {seconds[attack]:5.1f} s",
                flush=True,
            )


def main() -> None:
    """Every table with every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(WAYS), default=["heart_disease_sites"])
    parser.add_argument("--models", nargs="+", choices=["exact", *MODELS], default=["forest", "histogram", "mlp"])
    parser.add_argument("--threats", nargs="+", default=["table:features=3", "table:l1=2"])
    parser.add_argument("--queries", type=int, default=1200)
    parser.add_argument("--rows", type=int, default=4_000, help="of the training part")
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--suites", action="store_true", help="suites instead of single attacks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for data in given.data:
        for name in given.models:
            lines(data, name, given)


if __name__ == "__main__":
    main()
