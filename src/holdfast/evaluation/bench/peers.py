"""The same attacks in other toolkits, where they are installed: imported only here and only when asked for.

A table says which class of a toolkit does what an attack of ours does, and which of its parameters get our values.
"""

import copy
import dataclasses
import importlib
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from holdfast.attacks.attack import Attack
from holdfast.core.errors import MissingExtra, UsageError
from holdfast.models.model import Model
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.threats.threats import Threat

INSTALL = {"foolbox": "foolbox", "torchattacks": "torchattacks", "art": "adversarial-robustness-toolbox"}
TITLES = {"foolbox": "Foolbox", "torchattacks": "torchattacks", "art": "ART"}


class Asked(nn.Module):
    """A frozen copy of the network with its normalization inside, which counts the rows it is asked about."""

    def __init__(self, ask: Normalized):
        super().__init__()
        self.net = copy.deepcopy(ask.net)
        self.ask = dataclasses.replace(ask, net=self.net)
        self.rows, self.gradients = 0, 0
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.rows += len(x)
        scores = self.ask(x)
        if scores.requires_grad:
            scores.register_hook(lambda _: self._followed(len(x)))  # type: ignore[no-untyped-call]
        return scores

    def _followed(self, rows: int) -> None:
        self.gradients += rows


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Victim:
    """What a peer attacks.

    Args:
        net: The network.
        x, y: Samples and labels.
        classes: How many.
        bounds: Least and greatest value of an input.
        radius: Of the threat; infinite where the nearest point is sought.
        p: Exponent of its norm.
        seed: Of the global random numbers, from which peers draw.
    """

    net: Asked
    x: Tensor
    y: Tensor
    classes: int
    bounds: tuple[float, float]
    radius: float
    p: float
    seed: int


@dataclasses.dataclass(frozen=True, eq=False)
class Peer:
    """An attack of another toolkit, ready to run.

    Args:
        name: Toolkit and class.
        victim: Whom it attacks.
        way: `() -> adversarial inputs`.
    """

    name: str
    victim: Victim
    way: Callable[[], Any]

    def run(self) -> Tensor:
        """The inputs it makes."""
        torch.manual_seed(self.victim.seed)
        np.random.seed(self.victim.seed)
        return torch.as_tensor(self.way()).reshape(self.victim.x.shape)

    def counted(self) -> int:
        """Rows that one run asks the network."""
        before = self.victim.net.rows
        self.run()
        return self.victim.net.rows - before


def victim(model: Model, threat: Threat, x: Tensor, y: Tensor, seed: int) -> Victim | None:
    """What peers can attack; None where the model is no torch module of logits or its features differ in range."""
    source, bounds = source_of(model), model.space.bounds
    if source is None or not isinstance(source.ask, Normalized) or source.output != "logits":
        return None
    if not all(isinstance(bound, int | float) for bound in bounds):
        return None
    return Victim(
        net=Asked(source.ask),
        x=x,
        y=y,
        classes=int(model.classes or 0),
        bounds=(float(bounds[0]), float(bounds[1])),  # type: ignore[arg-type]
        radius=threat.radius,
        p=threat.p,
        seed=seed,
    )


def toolkits(asked: str) -> dict[str, ModuleType]:
    """The toolkits by name: `auto` for those that import, `none`, or names with commas.

    Raises:
        UsageError: HF805 for a name that is none of them.
        MissingExtra: HF701 for a toolkit asked for by name that is not installed.
    """
    names = [name.strip().lower() for name in asked.split(",")]
    if names == ["none"]:
        return {}
    if names == ["auto"]:
        return {name: module for name in INSTALL if (module := _imported(name)) is not None}
    unknown = [name for name in names if name not in INSTALL]
    if alone := [name for name in unknown if name in ("auto", "none")]:
        raise UsageError(
            "HF805", f"'{alone[0]}' stands alone", seen=repr(asked), expected=f"{alone[0]}, or names with commas"
        )
    if unknown:
        raise UsageError(
            "HF805",
            "There is no such toolkit",
            seen=repr(unknown[0]),
            expected="auto, none, or of " + ", ".join(INSTALL),
            fix="--peers auto",
        )
    found = {name: _imported(name) for name in names}
    for name, module in found.items():
        if module is None:
            raise MissingExtra(
                "HF701",
                f"{TITLES[name]} is not installed here, or does not import",
                fix=f"pip install {INSTALL[name]}, or --peers auto",
            )
    return {name: module for name, module in found.items() if module is not None}


def peer_of(name: str, module: ModuleType, attack: Attack, seen: Victim) -> Peer | None:
    """What does the same in a toolkit; None where it has no such thing."""
    makers: dict[str, Callable[..., Peer | None]] = {"foolbox": _foolbox, "torchattacks": _torchattacks, "art": _art}
    return makers[name](module, attack, seen) if attack.minimal or math.isfinite(seen.radius) else None


Options = Callable[[Any, Victim], dict[str, Any]]
_FOOLBOX: dict[tuple[str, float], tuple[str, Options]] = {
    **{
        ("Pgd", p): (
            name,
            lambda a, v: {"rel_stepsize": a.step, "steps": a.steps, "random_start": a.random_start},
        )
        for p, name in ((math.inf, "LinfPGD"), (2.0, "L2PGD"), (1.0, "L1PGD"))
    },
    **{
        ("Fmn", p): (name, lambda a, v: {"steps": a.steps})
        for p, name in ((math.inf, "LInfFMNAttack"), (2.0, "L2FMNAttack"), (1.0, "L1FMNAttack"), (0.0, "L0FMNAttack"))
    },
    **{
        ("DeepFool", p): (
            name,
            lambda a, v: {"steps": a.steps, "candidates": a.ways + 1, "overshoot": a.overshoot},
        )
        for p, name in ((math.inf, "LinfDeepFoolAttack"), (2.0, "L2DeepFoolAttack"))
    },
    **{
        ("HopSkipJump", p): (
            "HopSkipJumpAttack",
            lambda a, v: {
                "steps": a.steps,
                "initial_gradient_eval_steps": a.samples,
                "max_gradient_eval_steps": a.most,
                "constraint": "l2" if v.p == 2 else "linf",
            },
        )
        for p in (2.0, math.inf)
    },
    **{
        ("BrendelBethge", p): (f"{name}BrendelBethgeAttack", lambda a, v: {"steps": a.steps, "overshoot": a.overshoot})
        for p, name in ((math.inf, "Linfinity"), (2.0, "L2"), (1.0, "L1"))
    },
    ("Ddn", 2.0): ("DDNAttack", lambda a, v: {"steps": a.steps}),
    ("CarliniWagner", 2.0): (
        "L2CarliniWagnerAttack",
        lambda a, v: {"binary_search_steps": a.searches, "steps": a.steps},
    ),
    ("Ead", 1.0): (
        "EADAttack",
        lambda a, v: {
            "binary_search_steps": a.searches,
            "steps": a.steps,
            "decision_rule": "L1",
            "abort_early": False,
        },
    ),
    ("NewtonFool", 2.0): ("NewtonFoolAttack", lambda a, v: {"steps": a.steps}),
    ("Boundary", 2.0): ("BoundaryAttack", lambda a, v: {"steps": a.steps}),
}


def _foolbox(module: Any, attack: Attack, seen: Victim) -> Peer | None:
    known = _FOOLBOX.get((type(attack).__name__, seen.p))
    if known is None:
        return None
    name, options = known
    made = getattr(module.attacks, name)(**options(attack, seen))
    eps = None if attack.minimal else seen.radius
    net = module.PyTorchModel(seen.net, bounds=seen.bounds)
    return Peer(f"Foolbox {name}", seen, lambda: made(net, seen.x, seen.y, epsilons=eps)[1])


def _torchattacks(module: Any, attack: Attack, seen: Victim) -> Peer | None:
    """Its attacks take inputs in [0, 1] only."""
    a: Any = attack
    norm = {math.inf: "Linf", 2.0: "L2", 1.0: "L1"}.get(seen.p, "")
    wide = {"Linf": 1.0, "L2": math.sqrt(seen.x[0].numel()), "L1": float(seen.x[0].numel())}.get(norm, 1.0)
    kind, own = type(attack).__name__, {"norm": norm, "eps": seen.radius, "steps": getattr(attack, "steps", 0)}
    found: tuple[str, dict[str, Any]] | None = None
    if kind == "Pgd" and norm in ("Linf", "L2"):
        options = {"eps": seen.radius, "alpha": a.step * seen.radius, "steps": a.steps, "random_start": a.random_start}
        found = ("PGD" if norm == "Linf" else "PGDL2", options)
    elif kind == "Apgd" and norm in ("Linf", "L2") and not a.targets:
        found = ("APGD", {**own, "n_restarts": a.restarts, "loss": a.loss, "seed": seen.seed})
    elif kind == "Apgd" and norm in ("Linf", "L2") and a.loss == "dlr":
        count = min(a.targets + 1, seen.classes)
        found = ("APGDT", {**own, "n_restarts": a.restarts, "n_classes": count, "seed": seen.seed})
    elif kind == "FabT" and norm:
        more = {"multi_targeted": True, "n_classes": min(a.targets + 1, seen.classes), "seed": seen.seed}
        found = ("FAB", {**own, "eps": wide, "n_restarts": a.restarts, **more})
    elif kind == "Square" and norm in ("Linf", "L2"):
        options = {"norm": norm, "eps": seen.radius, "n_queries": a.steps, "n_restarts": a.restarts, "seed": seen.seed}
        found = ("Square", options)
    elif kind == "DeepFool" and norm == "L2":
        found = ("DeepFool", {"steps": a.steps, "overshoot": a.overshoot})
    if found is None or seen.bounds != (0.0, 1.0):
        return None
    made = getattr(module, found[0])(seen.net, **found[1])
    return Peer(f"torchattacks {found[0]}", seen, lambda: made(seen.x, seen.y))


def _pgd(a: Any, v: Victim) -> dict[str, Any]:
    step = {"eps": v.radius, "eps_step": a.step * v.radius}
    return {**step, "norm": v.p, "max_iter": a.steps, "num_random_init": int(a.random_start), "batch_size": len(v.x)}


def _apgd(a: Any, v: Victim) -> dict[str, Any]:
    step = {"eps": v.radius, "eps_step": 2 * v.radius, "loss_type": "cross_entropy"}
    return {**step, "norm": v.p, "max_iter": a.steps, "nb_random_init": a.restarts, "batch_size": len(v.x)}


_ART: dict[str, tuple[str, tuple[float, ...], Options]] = {
    "Pgd": ("ProjectedGradientDescent", (math.inf, 2.0, 1.0), _pgd),
    "Apgd": ("AutoProjectedGradientDescent", (math.inf, 2.0), _apgd),
    "Square": (
        "SquareAttack",
        (math.inf, 2.0),
        lambda a, v: {
            "norm": v.p,
            "eps": v.radius,
            "max_iter": a.steps,
            "nb_restarts": a.restarts,
            "batch_size": len(v.x),
        },
    ),
    "DeepFool": (
        "DeepFool",
        (2.0,),
        lambda a, v: {
            "max_iter": a.steps,
            "epsilon": a.overshoot,
            "nb_grads": min(a.ways + 1, v.classes),
            "batch_size": len(v.x),
        },
    ),
    "CarliniWagner": (
        "CarliniL2Method",
        (2.0,),
        lambda a, v: {"binary_search_steps": a.searches, "max_iter": a.steps, "batch_size": len(v.x)},
    ),
    "Ead": (
        "ElasticNet",
        (1.0,),
        lambda a, v: {
            "binary_search_steps": a.searches,
            "max_iter": a.steps,
            "decision_rule": "L1",
            "batch_size": len(v.x),
        },
    ),
    "NewtonFool": ("NewtonFool", (2.0,), lambda a, v: {"max_iter": a.steps, "batch_size": len(v.x)}),
    "HopSkipJump": (
        "HopSkipJump",
        (math.inf, 2.0),
        lambda a, v: {"norm": v.p, "max_iter": a.steps, "max_eval": a.most, "init_eval": a.samples},
    ),
    "Boundary": ("BoundaryAttack", (2.0,), lambda a, v: {"targeted": False, "max_iter": a.steps}),
}


def _art(module: Any, attack: Attack, seen: Victim) -> Peer | None:
    known = _ART.get(type(attack).__name__)
    if known is None or seen.p not in known[1] or getattr(attack, "targets", None):
        return None
    name, _, options = known
    estimators = importlib.import_module(f"{module.__name__}.estimators.classification")
    evasion = importlib.import_module(f"{module.__name__}.attacks.evasion")
    classifier = estimators.PyTorchClassifier(
        seen.net, nn.CrossEntropyLoss(), tuple(seen.x.shape[1:]), seen.classes, clip_values=seen.bounds
    )
    made = getattr(evasion, name)(classifier, verbose=False, **options(attack, seen))
    labels = nn.functional.one_hot(seen.y, seen.classes).numpy()
    return Peer(f"ART {name}", seen, lambda: made.generate(seen.x.numpy(), labels))


def _imported(name: str) -> ModuleType | None:
    """The toolkit; None where it is not there or breaks at import, for that is not ours to mend."""
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - a foreign package may raise anything while it is imported
        return None
