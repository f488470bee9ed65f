"""Penalties, noise and augmentation: an instance that bites, and one that leaves the plain training as it is."""

import dataclasses

from holdfast.defenses.regularization.aug_mix import AugMix
from holdfast.defenses.regularization.cut_mix import CutMix
from holdfast.defenses.regularization.dropout import Dropout
from holdfast.defenses.regularization.early_stopping import EarlyStopping
from holdfast.defenses.regularization.group_dro import GroupDro
from holdfast.defenses.regularization.input_gradient import InputGradient
from holdfast.defenses.regularization.jacobian_regularization import JacobianRegularization
from holdfast.defenses.regularization.l1_penalty import L1Penalty
from holdfast.defenses.regularization.l2_penalty import L2Penalty
from holdfast.defenses.regularization.label_smoothing import LabelSmoothing
from holdfast.defenses.regularization.lipschitz_margin import LipschitzMargin
from holdfast.defenses.regularization.mixup import Mixup
from holdfast.defenses.regularization.parseval_networks import ParsevalNetworks
from holdfast.defenses.regularization.spectral_normalization import SpectralNormalization
from holdfast.defenses.regularization.weight_decay import WeightDecay
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train

TINY = Train(network="mlp", width=8, epochs=2, batch=16, rate=0.05, smoothing=0.0, weight_decay=0.0)


@dataclasses.dataclass(frozen=True)
class Case:
    """A learner.

    Args:
        learner: An instance with ordinary parameters.
        off: An instance that trains as `of` alone, bit for bit; None where no parameters do that.
        why: What there is instead.
    """

    learner: Learner
    off: Learner | None = None
    why: str = ""

    def __str__(self) -> str:
        return type(self.learner).__name__


REGULARIZATION = [
    Case(AugMix(of=TINY), AugMix(of=TINY, strength=0.0)),
    Case(CutMix(of=TINY, chance=1.0), CutMix(of=TINY, chance=0.0)),
    Case(Dropout(of=TINY, where="all"), Dropout(of=TINY, where="all", share=0.0)),
    Case(EarlyStopping(of=TINY, patience=1), None, "part of the data is held out"),
    Case(GroupDro(of=TINY), None, "equal weights of groups are not equal weights of samples"),
    Case(InputGradient(of=TINY), InputGradient(of=TINY, strength=0.0)),
    Case(JacobianRegularization(of=TINY), JacobianRegularization(of=TINY, strength=0.0)),
    Case(L1Penalty(of=TINY), L1Penalty(of=TINY, strength=0.0)),
    Case(L2Penalty(of=TINY), L2Penalty(of=TINY, strength=0.0)),
    Case(LabelSmoothing(of=TINY), LabelSmoothing(of=TINY, share=0.0)),
    Case(LipschitzMargin(of=TINY), LipschitzMargin(of=TINY, radius=0.0)),
    Case(Mixup(of=TINY), Mixup(of=TINY, alpha=0.0)),
    Case(ParsevalNetworks(of=TINY), ParsevalNetworks(of=TINY, beta=0.0)),
    Case(SpectralNormalization(of=TINY), None, "every layer has a largest singular value, and it becomes the bound"),
    Case(WeightDecay(of=TINY), WeightDecay(of=TINY, decay=0.0)),
]
