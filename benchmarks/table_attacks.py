"""Attacks on tables beside each other: greedy search, beam search, breeding, gradients, and suites with and without.

    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --data heart_disease_sites --models forest mlp
    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --data spambase --models exact --threats table:l1=3
    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --suites --data german_credit --models logistic mlp
    HOLDFAST_DATA=... .venv/bin/python benchmarks/table_attacks.py --labels --threats table:features=2 table:cost=inf
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/table_attacks.py --art --data spambase --models exact

`only` counts the rows that an attack breaks and no other of the line does. Attacks that follow gradients run where the
pipeline has an exact twin (`logistic`, `mlp`, and `exact`, a scaled logistic regression of numbers alone), with the
queries that they take, 100 passes a row at most. `--suites` runs the stages of the suites `quick` and `standard` one
after the other, with those that follow gradients and without; seconds are processor time of this process. `--labels`
asks for decisions alone. `--art` lets ART's HopSkipJump walk in L2 over standardized numbers first, whose points no
schema allows, and ours ask as many questions, among possible rows.
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
from holdfast.attacks import Capgd, CarliniWagnerTable, FirstOf, GraphSearch, HopSkipJumpTable, Moeva2
from holdfast.evaluation.suites import resolve
from holdfast.threats.literals import parse

ATTACKS = {
    "greedy": GraphSearch(steps=6, width=1, samples=200),
    "beam": GraphSearch(steps=6, width=8, samples=200),
    "moeva2": Moeva2(steps=29, samples=40),
    "capgd": Capgd(steps=24, restarts=4),
    "carlini-wagner": CarliniWagnerTable(),
}


WALKS = {
    "greedy": GraphSearch(steps=6, width=1, samples=200),
    "beam": GraphSearch(steps=6, width=8, samples=200),
    "hop-skip-jump": HopSkipJumpTable(),
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
    return hf.wrap(pipeline.fit(train.x.numpy(), train.y.numpy()), train.schema)  # codes are the numbers themselves


def lines(data: str, name: str, given: argparse.Namespace) -> None:
    """A line for each threat and attack."""
    found = hf.data.load(data)
    train = found.train if len(found.train) <= given.rows else found.train.sample(given.rows, 0)
    model = model_of(name, train)
    hidden = (found.test.y == train.schema.classes.index(WAYS[data].split(":")[0])).nonzero()[:, 0]
    test = found.test.take(hidden).sample(min(given.samples, len(hidden)), 0)
    if given.art:
        beside_art(model, test.x[model.predict(test.x) == test.y], data, name)
        return
    attacks = suites() if given.suites else WALKS if given.labels else ATTACKS
    for threat in given.threats:
        outs, seconds = {}, {}
        for attack in attacks:
            if model.module is None and "module" in attacks[attack].needs:
                continue
            began = time.process_time()
            budget = "" if given.suites else f",queries={given.queries}"
            budget += ",knowledge=labels" if given.labels else ""
            outs[attack] = hf.run(attacks[attack], model, test.x, test.y, threat + budget)
            seconds[attack] = time.process_time() - began
        right = len(test) - next(iter(outs.values())).status.count("wrong")
        for attack, out in outs.items():
            others = torch.stack([o.success for a, o in outs.items() if a != attack]).any(0)
            print(
                f"{data:20s} {name:10s} {threat:18s} {attack:16s} broken {int(out.success.sum()):3d} of {right:3d}"
                f"  only {int((out.success & ~others).sum()):2d}  queries {out.queries.double().mean():6.0f}"
                f"  {seconds[attack]:5.1f} s  median {median(train.schema, out, test.x, threat):.3f}",
                flush=True,
            )


def median(schema: hf.Schema, out: Any, x: torch.Tensor, threat: str) -> float:
    """Of the distances of what was broken, in the threat's first measure."""
    far = schema.ruler.distance(out.adversarial, x, parse(threat).limits[0][0])
    return float(far[out.success].median()) if bool(out.success.any()) else float("nan")


def beside_art(model: hf.Model, x: torch.Tensor, data: str, name: str) -> None:
    """ART's HopSkipJump over standardized numbers, and ours with as many questions."""
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    schema, asked = model.space.schema, [0]
    low, high = (torch.tensor(end, dtype=torch.float64) / schema.scales for end in schema.bounds)

    def predict(z: Any) -> Any:
        asked[0] += len(z)
        said = model.predict(torch.as_tensor(z, dtype=torch.float64) * schema.scales)
        return torch.nn.functional.one_hot(said, 2).float().numpy()

    box = BlackBoxClassifierNeuralNetwork(predict, (len(low),), 2, clip_values=(low.numpy(), high.numpy()))
    walk = HopSkipJump(box, norm=2, max_iter=6, max_eval=1000, verbose=False)
    began, z = time.process_time(), x / schema.scales
    found = torch.as_tensor(walk.generate(z.float().numpy()), dtype=torch.float64)
    theirs = time.process_time() - began
    y, queries = model.predict(x), asked[0] // len(x)
    won = model.predict(found * schema.scales) != y
    far = torch.where(won, (found - z).norm(dim=1), torch.inf).median()
    allowed = float(schema.validate(found * schema.scales, x).valid.double().mean())
    print(f"{data:12s} {name:8s} ART   {float(far):.3f}  {queries} queries  {theirs:.1f} s  possible {allowed:.0%}")
    began = time.process_time()
    out = hf.run(HopSkipJumpTable(steps=64), model, x, y, f"table:l2=inf,knowledge=labels,queries={queries}")
    far = torch.where(out.success, schema.ruler.distance(out.adversarial, x, "l2"), torch.inf).median()
    seconds = time.process_time() - began
    print(f"{data:12s} {name:8s} ours  {float(far):.3f}  {queries} queries  {seconds:.1f} s  possible 100%", flush=True)


def main() -> None:
    """Every table with every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(WAYS), default=["heart_disease_sites"])
    parser.add_argument("--models", nargs="+", choices=["exact", *MODELS], default=["forest", "histogram", "mlp"])
    parser.add_argument("--threats", nargs="+", default=["table:features=3", "table:l1=2"])
    parser.add_argument("--queries", type=int, default=1200)
    parser.add_argument("--rows", type=int, default=4_000, help="of the training part")
    parser.add_argument("--samples", type=int, default=25)
    parser.add_argument("--labels", action="store_true", help="decisions alone")
    parser.add_argument("--art", action="store_true", help="beside ART's HopSkipJump")
    parser.add_argument("--suites", action="store_true", help="suites instead of single attacks")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for data in given.data:
        for name in given.models:
            lines(data, name, given)


if __name__ == "__main__":
    main()
