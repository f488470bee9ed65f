"""Every evasion attack with the threats it is tested under and the strength it promises. A new attack is a new row."""

import dataclasses
import math

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.threats.threats import L0, L1, L2, Linf, Threat

RADII = {math.inf: 0.15, 2.0: 0.5, 1.0: 1.5, 0.0: 3.0}


@dataclasses.dataclass(frozen=True)
class Case:
    """An attack under a threat.

    Args:
        within: Promised loss against the closed form where every boundary is a plane and the box is active; None
            promises only that some goals are reached.
        curved: The same against spheres, where the nearest boundary is curved; for minimal attacks in L2.
        why: Why the promise is what it is, where it is not 1 %.
        scale_free: Whether a positive factor on all logits changes nothing.
    """

    attack: Attack
    threat: Threat
    within: float | None
    curved: float | None = None
    why: str = ""
    scale_free: bool = False

    def __str__(self) -> str:
        default = type(self.attack)()
        changed = "-".join(
            f"{f.name}={getattr(self.attack, f.name)}"
            for f in dataclasses.fields(default)
            if getattr(self.attack, f.name) != getattr(default, f.name)
        )
        return "-".join(filter(None, [type(self.attack).__name__, self.threat.norm, changed]))

    @property
    def bounded(self) -> Threat:
        """The same threat with a radius, for the laws that need one."""
        return self.threat.at(RADII[self.threat.p])


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
]
