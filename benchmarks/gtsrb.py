"""German road signs: a ResNet-18 of width 16, its adversarially trained twin, and what an audit finds of both.

    HOLDFAST_DATA=... python benchmarks/gtsrb.py train          # both networks, into runs/gtsrb/
    HOLDFAST_DATA=... python benchmarks/gtsrb.py audit          # linf 8/255 and 4/255 under standard, 500 test images

The 500 test images are those of `gtsrb_500.json`, drawn once by a seeded simple random sample of the test part.
"""

import argparse
import dataclasses
import json
import pathlib
import time

import torch

import holdfast as hf
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model

HERE = pathlib.Path(__file__).parent
PLAIN = Train(network="preact18", width=16, epochs=40, rate=0.1, augment="affine+light", precision="auto")
THREATS = ["linf:4/255", "linf:8/255"]


def hardened(start: hf.Model, checkpoint: str = "") -> AdversarialTraining:
    """The adversarially trained twin: three steps of PGD, from the plain network, its best epoch on validation data."""
    of = Train(
        start=start,
        epochs=36,
        rate=0.1,
        augment="affine+light",
        patience=36,
        holdout=0.05,
        smoothing=0.05,
        precision="auto",
        checkpoint=checkpoint,
    )
    return AdversarialTraining(of=of, threat=hf.Linf(8 / 255), steps=3, step=0.5, validation_samples=390)


def card(data: hf.data.Splits) -> dict[str, object]:
    """What the model files say about themselves."""
    shape = list(data.train.x.shape[1:])
    return {"network": "preact18", "width": 16, "shape": shape, "classes": 43, "class_names": list(data.train.classes)}


def train(folder: pathlib.Path) -> None:
    """Both networks into `folder`, with the accuracy of each on the whole test part."""
    data = hf.data.load("gtsrb")
    folder.mkdir(parents=True, exist_ok=True)
    first = dataclasses.replace(PLAIN, checkpoint=str(folder / "plain.checkpoint"))
    plain = _made(folder / "plain.safetensors", lambda: first.fit(data.train, 0, _tell), data)
    _made(
        folder / "adversarial.safetensors",
        lambda: hardened(plain, str(folder / "adversarial.checkpoint")).fit(data.train, 0, _tell),
        data,
    )


def audit(folder: pathlib.Path, suite: str, names: list[str], threats: list[str]) -> None:
    """Empirical robust accuracies of both on the 500 images, with intervals."""
    test = hf.data.load("gtsrb").test
    rows = torch.tensor(json.loads((HERE / "gtsrb_500.json").read_text()))
    for name in names:
        model = load_model(folder / f"{name}.safetensors")
        began = time.perf_counter()
        run = hf.audit(model, test.take(rows), threat=threats, suite=suite, seed=0, out=folder / f"{name}-{suite}")
        if not run.summary.complete:
            print(f"{name:12s} interrupted; the same command continues, and these figures are not final", flush=True)
        print(f"{name:12s} clean {run.clean_accuracy}", flush=True)
        for threat in threats:
            print(f"{name:12s} {threat} {suite} {run.by_threat[threat].empirical_robust_accuracy}", flush=True)
        print(f"{name:12s} {time.perf_counter() - began:.0f} s", flush=True)


def _made(file: pathlib.Path, fit, data) -> hf.Model:
    if not file.exists():
        began, cpu = time.perf_counter(), time.process_time()
        model = fit()
        file.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, file, card(data))
        print(f"{file.stem}: {time.perf_counter() - began:.0f} s, {time.process_time() - cpu:.0f} CPU-s", flush=True)
    model = load_model(file)
    right = model.predict(data.test.x) == data.test.y
    print(f"{file.stem}: clean accuracy on the test part {right.double().mean():.4f} (n = {len(right)})", flush=True)
    return model


def _tell(event) -> None:
    print(event, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "audit"])
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/gtsrb"))
    parser.add_argument("--suite", default="standard")
    parser.add_argument("--threats", nargs="+", default=THREATS)
    parser.add_argument("--networks", nargs="+", default=["plain", "adversarial"])
    options = parser.parse_args()
    train(options.folder) if options.what == "train" else audit(
        options.folder, options.suite, options.networks, options.threats
    )
