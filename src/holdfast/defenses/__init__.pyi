# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.ensembles.adaptive_diversity import AdaptiveDiversity as AdaptiveDiversity
from holdfast.defenses.ensembles.bagging import Bagging as Bagging
from holdfast.defenses.ensembles.boosting import Boosting as Boosting
from holdfast.defenses.ensembles.stacking import Stacking as Stacking
from holdfast.defenses.ensembles.voting import Voting as Voting
from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining

__all__ = [
    "AdaptiveDiversity",
    "AdversarialTraining",
    "Bagging",
    "BitDepth",
    "Boosting",
    "Stacking",
    "Voting",
]
