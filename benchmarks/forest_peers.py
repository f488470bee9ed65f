"""A random forest under attackers who guess, who walk over its leaves, and by exact distances: how near, how fast.

    make bench-env
    .venv-bench/bin/python benchmarks/forest_peers.py

scikit-learn's digits (8 x 8, values in 0..1), a forest of 100 trees of depth 6, the first points that it gets right in
the test half. ART's HopSkipJump (`max_iter=10, max_eval=1000`, else its defaults: 2,400 queries a point) and ZOO (its
defaults, `max_iter=20`) beside our HopSkipJump with 1,000 queries and with its defaults (35,000), LeafTuple (which is
shown the trees) and our exact distances, on the same points in the same run. A point is broken where the forest itself
decides otherwise at what the attack returns; distances are over all points, infinite where it is not, and `ratio` is
the median of distance over exact distance. Seconds are of the processor, one thread; those of LeafTuple and of the
exact search without compiling.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

import holdfast as hf
from holdfast.attacks.run import run


def length(change: Any, norm: str) -> Any:
    """Of each row, `(n,)`."""
    return np.linalg.norm(change, ord={"linf": np.inf, "l2": 2}[norm], axis=1)


def attackers(forest: Any, model: hf.Model, x: Any, y: Any, norm: str) -> dict[str, Callable[[], Any]]:
    """Name -> what returns adversarial points, in order of strength."""
    from art.attacks.evasion import HopSkipJump, ZooAttack
    from art.estimators.classification import SklearnClassifier

    art = SklearnClassifier(forest, clip_values=(0.0, 1.0))
    hop = {"max_iter": 10, "max_eval": 1000, "verbose": False}
    zoo = {"max_iter": 20, "use_resize": False, "use_importance": False, "nb_parallel": 64, "verbose": False}

    def ours(attack: Any, most: str = "") -> Any:
        return run(attack, model, torch.from_numpy(x), torch.from_numpy(y), f"{norm}:inf{most}").adversarial.numpy()

    return {
        "ART ZOO": lambda: ZooAttack(art, **zoo).generate(x, y),
        "ART HopSkipJump": lambda: HopSkipJump(art, norm=np.inf if norm == "linf" else 2, **hop).generate(x, y),
        "HopSkipJump, 1,000 queries": lambda: ours(hf.attacks.HopSkipJump(), ",queries=1000"),
        "holdfast HopSkipJump": lambda: ours(hf.attacks.HopSkipJump()),
        "holdfast LeafTuple": lambda: ours(hf.attacks.LeafTuple()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=40)
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    options = parser.parse_args()
    points, norm = options.points, options.norm
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split((x / 16).astype(np.float32), y, test_size=0.5, random_state=0)
    forest = RandomForestClassifier(n_estimators=100, max_depth=6, random_state=0, n_jobs=1).fit(x, y)
    right = np.flatnonzero(forest.predict(x_test) == y_test)[:points]
    x, y, model = x_test[right], y_test[right], hf.wrap(forest, bounds=(0, 1))
    hf.exact_distance(model, x[:1], y[:1])  # compile
    run(hf.attacks.LeafTuple(restarts=3), model, x[:1], y[:1], f"{norm}:inf")
    begin = time.process_time()
    exact = hf.exact_distance(model, x, y, norm=norm)
    exactly = (time.process_time() - begin) / len(x)
    np.random.seed(0)  # ART draws from the global generator
    print(f"{len(right)} points\n{'norm':6}{'attacker':28}{'median distance':>16}{'ratio':>7}", end="")
    print(f"{'broken':>8}{'s a point':>11}")
    for name, attack in attackers(forest, model, x, y, norm).items():
        begin = time.process_time()
        found = attack()
        took = (time.process_time() - begin) / len(x)
        line(name, found, took, forest, exact, (x, y, norm))
    line("holdfast exact_distance", exact.witness.numpy(), exactly, forest, exact, (x, y, norm))


def line(name: str, found: Any, took: float, forest: Any, exact: Any, asked: tuple[Any, Any, str]) -> None:
    """One attacker's."""
    x, y, norm = asked
    broken = forest.predict(found) != y
    distance = np.where(broken, length(found.astype(float) - x, norm), np.inf)
    ratio = np.median(distance / exact.distance.numpy())
    print(
        f"{norm:6}{name:28}{np.median(distance):16.4f}{ratio:7.2f}{broken.mean():8.0%}{took:11.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
