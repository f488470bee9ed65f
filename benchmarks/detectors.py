"""Detectors on MNIST: what they catch of attacks that do not know them, and what is left under one that does.

    HOLDFAST_DATA=... python benchmarks/detectors.py                      # all rows, about ten minutes of one core
    HOLDFAST_DATA=... python benchmarks/detectors.py mahalanobis lid      # some

A CNN learns from 6,000 training images; detectors learn from 4,000 others, and fix their threshold at 5 % of 2,000
more. The first 300 test images of a seeded sample are attacked at linf 0.2, where nothing of the CNN is left. A row:
area under the curve and share caught at 5 % false alarms for the strongest points of PGD on the CNN alone; share of
300 clean, noisy, brighter and USPS digits (enlarged to 28 x 28) rejected; samples answered right and accepted under
PGD straight on from the sample, targeted APGD, PGD from a random point and Square on CNN and detector together.
"""

import argparse
import pathlib
import time

import torch
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from torch.nn.functional import interpolate

import holdfast as hf
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.data.corruptions.corrupt import corrupt
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Detector
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model

RADIUS, SAMPLES = 0.2, 300
NET = {"network": "cnn", "width": 8}
UNSEEN = (Pgd(steps=40),)
JOINT = (
    Pgd(steps=50, step=0.02, random_start=False),
    Apgd(steps=50, loss="dlr", targets=3),
    Pgd(steps=100, step=0.05),
    Square(steps=300),
)
D = hf.defenses
ROWS: dict[str, Detector] = {
    "reconstruction": D.Reconstruction(epochs=4),
    "divergence": D.Reconstruction(epochs=4, by="divergence"),
    "squeezing": D.FeatureSqueezing(squeezers=(D.BitDepth(bits=1),)),
    "mahalanobis": D.Mahalanobis(),
    "lid": D.LocalDimensionality(),
    "density": D.KernelDensity(samples=1000),
    "neighbors": D.NearestNeighbors(samples=1000),
    "forest": D.OutlierModel(estimator=IsolationForest(n_estimators=50)),
    "lof": D.OutlierModel(estimator=LocalOutlierFactor(novelty=True)),
}


def network(file: pathlib.Path, data: Dataset) -> hf.Model:
    """The CNN, trained where the file does not exist yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        model = Train(**NET, epochs=8, rate=0.1, normalize=False, smoothing=0.0).fit(data, 0)
        save_model(model, file, {**NET, "shape": [1, 28, 28], "classes": 10})
    return load_model(file)


def harmless(test: Dataset, usps: Dataset) -> dict[str, Dataset]:
    """What a detector should let pass."""
    part = usps.sample(len(test), 0)
    x = interpolate(part.x, size=(20, 20), mode="bilinear", antialias=True)
    x = torch.nn.functional.pad(x, (4, 4, 4, 4)).clamp(0, 1)
    return {
        "noise": corrupt(test, "gaussian_noise", 3),
        "brighter": corrupt(test, "brightness", 3),
        "usps": Dataset(x, part.y),
    }


def shown(rate: object) -> str:
    """`12.3 [9.1, 16.0]`, in percent; a dash where there is none."""
    return "-" if rate is None else f"{100 * rate.point:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def main() -> None:
    """A row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=list(ROWS), metavar="row")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = hf.data.load("mnist")
    train = data.train.sample(12_000, 0)
    model = network(options.runs / "detectors" / "cnn.safetensors", train.take(slice(0, 6_000)))
    clean, test = train.take(slice(6_000, 12_000)), data.test.sample(options.samples, 0)
    mild = harmless(test, hf.data.load("usps").test)
    for name in options.rows:
        began = time.process_time()
        stage = ROWS[name].__class__(**{**vars(ROWS[name]), "held_out": 1 / 3}).fit(model, clean, 0)
        fitting = time.process_time() - began
        found = hf.detection(
            model, stage, test, f"linf:{RADIUS}", unseen=UNSEEN, joint=JOINT, harmless=mild, rates=(0.05,)
        )
        first = found.unseen[0]
        print(f"{name}: accuracy {shown(found.clean)}, under PGD {shown(found.undefended)}, slope {stage.slope}")
        print(f"    area {first.area}, caught at 5 % {shown(first.at[0.05])}, at its threshold {shown(first.rejected)}")
        print("    rejected: " + ", ".join(f"{key} {shown(value)}" for key, value in found.rejected.items()))
        print(f"    right and accepted {shown(found.accepted)}, under the joint attack {shown(found.joint)}")
        print(f"    {fitting:.0f} s to learn, {time.process_time() - began - fitting:.0f} s to judge", flush=True)


if __name__ == "__main__":
    main()
