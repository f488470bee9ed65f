r"""Free adversarial training on CIFAR-10 beside its published table: what each number of replays keeps, at one cost.

    HOLDFAST_DATA=... python benchmarks/free_replays.py
    HOLDFAST_DATA=... python benchmarks/free_replays.py --folder runs/free --images 500 --epochs 8 --seeds 1 --test 100

All rows see as many batches: a plain training, the same with 2, 4, 8 and 10 replays, whose passes over the data are
fewer by as much, and PGD training with seven steps, which costs several times as much. The threat is the paper's, linf
8/255; robust is what withstands PGD of 20 steps (the published column has ten restarts), and APGD as well, on the
cross-entropy and on the targeted DLR loss. Nothing is chosen: the options are one for all rows. Every row and
seed is kept in the folder, so the same command continues; seconds are processor seconds.
"""

import argparse
import json
import pathlib
import statistics
import time

import torch

import holdfast as hf
from holdfast.attacks.first_of import FirstOf
from holdfast.data import Dataset
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train

D, A = hf.defenses, hf.attacks
THREAT = hf.Linf(8 / 255)
PUBLISHED = {  # Shafahi et al. 2019, the authors' page: wide ResNet 32-10, 50,000 images; clean, PGD-20 of ten restarts
    "plain": (95.01, 0.00, 780),
    "free-2": (91.45, 33.41, 816),
    "free-4": (87.83, 40.73, 800),
    "free-8": (85.96, 46.33, 785),
    "free-10": (83.94, 45.94, 785),
    "pgd-7": (87.25, 45.53, 5418),
}
"""Row -> clean accuracy and robust accuracy in percent, minutes of training."""
PGD20 = A.Pgd(steps=20, step=0.25)
STRONG = FirstOf((PGD20, A.Apgd(steps=30), A.Apgd(steps=20, loss="dlr", targets=3)))


def learner(row: str, of: Train) -> Learner:
    """What a row trains with."""
    kind, _, number = row.partition("-")
    if kind == "plain":
        return of
    if kind == "pgd":
        return D.AdversarialTraining(of=of, threat=THREAT, steps=int(number), step=0.25, validation_samples=100)
    return D.FreeAdversarialTraining(of=of, threat=THREAT, replays=int(number), validation_samples=100)


def made(row: str, of: Train, train: Dataset, test: Dataset, seed: int) -> dict[str, float]:
    """One training and what it keeps."""
    began = time.process_time()
    model = learner(row, of).fit(train, seed)
    seconds = time.process_time() - began
    weak, strong = (hf.run(a, model, test.x, test.y, THREAT, seed=0).status for a in (PGD20, STRONG))
    share = {"clean": 1 - weak.count("wrong") / len(weak), "pgd": weak.count("unbroken") / len(weak)}
    return {**share, "apgd": strong.count("unbroken") / len(strong), "seconds": seconds}


def main(given: argparse.Namespace) -> None:
    """All rows and seeds, then the table."""
    data = hf.data.load("cifar10")
    train, test = data.train.sample(given.images, 0), data.test.sample(given.test, 0)
    of = Train(
        network=given.network, width=given.width, epochs=given.epochs, batch=given.batch, rate=given.rate, smoothing=0.0
    )
    given.folder.mkdir(parents=True, exist_ok=True)
    said, settings = given.folder / "study.json", json.dumps({**vars(given), "folder": "", "seeds": 0})
    if said.exists() and said.read_text() != settings:
        raise SystemExit(f"{given.folder} belongs to another study: {said.read_text()}")
    said.write_text(settings)
    found: dict[str, list[dict[str, float]]] = {row: [] for row in PUBLISHED}
    for seed in range(given.seeds):
        for row, pieces in found.items():
            kept = given.folder / f"{row}-{seed}.json"
            if not kept.exists():
                kept.write_text(json.dumps(made(row, of, train, test, seed)))
                print(kept.name, kept.read_text(), flush=True)
            pieces.append(json.loads(kept.read_text()))
    print(f"{'':8s} {'clean':>7s} {'PGD-20':>7s} {'APGD':>7s} {'seconds':>8s}   published: clean, PGD-20, minutes")
    for row, pieces in found.items():
        means = {key: statistics.mean(p[key] for p in pieces) for key in pieces[0]}
        shares = " ".join(f"{means[key]:7.1%}" for key in ("clean", "pgd", "apgd"))
        clean, robust, minutes = PUBLISHED[row]
        print(f"{row:8s} {shares} {means['seconds']:8.0f}   {clean:.1f} % {robust:.1f} % {minutes}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/free-replays"))
    parser.add_argument("--images", type=int, default=4_500, help="to learn from")
    parser.add_argument("--test", type=int, default=1_000, help="of the test part")
    parser.add_argument("--network", default="cnn", help="a name of holdfast.models.networks")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=3)
    torch.set_num_threads(1)
    main(parser.parse_args())
