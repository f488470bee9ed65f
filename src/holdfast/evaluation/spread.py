"""How far a rate moves with the seed: the same audit several times, and what no seed broke."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from holdfast.core.errors import UsageError
from holdfast.evaluation import clusters
from holdfast.evaluation.comparable import read, refuse, refuse_samples
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seeded:
    """One run: its folder, its seed, and the share that was not broken."""

    run: str
    seed: int
    held: Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnderThreat:
    """Several runs under one threat.

    Args:
        threat: Its literal.
        each: A rate for each seed.
        low, high: Smallest and largest of the rates.
        union: The share that no seed broke: the number to state, because every seed was an attack.
        unsteady: Numbers of the samples that some seeds broke and others did not.
    """

    threat: str
    each: tuple[Seeded, ...]
    low: float
    high: float
    union: Rate
    unsteady: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """What `audit --seeds N` found."""

    schema: Literal["urn:holdfast:spread:1"] = "urn:holdfast:spread:1"
    model: str
    data: str
    samples: int
    threats: tuple[UnderThreat, ...]

    def __str__(self) -> str:
        return "\n".join(
            f"{t.threat}: {100 * t.low:.1f} to {100 * t.high:.1f} % not broken over {len(t.each)} seeds, "
            f"{t.union} by none of them; {len(t.unsteady)} of {self.samples} samples depend on the seed."
            for t in self.threats
        )


def spread(folders: Sequence[Folder]) -> Spread:
    """Put runs of the same question with different seeds side by side.

    Args:
        folders: At least two complete runs of one model over the same samples, threats and attacks.

    Raises:
        UsageError: HF821 for fewer than two runs.
        IntegrityError: HF413 where they do not ask the same of the same samples, HF414 where files disagree.
    """
    if len(folders) < 2:
        raise UsageError("HF821", "A spread needs two runs", seen=f"{len(folders)}", fix="holdfast audit ... --seeds 5")
    first = folders[0]
    seen = [read(folder) for folder in folders]
    for folder, other in zip(folders[1:], seen[1:], strict=True):
        refuse(first, folder, False)
        refuse_samples(seen[0], other, False)
    keys = list(seen[0].ids)
    groups = [seen[0].groups[key] for key in keys]
    found = []
    for literal in seen[0].held:
        held = [[one.held[literal][key] for key in keys] for one in seen]
        rates = [clusters.share(h, groups, "samples") for h in held]
        every = [all(column) for column in zip(*held, strict=True)]
        some = [any(column) for column in zip(*held, strict=True)]
        found.append(
            UnderThreat(
                threat=literal,
                each=tuple(
                    Seeded(run=str(f.path), seed=f.summary.data.seed, held=r)
                    for f, r in zip(folders, rates, strict=True)
                ),
                low=min(r.point for r in rates),
                high=max(r.point for r in rates),
                union=clusters.share(every, groups, "samples"),
                unsteady=tuple(sorted(seen[0].ids[k] for k in itertools.compress(keys, map(bool.__ne__, every, some)))),
            )
        )
    return Spread(model=first.summary.model.name, data=first.summary.data.name, samples=len(keys), threats=tuple(found))
