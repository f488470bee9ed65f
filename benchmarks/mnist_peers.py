"""The same 500 MNIST images, the same adversarially trained CNN, linf 0.2: holdfast beside the other toolkits, one run.

    make bench-env
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/mnist_peers.py

Prints for each toolkit the robust accuracy with its interval and its processor seconds, one thread each, the order
A B C D E in one process; then every sample that a peer breaks and holdfast does not, and the other way round.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import time
import warnings

import numpy as np
import torch

import holdfast as hf
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.evaluation.statistics import rate
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model
from holdfast.models.source import source_of

HERE = pathlib.Path(__file__).parent
RADIUS = 0.2
OF = Train(network="cnn", width=16, epochs=8, rate=0.05, normalize=False, smoothing=0.0, precision="auto")
RECIPE = AdversarialTraining(of=OF, threat=hf.Linf(RADIUS), steps=5, step=0.3)


def victim(file: pathlib.Path, data: hf.data.Splits) -> hf.Model:
    """The network, trained on 12,000 images where the file does not exist yet."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        of = dataclasses.replace(OF, checkpoint=str(file.with_suffix(".checkpoint")))
        model = dataclasses.replace(RECIPE, of=of).fit(data.train.sample(12_000, 0), 0, lambda e: print(e, flush=True))
        save_model(model, file, {"network": "cnn", "width": 16, "shape": [1, 28, 28], "classes": 10})
        print(f"trained in {time.perf_counter() - began:.0f} s", flush=True)
    return load_model(file)


def ours(model: hf.Model, x: torch.Tensor, y: torch.Tensor, suite: str, folder: pathlib.Path) -> np.ndarray:
    """Broken by a suite of holdfast; prints what the attacks alone took, without curve, control and report."""
    shutil.rmtree(folder, ignore_errors=True)
    run = hf.audit(model, (x, y), threat=hf.Linf(RADIUS), suite=suite, seed=0, out=folder)
    stages = run.summary.threats[0].attacks
    print(f"holdfast {suite}: its attacks took {sum(a.seconds for a in stages):.1f} s of the audit's", flush=True)
    status = run.to_frame("arrow").column("status").to_pylist()
    return np.array([s == "broken" for s in status])


def torchattacks_autoattack(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Broken by torchattacks' AutoAttack, standard."""
    import torchattacks

    attack = torchattacks.AutoAttack(net, norm="Linf", eps=RADIUS, version="standard", n_classes=10, seed=0)
    return _wrong(net, attack(x, y), y)


def foolbox_pgd(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Broken by Foolbox' LinfPGD, 100 steps."""
    import foolbox

    attack = foolbox.attacks.LinfPGD(steps=100, rel_stepsize=0.05)
    return _wrong(net, attack(foolbox.PyTorchModel(net, bounds=(0, 1)), x, y, epsilons=RADIUS)[1], y)


def art_pgd(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Broken by ART's ProjectedGradientDescent, 100 steps."""
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        net, torch.nn.CrossEntropyLoss(), input_shape=(1, 28, 28), nb_classes=10, clip_values=(0.0, 1.0)
    )
    attack = ProjectedGradientDescent(
        classifier, eps=RADIUS, eps_step=RADIUS / 20, max_iter=100, num_random_init=1, batch_size=128, verbose=False
    )
    return _wrong(net, torch.from_numpy(attack.generate(x.numpy(), y.numpy())), y)


def _wrong(net: torch.nn.Module, adversarial: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Which inputs the network now gets wrong, asked anew."""
    with torch.no_grad():
        return (net(adversarial).argmax(1) != y).numpy()


def main() -> None:
    """Train if need be, run every toolkit, print the table and the disagreements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("runs/mnist/adversarial.safetensors"))
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--limit", type=int, default=500, help="the first so many of the 500 images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = hf.data.load("mnist")
    model = victim(options.model, data)
    if options.train_only:
        return
    rows = torch.tensor(json.loads((HERE / "mnist_500.json").read_text()))[: options.limit]
    part = data.test.take(rows)
    net = source_of(model).ask.net.eval().requires_grad_(False)
    x, y = part.x, part.y
    right = (model.predict(x) == y).numpy()
    print(f"clean accuracy {rate(int(right.sum()), len(y), 'images')}")
    folder = options.model.parent
    toolkits = {
        "holdfast standard": lambda: ours(model, x, y, "standard", folder / f"standard-{len(y)}"),
        "holdfast frugal": lambda: ours(model, x, y, "frugal", folder / f"frugal-{len(y)}"),
        "torchattacks AutoAttack": lambda: torchattacks_autoattack(net, x, y),
        "Foolbox LinfPGD 100": lambda: foolbox_pgd(net, x, y),
        "ART PGD 100": lambda: art_pgd(net, x, y),
    }
    broken = {}
    for name, attack in toolkits.items():
        began = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = attack()
        seconds = time.process_time() - began
        broken[name] = found & right
        held = int((right & ~found).sum())
        print(f"{name:24s} robust accuracy {rate(held, len(y), 'images')}  {seconds:.1f} CPU-s", flush=True)
    for plan in ("standard", "frugal"):
        mine = broken.pop(f"holdfast {plan}")
        for name, theirs in broken.items():
            if not name.startswith("holdfast"):
                missed, more = rows[theirs & ~mine].tolist(), int((mine & ~theirs).sum())
                print(f"{name} breaks and holdfast {plan} does not: {missed}; the other way: {more}")


if __name__ == "__main__":
    main()
