"""Attacks one after the other, until one succeeds."""

import dataclasses

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.wrapper import Wrapper
from holdfast.core.errors import ParameterError
from holdfast.core.params import check


@dataclasses.dataclass(frozen=True)
class FirstOf(Wrapper):
    """Run attacks in order, each on the rows that none before it has broken. Cheap ones first.

    Where rows are taken to their end (the strongest or the nearest point is sought) every attack runs on every row. A
    minimal attack beside one that fills a ball is kept to the ball as well.

    Cost: at most the sum of the attacks'; a row broken by the first pays for the first.

    Args:
        attacks: In the order they run.

    Raises:
        ParameterError: HF001 where `attacks` is empty or holds something else.
    """

    attacks: tuple[Attack, ...]

    def __post_init__(self) -> None:
        check(self)
        if (
            not isinstance(self.attacks, tuple)
            or not self.attacks
            or any(not isinstance(a, Attack) for a in self.inner)
        ):
            raise ParameterError(
                "HF001",
                f"The 'attacks' parameter of FirstOf must be a tuple of attacks, not empty. Got {self.attacks!r}",
            )

    @property
    def inner(self) -> tuple[Attack, ...]:
        return self.attacks

    def search(self, probe: Probe) -> None:
        """Run one after the other."""
        start = probe.alive.clone()
        for i in probe.restarts(len(self.attacks)):
            self.attacks[i].search(probe)
            probe.resume(start)
