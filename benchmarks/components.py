"""The attacks of `standard` beside the same components of torchattacks, at the published budgets of both.

    make bench-env
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/components.py            # MNIST, the CNN of mnist_peers.py
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/components.py --data gtsrb

torchattacks' own class `AutoAttack` takes 10 steps where the paper takes 100 (its components' default), so its seconds
are not those of AutoAttack. Here each component takes 100 steps, targets are the 9 published ones, Square asks 5,000
times. Every pair gets the samples that torchattacks' component before has left. Processor seconds, one thread.
"""

import argparse
import json
import pathlib
import time
import warnings

import torch
from torch import Tensor

import holdfast as hf
from holdfast.evaluation.bench.peers import Asked
from holdfast.evaluation.suites import describe, resolve
from holdfast.models.files import load_model
from holdfast.models.source import source_of

HERE = pathlib.Path(__file__).parent
MODELS = {"mnist": ("mnist/adversarial.safetensors", 0.2), "gtsrb": ("frugal/gtsrb-preact18.safetensors", 8 / 255)}
CLASSES = 10  # nine targets


def main() -> None:
    """One row for each component."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--data", choices=MODELS, default="mnist")
    parser.add_argument("--limit", type=int, default=128)
    options = parser.parse_args()
    import torchattacks as ta

    torch.set_num_threads(1)
    file, eps = MODELS[options.data]
    model = load_model(options.runs / file)
    net = Asked(source_of(model).ask)
    rows = torch.tensor(json.loads((HERE / f"{options.data}_500.json").read_text()))[: options.limit]
    part = hf.data.load(options.data).test.take(rows)
    x, y = part.x, part.y
    common = {"eps": eps, "norm": "Linf", "n_restarts": 1, "seed": 0}
    theirs = (
        ta.APGD(net, steps=100, **common),
        ta.APGDT(net, steps=100, n_classes=CLASSES, **common),
        ta.FAB(net, steps=100, multi_targeted=True, n_classes=CLASSES, **common),
        ta.Square(net, n_queries=5_000, **common),
    )
    print(f"{'':40s} {'ours':>8s} {'theirs':>8s} {'ratio':>6s}   left of")
    total = [0.0, 0.0]
    for attack, other in zip(resolve("standard").attacks, theirs, strict=True):
        keep = _decided(net, x) == y
        x, y = x[keep], y[keep]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began = time.process_time()
            found = other(x, y)
            second = time.process_time() - began
        began = time.process_time()
        out = hf.run(attack, model, x, y, hf.Linf(eps), seed=0)
        first = time.process_time() - began
        total = [total[0] + first, total[1] + second]
        held = _decided(net, found) == y
        left = f"{out.status.count('unbroken')}, {int(held.sum())} of {len(x)}"
        print(f"{describe(attack):40.40s} {first:8.1f} {second:8.1f} {first / second:6.2f}   {left}", flush=True)
        x, y = x[held], y[held]
    print(f"{'in all':40s} {total[0]:8.1f} {total[1]:8.1f} {total[0] / total[1]:6.2f}")


def _decided(net: torch.nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return net(x).argmax(1)


if __name__ == "__main__":
    main()
