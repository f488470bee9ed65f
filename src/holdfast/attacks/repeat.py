"""An attack several times over, each time with new random numbers."""

import dataclasses

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.attacks.side_by_side import starts
from holdfast.attacks.wrapper import Wrapper
from holdfast.core.params import Count


@dataclasses.dataclass(frozen=True)
class Repeat(Wrapper):
    """Run an attack again with other random numbers on the rows it has not broken.

    A row that the attack gave up is tried again; the nearest success and the strongest point of all tries count. Try r
    draws the same numbers whatever their count. An attack without random numbers gains nothing. The first try goes
    alone, later ones eight side by side in full batches, but under a query budget one after the other.

    Cost: at most `times` times that of the attack; a row that breaks in a later try has paid for those beside it.

    Args:
        attack: What to repeat.
        times: How often.
    """

    attack: Attack
    times: Count = 2

    @property
    def inner(self) -> tuple[Attack, ...]:
        return (self.attack,)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.times * self.attack.passes()

    def search(self, probe: Probe) -> None:
        """Run `times` times."""
        for _, part in starts(probe, self.times):
            able = part.alive.clone()
            self.attack.search(part)
            part.resume(able)
