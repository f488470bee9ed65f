"""What `ratios.py` compares: our attacks, their parameters, and the same in other toolkits; run alone it lists them.

    .venv-bench/bin/python benchmarks/ratio_peers.py

`holdfast bench` knows those whose parameters are the same ones. Here stand the others, with as many steps of the same
length as their options allow.
"""

import argparse
import contextlib
import dataclasses
import importlib
import tempfile
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.attack import Attack
from holdfast.evaluation.bench.peers import Peer, Victim

A = hf.attacks
Maker = Callable[[Any, Any, Victim], Peer]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """An attack and its peers.

    Args:
        name: As the field calls it, and its steps.
        attack: Ours.
        threat: Where a success counts; `NORM:inf` where the nearest point is sought.
        peers: By toolkit `(module, attack, victim) -> Peer`; what `holdfast bench` knows where there is none.
        samples: All photographs, few of them, the least, or digits and their bundled network.
        aimed: Whether both aim at the next class, for peers that know targets only.
        equal_questions: Whether ours may ask as many questions as the peer did.
        warm: Whether a peer runs once on two samples beforehand.
        without: Toolkits that have a row of their own, with fewer samples.
    """

    name: str
    attack: Attack
    threat: str
    peers: dict[str, Maker] = dataclasses.field(default_factory=dict)
    samples: Literal["all", "few", "least", "digits"] = "all"
    aimed: bool = False
    equal_questions: bool = False
    warm: bool = True
    without: tuple[str, ...] = ()


def foolbox(name: str, options: Callable[[Any], dict[str, Any]], aimed: bool = False) -> Maker:
    """A class of Foolbox, its options from our attack."""

    def make(module: Any, attack: Any, v: Victim) -> Peer:
        made = getattr(module.attacks, name)(**options(attack))
        net, eps = module.PyTorchModel(v.net, bounds=v.bounds), None if attack.minimal else v.radius
        goal = module.criteria.TargetedMisclassification((v.y + 1) % v.classes) if aimed else v.y
        return Peer(f"Foolbox {name}", v, lambda: made(net, v.x, goal, epsilons=eps)[1])

    return make


def torchattacks(name: str, options: Callable[[Any, Victim], dict[str, Any]], aimed: bool = False) -> Maker:
    """A class of torchattacks."""

    def make(module: Any, attack: Any, v: Victim) -> Peer:
        made = getattr(module, name)(v.net, **options(attack, v))
        if aimed:
            made.set_mode_targeted_by_label(quiet=True)
        return Peer(f"torchattacks {name}", v, lambda: made(v.x, (v.y + 1) % v.classes if aimed else v.y))

    return make


def art(
    module: str,
    name: str,
    options: Callable[[Any, Victim], dict[str, Any]],
    *,
    aimed: bool = False,
    probabilities: bool = False,
    alone: bool = False,
    quiet: bool = True,
) -> Maker:
    """A class of ART: it may see `probabilities`, take a row a call (`alone`) and know no `verbose` (not `quiet`)."""

    def make(_: Any, attack: Any, v: Victim) -> Peer:
        from art.estimators.classification import PyTorchClassifier

        np.mat = np.asmatrix  # ART's GeoDA asks for it; NumPy 2 has dropped it
        net = nn.Sequential(v.net, nn.Softmax(1)) if probabilities else v.net
        box = PyTorchClassifier(
            net, nn.CrossEntropyLoss(), tuple(v.x.shape[1:]), v.classes, clip_values=v.bounds, device_type="cpu"
        )
        kind, more = getattr(importlib.import_module(f"art.attacks.evasion.{module}"), name), options(attack, v)
        more |= {"verbose": False} if quiet else {}
        y = nn.functional.one_hot((v.y + 1) % v.classes if aimed else v.y, v.classes).numpy()

        def way() -> Any:
            rows = [slice(i, i + 1) for i in range(len(v.x))] if alone else [slice(None)]
            with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # its SimBA leaves a file
                return np.concatenate([kind(box, **more).generate(v.x[part].numpy(), y[part]) for part in rows])

        return Peer(f"ART {name}", v, way)

    return make


def art_l0(_: Any, attack: Any, v: Victim) -> Peer:
    """ART's L0 attack, in one column of values: it forbids one value for each row of the first axis, and no more."""
    from art.attacks.evasion import CarliniL0Method
    from art.estimators.classification import PyTorchClassifier

    size = v.x[0].numel()
    flat = nn.Sequential(nn.Flatten(), nn.Unflatten(1, v.x.shape[1:]), v.net)
    box = PyTorchClassifier(flat, nn.CrossEntropyLoss(), (size, 1, 1), v.classes, clip_values=v.bounds)
    y = nn.functional.one_hot(v.y, v.classes).numpy()

    def way() -> Tensor:
        made = CarliniL0Method(
            box, max_iter=10, binary_search_steps=4, initial_const=1.0, batch_size=len(v.x), verbose=False
        )
        return snapped(made.generate(v.x.reshape(len(v.x), size, 1, 1).numpy(), y), v)

    return Peer("ART CarliniL0Method", v, way)


def snapped(found: Any, v: Victim) -> Tensor:
    """What only rounding has moved is put back, for L0 would count it."""
    found = torch.as_tensor(np.asarray(found, dtype=np.float32)).reshape(v.x.shape)
    return torch.where((found - v.x).abs() < 1e-5, v.x, found)


def snapping(make: Maker) -> Maker:
    """A peer whose points are snapped."""

    def snap(module: Any, attack: Any, v: Victim) -> Peer:
        one = make(module, attack, v)
        return dataclasses.replace(one, way=lambda: snapped(one.way(), v))

    return snap


def estimated(norm: str) -> Maker:
    """Foolbox's gradient descent on an estimated gradient, step 0.1 of the radius."""

    def make(module: Any, attack: Any, v: Victim) -> Peer:
        estimator = module.gradient_estimators.es_gradient_estimator(
            getattr(module.attacks, f"{norm}PGD"), samples=attack.samples, sigma=attack.spread, bounds=(0, 1), clip=True
        )
        made = estimator(steps=attack.steps, rel_stepsize=attack.step, random_start=False)
        net = module.PyTorchModel(v.net, bounds=v.bounds)
        return Peer(f"Foolbox {norm}PGD, ES", v, lambda: made(net, v.x, v.y, epsilons=v.radius)[1])

    return make


def _linf(a: Any, v: Victim) -> dict[str, Any]:
    return {"eps": v.radius, "alpha": a.step * v.radius, "steps": a.steps}


def _art_step(a: Any, v: Victim) -> dict[str, Any]:
    return {
        "norm": v.p,
        "eps": v.radius,
        "eps_step": a.step * v.radius,
        "max_iter": a.steps,
        "batch_size": len(v.x),
    }


def _fast(norm: str) -> dict[str, Maker]:
    """One step of the radius."""
    of_art = art(
        "fast_gradient",
        "FastGradientMethod",
        lambda a, v: {"norm": v.p, "eps": v.radius, "eps_step": v.radius, "batch_size": len(v.x)},
        quiet=False,
    )
    found = {"foolbox": foolbox(f"{norm}FastGradientAttack", lambda a: {}), "art": of_art}
    if norm == "Linf":
        found["torchattacks"] = torchattacks("FGSM", lambda a, v: {"eps": v.radius})
    return found


def _transfer(kind: str, more: dict[str, Any]) -> dict[str, Maker]:
    return {"torchattacks": torchattacks(kind, lambda a, v: {**_linf(a, v), **more})}


def _searches(a: Any) -> dict[str, Any]:
    return {"binary_search_steps": a.searches, "steps": a.steps, "abort_early": False}


def _hop(norm: Any) -> Maker:
    return art(
        "hop_skip_jump", "HopSkipJump", lambda a, v: {"norm": norm, "max_iter": 8, "max_eval": 1000, "init_eval": 100}
    )


def _geo(norm: Any) -> Maker:
    return art("geometric_decision_based_attack", "GeoDA", lambda a, v: {"norm": norm, "sub_dim": 10, "max_iter": 1000})


FAST = A.Pgd(steps=1, step=1.0, random_start=False)
BOUNDED = (
    Entry(name="FGSM", attack=FAST, threat="linf:8/255", peers=_fast("Linf")),
    Entry(name="FGM", attack=FAST, threat="l2:0.5", peers=_fast("L2")),
    Entry(name="BIM, 10 steps", attack=A.Pgd(steps=10, step=0.2, random_start=False), threat="linf:8/255"),
    Entry(name="PGD, 40 steps", attack=A.Pgd(steps=40), threat="linf:8/255"),
    Entry(name="PGD, 40 steps", attack=A.Pgd(steps=40), threat="l2:0.5"),
    Entry(name="PGD, 40 steps", attack=A.Pgd(steps=40), threat="l1:8"),
    Entry(
        name="EOT-PGD, 20 x 2 steps",
        attack=A.Eot(A.Pgd(steps=20), samples=2),
        threat="linf:8/255",
        peers={
            "torchattacks": torchattacks(
                "EOTPGD", lambda a, v: {**_linf(a.attack, v), "random_start": True, "eot_iter": a.samples}
            )
        },
    ),
    Entry(
        name="MI-FGSM, 20 steps",
        attack=A.TransferPgd(diversity=0.0),
        threat="linf:8/255",
        peers={
            "foolbox": foolbox(
                "LinfMomentumIterativeFastGradientMethod",
                lambda a: {"momentum": a.momentum, "rel_stepsize": a.step, "steps": a.steps},
            ),
            "art": art(
                "momentum_iterative_method",
                "MomentumIterativeMethod",
                lambda a, v: {**_art_step(a, v), "decay": a.momentum},
            ),
            **_transfer("MIFGSM", {}),
        },
    ),
    Entry(
        name="NI-FGSM, 20 steps",
        attack=A.TransferPgd(diversity=0.0, lookahead=True),
        threat="linf:8/255",
        peers=_transfer("NIFGSM", {}),
    ),
    Entry(
        name="DI-FGSM, 20 steps",
        attack=A.TransferPgd(),
        threat="linf:8/255",
        peers=_transfer("DIFGSM", {"decay": 1.0, "diversity_prob": 0.5, "resize_rate": 0.85}),
    ),
    Entry(
        name="TI-FGSM, 20 steps",
        attack=A.TransferPgd(diversity=0.0, kernel=7),
        threat="linf:8/255",
        peers=_transfer("TIFGSM", {"decay": 1.0, "len_kernel": 7, "diversity_prob": 0.0}),
    ),
    Entry(
        name="VMI-FGSM, 20 x 6 steps",
        attack=A.TransferPgd(diversity=0.0, neighbors=5),
        threat="linf:8/255",
        peers=_transfer("VMIFGSM", {"N": 5}),
    ),
    Entry(name="APGD-CE, 50 steps", attack=A.Apgd(steps=50), threat="linf:8/255"),
    Entry(name="APGD-CE, 50 steps", attack=A.Apgd(steps=50), threat="l2:0.5"),
    Entry(name="APGD-T, 50 steps", attack=A.Apgd(steps=50, loss="dlr", targets=1), threat="linf:8/255"),
)
MINIMAL = (
    Entry(name="FAB-T, 20 steps", attack=A.FabT(steps=20, targets=1, secants=0), threat="linf:inf"),
    Entry(name="FAB-T, 20 steps", attack=A.FabT(steps=20, targets=1, secants=0), threat="l2:inf"),
    *(
        Entry(
            name=name,
            attack=attack,
            threat=f"{norm}:inf",
            without=("art",) if attack.returns == 0 else (),
        )
        for name, attack in (
            ("DeepFool, 20 rounds, no returns", A.DeepFool(steps=20, returns=0)),
            ("DeepFool, 20 rounds", A.DeepFool(steps=20)),
        )
        for norm in ("l2", "linf")
    ),
    Entry(
        name="SparseFool, 10 rounds",
        attack=A.SparseFool(rounds=10),
        threat="l1:inf",
        peers={"torchattacks": torchattacks("SparseFool", lambda a, v: {"steps": a.rounds, "lam": a.far})},
        samples="few",
    ),
    Entry(name="DDN, 50 steps", attack=A.Ddn(steps=50), threat="l2:inf"),
    *(Entry(name="FMN, 50 steps", attack=A.Fmn(steps=50), threat=f"{norm}:inf") for norm in ("linf", "l2", "l1", "l0")),
    *(
        Entry(
            name=f"C&W, {searches} x 50 steps",
            attack=A.CarliniWagner(steps=50, searches=searches),
            threat="l2:inf",
            peers={"foolbox": foolbox("L2CarliniWagnerAttack", _searches), **more},
            without=("art",),
        )
        for searches, more in (
            (1, {"torchattacks": torchattacks("CW", lambda a, v: {"steps": a.steps})}),
            (3, {}),
        )
    ),
    Entry(
        name="C&W, 3 x 50 steps",
        attack=A.CarliniWagner(steps=50, searches=3),
        threat="l2:inf",
        samples="least",
        without=("foolbox", "torchattacks"),
    ),
    Entry(
        name="C&W in Linf",
        attack=A.CarliniWagnerLinf(searches=8),
        threat="linf:inf",
        peers={
            "art": art(
                "carlini",
                "CarliniLInfMethod",
                lambda a, v: {"max_iter": 10, "initial_const": 0.01, "batch_size": len(v.x)},
            )
        },
        samples="least",
    ),
    Entry(
        name="C&W in L0",
        attack=A.CarliniWagnerL0(),
        threat="l0:inf",
        peers={"art": art_l0},
        samples="digits",
        warm=False,
    ),
    Entry(
        name="EAD, 3 x 50 steps",
        attack=A.Ead(steps=50, searches=3),
        threat="l1:inf",
        peers={
            "torchattacks": torchattacks(
                "EADL1",
                lambda a, v: {"binary_search_steps": a.searches, "max_iterations": a.steps, "abort_early": False},
            ),
        },
        samples="few",
    ),
    *(  # ART's is a copy of Foolbox's code, and compiles it anew
        Entry(
            name="Brendel-Bethge, 200 steps",
            attack=A.BrendelBethge(steps=200),
            threat=f"{norm}:inf",
            samples="few",
        )
        for norm in ("linf", "l2", "l1")
    ),
    Entry(name="NewtonFool, 50 steps", attack=A.NewtonFool(steps=50), threat="l2:inf", samples="few"),
    Entry(
        name="JSMA, toward a class",
        attack=A.Jsma(pairs=True),
        threat="l0:inf",
        peers={
            "torchattacks": snapping(torchattacks("JSMA", lambda a, v: {"theta": 1.0, "gamma": 0.5}, aimed=True)),
            "art": art("saliency_map", "SaliencyMapMethod", lambda a, v: {"theta": 1.0, "gamma": 0.5}, aimed=True),
        },
        samples="digits",
        aimed=True,
        warm=False,
    ),
)
SCORES = (
    Entry(name="Square, 300 steps", attack=A.Square(steps=300), threat="linf:8/255"),
    Entry(name="Square, 300 steps", attack=A.Square(steps=300), threat="l2:0.5"),
    Entry(
        name="NES, 20 x 51 questions",
        attack=A.Nes(steps=20),
        threat="linf:8/255",
        peers={"foolbox": estimated("Linf")},
        samples="few",
    ),
    Entry(
        name="SPSA, 10 x 128 questions",
        attack=A.Spsa(steps=10, samples=128),
        threat="linf:8/255",
        peers={
            "torchattacks": torchattacks(
                "SPSA",
                lambda a, v: {"eps": v.radius, "lr": a.step * v.radius, "nb_iter": a.steps, "nb_sample": 64},
            )
        },
        samples="few",
    ),
    Entry(
        name="SimBA, 300 steps",
        attack=A.SimBa(steps=300, step=0.2),
        threat="l2:2",
        peers={
            "art": art(
                "simba",
                "SimBA",
                lambda a, v: {"attack": "px", "epsilon": 0.2, "max_iter": a.steps},
                probabilities=True,
                alone=True,
            )
        },
        samples="few",
    ),
    Entry(
        name="GenAttack, 60 x 9 questions",
        attack=A.GenAttack(steps=60),
        threat="linf:32/255",
        peers={"foolbox": foolbox("GenAttack", lambda a: {"steps": a.steps, "population": a.samples}, aimed=True)},
        samples="few",
        aimed=True,
    ),
    Entry(
        name="One pixel, 10 x 50 questions",
        attack=A.OnePixel(steps=10, samples=50),
        threat="l0:3",
        peers={
            "torchattacks": snapping(torchattacks("OnePixel", lambda a, v: {"steps": a.steps, "popsize": a.samples})),
            "art": snapping(
                art(
                    "pixel_threshold",
                    "PixelAttack",
                    lambda a, v: {"th": 1, "es": 1, "max_iter": 2},
                    probabilities=True,
                )
            ),
        },
        samples="few",
    ),
    Entry(
        name="ZOO, 60 x 129 questions",
        attack=A.Zoo(steps=30, searches=2),
        threat="l2:inf",
        peers={
            "art": art(
                "zoo",
                "ZooAttack",
                lambda a, v: {
                    "learning_rate": 0.02,
                    "max_iter": a.steps // 2,  # a step asks twice for each of 128 values
                    "binary_search_steps": a.searches,
                    "initial_const": 10.0,
                    "abort_early": False,
                    "use_resize": False,
                    "use_importance": False,
                },
                probabilities=True,
            )
        },
        samples="least",
        equal_questions=True,
    ),
)
DECISIONS = (
    Entry(
        name="Noise, 100 draws",
        attack=A.Noise(),
        threat="linf:8/255",
        peers={"foolbox": foolbox("LinfRepeatedAdditiveUniformNoiseAttack", lambda a: {"repeats": a.samples})},
    ),
    Entry(
        name="Noise, 100 draws",
        attack=A.Noise(),
        threat="l2:0.5",
        peers={"foolbox": foolbox("L2RepeatedAdditiveUniformNoiseAttack", lambda a: {"repeats": a.samples})},
    ),
    *(
        Entry(
            name="HopSkipJump",
            attack=A.HopSkipJump(),
            threat=f"{norm}:inf",
            peers={
                "foolbox": foolbox(
                    "HopSkipJumpAttack",
                    lambda a, norm=norm: {"steps": 8, "max_gradient_eval_steps": 1000, "constraint": norm},
                ),
                "art": _hop(p),
            },
            samples="few",
            equal_questions=True,
        )
        for norm, p in (("l2", 2), ("linf", "inf"))
    ),
    Entry(
        name="Boundary",
        attack=A.Boundary(),
        threat="l2:inf",
        peers={
            "foolbox": foolbox("BoundaryAttack", lambda a: {"steps": 1000}),
            "art": art("boundary", "BoundaryAttack", lambda a, v: {"targeted": False, "max_iter": 25}),
        },
        samples="few",
        equal_questions=True,
    ),
    *(
        Entry(
            name="GeoDA",
            attack=A.GeoDa(),
            threat=f"{norm}:inf",
            peers={"art": _geo(p)},
            samples="few",
            equal_questions=True,
        )
        for norm, p in (("l2", 2), ("linf", "inf"))
    ),
    Entry(
        name="Sign-OPT",
        attack=A.SignOpt(),
        threat="l2:inf",
        peers={
            "art": art(
                "sign_opt",
                "SignOPTAttack",
                lambda a, v: {"targeted": False, "query_limit": 1000, "max_iter": 15, "k": 50},
            )
        },
        samples="few",
        equal_questions=True,
    ),
    Entry(
        name="Pointwise",
        attack=A.Pointwise(),
        threat="l0:inf",
        peers={"foolbox": foolbox("PointwiseAttack", lambda a: {"l2_binary_search": False})},
        samples="digits",
        equal_questions=True,
    ),
)
TABLE = (*BOUNDED, *MINIMAL, *SCORES, *DECISIONS)


def main() -> None:
    """Print what is compared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    for entry in TABLE:
        print(f"{entry.name:30s} {entry.threat:12s} {entry.attack!r}")


if __name__ == "__main__":
    main()
