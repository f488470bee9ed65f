"""Records of several threats in one run: what breaks under any of them, and which threat and attack broke it."""

import dataclasses

from holdfast.evaluation.statistics import Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attribution:
    """What one attack broke under one threat. What a smaller radius broke is broken at every larger one, too.

    Args:
        threat: Its literal.
        attack: Its name in the catalog.
        broken: Samples it broke.
        only: Of those, the samples that no other threat of the run broke.
        cheapest: Of those it broke, the samples that took no fewer queries under another threat; of equal ones the
            first threat counts, so that over all rows each broken sample counts once.
        queries_median: Queries that its samples took under the threat, those of the attacks before it included.
        gradients_median: Gradients, likewise.
    """

    threat: str
    attack: str
    broken: int
    only: int
    cheapest: int
    queries_median: float
    gradients_median: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Combination:
    """Samples that break under exactly these threats."""

    threats: tuple[str, ...]
    broken: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Together:
    """All threats of a run together; `broken`: of the samples right before the attacks, those that any threat breaks.

    `attributions` in the order of threats, most samples first; `combinations` most samples first, each sample once.
    """

    broken: Rate | None
    attributions: tuple[Attribution, ...]
    combinations: tuple[Combination, ...]
