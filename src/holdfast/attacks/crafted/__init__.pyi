# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.attacks.crafted.adversarial_patch import AdversarialPatch as AdversarialPatch
from holdfast.attacks.crafted.universal_perturbation import UniversalPerturbation as UniversalPerturbation

__all__ = [
    "AdversarialPatch",
    "UniversalPerturbation",
]
