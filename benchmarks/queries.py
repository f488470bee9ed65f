"""Attacks without gradients beside the peers' at equal queries: success or median distance, and processor seconds.

    make bench-env
    .venv-bench/bin/python benchmarks/queries.py --only SimBa

Each row is one attack on the digits that a model gets right: `digits-mlp`, or a scikit-learn random forest of 100 trees
that shows its decisions only. The peer runs first and its questions are counted; ours may then ask as many for each
row (`queries` of the threat), or what the row's budget says where the peer has a budget itself. A bounded attack is
measured by the share it breaks within the radius, a minimal one by its median distance over all rows; a peer's point
counts where the model itself takes it for another class. Seconds are of the processor, one thread, one run.
"""

import argparse
import contextlib
import dataclasses
import importlib
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.attack import Attack
from holdfast.models.files import load_model
from holdfast.models.source import source_of
from holdfast.threats.goals import Target
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

A = hf.attacks
SIDE = 8  # of a digit


class Counted(nn.Module):
    """A network that knows how many rows it was asked."""

    def __init__(self, ask: Callable[[Tensor], Tensor]):
        super().__init__()
        self.ask, self.rows = ask, 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.rows += len(x)
        return self.ask(x)


@dataclasses.dataclass(frozen=True, eq=False)
class Victim:
    """A model as we and as the peers see it.

    Args:
        model: Ours.
        counted: The same, as a torch module, counted.
        x, y: Inputs it gets right, `(n, 1, 8, 8)`, and their labels.
    """

    model: hf.Model
    counted: Counted
    x: Tensor
    y: Tensor

    def second(self) -> Tensor:
        """The class of the second score, `(n,)`."""
        with torch.no_grad():
            return self.counted.ask(self.x).argsort(1, descending=True)[:, 1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities, as ART asks."""
        with torch.no_grad():
            scores = self.counted(torch.as_tensor(np.asarray(x, np.float32)).reshape(-1, 1, SIDE, SIDE))
        return scores.double().softmax(1).numpy()


@dataclasses.dataclass(frozen=True)
class Row:
    """One attack beside one peer.

    Args:
        ours: The attack.
        threat: Where a success counts.
        peer: Its name.
        theirs: Victim -> adversarial inputs.
        forest: Whether the victim is the forest.
        queries: What both may ask for a row; None for as many as the peer asks.
        second: Whether both aim at the class of the second score, for peers that know targets only.
    """

    ours: Attack
    threat: str
    peer: str
    theirs: Callable[[Victim], Any]
    forest: bool = False
    queries: int | None = None
    second: bool = False


def network(count: int) -> Victim:
    """The bundled network."""
    model = load_model("digits-mlp")
    return _victim(model, Counted(source_of(model).ask), count)


def forest(count: int) -> Victim:
    """A random forest; what it answers is a decision."""
    from sklearn.ensemble import RandomForestClassifier

    train = hf.data.load("digits").train
    trees = RandomForestClassifier(100, random_state=0).fit(train.x.flatten(1).numpy(), train.y.numpy())

    def decide(x: Tensor) -> Tensor:
        return nn.functional.one_hot(torch.from_numpy(trees.predict(x.flatten(1).numpy())), 10).float()

    return _victim(hf.wrap(trees, bounds=(0, 1)), Counted(decide), count)


def _victim(model: hf.Model, counted: Counted, count: int) -> Victim:
    part = hf.data.load("digits").test
    with torch.no_grad():
        right = (counted(part.x).argmax(1) == part.y).nonzero()[:count, 0]
    return Victim(model, counted, part.x[right], part.y[right])


def foolish(make: Callable[[Any], Any], eps: float | None = None) -> Callable[[Victim], Any]:
    """An attack of Foolbox."""

    def theirs(v: Victim) -> Any:
        import foolbox

        return make(foolbox)(foolbox.PyTorchModel(v.counted.eval(), bounds=(0, 1)), v.x, v.y, epsilons=eps)[1]

    return theirs


def bred(v: Victim) -> Any:
    """Foolbox's GenAttack, which knows targets only."""
    import foolbox

    attack = foolbox.attacks.GenAttack(steps=60, population=10)
    goal = foolbox.criteria.TargetedMisclassification(v.second())
    return attack(foolbox.PyTorchModel(v.counted.eval(), bounds=(0, 1)), v.x, goal, epsilons=0.1)[1]


def torched(make: Callable[[Any, nn.Module], Any]) -> Callable[[Victim], Any]:
    """An attack of torchattacks."""

    def theirs(v: Victim) -> Any:
        import torchattacks

        return make(torchattacks, v.counted.eval())(v.x, v.y)

    return theirs


def art(module: str, name: str, alone: bool = False, **options: Any) -> Callable[[Victim], Any]:
    """An attack of ART, of the 10 scores or the decisions; `alone` for those that take a row a call."""

    def theirs(v: Victim) -> Any:
        from art.estimators.classification.blackbox import BlackBoxClassifierNeuralNetwork

        np.mat = np.asmatrix  # ART's GeoDA asks for it; NumPy 2 has dropped it
        attack = getattr(importlib.import_module(f"art.attacks.evasion.{module}"), name)
        box = BlackBoxClassifierNeuralNetwork(v.predict, (1, SIDE, SIDE), 10, clip_values=(0.0, 1.0))
        labels, x = np.eye(10, dtype=np.float32)[v.y.numpy()], v.x.numpy()
        parts = [slice(i, i + 1) for i in range(len(x))] if alone else [slice(None)]
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # ART's SimBA leaves a file
            return np.concatenate([attack(box, **options).generate(x[part], labels[part]) for part in parts])

    return theirs


def snapped(theirs: Callable[[Victim], Any]) -> Callable[[Victim], Any]:
    """The same with the values put back that only rounding has moved; L0 would count them."""

    def snap(v: Victim) -> Any:
        found, x = np.asarray(theirs(v)).reshape(v.x.shape), v.x.numpy()
        return np.where(np.abs(found - x) < 1e-5, x, found)

    return snap


def estimated(norm: str, samples: int, steps: int, step: float, eps: float) -> Callable[[Victim], Any]:
    """Foolbox's gradient descent on an estimated gradient."""

    def make(fb: Any) -> Any:
        estimator = fb.gradient_estimators.es_gradient_estimator(
            getattr(fb.attacks, f"{norm}PGD"), samples=samples, sigma=0.001, bounds=(0, 1), clip=True
        )
        return estimator(steps=steps, rel_stepsize=step, random_start=False)

    return foolish(make, eps)


def hopping(norm: Any, steps: int, most: int) -> Callable[[Victim], Any]:
    """ART's HopSkipJump."""
    return art("hop_skip_jump", "HopSkipJump", norm=norm, max_iter=steps, max_eval=most, verbose=False)


def by_scores() -> list[Row]:
    """Attacks that ask for scores."""
    return [
        Row(A.Nes(steps=40), "linf:0.08", "Foolbox PGD, ES", estimated("Linf", 50, 40, 0.1, 0.08)),
        Row(A.Nes(steps=40), "l2:0.4", "Foolbox PGD, ES", estimated("L2", 50, 40, 0.1, 0.4)),
        Row(
            A.Spsa(steps=40),
            "linf:0.08",
            "torchattacks SPSA",
            torched(lambda ta, net: ta.SPSA(net, eps=0.08, nb_iter=20, nb_sample=64, max_batch_size=64)),
        ),
        Row(
            A.SimBa(steps=500),
            "l2:0.4",
            "ART",
            art("simba", "SimBA", alone=True, attack="px", epsilon=0.06, max_iter=300, freq_dim=8, verbose=False),
        ),
        Row(
            A.SimBa(steps=500, basis="dct"),
            "l2:0.4",
            "ART",
            art("simba", "SimBA", alone=True, attack="dct", epsilon=0.06, max_iter=300, freq_dim=8, verbose=False),
        ),
        Row(A.GenAttack(), "linf:0.1", "Foolbox, targets", bred, second=True),
        Row(
            A.OnePixel(),
            "l0:2",
            "ART",
            snapped(art("pixel_threshold", "PixelAttack", th=2, es=1, max_iter=10)),
            queries=4356,
        ),
        Row(
            A.Zoo(),
            "l2:inf",
            "ART",
            art(
                "zoo",
                "ZooAttack",
                learning_rate=0.02,
                max_iter=40,
                binary_search_steps=4,
                initial_const=10.0,
                abort_early=False,
                nb_parallel=SIDE * SIDE,
                batch_size=1,
                use_resize=False,
                use_importance=False,
                verbose=False,
            ),
        ),
    ]


def by_decisions() -> list[Row]:
    """Attacks that ask for decisions."""

    def hop(fb: Any) -> Any:
        return fb.attacks.HopSkipJumpAttack(steps=12, max_gradient_eval_steps=10_000)

    def geometric(norm: Any) -> Callable[[Victim], Any]:
        name = "geometric_decision_based_attack"
        return art(name, "GeoDA", norm=norm, sub_dim=8, max_iter=2000, verbose=False)

    return [
        Row(A.HopSkipJump(), "l2:inf", "Foolbox", foolish(hop)),
        Row(A.HopSkipJump(), "l2:inf", "ART", hopping(2, 6, 1000), forest=True),
        Row(A.HopSkipJump(), "linf:inf", "ART", hopping("inf", 8, 1000)),
        Row(
            A.Boundary(),
            "l2:inf",
            "Foolbox",
            foolish(lambda fb: fb.attacks.BoundaryAttack(steps=2000)),
        ),
        Row(
            A.Boundary(),
            "l2:inf",
            "ART",
            art("boundary", "BoundaryAttack", targeted=False, max_iter=50, verbose=False),
        ),
        Row(A.SurFree(), "l2:inf", "Foolbox HopSkipJump", foolish(hop)),
        Row(A.SurFree(), "l2:inf", "ART HopSkipJump", hopping(2, 6, 1000), forest=True),
        Row(A.RayS(), "linf:inf", "ART HopSkipJump", hopping("inf", 8, 1000)),
        Row(A.RayS(), "linf:inf", "ART HopSkipJump", hopping("inf", 6, 1000), forest=True),
        Row(
            A.GeoDa(),
            "l2:inf",
            "ART",
            geometric(2),
        ),
        Row(
            A.GeoDa(),
            "linf:inf",
            "ART",
            geometric("inf"),
        ),
        Row(
            A.SignOpt(),
            "l2:inf",
            "ART",
            art("sign_opt", "SignOPTAttack", targeted=False, query_limit=2000, max_iter=30, verbose=False),
        ),
        Row(
            A.Pointwise(),
            "l0:inf",
            "Foolbox",
            foolish(lambda fb: fb.attacks.PointwiseAttack(l2_binary_search=False)),
        ),
    ]


def strength(v: Victim, threat: Threat, found: Tensor) -> float:
    """Share broken within the radius, or median distance; asked of the model itself."""
    with torch.no_grad():
        wrong = v.counted.ask(found).argmax(1) != v.y
    far = threat.at(float("inf")).around(v.x).distance(found)
    if threat.bounded:
        return float((wrong & threat.around(v.x).contains(found)).double().mean())
    return float(torch.where(wrong, far, torch.inf).median())


def measured(row: Row, v: Victim) -> None:
    """Run both and print a line."""
    threat = parse(row.threat)
    v.counted.rows, began = 0, time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.as_tensor(np.asarray(row.theirs(v)), dtype=torch.float32).reshape(v.x.shape).clamp(0, 1)
    their_time, asked = time.process_time() - began, v.counted.rows / len(v.x)
    budget = dataclasses.replace(threat, queries=row.queries or round(asked))
    if row.forest:
        budget = dataclasses.replace(budget, knowledge="labels")
    began = time.process_time()
    out = hf.run(row.ours, v.model, v.x, Target(v.second()) if row.second else v.y, budget, seed=0)
    our_time = time.process_time() - began
    ours = torch.where(out.success[:, None, None, None], out.adversarial, v.x)
    print(
        f"{type(row.ours).__name__:12s} {threat.literal:10s} {'forest' if row.forest else 'network':8s} {row.peer:20s}"
        f" {float(out.queries.double().mean()):7.0f} {asked:7.0f}"
        f"   {strength(v, threat, ours):.3f} {strength(v, threat, theirs):.3f}"
        f"   {our_time:7.2f} {their_time:7.2f} {our_time / their_time:5.2f}",
        flush=True,
    )


def main() -> None:
    """Print a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="samples")
    parser.add_argument("--only", default="", help="rows whose attack has this text")
    parser.add_argument("--threat", default="", help="rows whose threat has this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    victims: dict[bool, Victim] = {}
    print(
        f"{'':53s} {'queries a row':>15s}   {'ours, theirs':11s}   {'seconds: ours, theirs, ratio'}",
        file=sys.stdout,
    )
    for row in (*by_scores(), *by_decisions()):
        if options.only in type(row.ours).__name__ and options.threat in row.threat:
            if row.forest not in victims:
                victims[row.forest] = (forest if row.forest else network)(options.count)
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            measured(row, victims[row.forest])


if __name__ == "__main__":
    main()
