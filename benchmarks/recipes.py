r"""Recipes of adversarial training at equal epochs and at equal processor time, on German road signs.

    HOLDFAST_DATA=... python benchmarks/recipes.py                                   # hours: 6,000 images, 12 epochs
    HOLDFAST_DATA=... python benchmarks/recipes.py --folder runs/recipes-small --width 8 --images 800 --batch 64 \
        --epochs 4 --warm 8 --test 200                                               # a quarter of an hour

All recipes start from one plain network that has seen all training tracks, so that a few epochs show something.
Options of each recipe are chosen once, with seed 0, by PGD of ten steps on validation tracks; tracks never stand on
both sides. Then every recipe is trained with each seed for the same number of epochs (free counts its replays as
epochs), and once more for as many epochs as its seconds allow within what PGD training has used. The test part is
looked at once, at the end, by APGD on the cross-entropy and on the targeted DLR loss. Differences are paired over
images and seeds, the three answers to one image being one group. Every piece is kept in the folder, so the same command
continues; seconds are processor seconds.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import torch

import holdfast as hf
from holdfast.attacks.first_of import FirstOf
from holdfast.core.progress import Note
from holdfast.data import Dataset
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining
from holdfast.defenses.training.free_adversarial_training import FreeAdversarialTraining
from holdfast.defenses.training.mart import Mart
from holdfast.defenses.training.trades import Trades
from holdfast.defenses.training.weight_perturbation import WeightPerturbation
from holdfast.evaluation.paired import over_groups
from holdfast.learning.learner import Learner
from holdfast.learning.precision import Precision
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model
from holdfast.threats.literals import parse

PGD = {"steps": 3, "step": 0.5}
OPTIONS = {
    "plain": [{"rate": 0.03}, {"rate": 0.1}],
    "pgd": [{"rate": 0.03}, {"rate": 0.1}],
    "free": [{"rate": 0.03, "replays": 3}, {"rate": 0.1, "replays": 3}],
    "fast": [{"rate": 0.03}, {"rate": 0.1}],
    "trades": [{"rate": 0.1, "beta": 3.0}, {"rate": 0.1, "beta": 6.0}],
    "mart+awp": [{"rate": 0.03, "radius": 0.005}, {"rate": 0.1, "radius": 0.005}],
}
"""Recipe -> what it is tried with on the validation tracks."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What is trained on what.

    Args:
        folder: Where everything is kept.
        threat: Literal.
        images, network, width, precision, batch, epochs, warm, seeds, test, recipes: See the options of the command.
    """

    folder: pathlib.Path
    threat: str
    images: int
    network: str
    width: int
    precision: Precision
    batch: int
    epochs: int
    warm: int
    seeds: int
    test: int
    recipes: list[str]

    def data(self) -> tuple[Dataset, Dataset, Dataset]:
        """All training tracks, samples of the validation tracks, and test images."""
        found = hf.data.load("gtsrb")
        train, validation = found.train.divide(0.9, 0)
        return train, validation.sample(200, 0), found.test.sample(self.test, 0)

    def kept(self, name: str, make) -> hf.Model:
        """The model of this name, made where it is not there; beside it its seconds and what it told."""
        file = self.folder / f"{name}.safetensors"
        if not file.exists():
            notes: list[str] = []
            began = time.process_time()
            model = make(lambda event: notes.append(event.text) if isinstance(event, Note) else None)
            told = {"seconds": time.process_time() - began, "notes": notes}
            (self.folder / f"{name}.json").write_text(json.dumps(told))
            card = {"network": self.network, "width": self.width, "shape": [3, 32, 32], "classes": 43}
            save_model(model, file, card)
            print(f"{name}: {told['seconds']:.0f} s", *notes, flush=True)
        return load_model(file)

    def told(self, name: str) -> dict:
        """Seconds and notes of a training."""
        return json.loads((self.folder / f"{name}.json").read_text())

    def learner(self, recipe: str, options: dict, epochs: int, start: hf.Model) -> Learner:
        """A recipe with its options, from the plain network."""
        rest = {key: value for key, value in options.items() if key not in ("rate", "radius")}
        whole = {"batch": self.batch, "smoothing": 0.0, "average": 0.99, "precision": self.precision}
        of = Train(start=start, epochs=epochs, rate=options["rate"], **whole)
        common = {"of": of, "threat": parse(self.threat), "validation_samples": 100, **rest}
        if recipe == "plain":
            return of
        if recipe == "mart+awp":
            return WeightPerturbation(of=Mart(**PGD, **common), radius=options["radius"])
        kinds = {
            "pgd": lambda: AdversarialTraining(**PGD, **common),
            "free": lambda: FreeAdversarialTraining(**common),
            "fast": lambda: FastAdversarialTraining(**common),
            "trades": lambda: Trades(**PGD, **common),
        }
        return kinds[recipe]()


def robust(study: Study, model: hf.Model, part: Dataset, attack) -> list[str]:
    """The status of every sample under an attack."""
    return list(hf.run(attack, model, part.x, part.y, study.threat, seed=0).status)


def study_all(study: Study) -> None:
    """All trainings, then the one look at the test part."""
    whole, validation, test = study.data()
    train = whole.sample(study.images, 0)
    study.folder.mkdir(parents=True, exist_ok=True)
    said, settings = study.folder / "study.json", json.dumps({**vars(study), "folder": "", "recipes": ""})
    if said.exists() and said.read_text() != settings:
        raise SystemExit(f"{study.folder} belongs to another study: {said.read_text()}")
    said.write_text(settings)
    network = {"network": study.network, "width": study.width, "precision": study.precision}
    plain = Train(**network, epochs=study.warm, rate=0.1, smoothing=0.0)
    start = study.kept("start", lambda tell: plain.fit(whole, 0, tell))

    def trained(recipe: str, option: int, epochs: int, seed: int) -> tuple[str, hf.Model]:
        name = f"{recipe}-{option}-{epochs}-{seed}"
        learner = study.learner(recipe, OPTIONS[recipe][option], epochs, start)
        extra = {"validation": validation} if recipe == "fast" else {}
        return name, study.kept(name, lambda tell: learner.fit(train, seed, tell, **extra))

    chosen: dict[str, int] = {}
    for recipe, options in ((r, o) for r, o in OPTIONS.items() if r in {"pgd", *study.recipes}):
        shares = []
        for option in range(len(options)):
            _, model = trained(recipe, option, study.epochs, 0)
            if recipe == "plain":
                shares.append(float((model.predict(validation.x) == validation.y).double().mean()))
            else:
                status = robust(study, model, validation, hf.attacks.Pgd(steps=10, step=0.25))
                shares.append(status.count("unbroken") / len(status))
        chosen[recipe] = max(range(len(options)), key=shares.__getitem__)
        print(f"{recipe}: {options[chosen[recipe]]} of {list(zip(options, shares, strict=True))}", flush=True)
    budget = study.told(f"pgd-{chosen['pgd']}-{study.epochs}-0")["seconds"]
    plans: dict[str, dict[str, int]] = {"equal epochs": {}, "equal time": {}}
    for recipe, option in chosen.items():
        own = study.told(f"{recipe}-{option}-{study.epochs}-0")["seconds"]
        plans["equal epochs"][recipe] = study.epochs
        plans["equal time"][recipe] = max(1, round(study.epochs * budget / own))
    for plan, epochs in plans.items():
        names = {r: [trained(r, chosen[r], epochs[r], seed)[0] for seed in range(study.seeds)] for r in chosen}
        table(study, test, plan, names, epochs)


def table(study: Study, test: Dataset, plan: str, names: dict[str, list[str]], epochs: dict[str, int]) -> None:
    """Clean and robust accuracy of each recipe, and its paired difference from PGD training."""
    held: dict[str, list[bool]] = {}
    for recipe, models in names.items():
        status = [tested(study, name, test) for name in models]
        held[recipe] = [s == "unbroken" for one in status for s in one]
        n = len(held[recipe])
        seconds = sum(study.told(name)["seconds"] for name in models) / len(models)
        print(
            f"{plan:13s} {recipe:9s} {epochs[recipe]:3d} epochs {seconds:5.0f} s   "
            f"clean {1 - sum(one.count('wrong') for one in status) / n:6.1%}   robust {sum(held[recipe]) / n:6.1%}",
            flush=True,
        )
    image = list(range(len(test))) * study.seeds
    for recipe in names:
        if recipe != "pgd":
            difference = over_groups(held["pgd"], held[recipe], image)
            print(f"{plan:13s} {recipe:9s} less pgd {difference}", flush=True)


def tested(study: Study, name: str, test: Dataset) -> list[str]:
    """The status of every test image, asked once."""
    kept = study.folder / f"{name}.test.json"
    if not kept.exists():
        attack = FirstOf((hf.attacks.Apgd(steps=30), hf.attacks.Apgd(steps=20, loss="dlr", targets=3)))
        kept.write_text(json.dumps(robust(study, load_model(study.folder / f"{name}.safetensors"), test, attack)))
    found: list[str] = json.loads(kept.read_text())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/recipes"))
    parser.add_argument("--threat", default="linf:8/255")
    parser.add_argument("--images", type=int, default=6_000, help="of the training tracks, for the recipes")
    parser.add_argument("--network", default="cnn", help="a name of holdfast.models.networks")
    parser.add_argument("--width", type=int, default=16, help="of the network")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "bfloat16", "auto"), help="of all training"
    )
    parser.add_argument("--batch", type=int, default=128, help="samples in a step of the recipes")
    parser.add_argument("--epochs", type=int, default=12, help="of every recipe at equal epochs")
    parser.add_argument("--warm", type=int, default=12, help="epochs of the plain network that all start from")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test", type=int, default=1_000, help="test images")
    parser.add_argument("--recipes", nargs="+", choices=list(OPTIONS), default=list(OPTIONS), help="beside pgd")
    torch.set_num_threads(1)
    study_all(Study(**vars(parser.parse_args())))
