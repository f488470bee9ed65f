"""Learners whose models shall withstand more: an instance, what it hardens, and one that is switched off."""

import dataclasses

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.data.dataset import Dataset
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.defenses.training.averaged import Averaged
from holdfast.defenses.training.curriculum_adversarial_training import CurriculumAdversarialTraining
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining
from holdfast.defenses.training.free_adversarial_training import FreeAdversarialTraining
from holdfast.defenses.training.gaussian_augmentation import GaussianAugmentation
from holdfast.defenses.training.mart import Mart
from holdfast.defenses.training.multi_norm import MultiNorm
from holdfast.defenses.training.robust_boosting import RobustBoosting
from holdfast.defenses.training.robust_splitting import RobustSplitting
from holdfast.defenses.training.robust_stumps import RobustStumps
from holdfast.defenses.training.trades import Trades
from holdfast.defenses.training.wasserstein_robust import WassersteinRobust
from holdfast.defenses.training.weight_perturbation import WeightPerturbation
from holdfast.learning.fit import Fit
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.threats.threats import L1, L2, Linf, Threat


def hints(n: int = 100, seed: int = 0) -> Dataset:
    """Two classes: one feature that is far apart and wrong in 5 %, three weak hints that are right together.

    A plain learner follows the hints, which an attacker with a radius of 0.1 turns round; a hardened one must not.
    """
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    side = 2.0 * y - 1
    told = torch.where(torch.rand(n, generator=draw) < 0.05, -side, side)
    x = 0.5 + 0.04 * side[:, None] + 0.02 * torch.randn(n, 4, generator=draw)
    x[:, 0] = 0.5 + 0.3 * told + 0.05 * torch.randn(n, generator=draw)
    return Dataset(x.clamp(0, 1), y)


@dataclasses.dataclass(frozen=True)
class Case:
    """A learner, tested on `hints`.

    Args:
        learner: An instance with ordinary parameters.
        plain: What it hardens.
        gain: By how much the share of samples that withstand `attack` exceeds the plain model's, promised.
        off: An instance that learns the bits of the plain one, None where no parameters do that.
        why: Why there is none.
        threat: What the model is attacked under.
        attack: With what.
    """

    learner: Learner
    plain: Learner
    gain: float
    off: Learner | None = None
    why: str = ""
    threat: Threat = Linf(0.1)
    attack: Attack = Pgd(steps=10, step=0.25)

    def __str__(self) -> str:
        inner = getattr(self.learner, "threat", self.threat)
        return f"{type(self.learner).__name__}-{inner.norm}" + ("-tree" if isinstance(self.plain, Fit) else "")


def _forest() -> Fit:
    from sklearn.ensemble import RandomForestClassifier

    return Fit(estimator=RandomForestClassifier(n_estimators=5, max_depth=3))


PLAIN = Train(network="mlp", width=16, epochs=10, batch=25, rate=0.05, smoothing=0.0, average=0.9)
HARD = {"of": PLAIN, "threat": Linf(0.1)}
TWO = {"steps": 2, "step": 0.6}
NONE = Linf(0.0)
FEW = HopSkipJump(steps=2, samples=20)
FOREST = _forest()

TRAINING = [
    Case(AdversarialTraining(**HARD, **TWO, momentum=0.5), PLAIN, 0.6, off=AdversarialTraining(of=PLAIN, threat=NONE)),
    Case(AdversarialTraining(of=PLAIN, threat=L2(0.2), **TWO), PLAIN, 0.6),
    Case(AdversarialTraining(of=PLAIN, threat=L1(0.3), **TWO), PLAIN, 0.6),
    Case(
        FreeAdversarialTraining(**{**HARD, "of": dataclasses.replace(PLAIN, epochs=24)}, replays=4),
        PLAIN,
        0.6,
        off=FreeAdversarialTraining(of=PLAIN, threat=NONE, replays=1),
    ),
    Case(
        FastAdversarialTraining(**HARD, validation_steps=4),
        PLAIN,
        0.4,
        off=FastAdversarialTraining(of=PLAIN, threat=NONE, collapse="ignore"),
    ),
    Case(FastAdversarialTraining(**HARD, validation_steps=4, alignment=0.2), PLAIN, 0.4, why="another row says it"),
    Case(
        MultiNorm(**HARD, **TWO, threats=(L2(0.15),), combine="average"),
        PLAIN,
        0.6,
        off=MultiNorm(of=PLAIN, threat=NONE, threats=(), combine="average"),
    ),
    Case(
        MultiNorm(**HARD, **TWO, threats=(L2(0.15),), combine="random"),
        PLAIN,
        0.5,
        off=MultiNorm(of=PLAIN, threat=NONE, threats=(L2(0.0),)),
    ),
    Case(
        CurriculumAdversarialTraining(**HARD, **TWO, stay=1, mixing=False, validation_samples=50, validation_steps=4),
        PLAIN,
        0.3,
        why="a part of the data is always held out",
    ),
    Case(
        Averaged(of=AdversarialTraining(**HARD, **TWO)),
        PLAIN,
        0.6,
        why="there is no share of the epochs at which one average is the other",
    ),
    Case(WassersteinRobust(of=PLAIN, gamma=100.0, steps=5), PLAIN, 0.3, off=WassersteinRobust(of=PLAIN, steps=0)),
    Case(Trades(**HARD, **TWO, beta=2.0), PLAIN, 0.6, off=Trades(**HARD, beta=0.0)),
    Case(Mart(**HARD, **TWO), PLAIN, 0.6, why="at weight 0 and radius 0 its boosted cross-entropy is left"),
    Case(
        WeightPerturbation(of=AdversarialTraining(**HARD, **TWO)),
        PLAIN,
        0.6,
        off=WeightPerturbation(of=AdversarialTraining(of=PLAIN, threat=NONE), radius=0.0),
    ),
    Case(
        GaussianAugmentation(of=PLAIN, sigma=0.15, copies=2), PLAIN, 0.2, off=GaussianAugmentation(of=PLAIN, copies=0)
    ),
    Case(
        AdversarialRounds(of=FOREST, threat=Linf(0.1), rounds=2, attack=FEW, samples=30),
        FOREST,
        0.2,
        off=AdversarialRounds(of=FOREST, rounds=0),
        attack=FEW,
    ),
    Case(
        RobustSplitting(threat=Linf(0.1), trees=5, depth=3),
        FOREST,
        0.8,
        why="at radius 0 it is another CART",
        attack=FEW,
    ),
    Case(RobustStumps(threat=Linf(0.1), stumps=8), FOREST, 0.8, why="at radius 0 it is other boosting", attack=FEW),
    Case(
        RobustBoosting(threat=Linf(0.1), trees=8, depth=3),
        FOREST,
        0.8,
        why="at radius 0 it is other boosting",
        attack=FEW,
    ),
    Case(AdversarialRounds(of=FOREST, threat=Linf(0.1)), FOREST, 0.6, why="another row says it", attack=FEW),
]
