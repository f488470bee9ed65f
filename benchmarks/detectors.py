"""Detectors on MNIST: what they catch of attacks that do not know them, and what is left under one that does.

    HOLDFAST_DATA=... python benchmarks/detectors.py                      # all rows and the table
    HOLDFAST_DATA=... python benchmarks/detectors.py mahalanobis lid      # some
    HOLDFAST_DATA=... python benchmarks/detectors.py monitor              # batches instead of single inputs
    HOLDFAST_DATA=... python benchmarks/detectors.py binary --oblivious --threat linf:0.1 l2:2    # no joint attack

A CNN learns from 6,000 training images; detectors learn from 4,000 others, and fix their threshold at 5 % of 2,000
more. The first 300 test images of a seeded sample are attacked at linf 0.2, where nothing of the CNN is left. A row:
area under the curve for the strongest points of PGD, targeted APGD and Square on the CNN alone, and the share of PGD's
caught at 1 and 5 % false alarms; share of 300 clean, noisy, brighter, JPEG-compressed and USPS digits (enlarged to 28 x
28) rejected; samples for which a wrong and accepted input is found by SelectivePgd, PGD from the sample, targeted APGD,
PGD from a random point and Square on CNN and detector together, and samples that stay right and accepted under all of
them: the joint robust accuracy. What is in neither is rejected as it is. Uncertainty has a CNN of its own, trained with
dropout; the binary detectors are shown PGD of 10 steps at linf 0.2. The table comes last: `docs/how-to/detect.md` shows
it.
"""

import argparse
import pathlib
import time

import torch
from pyod.models.pca import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from torch.nn.functional import interpolate

import holdfast as hf
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.selective_pgd import SelectivePgd
from holdfast.attacks.evasion.square import Square
from holdfast.data.corruptions.corrupt import corrupt
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Fitted
from holdfast.evaluation.detection import Detection
from holdfast.evaluation.two_sample import Watch
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model
from holdfast.models.stage import Stage

THREAT, SAMPLES = "linf:0.2", 300
NET = {"network": "cnn", "width": 8}
PLAIN = Train(**NET, epochs=8, rate=0.1, normalize=False, smoothing=0.0)
UNSEEN = {
    "PGD": Pgd(steps=40),
    "APGD": Apgd(steps=50, loss="dlr", targets=3),
    "Square": Square(steps=1000),
}
RATES = (0.01, 0.05)  # false alarms at which the share caught is told
SHOWN = {"attack": Pgd(steps=10, step=0.25), "threat": hf.Linf(0.2), "epochs": 10}
JOINT = (
    SelectivePgd(steps=200, first=0.05, last=0.01, share=0.3),
    SelectivePgd(shape="gradient", loss="margin"),
    Pgd(steps=50, step=0.02, random_start=False),
    Apgd(steps=50, loss="dlr", targets=3),
    Pgd(steps=100, step=0.05),
    Square(steps=300),
)
D = hf.defenses
ROWS: dict[str, Fitted] = {
    "reconstruction": D.Reconstruction(updates=500),
    "divergence": D.Reconstruction(updates=500, by="divergence"),
    "magnet": D.MagNet(updates=500),
    "squeezing": D.FeatureSqueezing(squeezers=(D.BitDepth(bits=1), D.MedianSmoothing(size=2))),  # the paper's
    "squeezing-bit": D.FeatureSqueezing(squeezers=(D.BitDepth(bits=1),)),
    "mahalanobis": D.Mahalanobis(),
    "lid": D.LocalDimensionality(),
    "density": D.KernelDensity(samples=1000),
    "uncertainty": D.BayesianUncertainty(share=0.5),
    "binary": D.BinaryDetector(**SHOWN),
    "binary-features": D.BinaryDetector(**SHOWN, layer="features"),
    "neighbors": D.NearestNeighbors(samples=1000),
    "forest": D.OutlierModel(estimator=IsolationForest(n_estimators=50)),
    "lof": D.OutlierModel(estimator=LocalOutlierFactor(novelty=True)),
    "pyod-pca": D.OutlierModel(estimator=PCA()),
    "camera": D.CameraRealism(),
    "ranges": D.RangeCheck(),
}


LEARNERS: dict[str, Learner] = {"uncertainty": D.Dropout(of=PLAIN)}


def network(row: str, folder: pathlib.Path, data: Dataset) -> hf.Model:
    """The CNN of a row, trained where its file does not exist yet."""
    file = folder / ("cnn-dropout.safetensors" if row in LEARNERS else "cnn.safetensors")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        model = LEARNERS.get(row, PLAIN).fit(data, 0)
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
        "JPEG": corrupt(test, "jpeg_compression", 3),
        "usps": Dataset(x, part.y),
    }


def monitored(model: hf.Model, clean: Dataset, test: Dataset, size: int = 50, batches: int = 40) -> None:
    """How many batches of digits a monitor alarms on at 5 %: clean ones, attacked ones, and a tenth attacked."""
    draw = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(test), generator=draw)[:size] for _ in range(batches)]
    attacked = {
        f"linf:{radius} by {type(attack).__name__}": hf.run(
            attack, model, test.x, test.y, f"linf:{radius}", perturb=True
        ).strongest
        for attack, radius in ((Pgd(steps=10, step=0.25), 0.05), (Pgd(steps=10, step=0.25), 0.2), (Noise(), 0.2))
    }
    for layer in ("inputs", "features"):
        watch = hf.BatchMonitor(layer=layer, permutations=199).watch(clean, model)

        def alarms(x: torch.Tensor, share: float, watch: Watch = watch) -> str:
            found = 0
            for k, rows in enumerate(orders):
                cut = round(share * size)
                found += watch.test(torch.cat([x[rows[:cut]], test.x[rows[cut:]]]), seed=k).found
            return f"{found} of {batches}"

        print(f"monitor of {layer}: alarms on clean batches of {size}: {alarms(test.x, 0)}")
        for name, x in attacked.items():
            print(f"    {name}: all attacked {alarms(x, 1)}, a tenth of them {alarms(x, 0.1)}", flush=True)


def shown(rate: object) -> str:
    """`12.3 [9.1, 16.0]`, in percent; a dash where there is none."""
    return "-" if rate is None else f"{100 * rate.point:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def judge(
    model: hf.Model, stage: Stage, test: Dataset, threat: str, mild: dict[str, Dataset], oblivious: bool
) -> Detection:
    """A row, and its lines."""
    began, joint = time.process_time(), () if oblivious else JOINT
    unseen = tuple(UNSEEN.values())
    found = hf.detection(model, stage, test, threat, unseen=unseen, joint=joint, harmless=mild, rates=RATES)
    print(f"    {threat}: accuracy {shown(found.clean)}, under attack {shown(found.undefended)}")
    for one in found.unseen:
        caught = ", ".join(f"caught at {100 * rate:.0f} % {shown(one.at.get(rate))}" for rate in RATES)
        caught += f", at its threshold {shown(one.rejected)}"
        print(f"    {one.attack}: area {one.area}, {caught}")
    print("    rejected: " + ", ".join(f"{key} {shown(value)}" for key, value in found.rejected.items()))
    under = (
        "" if oblivious else f", under the joint attack {shown(found.joint)}, wrong and accepted {shown(found.fooled)}"
    )
    print(f"    right and accepted {shown(found.accepted)}{under}; {time.process_time() - began:.0f} s", flush=True)
    return found


def table(rows: dict[str, Detection]) -> str:
    """A line a detector, in Markdown; shares in percent, intervals of 95 %."""
    mild = [key for key in next(iter(rows.values())).rejected if key != "clean"]
    areas, rates = [f"area, {name}" for name in UNSEEN], [f"caught at {100 * rate:.0f} %" for rate in RATES]
    head = ["detector", *areas, *rates, "rejects clean", *mild, "joint: right and accepted", "wrong and accepted"]
    lines = [head, ["---"] * len(head)]
    for name, found in rows.items():
        line = [name, *("-" if one.area is None else str(one.area) for one in found.unseen)]
        line += [shown(found.unseen[0].at.get(rate)) for rate in RATES]
        line += [shown(found.rejected["clean"]), *(f"{100 * found.rejected[key].point:.1f}" for key in mild)]
        lines.append([*line, shown(found.joint), shown(found.fooled)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """A row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=[*ROWS, "monitor"], metavar="row")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--threat", nargs="+", default=[THREAT])
    parser.add_argument("--oblivious", action="store_true", help="attacks on the CNN alone, none on both together")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = hf.data.load("mnist")
    train = data.train.sample(12_000, 0)
    clean, test = train.take(slice(6_000, 12_000)), data.test.sample(options.samples, 0)
    mild = harmless(test, hf.data.load("usps").test)
    began, judged = time.process_time(), {}
    for name in options.rows:
        model = network(name, options.runs / "detectors", train.take(slice(0, 6_000)))
        if name == "monitor":
            monitored(model, clean, test)
            continue
        start = time.process_time()
        stage = ROWS[name].__class__(**{**vars(ROWS[name]), "held_out": 1 / 3}).fit(model, clean, 0)
        print(f"{name}: {time.process_time() - start:.0f} s to learn, slope {stage.slope}")
        for threat in options.threat:
            judged[name, threat] = judge(model, stage, test, threat, mild, options.oblivious)
    for threat in [] if options.oblivious else options.threat:
        rows = {name: found for (name, under), found in judged.items() if under == threat}
        if rows:
            print(f"\n{threat}, {len(test)} samples\n\n{table(rows)}")
    print(f"\n{time.process_time() - began:.0f} s of one core")


if __name__ == "__main__":
    main()
