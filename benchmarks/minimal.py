"""Median distances of the minimal attacks beside the peers': one network, one batch, one process.

    make bench-env
    .venv-bench/bin/python benchmarks/minimal.py
    export HOLDFAST_DATA=...
    .venv-bench/bin/python benchmarks/minimal.py --data mnist --model runs/mnist/adversarial.safetensors

Both sides get the same steps (or queries) and start from the same inputs, all of which the network gets right. A
distance is measured anew in float64; where a side found nothing it is infinite. *Asked* is how many forward passes a
row took on average. Seconds are the processor's, of one thread.
"""

import argparse
import dataclasses
import importlib
import math
import pathlib
import sys
import time
import types
import unittest.mock
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.attack import Attack
from holdfast.evaluation.bench.peers import Asked
from holdfast.models.files import load_model
from holdfast.models.source import source_of

A = hf.attacks
EXPONENTS = {"linf": math.inf, "l2": 2.0, "l1": 1.0, "l0": 0.0}


@dataclasses.dataclass(frozen=True)
class Pair:
    """An attack beside a peer's.

    Args:
        norm: In which both are measured.
        attack: Ours.
        peer: Whose the other is.
        budget: What both may spend, in words.
        theirs: `() -> adversarial inputs`.
    """

    norm: str
    attack: Attack
    peer: str
    budget: str
    theirs: Callable[[], Tensor]


def adversarial_library() -> types.ModuleType:
    """adv_lib's attacks; what it imports for data sets and plots, and nothing compared here uses, is a stub."""
    for name in ("torchvision", "torchvision.transforms", "torchvision.models", "visdom"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            sys.modules[name] = unittest.mock.MagicMock()
    from adv_lib import attacks

    return attacks


def pairs(net: nn.Module, x: Tensor, y: Tensor) -> list[Pair]:
    """What is compared."""
    return [*from_adv_lib(net, x, y), *from_others(net, x, y)]


def from_adv_lib(net: nn.Module, x: Tensor, y: Tensor) -> list[Pair]:
    """The pairs whose peer is adv_lib's."""
    adv = adversarial_library()

    def fmn(norm: str, steps: int) -> Pair:
        theirs = lambda: adv.fmn(net, x, y, norm=EXPONENTS[norm], steps=steps)  # noqa: E731
        return Pair(norm, A.Fmn(steps=steps), "adv_lib", f"{steps} steps", theirs)

    def alma(norm: str, steps: int, kept: float) -> Pair:
        more = {"num_steps": steps, "α": kept, "init_lr_distance": 1.0}
        theirs = lambda: adv.alma(net, x, y, distance=norm, **more)  # noqa: E731
        return Pair(norm, A.Alma(steps=steps, smoothing=kept), "adv_lib", f"{steps} steps", theirs)

    def pdpgd(norm: str, steps: int, rate: float, step: float) -> Pair:
        more = {"proximal_operator": 23 if norm == "l0" else None, "primal_lr": step, "dual_lr": rate}
        theirs = lambda: adv.pdpgd(net, x, y, norm=EXPONENTS[norm], num_steps=steps, **more)  # noqa: E731
        return Pair(norm, A.Pdpgd(steps=steps, rate=rate, step=step), "adv_lib", f"{steps} steps", theirs)

    return [
        *(pdpgd(norm, steps, rate, 0.3) for norm in EXPONENTS for steps, rate in ((100, 0.3), (300, 0.1))),
        *(fmn(norm, steps) for norm in EXPONENTS for steps in (100, 300)),
        *(alma(norm, steps, kept) for norm in ("l2", "l1") for steps, kept in ((100, 0.5), (1000, 0.9))),
        Pair("l0", A.SigmaZero(steps=100), "adv_lib", "100 steps", lambda: adv.sigma_zero(net, x, y, num_steps=100)),
        Pair("l0", A.SigmaZero(steps=300), "adv_lib", "300 steps", lambda: adv.sigma_zero(net, x, y, num_steps=300)),
        Pair(
            "l2",
            A.SuperDeepFool(),
            "adv_lib",
            "20 rounds",
            lambda: adv.sdf(net, x, y, steps=20, df_steps=50, search_iter=10),
        ),
        Pair(
            "linf",
            A.CarliniWagnerLinf(),
            "adv_lib",
            "800, 8400 steps",
            lambda: adv.carlini_wagner_linf(net, x, y, max_iterations=50, largest_const=20, initial_const=1e-5),
        ),
    ]


def from_others(net: nn.Module, x: Tensor, y: Tensor) -> list[Pair]:
    """The pairs whose peer is Foolbox's, torchattacks' or ART's."""
    import foolbox
    import torchattacks

    fool = foolbox.PyTorchModel(net, bounds=(0, 1))

    def foolish(attack: object) -> Callable[[], Tensor]:
        return lambda: attack(fool, x, y, epsilons=None)[1]

    def art_l0() -> Tensor:
        """In one column of values: ART forbids one value for each row of the first axis, and for no more."""
        from art.attacks.evasion import CarliniL0Method
        from art.estimators.classification import PyTorchClassifier

        column, size, classes = nn.Unflatten(1, x.shape[1:]), x[0].numel(), net(x[:1]).shape[1]
        flat = nn.Sequential(nn.Flatten(), column, net)
        classifier = PyTorchClassifier(flat, nn.CrossEntropyLoss(), (size, 1, 1), classes, clip_values=(0.0, 1.0))
        attack = CarliniL0Method(
            classifier, max_iter=10, binary_search_steps=4, initial_const=1.0, batch_size=len(x), verbose=False
        )
        found = attack.generate(x.reshape(len(x), size, 1, 1).numpy(), nn.functional.one_hot(y, classes).numpy())
        found = torch.from_numpy(found).reshape(x.shape)
        return torch.where((found - x).abs() < 1e-6, x, found)  # as ART counts changes

    def brendel_bethge(norm: str, kind: str) -> Pair:
        theirs = lambda: foolish(getattr(foolbox.attacks, kind + "BrendelBethgeAttack")(steps=200))()  # noqa: E731
        return Pair(norm, A.BrendelBethge(steps=200), "Foolbox", "200 steps", theirs)

    def same(norm: str, attack: Attack, kind: str, budget: str, **more: object) -> Pair:
        made = getattr(foolbox.attacks, kind)(steps=attack.steps, **more)
        return Pair(norm, attack, "Foolbox", budget, foolish(made))

    fmn = (("linf", "LInfFMNAttack"), ("l2", "L2FMNAttack"), ("l1", "L1FMNAttack"), ("l0", "L0FMNAttack"))
    searching = {"binary_search_steps": 5, "abort_early": False}
    return [
        same("l2", A.CarliniWagner(steps=200, searches=5), "L2CarliniWagnerAttack", "5 x 200 steps", **searching),
        same("l2", A.Ddn(steps=100), "DDNAttack", "100 steps"),
        same("l2", A.DeepFool(steps=50), "L2DeepFoolAttack", "50 rounds"),
        same("linf", A.DeepFool(steps=50), "LinfDeepFoolAttack", "50 rounds"),
        *(same(norm, A.Fmn(steps=100), kind, "100 steps") for norm, kind in fmn),
        *(brendel_bethge(*which) for which in (("linf", "Linfinity"), ("l2", "L2"), ("l1", "L1"))),
        Pair(
            "l1",
            A.Ead(steps=100, searches=6),
            "Foolbox",
            "6 x 100 steps",
            foolish(foolbox.attacks.EADAttack(binary_search_steps=6, steps=100, decision_rule="L1", abort_early=False)),
        ),
        Pair("l2", A.NewtonFool(), "Foolbox", "100 steps", foolish(foolbox.attacks.NewtonFoolAttack(steps=100))),
        Pair(
            "l1",
            A.SparseFool(),
            "torchattacks",
            "20 rounds",
            lambda: torchattacks.SparseFool(net, steps=20, lam=1)(x, y),
        ),
        Pair("l0", A.CarliniWagnerL0(), "ART", "own ways to stop", art_l0),
    ]


def distances(net: nn.Module, x: Tensor, y: Tensor, found: Tensor, norm: str) -> Tensor:
    """In float64, infinite where the network is still right: `(batch,)`."""
    found = found.clamp(0, 1)  # peers leave the box by rounding
    with torch.no_grad():
        right = net(found).argmax(1) == y
    far = torch.linalg.vector_norm((found.double() - x.double()).flatten(1), EXPONENTS[norm], dim=1)
    return torch.where(right, torch.inf, far)


def timed(way: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What it returns, and its processor seconds."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = way().detach()
    return found, time.process_time() - began


def main() -> None:
    """Print one row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--model", default="digits-mlp", help="a bundled model or a file")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--only", default="", help="attacks whose name has this text")
    parser.add_argument("--peer", default="", help="peers whose name has this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = pathlib.Path(options.model).stem
    model = load_model(options.model)
    part = hf.data.load(options.data).test
    part = part.take(torch.arange(min(2 * options.count, len(part.x))))
    right = (model.predict(part.x) == part.y).nonzero()[: options.count, 0]
    x, y = part.x[right], part.y[right]
    net = Asked(source_of(model).ask)
    print(f"{options.data}, {name}: {len(x)} inputs it gets right, median distance (share found), 1 thread")
    head = f"{'attack':20s} {'norm':4s} {'peer':13s} {'budget':16s} {'ours':>14s} {'theirs':>14s}"
    print(f"{head} {'asked':>15s} {'seconds':>13s}")
    for pair in pairs(net, x, y):
        if options.only.lower() in type(pair.attack).__name__.lower() and options.peer.lower() in pair.peer.lower():
            _row(pair, model, net, x, y)


def _row(pair: Pair, model: hf.Model, net: Asked, x: Tensor, y: Tensor) -> None:
    def ours() -> Tensor:
        out = hf.run(pair.attack, model, x, y, f"{pair.norm}:inf", seed=0)
        net.rows = int(out.queries.sum())
        return out.adversarial

    cells, seconds, asked = [], [], []
    for way in (ours, pair.theirs):
        net.rows = 0
        found, spent = timed(way)
        asked.append(f"{net.rows / len(x):7.0f}")
        far = distances(net, x, y, found, pair.norm)
        cells.append(f"{float(far.median()):8.4f} {float(far.isfinite().double().mean()):5.2f}")
        seconds.append(f"{spent:6.2f}")
    name = type(pair.attack).__name__
    print(
        f"{name:20s} {pair.norm:4s} {pair.peer:13s} {pair.budget:16s} {cells[0]} {cells[1]} {' '.join(asked)} "
        f"{' '.join(seconds)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
