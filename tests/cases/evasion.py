"""Every evasion attack with the threats it is tested under and the strength it promises. A new attack is a new row."""

import dataclasses
import math
import os

from holdfast.attacks.attack import Attack
from holdfast.attacks.eot import Eot
from holdfast.attacks.evasion.alma import Alma
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.boundary import Boundary
from holdfast.attacks.evasion.brendel_bethge import BrendelBethge
from holdfast.attacks.evasion.carlini_wagner import CarliniWagner
from holdfast.attacks.evasion.carlini_wagner_l0 import CarliniWagnerL0
from holdfast.attacks.evasion.carlini_wagner_linf import CarliniWagnerLinf
from holdfast.attacks.evasion.ddn import Ddn
from holdfast.attacks.evasion.deep_fool import DeepFool
from holdfast.attacks.evasion.ead import Ead
from holdfast.attacks.evasion.fab_t import FabT
from holdfast.attacks.evasion.fmn import Fmn
from holdfast.attacks.evasion.gen_attack import GenAttack
from holdfast.attacks.evasion.geo_da import GeoDa
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.jsma import Jsma
from holdfast.attacks.evasion.lbfgs import Lbfgs
from holdfast.attacks.evasion.local_search import LocalSearch
from holdfast.attacks.evasion.nes import Nes
from holdfast.attacks.evasion.newton_fool import NewtonFool
from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.evasion.one_pixel import OnePixel
from holdfast.attacks.evasion.pdpgd import Pdpgd
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.pointwise import Pointwise
from holdfast.attacks.evasion.ray_s import RayS
from holdfast.attacks.evasion.selective_pgd import SelectivePgd
from holdfast.attacks.evasion.sigma_zero import SigmaZero
from holdfast.attacks.evasion.sign_opt import SignOpt
from holdfast.attacks.evasion.sim_ba import SimBa
from holdfast.attacks.evasion.sparse_fool import SparseFool
from holdfast.attacks.evasion.spsa import Spsa
from holdfast.attacks.evasion.square import Square
from holdfast.attacks.evasion.super_deep_fool import SuperDeepFool
from holdfast.attacks.evasion.sur_free import SurFree
from holdfast.attacks.evasion.transfer_pgd import TransferPgd
from holdfast.attacks.evasion.zoo import Zoo
from holdfast.attacks.first_of import FirstOf
from holdfast.attacks.repeat import Repeat
from holdfast.threats.threats import L0, L1, L2, Linf, Threat

RADII = {math.inf: 0.15, 2.0: 0.5, 1.0: 1.5, 0.0: 3.0}


def short(attack: Attack) -> str:
    """The attack with the parameters that differ from their defaults, as a test's name: `Pgd-steps=1`."""
    words = [type(attack).__name__]
    for f in dataclasses.fields(attack):
        value = getattr(attack, f.name)
        inner = value if isinstance(value, tuple) else (value,)
        if isinstance(inner[0], Attack):
            words.append("-".join(map(short, inner)))
        elif value != f.default:
            words.append(f"{f.name}={value}")
    return "-".join(words)


FULL = os.environ.get("HOLDFAST_LAWS") == "full"
LEAST = {"steps": 20, "searches": 3, "rounds": 4, "restarts": 2, "tries": 30}  # of what a brief attack repeats


def brief(attack: Attack) -> Attack:
    """The attack with a fifth of its repetitions: as long as every turn of its code is taken."""
    fewer = {}
    for f in dataclasses.fields(attack):
        value = getattr(attack, f.name)
        inner = value if isinstance(value, tuple) else (value,)
        if isinstance(inner[0], Attack):
            fewer[f.name] = tuple(map(brief, inner)) if inner is value else brief(value)
        elif f.name in LEAST:
            fewer[f.name] = min(value, max(LEAST[f.name], value // 5))
    return dataclasses.replace(attack, **fewer)


@dataclasses.dataclass(frozen=True)
class Case:
    """An attack under a threat.

    Args:
        within: Promised loss against the closed form where every boundary is a plane and the box is active; None
            promises only that some goals are reached.
        curved: The same against spheres, where the nearest boundary is curved; for minimal attacks in L2.
        why: Why the promise is what it is, where it is not 1 %.
        scale_free: Whether a positive factor on all logits changes nothing.
        control: Whether this is the noise that the others must beat.
        roams: Radii within which it searches; points beyond the first are asked for directions, never returned.
        slow: Whether its laws take more than half a minute, and run with `make slow`.
    """

    attack: Attack
    threat: Threat
    within: float | None
    curved: float | None = None
    why: str = ""
    scale_free: bool = False
    control: bool = False
    roams: float = 1.0
    slow: bool = False

    def __str__(self) -> str:
        return f"{short(self.attack)}-{self.threat.norm}"

    @property
    def brief(self) -> "Case":
        """The same, shorter, for laws that do not depend on how long an attack is; whole where all laws are asked."""
        return self if FULL else dataclasses.replace(self, attack=brief(self.attack))

    @property
    def bounded(self) -> Threat:
        """The same threat with a radius, for the laws that need one."""
        return self.threat.at(RADII[self.threat.p])


STARTS = "a random start decides which class the walk ends in"
DUAL = "the weight of the distance still swings when the steps end"
SAMPLED = "the slope is estimated from 50 samples"

CASES = [
    Case(Pgd(), Linf(0.15), 0.01),
    Case(Pgd(), L2(0.5), 0.01),
    Case(
        Pgd(),
        L1(1.5),
        0.06,
        why="the steepest step moves few coordinates to their bound, the projection gives them back",
    ),
    Case(Pgd(step=1.0, random_start=False), L0(3), 0.01),
    Case(Pgd(steps=1, step=1.0, random_start=False), Linf(0.15), 0.01),
    Case(Pgd(steps=10, step=0.1, momentum=1.0, random_start=False), Linf(0.15), 0.01),
    Case(SelectivePgd(), Linf(0.15), 0.01),
    Case(SelectivePgd(shape="gradient", loss="margin"), L2(0.5), 0.01),
    Case(Apgd(steps=50), Linf(0.15), 0.01),
    Case(Apgd(steps=50), L2(0.5), 0.01),
    Case(Apgd(), L1(1.5), 0.01, roams=3.0),
    Case(Apgd(steps=20, loss="dlr", targets=3), Linf(0.15), 0.01, scale_free=True),
    Case(Apgd(steps=20, loss="dlr", targets=3), L2(0.5), 0.01, scale_free=True),
    Case(FabT(steps=20), Linf(math.inf), 0.01, scale_free=True),
    Case(FabT(steps=20), L2(math.inf), 0.01, curved=0.01, scale_free=True),
    Case(FabT(steps=20), L1(math.inf), 0.01, scale_free=True),
    Case(LocalSearch(rounds=5), Linf(RADII[math.inf]), within=0.01, scale_free=True),
    Case(LocalSearch(rounds=5), L2(RADII[2.0]), within=0.01, scale_free=True),
    Case(
        Square(steps=200),
        Linf(0.15),
        0.25,
        why="a search without gradients; 1,000 steps find the best corner of 24 coordinates",
        scale_free=True,
    ),
    Case(
        Square(steps=200),
        L2(0.5),
        None,
        why="windows of 3 or more neighbors trade all their length, too coarse where neighbors have nothing in common",
        scale_free=True,
    ),
    Case(
        Square(steps=200),
        L1(1.5),
        None,
        why="as in L2; a window of 3 spreads a length that one value would use best",
        scale_free=True,
    ),
    Case(Ddn(), L2(), 0.01, curved=0.01, scale_free=True),
    Case(Alma(), L2(), 0.01, curved=0.01, scale_free=True),
    Case(Alma(), L1(), 0.015, why="the last steps of a slope that is a sign", scale_free=True),
    Case(DeepFool(), Linf(), 0.01, scale_free=True),
    Case(
        DeepFool(), L2(), 0.01, curved=0.05, why="greedy: it returns along the first boundary it meets", scale_free=True
    ),
    Case(
        CarliniWagner(steps=100, searches=6),
        L2(),
        0.02,
        curved=0.01,
        why="Adam's jitter after 100 steps; 1 % after the default 200",
        scale_free=True,
    ),
    Case(
        Lbfgs(),
        L2(),
        0.02,
        curved=0.02,
        why="the minimizer of a smooth penalty stops short of the boundary or beyond it",
    ),
    Case(Jsma(), L0(), 0.01, scale_free=True),
    Case(Jsma(pairs=True), L0(), None, why="two values at once may be one too many"),
    Case(Fmn(), Linf(), 0.01, scale_free=True),
    Case(Fmn(), L2(), 0.01, curved=0.01, scale_free=True),
    Case(Fmn(), L1(), 0.01, scale_free=True),
    Case(Fmn(step=10.0), L0(), 0.01, scale_free=True),
    Case(SigmaZero(), L0(), 0.5, why="3 values for 2 in one row of 16; 1,000 steps find 2", scale_free=True),
    Case(BrendelBethge(steps=30, step=0.3), Linf(), 0.1, why=STARTS, scale_free=True, slow=True),
    Case(BrendelBethge(steps=30, step=0.3), L2(), 0.4, curved=0.01, why=STARTS, scale_free=True),
    Case(BrendelBethge(steps=30, step=0.3), L1(), 0.4, why=STARTS, scale_free=True, slow=True),
    Case(Pdpgd(), Linf(), 0.03, why=DUAL, scale_free=True),
    Case(Pdpgd(), L2(), 0.03, curved=0.02, why=DUAL, scale_free=True),
    Case(Pdpgd(), L1(), 0.015, why=DUAL, scale_free=True),
    Case(Pdpgd(), L0(), 1.0, why="the sum of |z|^(2/3) stands in for the count", scale_free=True),
    Case(SuperDeepFool(), L2(), 0.01, curved=0.01, scale_free=True),
    Case(SparseFool(), L1(), 0.02, why="greedy, and bisection lowers all values alike", scale_free=True),
    Case(NewtonFool(), L2(), 0.3, curved=0.2, why="greedy: it lowers one probability, wherever that leads"),
    Case(Ead(searches=6), L1(), 0.02, why="FISTA's steps end at a hundredth of the way after 100", scale_free=True),
    Case(CarliniWagnerLinf(), Linf(), 0.04, why="the centroids: Adam's jitter over 16 short searches", scale_free=True),
    Case(CarliniWagnerL0(), L0(), 1.0, why="greedy: two values where one of more room would do", scale_free=True),
    Case(HopSkipJump(steps=10, samples=50), L2(), 0.5, curved=0.05, why=STARTS, scale_free=True),
    Case(HopSkipJump(steps=10, samples=50), Linf(), 0.5, why=STARTS, scale_free=True),
    Case(Nes(steps=50), Linf(0.15), 0.03, why=SAMPLED, scale_free=True, roams=1.1),
    Case(Nes(steps=50), L2(0.5), 0.03, why=SAMPLED, scale_free=True, roams=1.1),
    Case(GenAttack(steps=100), Linf(0.15), 0.1, why="a search without gradients", scale_free=True),
    Case(Spsa(steps=50, samples=50), Linf(0.15), 0.04, why=SAMPLED, scale_free=True, roams=1.2),
    Case(Spsa(steps=50, samples=50), L2(0.5), 0.04, why=SAMPLED, scale_free=True, roams=1.2),
    Case(SimBa(steps=300), L2(0.5), 0.08, why="single values traded for others by a fixed step", scale_free=True),
    Case(SimBa(steps=300, basis="dct"), L2(0.5), 0.08, why="waves traded for others by a fixed step", scale_free=True),
    Case(TransferPgd(), Linf(0.15), 0.01),
    Case(TransferPgd(lookahead=True, neighbors=1), L2(0.5), 0.01, roams=2.6),
    Case(Boundary(steps=300), L2(), 1.25, curved=0.05, why=STARTS, scale_free=True),
    Case(SurFree(steps=60), L2(), 0.5, curved=0.05, why=STARTS, scale_free=True),
    Case(RayS(steps=200), Linf(), 0.05, why="corners of a cube; bisected 8 times", scale_free=True),
    Case(GeoDa(steps=5), L2(), 0.5, curved=0.1, why=STARTS, scale_free=True),
    Case(GeoDa(steps=5), Linf(), 0.5, why=STARTS, scale_free=True),
    Case(SignOpt(steps=10), L2(), 0.5, curved=0.05, why=STARTS, scale_free=True),
    Case(Pointwise(), L0(), 0.5, why="the best of ten random sets that nothing can be taken from", scale_free=True),
    Case(
        OnePixel(steps=30, samples=60),
        L0(3),
        0.3,
        why="evolution of 60 members; 100 generations of 400 come within 7 %",
        scale_free=True,
    ),
    Case(
        Zoo(steps=40, samples=24),
        L2(),
        0.15,
        curved=0.03,
        why="Adam's jitter after 40 steps; 2 % after the default 200",
        scale_free=True,
    ),
    Case(Noise(), Linf(0.5), None, scale_free=True, control=True),
    Case(Noise(), L2(1.5), None, scale_free=True, control=True),
    Case(Noise(), L1(4), None, scale_free=True, control=True),
    Case(Noise(), L0(6), None, scale_free=True, control=True),
    Case(Repeat(Pgd(steps=25), 2), Linf(0.15), 0.01),
    Case(FirstOf((Noise(samples=10), Pgd())), L2(0.5), 0.01),
    Case(Eot(Pgd(steps=25), 2), Linf(0.15), 0.01),
]
