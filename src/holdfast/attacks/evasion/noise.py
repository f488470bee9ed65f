"""Random noise, the control of Gilmer et al., ICML 2019, arXiv:1901.10513."""

import dataclasses
import math
from typing import ClassVar

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noise(Attack):
    """Try random points of the region: the control that every search must beat.

        x <- uniform on the region

    What noise breaks was not held by the model, whatever an attack did to it. The sampling is the region's: uniform for
    Linf, uniform in the ball and then projected onto the box for L2, on the sphere and then projected for L1, random
    coordinates at uniform values for L0, random columns at random possible values in tables.

    Cost: `samples` forward passes.

    Args:
        samples: Random points tried.
    """

    needs: ClassVar = frozenset({"labels"})
    norms: ClassVar = (math.inf, 2.0, 1.0, 0.0)
    tables: ClassVar = True

    samples: Count = 100

    def search(self, probe: Probe) -> None:
        """Ask at `samples` random points."""
        for _ in probe.steps(self.samples):
            probe.margin(probe.region.sample(probe.draw))
