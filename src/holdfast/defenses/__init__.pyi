# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds as AdversarialRounds
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining as FastAdversarialTraining
from holdfast.defenses.training.free_adversarial_training import FreeAdversarialTraining as FreeAdversarialTraining
from holdfast.defenses.training.gaussian_augmentation import GaussianAugmentation as GaussianAugmentation
from holdfast.defenses.training.mart import Mart as Mart
from holdfast.defenses.training.trades import Trades as Trades
from holdfast.defenses.training.weight_perturbation import WeightPerturbation as WeightPerturbation

__all__ = [
    "AdversarialRounds",
    "AdversarialTraining",
    "BitDepth",
    "FastAdversarialTraining",
    "FreeAdversarialTraining",
    "GaussianAugmentation",
    "Mart",
    "Trades",
    "WeightPerturbation",
]
