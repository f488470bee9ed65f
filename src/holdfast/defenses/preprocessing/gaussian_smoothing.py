"""Local smoothing with Gaussian weights, Xu, Evans and Qi, "Feature Squeezing", NDSS 2018, arXiv:1704.01155."""

import dataclasses

from torch import Tensor

from holdfast.core.params import NonNegative, Positive
from holdfast.data.corruptions.filters import smoothed
from holdfast.defenses.preprocessing._pictures import need_pictures
from holdfast.models.stage import Stage
from holdfast.threats.space import Box


@dataclasses.dataclass(frozen=True, kw_only=True)
class GaussianSmoothing(Stage):
    """Convolve each channel with a Gaussian; beyond its edge a picture is mirrored, the edge repeated.

        x'[i, j] <- sum over a, b of g[a] g[b] x[i + a, j + b],   g[a] ~ exp(-a^2 / (2 sigma^2))

    A linear map, so its gradient is exact and gradient attacks pay nothing for it. Broken by He et al., "Adversarial
    Example Defenses: Ensembles of Weak Defenses are not Strong", WOOT 2017, arXiv:1706.04701.

    Cost: two convolutions with a line of 2 * truncate * sigma + 1 pixels.

    Args:
        sigma: Deviation of the weights in pixels; 0 changes nothing.
        truncate: Deviations after which the weights end.
    """

    sigma: NonNegative = 1.0
    truncate: Positive = 4.0

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The smoothed pictures.

        Raises:
            DataError: HF131 for inputs that are no pictures.
        """
        need_pictures(x, "GaussianSmoothing")
        if not self.sigma:
            return x
        return smoothed(x, self.sigma, self.truncate, "symmetric").clamp(*space.limits(x))
