"""What each way of hardening trees buys under Linf: right answers, and those that nothing in the ball can change.

    python benchmarks/robust_trees.py                    # minutes; needs no download
    python benchmarks/robust_trees.py --radius 0.1 --rounds 3

Breast cancer as scikit-learn has it, columns scaled to [0, 1] by the whole set, a quarter held out (143 rows). What
holds is exact: `hf.exact_distance` finds the nearest point with another answer, or proves that the ball has none. Two
plain ensembles, each after rounds of exact adversarial rows (Kantchelian, Tygar and Joseph 2016), trees and forests of
robust splits (Vos and Verwer 2021), stumps on the robust loss and trees on a bound of it (Andriushchenko and Hein
2019), of which `certified` says what their own certificate finds. Settings are the defaults but for what the rows name,
and nothing was chosen by the test rows.
"""

import argparse
import dataclasses
import time
from collections.abc import Iterator

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import minmax_scale

import holdfast as hf
from holdfast.learning.learner import Learner
from holdfast.learning.robust_boosting import RobustBoostingClassifier
from holdfast.learning.robust_stumps import RobustStumpsClassifier


def learners(threat: hf.Linf, rounds: int) -> Iterator[tuple[str, Learner]]:
    """Name and learner of each row."""
    plain = {
        "forest of 30 trees": hf.Fit(estimator=RandomForestClassifier(30, random_state=0)),
        "boosting, 50 trees": hf.Fit(estimator=GradientBoostingClassifier(n_estimators=50, random_state=0)),
    }
    for name, learner in plain.items():
        yield name, learner
        yield f"  {rounds} rounds", hf.defenses.AdversarialRounds(of=learner, threat=threat, rounds=rounds)
    yield "robust forest, 30 trees", hf.defenses.RobustSplitting(threat=threat, trees=30)
    yield "robust tree, depth 4", hf.defenses.RobustSplitting(threat=threat, trees=1, depth=4)
    yield "robust stumps, 30", hf.defenses.RobustStumps(threat=threat, stumps=30)
    yield "robust boosting, depth 2", hf.defenses.RobustBoosting(threat=threat, depth=2)
    yield "robust boosting, depth 4", hf.defenses.RobustBoosting(threat=threat)
    yield "robust boosting, depth 6", hf.defenses.RobustBoosting(threat=threat, depth=6)


def certified(learner: Learner, train: hf.Dataset, test: hf.Dataset) -> float | None:
    """The share of rows for which the model's own certificate is positive; None for models without one."""
    kinds = {hf.defenses.RobustStumps: RobustStumpsClassifier, hf.defenses.RobustBoosting: RobustBoostingClassifier}
    kind = kinds.get(type(learner))
    if kind is None:
        return None
    values = {field.name: getattr(learner, field.name) for field in dataclasses.fields(learner)}
    made = kind(radius=values.pop("threat").radius, **values).fit(train.x.numpy(), train.y.numpy())
    return float((made.least_margin(test.x.numpy(), test.y.numpy()) > 0).mean())


def main() -> None:
    """One row for each learner."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--radius", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(minmax_scale(x), y, random_state=0)
    train, test = hf.Dataset(x, y), hf.Dataset(x_test, y_test)
    threat, beyond = hf.Linf(options.radius), options.radius * 1.002
    print(f"{len(test)} rows, linf {options.radius:g}        right  holds  certified  seconds to learn")
    for name, learner in learners(threat, options.rounds):
        began = time.process_time()
        model = learner.fit(train)
        seconds = time.process_time() - began
        right = (model.predict(test.x) == test.y).double().mean()
        found = hf.exact_distance(model, test.x, test.y, within=beyond)
        holds = (found.lower > options.radius).double().mean()
        own = certified(learner, train, test)
        told = "" if own is None else f"{own:.1%}"
        print(f"{name:26s} {right:6.1%} {holds:6.1%} {told:>10s}   {seconds:6.1f}", flush=True)


if __name__ == "__main__":
    main()
