"""Seconds and strength of single attacks beside the peers' and beside the plain loop: one network, one batch, one run.

    make bench-env
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/speed.py --model runs/gtsrb/adversarial.safetensors

Every pair is taken A B A B in one process on one thread, and the medians of the processor seconds are divided. All do
the same number of steps and stop no row early (holdfast: `perturb=True`), but for the minimal attacks, which never do.
`plain` is the loop that a textbook has: the network as it is, its loss, `loss.backward()`, a signed step.
"""

import argparse
import copy
import dataclasses
import json
import pathlib
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.attack import Attack
from holdfast.models.files import load_model
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized

HERE = pathlib.Path(__file__).parent
EPS = 8 / 255
A = hf.attacks


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two ways to do one thing, each `() -> adversarial inputs`, and how strong their result is.

    Args:
        name: Of the row.
        ours, theirs: What is timed.
        minimal: Compare median L2 distances instead of the share that holds.
    """

    name: str
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    minimal: bool = False


class Inside(nn.Module):
    """The network with its normalization, as a peer wants it."""

    def __init__(self, ask: Normalized):
        super().__init__()
        self.net, self.ask = ask.net, ask

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.ask(x)


def plain_loop(net: nn.Module, x: Tensor, y: Tensor, steps: int) -> Tensor:
    """PGD as textbooks write it."""
    adversarial = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
    for _ in range(steps):
        adversarial = adversarial.detach().requires_grad_()
        nn.functional.cross_entropy(net(adversarial), y).backward()
        moved = adversarial + EPS / 10 * adversarial.grad.sign()
        adversarial = torch.minimum(torch.maximum(moved, x - EPS), x + EPS).clamp(0, 1)
    return adversarial.detach()


def pairs(model: hf.Model, x: Tensor, y: Tensor) -> list[Pair]:
    """What is compared."""
    import foolbox
    import torchattacks as ta

    net = Inside(source_of(model).ask).eval()
    frozen = copy.deepcopy(net).requires_grad_(False)
    fool = foolbox.PyTorchModel(frozen, bounds=(0, 1))

    def ours(attack: Attack, threat: str = "") -> Callable[[], Tensor]:
        if threat:
            return lambda: hf.run(attack, model, x, y, threat, seed=0).adversarial
        return lambda: hf.run(attack, model, x, y, hf.Linf(EPS), seed=0, perturb=True).strongest

    def foolish(attack: object, eps: float | None) -> Callable[[], Tensor]:
        return lambda: attack(fool, x, y, epsilons=eps)[1]

    k = int(model.classes or 0)
    return [
        Pair("PGD 40, plain loop", ours(A.Pgd(steps=40)), lambda: plain_loop(net, x, y, 40)),
        Pair("PGD 40, torchattacks", ours(A.Pgd(steps=40)), lambda: ta.PGD(frozen, EPS, EPS / 10, 40)(x, y)),
        Pair(
            "PGD 40, Foolbox",
            ours(A.Pgd(steps=40)),
            foolish(foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=40), EPS),
        ),
        Pair(
            "APGD-CE 50, torchattacks",
            ours(A.Apgd(steps=50)),
            lambda: ta.APGD(frozen, eps=EPS, steps=50, n_restarts=1)(x, y),
        ),
        Pair(
            "FAB-T 20 x 2, torchattacks",
            ours(A.FabT(steps=20, targets=2, secants=0), "linf:inf"),
            lambda: ta.FAB(frozen, eps=1.0, steps=20, n_restarts=1, multi_targeted=True, n_classes=min(k, 3))(x, y),
        ),
        Pair(
            "Square 300, torchattacks",
            ours(A.Square(steps=300)),
            lambda: ta.Square(frozen, eps=EPS, n_queries=300, n_restarts=1)(x, y),
        ),
        Pair(
            "DDN 50, Foolbox", ours(A.Ddn(steps=50), "l2:inf"), foolish(foolbox.attacks.DDNAttack(steps=50), None), True
        ),
        Pair(
            "C&W 3 x 50, Foolbox",
            ours(A.CarliniWagner(steps=50, searches=3), "l2:inf"),
            foolish(foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=3, steps=50), None),
            True,
        ),
        Pair(
            "DeepFool 20, Foolbox",
            ours(A.DeepFool(steps=20), "l2:inf"),
            foolish(foolbox.attacks.L2DeepFoolAttack(steps=20), None),
            True,
        ),
    ]


def strength(pair: Pair, net: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, found: Tensor) -> float:
    """Share of the batch that holds, or median distance of what does not; asked of the network itself."""
    right = net(found).argmax(1) == y
    if not pair.minimal:
        return float(right.double().mean())
    far = (found - x).flatten(1).norm(dim=1)
    return float(torch.where(right, torch.inf, far).median())


def main() -> None:
    """Time every pair and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("runs/gtsrb/adversarial.safetensors"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model)
    rows = torch.tensor(json.loads((HERE / "gtsrb_500.json").read_text()))[: 2 * options.batch]
    part = hf.data.load("gtsrb").test.take(rows)
    right = (model.predict(part.x) == part.y).nonzero()[: options.batch, 0]
    x, y = part.x[right], part.y[right]
    print(
        f"{options.model.stem}, {len(x)} images it gets right, median of {options.repeat}, processor seconds, 1 thread"
    )
    print(f"{'':28s} {'ours':>8s} {'theirs':>8s} {'ratio':>6s}   strength: ours, theirs (held share, or median L2)")
    for pair in pairs(model, x, y):
        if options.only in pair.name:
            _row(pair, model, x, y, options.repeat)


def _row(pair: Pair, model: hf.Model, x: Tensor, y: Tensor, repeat: int) -> None:
    spent: tuple[list[float], list[float]] = ([], [])
    strong = [0.0, 0.0]
    for _ in range(repeat):
        for k, way in enumerate((pair.ours, pair.theirs)):
            began = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = way()
            spent[k].append(time.process_time() - began)
            with torch.no_grad():
                strong[k] = strength(pair, model.scores, x, y, found.detach())
    ours, theirs = map(statistics.median, spent)
    print(
        f"{pair.name:28s} {ours:8.2f} {theirs:8.2f} {ours / theirs:6.2f}   {strong[0]:.3f} {strong[1]:.3f}", flush=True
    )


if __name__ == "__main__":
    main()
