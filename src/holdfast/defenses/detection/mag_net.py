"""MagNet: reject what is far from clean data, move the rest there, Meng and Chen, CCS 2017, arXiv:1705.09064."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from holdfast.attacks.attack import Attack
from holdfast.core.params import Count, Fraction, NonNegative, Positive, told
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.autoencoder import Autoencoder, given_back, learned, weights_of
from holdfast.defenses.detection._looks import too_few
from holdfast.defenses.detection.reconstruction import Reconstruction
from holdfast.defenses.fitting import Fitted
from holdfast.models.model import Model
from holdfast.models.settle import taken
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box
from holdfast.threats.threats import Threat

TEMPERATURES = (10.0, 40.0)  # of the two divergences, the paper's


@dataclasses.dataclass(frozen=True, kw_only=True)
class MagNet(Fitted):
    """Both halves of MagNet around one autoencoder r: detectors look at the input, the model gets r(x).

        rejected: mean of |x - r(x)|^p,
                  or the divergence of softmax(z(x) / T) from softmax(z(r(x)) / T), T = 10 or 40, above its threshold
        x' <- r(x)

    Each of the three detectors is a `Reconstruction` at a third of `fpr`, so that together they reject at most that
    share of clean inputs; the reformer is a `Purifier` with the same weights. Both have exact gradients, and attackers
    must be wrong and accepted. Broken by Carlini and Wagner, "MagNet and 'Efficient Defenses Against Adversarial
    Attacks' are Not Robust to Adversarial Examples", 2017, arXiv:1711.08478.

    Cost: to fit, `updates` training steps of a small network; then four of its passes and four of the model's more for
    each.

    Args:
        fpr: Share of clean inputs that may be rejected by any of the detectors.
        held_out: Share of the data that sets the thresholds; the autoencoder learns from the rest.
        p: Power of the error.
        width: Channels of the autoencoder on pictures, or units of its narrow layer.
        updates: Training steps of 64 samples.
        rate: Learning rate at the start.
        noise: Highest deviation of the noise that it learns to take away, as a share of the box.
    """

    fpr: Fraction = 0.05
    held_out: Fraction = 0.5
    p: Literal[1, 2] = 1
    width: Count = 8
    updates: Count = 500
    rate: Positive = 3e-3
    noise: NonNegative = 0.1

    def fit(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Stage:
        """The stage that rejects and reforms.

        Raises:
            DataError: HF130 where the held-out part is too small for a third of the rate, HF139 for fewer than two
                samples to learn from.
            ModelError: HF221 where the model cannot take these data, HF251 where the training diverges.
        """
        taken(model, data.x)
        known, _ = data.divide(1 - self.held_out, seed)  # as the detectors divide it
        if len(known) < 2:
            raise too_few(len(known), 2)
        net = learned(
            known.x,
            model.space,
            width=self.width,
            updates=self.updates,
            rate=self.rate,
            noise=self.noise,
            seed=seed,
        )
        back = _Back(net, model.space)
        look = Reconstruction(fpr=self.fpr / 3, held_out=self.held_out, p=self.p, reconstruct=back)
        by = [dataclasses.replace(look, by="divergence", temperature=t) for t in TEMPERATURES]
        flags = tuple(detector.fit(model, data, seed) for detector in (look, *by))
        return _Shield(of=told(self), flags=flags, net=net, shape=tuple(data.x.shape[1:]))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Shield(Stage):
    """A fitted MagNet.

    Args:
        of: Its configuration as text.
        flags: The detectors.
        net: The autoencoder.
        shape: Of the inputs that it was fitted to.
    """

    of: str
    flags: tuple[Stage, ...]
    net: Autoencoder = dataclasses.field(repr=False)
    shape: tuple[int, ...] | None = None

    @property
    def random(self) -> bool:
        """Whether a detector asks a model that draws random numbers."""
        return any(flag.random for flag in self.flags)

    @property
    def slope(self) -> Gradient:
        """The weakest of the detectors'."""
        worth: tuple[Gradient, ...] = ("none", "straight-through", "exact")
        return min((flag.slope for flag in self.flags), key=worth.index)

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The reformed batch."""
        return given_back(self.net, x, space)

    def suspicion(self, x: Tensor, space: Box) -> Tensor:
        """Of the detector that finds most, `(batch,)`."""
        found = [said for flag in self.flags if (said := flag.suspicion(x, space)) is not None]
        return torch.stack(found).amax(0)

    def reasons(self, x: Tensor, space: Box) -> list[str]:
        """Of each detector that rejects."""
        said = zip(*(flag.reasons(x, space) for flag in self.flags), strict=True)
        return ["; ".join(reason for reason in row if reason) for row in said]

    def attacks(self, threat: Threat) -> Sequence[Attack]:
        """Those that its detectors bring along, each once."""
        return tuple(dict.fromkeys(attack for flag in self.flags for attack in flag.attacks(threat)))

    def learned(self) -> bytes:
        """The thresholds and the weights."""
        return b"".join(flag.learned() for flag in self.flags) + weights_of(self.net)

    def __str__(self) -> str:
        return self.of


class _Back(nn.Module):
    """The autoencoder in the units of the data.

    Args:
        net: Of shares of the box.
        space: The box.
    """

    def __init__(self, net: Autoencoder, space: Box):
        super().__init__()
        self.net, self.space = net, space

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, ...)` inside the bounds."""
        return given_back(self.net, x, self.space)
