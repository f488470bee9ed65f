r"""Recipes beside PGD training on handwritten digits: clean accuracy and what withstands three threats and their union.

    OMP_NUM_THREADS=1 python benchmarks/more_recipes.py                        # minutes; needs no download
    OMP_NUM_THREADS=1 python benchmarks/more_recipes.py --images 400 --epochs 8 --test 100 --only pgd averaged

A small network (`mlp`, 64 units, two layers), pictures of 8 x 8, the test part looked at once, by PGD of 20 steps, so
that shares are upper bounds; `--suite apgd` takes APGD on the cross-entropy and on the targeted DLR loss, at many times
the time. Shares are means over the seeds with their extremes. Options are the published ones where the paper names any,
else the defaults; nothing was chosen by the test part, and nothing was tuned at all, so a row says what a recipe does
as it is taken off the shelf. The second table is `GroupDro`: digits of which two classes were thinned to a tenth. Every
number is kept in the folder, so the same command continues; seconds are processor seconds.
"""

import argparse
import functools
import json
import pathlib
import statistics
import time
from collections.abc import Callable

import torch

import holdfast as hf
from holdfast import defenses as d
from holdfast.attacks.first_of import FirstOf
from holdfast.data import Dataset
from holdfast.defenses.regularization.group_dro import accuracies
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train

THREATS = (hf.Linf(0.1), hf.L2(0.5), hf.L1(2.0))
LINF, L2, L1 = THREATS
OTHERS = (L2, L1)
SUITES = {
    "pgd": hf.attacks.Pgd(steps=20, step=0.15),
    "apgd": FirstOf((hf.attacks.Apgd(steps=20), hf.attacks.Apgd(steps=20, loss="dlr", targets=3))),
}
THIN = (3, 8)  # classes that GroupDro has few of
Row = dict[str, float]


def learners(of: Train) -> dict[str, Learner]:
    """Recipe -> learner, all on the same plain training."""
    pgd = d.AdversarialTraining(of=of, threat=LINF)
    return {
        "plain": of,
        "pgd": pgd,
        "pgd l2": d.AdversarialTraining(of=of, threat=L2),
        "pgd l1": d.AdversarialTraining(of=of, threat=L1),
        "multi_norm max": d.MultiNorm(of=of, threat=LINF, threats=OTHERS),
        "multi_norm average": d.MultiNorm(of=of, threat=LINF, threats=OTHERS, combine="average"),
        "multi_norm random": d.MultiNorm(of=of, threat=LINF, threats=OTHERS, combine="random"),
        "multi_norm steepest": d.MultiNorm(of=of, threat=LINF, threats=OTHERS, combine="steepest"),
        "curriculum": d.CurriculumAdversarialTraining(of=of, threat=LINF),
        "curriculum unmixed": d.CurriculumAdversarialTraining(of=of, threat=LINF, mixing=False),
        "fast": d.FastAdversarialTraining(of=of, threat=LINF, collapse="ignore"),
        "n-fgsm": d.FastAdversarialTraining(of=of, threat=LINF, collapse="ignore", noise=2.0, step=1.0),
        "gradalign": d.FastAdversarialTraining(of=of, threat=LINF, collapse="ignore", alignment=0.2),
        "averaged": d.Averaged(of=pgd),
        "wasserstein 1": d.WassersteinRobust(of=of, gamma=1.0),
        "wasserstein 10": d.WassersteinRobust(of=of, gamma=10.0),
        "parseval": d.ParsevalNetworks(of=of),
        "lipschitz 0.1": d.LipschitzMargin(of=of, radius=0.1),
        "lipschitz 0.5": d.LipschitzMargin(of=of, radius=0.5),
    }


def kept(file: pathlib.Path, make: Callable[[], Row]) -> Row:
    """What stands in a file, made where it is not there."""
    if not file.exists():
        file.write_text(json.dumps(make()))
    found: Row = json.loads(file.read_text())
    return found


def place(given: argparse.Namespace, name: str, seed: int) -> pathlib.Path:
    """Where the numbers of a row and a seed are kept."""
    said = "-".join(
        [*name.replace(",", "").split(), *map(str, (given.images, given.epochs, given.test)), given.suite, str(seed)]
    )
    found: pathlib.Path = given.folder / f"{said}.json"
    return found


def judged(learner: Learner, train: Dataset, test: Dataset, suite: str, seed: int) -> Row:
    """Train and attack."""
    began = time.process_time()
    model = learner.fit(train, seed)
    found: Row = {"seconds": time.process_time() - began}
    found["clean"] = float((model.predict(test.x) == test.y).double().mean())
    attack = SUITES[suite]
    union = torch.ones(len(test), dtype=torch.bool)
    for threat in THREATS:
        status = hf.run(attack, model, test.x, test.y, threat, seed=0).status
        held = torch.tensor([one == "unbroken" for one in status])
        found[threat.norm], union = float(held.double().mean()), union & held
    return found | {"union": float(union.double().mean())}


def thinned(data: Dataset) -> Dataset:
    """Every tenth sample of two classes, all of the others."""
    rows = torch.zeros(len(data), dtype=torch.bool)
    for k in range(data.n_classes):
        of = (data.y == k).nonzero()[:, 0]
        rows[of[::10] if k in THIN else of] = True
    return data.take(rows)


def uneven(learner: Learner, train: Dataset, test: Dataset, seed: int) -> Row:
    """Mean and worst accuracy over the classes, after training on few of two."""
    model = learner.fit(thinned(train), seed)
    shares = [share for share, _ in accuracies(model, test, "classes").values()]
    thin = [share for k, (share, _) in accuracies(model, test, "classes").items() if k in THIN]
    return {"mean": statistics.mean(shares), "worst": min(shares), "thin": statistics.mean(thin)}


def told(rows: list[Row]) -> str:
    """Mean of each number over the seeds, and its extremes."""
    text = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name == "seconds":
            text.append(f"{statistics.mean(values):4.0f} s")
        else:
            text.append(f"{name} {statistics.mean(values):6.1%} ({min(values):.0%} to {max(values):.0%})")
    return "  ".join(text)


def main(given: argparse.Namespace) -> None:
    """Both tables."""
    given.folder.mkdir(parents=True, exist_ok=True)
    digits = hf.data.load("digits")
    train, test = digits.train.sample(given.images, 0), digits.test.sample(given.test, 0)
    of = Train(network="mlp", epochs=given.epochs, batch=50, rate=0.05, smoothing=0.0, average=0.99)
    print(f"{len(train)} to learn from, {len(test)} to test, {', '.join(one.literal for one in THREATS)}", flush=True)
    for name, learner in learners(of).items():
        if given.only and name.split()[0] not in given.only:
            continue
        files = [place(given, name, seed) for seed in range(given.seeds)]
        rows = [
            kept(file, functools.partial(judged, learner, train, test, given.suite, s)) for s, file in enumerate(files)
        ]
        print(f"{name:20s} {told(rows)}", flush=True)
    for name, learner in {
        "thin classes, plain": of,
        "thin classes, step 0.01": d.GroupDro(of=of),
        "thin classes, step 0.1": d.GroupDro(of=of, step=0.1),
        "thin classes, step 0": d.GroupDro(of=of, step=0.0),
    }.items():
        if given.only and "group_dro" not in given.only:
            continue
        files = [place(given, name, seed) for seed in range(given.seeds)]
        rows = [kept(file, functools.partial(uneven, learner, train, test, s)) for s, file in enumerate(files)]
        print(f"{name:24s} {told(rows)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/more-recipes"))
    parser.add_argument("--images", type=int, default=800, help="to learn from")
    parser.add_argument("--test", type=int, default=200, help="of the test part")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--suite", choices=list(SUITES), default="pgd")
    parser.add_argument("--only", nargs="+", default=[], help="first words of the rows, and group_dro")
    torch.set_num_threads(1)
    main(parser.parse_args())
