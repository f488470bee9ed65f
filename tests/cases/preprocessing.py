"""Transformations: an instance that bites, one that is switched off where there is one, and the inputs."""

import dataclasses

from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.stage import Stage


@dataclasses.dataclass(frozen=True)
class Case:
    """A stage.

    Args:
        stage: An instance with ordinary parameters.
        off: An instance that changes nothing, None where no parameters do that.
        shape: Of one input it is tested on.
    """

    stage: Stage
    off: Stage | None = None
    shape: tuple[int, ...] = (3, 16, 12)

    def __str__(self) -> str:
        return str(self.stage)


PREPROCESSING = [
    Case(BitDepth(bits=4)),
    Case(BitDepth(bits=1), shape=(7,)),
]
