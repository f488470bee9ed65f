# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining
from holdfast.defenses.validation.camera_realism import CameraRealism as CameraRealism
from holdfast.defenses.validation.range_check import RangeCheck as RangeCheck

__all__ = [
    "AdversarialTraining",
    "BitDepth",
    "CameraRealism",
    "RangeCheck",
]
