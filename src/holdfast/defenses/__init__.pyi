# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining

__all__ = [
    "AdversarialTraining",
    "BitDepth",
]
