# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.attacks.evasion.pgd import Pgd as Pgd

__all__ = [
    "Pgd",
]
