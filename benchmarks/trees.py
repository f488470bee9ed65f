"""Exact Linf distances of a boosted ensemble beside Veritas': seconds a point, cold and warm, and do they agree.

    HOLDFAST_DATA=... .venv/bin/python benchmarks/trees.py
    HOLDFAST_DATA=... .venv/bin/python benchmarks/trees.py --kinds

XGBoost of 100 trees of depth 4 on MNIST's twos and sixes (pixels in 0..1), the first 200 of them that it gets right in
the test set. Each side runs in processes of its own, one after another in the same run, one thread:

- *cold, nothing kept*: a new process, and for us an empty folder for what Numba compiles;
- *cold, compiled before*: a new process, the folder as the one before left it;
- *warm*: the same points again in that process.

Seconds are of the processor, as the machine may be shared: imports (where cold), conversion of the trees and search.
The libraries that both need (XGBoost, NumPy) and the data are loaded before the clock starts. Veritas (dtai-veritas,
Devos, Meert and Davis, ICML 2021, arXiv:2010.09213) narrows an interval; `steps=10` is its default, `to 1e-5` narrows
until its interval is that short, which is what "proves optimal" means here. Its guard beside thresholds is 1e-6 instead
of 1e-4, for its distances would be off by the guard. Afterwards the other norms on the first 20 points, by mixed
integer programs.

`--kinds` is another table: ensembles of five libraries on heart disease (four hospitals, with its missing values), in
L1 over the rows that its schema allows, standardized. For each point a bound from below after one node of the solver,
the exact distance, and how many times as far LeafTuple, GraphSearch and Moeva2 come (median and worst); `out of order`
counts the points at which a bound is above the exact distance or an attack below it.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import xgboost

PAIR = (2, 6)
START = 0.5  # where Veritas begins: every point has a distance below
GUARD, SHORT, AGREE = 1e-6, 1e-5, 1e-4
SIDES = {"holdfast": 0, "veritas, steps=10": 10, "veritas, to 1e-5": 40}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pass:
    """What one process found in one pass over the points: seconds, distances, lower bounds."""

    imports: float
    conversion: float
    search: float
    distance: list[float]
    lower: list[float]

    def each(self) -> float:
        """Milliseconds a point, all in."""
        return 1000 * (self.imports + self.conversion + self.search) / len(self.distance)


def prepare(folder: pathlib.Path, points: int) -> float:
    """Train, choose the points, write both down; the accuracy."""
    import holdfast as hf

    def pair(part: Any) -> tuple[Any, Any]:
        x, y = np.asarray(part.x, np.float32).reshape(len(part.x), -1), np.asarray(part.y)
        chosen = np.isin(y, PAIR)
        return x[chosen], (y[chosen] == PAIR[1]).astype(int)

    data = hf.data.load("mnist")
    (x, y), (x_test, y_test) = pair(data.train), pair(data.test)
    model = xgboost.XGBClassifier(n_estimators=100, max_depth=4, n_jobs=1, random_state=0).fit(x, y)
    right = np.flatnonzero(model.predict(x_test) == y_test)
    model.save_model(folder / "model.json")
    np.savez(folder / "points.npz", x=x_test[right[:points]], y=y_test[right[:points]])
    return len(right) / len(y_test)


def ours(model: Any, x: Any, y: Any, steps: int) -> Pass:
    """One pass of exact_distance."""
    begin = time.process_time()
    import holdfast as hf
    from holdfast.attacks.trees import exact

    imported = time.process_time()
    wrapped = hf.wrap(model, bounds=(0, 1))
    wrapped.trees()  # type: ignore[misc]
    converted = time.process_time()
    found = exact.exact_distance(wrapped, x, y)
    return Pass(
        imports=imported - begin,
        conversion=converted - imported,
        search=time.process_time() - converted,
        distance=found.distance.tolist(),
        lower=found.lower.tolist(),
    )


def theirs(model: Any, x: Any, y: Any, steps: int) -> Pass:
    """One pass of Veritas' search."""
    begin = time.process_time()
    import veritas

    imported = time.process_time()
    trees = veritas.get_addtree(model, silent=True)
    converted = time.process_time()
    distance, lower = [], []
    for row, label in zip(x.astype(veritas.FloatT), y.tolist(), strict=True):
        search = veritas.VeritasRobustnessSearch(
            row, START, source_at=trees if label else None, target_at=None if label else trees, silent=True,
            num_steps=steps, search_guard=GUARD, stop_condition=lambda low, high: high - low < SHORT,
        )  # fmt: skip
        _, low, high = search.search()
        distance.append(float(high))
        lower.append(float(low))
    return Pass(
        imports=imported - begin,
        conversion=converted - imported,
        search=time.process_time() - converted,
        distance=distance,
        lower=lower,
    )


def norms(folder: pathlib.Path, points: int) -> None:
    """The other norms on the first points, warm: the programs."""
    import holdfast as hf

    model = xgboost.XGBClassifier(n_jobs=1)
    model.load_model(folder / "model.json")
    saved = np.load(folder / "points.npz")
    x, y = saved["x"][:points], saved["y"][:points]
    wrapped = hf.wrap(model, bounds=(0, 1))
    hf.exact_distance(wrapped, x[:1], y[:1], norm="l2")
    hf.run(hf.attacks.LeafTuple(restarts=3), wrapped, x[:1], y[:1], "l2:inf")
    print(f"\n{'norm':6}{'median distance':>16}{'proven':>8}{'s a point':>11}{'worst':>8}", end="")
    print(f"{'LeafTuple: ratio':>20}{'worst':>7}{'broken':>8}{'s a point':>11}")
    for norm in ("linf", "l2", "l1", "l0"):
        each, distance, proven = [], [], 0
        for i in range(points):
            begin = time.process_time()
            found = hf.exact_distance(wrapped, x[i : i + 1], y[i : i + 1], norm=norm)
            each.append(time.process_time() - begin)
            distance.append(float(found.distance))
            proven += int(found.proven)
        begin = time.process_time()
        walked = hf.run(hf.attacks.LeafTuple(), wrapped, x, y, f"{norm}:inf")
        took, ratio = (time.process_time() - begin) / points, walked.distance(norm).numpy() / np.array(distance)
        print(f"{norm:6}{np.median(distance):16.4f}{proven:8}{np.mean(each):11.3f}{max(each):8.2f}", end="")
        print(f"{np.median(ratio):20.3f}{ratio.max():7.2f}{int(walked.success.sum()):8}{took:11.3f}", flush=True)


def ensembles() -> dict[str, Any]:
    """Classifiers of five libraries that take missing values."""
    import catboost
    import lightgbm
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

    quiet = {"verbose": 0, "thread_count": 1, "allow_writing_files": False}
    return {
        "scikit-learn forest": RandomForestClassifier(30, max_depth=5, random_state=0),
        "scikit-learn histogram": HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=12, random_state=0),
        "XGBoost": xgboost.XGBClassifier(n_estimators=30, max_depth=4, n_jobs=1, random_state=0),
        "LightGBM": lightgbm.LGBMClassifier(n_estimators=30, num_leaves=12, n_jobs=1, verbose=-1, random_state=0),
        "CatBoost": catboost.CatBoostClassifier(iterations=30, depth=4, random_seed=0, **quiet),
    }


def reached(model: Any, x: Any, out: Any) -> Any:
    """How far an attack came in L1 and standardized units, `(n,)`; infinite where it found nothing."""
    far = model.space.schema.ruler.distance(out.adversarial, x, "l1")
    return far.where(out.success, float("inf"))


def kinds(points: int) -> None:
    """Bounds, exact distances and attacks on ensembles of five libraries, point by point."""
    import holdfast as hf

    data, close = hf.data.load("heart"), 2e-6
    attacks = {
        "LeafTuple": hf.attacks.LeafTuple(),
        "GraphSearch": hf.attacks.GraphSearch(),
        "Moeva2": hf.attacks.Moeva2(),
    }
    print(f"{'':24}{'accuracy':>9}{'points':>7}{'proven':>7}{'bound':>8}{'exact':>8}{'s a point':>10}", end="")
    print("".join(f"{name:>13}" for name in attacks) + f"{'out of order':>14}")
    for name, estimator in ensembles().items():
        model = hf.wrap(estimator.fit(data.train.x.numpy(), data.train.y.numpy()), data.test.space)
        said = model.predict(data.test.x)
        right = (said == data.test.y).nonzero()[:, 0]
        gaps = data.test.x[right].isnan().any(1)
        right = right[gaps.double().argsort(descending=True, stable=True)][:: max(len(right) // points, 1)][:points]
        x, y, begin = data.test.x[right], data.test.y[right], time.process_time()
        exact = hf.exact_distance(model, x, y, norm="l1")
        took = (time.process_time() - begin) / len(x)
        early = hf.exact_distance(model, x, y, norm="l1", budget=1)
        found = {one: reached(model, x, hf.run(attack, model, x, y, "table:l1=inf")) for one, attack in attacks.items()}
        wrong = (early.lower > exact.distance) | (exact.lower > exact.distance)
        for far in found.values():
            wrong |= far < exact.distance * (1 - close)
        there = exact.distance.isfinite()
        shown = (early.lower[there].median(), exact.distance[there].median())
        print(f"{name:24}{(said == data.test.y).double().mean():9.3f}{len(x):7}{int(exact.proven.sum()):7}", end="")
        print("".join(f"{float(one):8.3f}" for one in shown) + f"{took:10.2f}", end="")
        ratios = [(far / exact.distance)[there] for far in found.values()]
        print("".join(f"{float(one.median()):8.2f} ({one.max():.1f})".rjust(13) for one in ratios), end="")
        print(f"{int(wrong.sum()):14}", flush=True)


def child(folder: pathlib.Path, side: str) -> None:
    """Two passes in this process: cold, then warm."""
    model = xgboost.XGBClassifier(n_jobs=1)
    model.load_model(folder / "model.json")
    points = np.load(folder / "points.npz")
    search, steps = theirs if SIDES[side] else ours, SIDES[side]
    passes = [dataclasses.asdict(search(model, points["x"], points["y"], steps)) for _ in range(2)]
    print(json.dumps(passes))


def measure(folder: pathlib.Path, side: str, kept: pathlib.Path) -> list[Pass]:
    """The two passes of a new process, what Numba compiles in a folder of its own."""
    made = subprocess.run(
        [sys.executable, __file__, "--folder", str(folder), "--side", side],
        env=os.environ | {"NUMBA_CACHE_DIR": str(kept), "OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    return [Pass(**one) for one in json.loads(made.stdout.splitlines()[-1])]


def report(found: dict[str, dict[str, Pass]]) -> None:
    """The table: milliseconds a point and their ratio to ours, then what agrees."""
    print(
        f"{'':20}{'pass':24}{'imports s':>10}{'convert s':>10}{'search s':>10}{'ms a point':>11}{'ours / theirs':>15}"
    )
    for side, passes in found.items():
        for name, one in passes.items():
            ratio = f"{found['holdfast'][name].each() / one.each():.2f}" if side != "holdfast" else ""
            print(
                f"{side:20}{name:24}{one.imports:10.2f}{one.conversion:10.2f}{one.search:10.2f}{one.each():11.1f}"
                f"{ratio:>15}"
            )
    mine = found["holdfast"]["warm"]
    print(f"\nours: {sum(np.equal(mine.distance, mine.lower))} of {len(mine.distance)} proven, ", end="")
    print(f"median distance {np.median(mine.distance):.4f}")
    for side in list(found)[1:]:
        one = found[side]["warm"]
        off = np.abs(np.subtract(one.distance, mine.distance))
        closed = np.subtract(one.distance, one.lower) <= 2 * SHORT
        inside = np.less_equal(one.lower, np.add(mine.distance, AGREE)) & np.less_equal(
            mine.distance, np.add(one.distance, AGREE)
        )
        print(
            f"{side}: {closed.sum()} proven to {2 * SHORT:g}, of these {(off[closed] <= AGREE).sum()} within {AGREE:g} "
            f"of ours (largest difference {off[closed].max(initial=0):.1e}); ours in its interval: {inside.sum()}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--programs", type=int, default=20, help="points in L0, L1 and L2")
    parser.add_argument("--only-programs", action="store_true", help="leave Veritas out")
    parser.add_argument("--kinds", action="store_true", help="ensembles of five libraries, on a table")
    parser.add_argument("--folder", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        child(options.folder, options.side)
        return
    if options.kinds:
        kinds(min(options.points, 40))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        print(f"accuracy {prepare(folder, options.points):.4f}, {options.points} points\n", flush=True)
        found: dict[str, dict[str, Pass]] = {}
        for side in () if options.only_programs else SIDES:
            first, second = (measure(folder, side, folder / "kept") for _ in range(2))
            found[side] = {"cold, nothing kept": first[0], "cold, compiled before": second[0], "warm": second[1]}
        if found:
            report(found)
        norms(folder, min(options.programs, options.points))


if __name__ == "__main__":
    main()
