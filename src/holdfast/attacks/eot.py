"""Expectation over transformation, Athalye et al., ICML 2018, arXiv:1707.07397."""

import dataclasses
from typing import Any, cast

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.losses import log_odds
from holdfast.attacks.passes import Jacobian, Slope
from holdfast.attacks.probe import Loss, Probe
from holdfast.attacks.wrapper import Wrapper
from holdfast.core.params import Count
from holdfast.threats.tables.spread import Spread


@dataclasses.dataclass(frozen=True)
class Eot(Wrapper):
    """Let an attack follow the mean gradient of several passes, for models that draw random numbers themselves.

        gradient, loss, margin <- mean over `samples` passes at the same point

    On a model without randomness it is the attack itself at a multiple of the price.

    Cost: `samples` times the gradients of the attack; every pass is a query and counts against the budget.

    Args:
        attack: What to run.
        samples: Passes for each gradient.
    """

    attack: Attack
    samples: Count = 16

    @property
    def inner(self) -> tuple[Attack, ...]:
        return (self.attack,)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.samples * self.attack.passes()

    def search(self, probe: Probe) -> None:
        """Run the attack on a view of the probe."""
        self.attack.search(cast(Probe, _Averaged(probe, self.samples)))


class _Averaged:
    """A probe whose gradients are means; everything else is the probe's own."""

    def __init__(self, probe: Probe, samples: int):
        self._probe, self._samples = probe, samples

    def __getattr__(self, name: str) -> Any:
        return getattr(self._probe, name)

    def clones(self, *args: Any, **named: Any) -> "_Averaged":
        """Clones whose gradients are means."""
        return _Averaged(self._probe.clones(*args, **named), self._samples)

    def slope(self, x: Tensor, loss: Loss = log_odds, only: Tensor | None = None, wide: Spread | None = None) -> Slope:
        """The mean of several passes."""
        return Slope(*_mean([self._probe.slope(x, loss, only, wide) for _ in range(self._samples)]))

    def jacobian(self, x: Tensor, ways: Tensor, only: Tensor | None = None) -> Jacobian:
        """The mean of several passes."""
        return Jacobian(*_mean([self._probe.jacobian(x, ways, only) for _ in range(self._samples)]))


def _mean(answers: list[Any]) -> list[Tensor]:
    return [torch.stack(parts).mean(0) for parts in zip(*answers, strict=True)]
