"""Seven tables, seven classifiers: recall of the class that somebody wants to hide, alone and under attack.

    HOLDFAST_DATA=... .venv/bin/python benchmarks/tables.py                       # a quarter of an hour
    HOLDFAST_DATA=... .venv/bin/python benchmarks/tables.py --data phishing_websites adult --models xgboost
    HOLDFAST_DATA=... .venv/bin/python benchmarks/tables.py --harden              # before and after, three quarters
    HOLDFAST_DATA=... .venv/bin/python benchmarks/tables.py --harden --suite standard --data clamp_pe --models lightgbm
    HOLDFAST_DATA=... .venv/bin/python benchmarks/tables.py --profile             # each set's own attacker
    HOLDFAST_DATA=... .venv/bin/python benchmarks/tables.py --profile --harden --samples 50  # one table, two hours

The attacker holds a row of the first class of each direction below, and wants it taken for the second; the schema says
which columns move and how, and `--features` how many; with `--profile` both come from the profile that knows the set.
What the schemas assume is in data/tables/known.py. Classifiers are fitted on at most `--rows` rows with their
libraries' own settings. Every cell is an audit in a run folder of its own: the same command continues. What a
classifier learned is learned again where the cell is not finished; where it is, its line, kept beside the run, is all
that is read. `--harden` adds the same audit of a classifier that has been through `--rounds` rounds of adversarial rows
(Kantchelian, Tygar and Joseph 2016), each a greedy search from `--attacked` training rows of the class that hides, and
prints one table in Markdown, a line for each classifier, every figure before -> after. `accuracy` is that on both
classes, `possible` the share of adversarial rows that the schema allows, a dash where no row was broken.
`--suite standard` adds searches that the rounds have not seen. Rows of the test part that also stand in the training
part are counted by `hf.data.load`, and left in.
"""

import argparse
import dataclasses
import itertools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import holdfast as hf
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.learning.learner import Learner
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

WAYS = {
    "nsl_kdd": "attack:normal",
    "clamp_pe": "malware:benign",
    "phishing_websites": "phishing:legitimate",
    "spambase": "spam:ham",
    "adult": "<=50K:>50K",
    "german_credit": "bad:good",
    "heart_disease_sites": "disease:none",
}
PROFILES = {
    "nsl_kdd": "intrusion",
    "clamp_pe": "malware",
    "phishing_websites": "phishing",
    "spambase": "spam",
    "adult": "fraud",
    "german_credit": "fraud",
    "heart_disease_sites": "health",
}


def _catboost() -> Any:
    from catboost import CatBoostClassifier

    return CatBoostClassifier(iterations=200, random_seed=0, verbose=False, thread_count=1, allow_writing_files=False)


def _xgboost() -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=100, random_state=0, n_jobs=1)


def _lightgbm() -> Any:
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=100, random_state=0, n_jobs=1, verbose=-1)


MODELS: Mapping[str, Callable[[], Any]] = {
    "logistic": lambda: LogisticRegression(max_iter=2000),
    "mlp": lambda: MLPClassifier((64,), max_iter=200, early_stopping=True, random_state=0),
    "forest": lambda: RandomForestClassifier(100, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(random_state=0),
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}
SCALED = ("logistic", "mlp")


def unfitted(name: str, schema: hf.Schema) -> Any:
    """A pipeline of raw rows: levels one-hot, numbers as they are, or filled and scaled for models of sums."""
    numbers = [f.name for f in schema.features if not f.levels]
    levels = [f.name for f in schema.features if f.levels]
    way = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()) if name in SCALED else "passthrough"
    prepare = ColumnTransformer(
        [("numbers", way, numbers), ("levels", OneHotEncoder(handle_unknown="ignore", sparse_output=False), levels)]
    )
    return make_pipeline(prepare, MODELS[name]())


@dataclasses.dataclass(frozen=True)
class Once(Learner):
    """A pipeline with the random numbers of its own settings, so that the model before is the table's."""

    estimator: object

    def fit(self, dataset: hf.Dataset, seed: int = 0, on_event: Any = None) -> hf.Model:
        """The wrapped pipeline."""
        made = clone(self.estimator).fit(hf.Tabular(dataset.schema).frame(dataset.x), dataset.y.numpy())
        return hf.wrap(made, dataset.schema)


def threat_of(data: str, given: argparse.Namespace) -> Threat:
    """How far the attacker may go."""
    return parse(hf.profile(PROFILES[data]).threat if given.profile else f"table:features={given.features}")


def learner_of(data: str, name: str, train: hf.Dataset, given: argparse.Namespace, hard: bool) -> Learner:
    """The plain one, or rounds around it."""
    plain = Once(estimator=unfitted(name, train.schema))
    return (
        plain
        if not hard
        else AdversarialRounds(
            of=plain,
            threat=threat_of(data, given),
            rounds=given.rounds,
            samples=given.attacked,
            source=WAYS[data].split(":")[0],
        )
    )


def line(data: str, name: str, given: argparse.Namespace, hard: bool) -> str:
    """The figures of a cell, from its run folder where it is finished."""
    folder = given.runs / (
        f"{data}-{name}-{PROFILES[data] if given.profile else given.features}"
        + (f"-hard-{given.rounds}-{given.attacked}" if hard else "")
        + (f"-{given.suite}" if given.suite != "quick" else "")
    )
    kept = folder.with_name(f"{folder.name}-{given.samples}-{given.rows}.txt")
    if kept.is_file():
        return kept.read_text()
    began, found = time.perf_counter(), hf.data.load(data, profile=PROFILES[data] if given.profile else None)
    train = found.train if len(found.train) <= given.rows else found.train.sample(given.rows, 0)
    model = learner_of(data, name, train, given, hard).fit(train, 0)
    learned = time.perf_counter() - began
    both = float((model.predict(found.test.x) == found.test.y).double().mean())
    hides = int((found.test.y == train.schema.classes.index(WAYS[data].split(":")[0])).sum())
    run = hf.audit(
        model,
        found.test,
        threat=threat_of(data, given),
        suite=given.suite,
        evade=WAYS[data],
        limit=min(given.samples, hides),
        out=folder,
    )
    (threat,) = run.summary.threats
    clean, held = run.clean_accuracy, run.empirical_robust_accuracy
    possible = "–" if threat.valid is None else f"{threat.valid.point:.0%}"
    spent = f"{learned:.0f} + {time.perf_counter() - began - learned:.0f} s"
    told = (
        f"{data:20s} {name:10s} {'after' if hard else 'before':6s} {both:7.1%}  {clean.point:7.1%}  {held.point:6.1%} "
        f"[{held.low:.1%}, {held.high:.1%}]  {possible:>6s}  {spent}"
    )
    if run.complete:
        kept.write_text(told)
    return told


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a line says, in percent: accuracy on both classes, recall alone and under attack, possible rows."""

    accuracy: str
    recall: str
    held: str
    possible: str

    @classmethod
    def of(cls, told: str) -> "Cell":
        """The figures of a line as `line` writes it."""
        words = told.replace("%", "").split()
        accuracy, recall, held, low, high, possible = words[3:9]
        return cls(accuracy, recall, f"{held} {low} {high}", possible)


COLUMNS = ("data", "classifier", "accuracy", "recall", "recall under attack [95 %]", "possible")
NAMES = {
    "nsl_kdd": "NSL-KDD",
    "clamp_pe": "ClaMP",
    "phishing_websites": "phishing",
    "adult": "Adult",
    "german_credit": "German credit",
    "heart_disease_sites": "heart disease",
    "logistic": "logistic regression",
    "mlp": "MLP",
    "forest": "random forest",
    "histogram": "HistGradientBoosting",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "catboost": "CatBoost",
}


def row(data: str, name: str, given: argparse.Namespace) -> str:
    """A line of the table, each figure before -> after the rounds."""
    cells = [dataclasses.astuple(Cell.of(line(data, name, given, hard))) for hard in (False, True)]
    changes = [f"{before} → {after}" for before, after in zip(*cells, strict=True)]
    return f"| {' | '.join([NAMES.get(data, data), NAMES[name], *changes])} |"


def main() -> None:
    """A line for each cell, or for each pair of them before and after the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--features", type=int, default=2, help="columns that may change")
    parser.add_argument("--profile", action="store_true", help="the set's profile and its threat instead")
    parser.add_argument("--rows", type=int, default=8_000, help="of the training part")
    parser.add_argument("--samples", type=int, default=100, help="of the test part's class that hides")
    parser.add_argument("--harden", action="store_true", help="the same after rounds of adversarial rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--attacked", type=int, default=300, help="training rows attacked in each round")
    parser.add_argument("--suite", choices=("quick", "standard"), default="quick", help="of the audits")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/tables"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.harden:
        print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    else:
        print(
            f"{'profile' if given.profile else f'table:features={given.features}':29s}"
            + "accuracy  recall  recall under attack  possible  learned + audited"
        )
    for data, name in itertools.product(given.data, given.models):
        try:
            print(row(data, name, given) if given.harden else line(data, name, given, hard=False), flush=True)
        except ModuleNotFoundError as missing:
            print(f"{data:20s} {name:10s} not installed: {missing.name}", flush=True)


if __name__ == "__main__":
    main()
