"""What `holdfast bench` measured, as the document it writes."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """Where it was measured.

    Args:
        processor: Its name.
        processors: How many this process may use.
        bfloat16: Whether the processor multiplies bfloat16 natively; nothing here uses it.
        threads: Of torch.
        load_before, load_after: Processes that wanted a processor over the last minute; None where nobody tells.
        python, torch, platform: Versions.
    """

    processor: str
    processors: int
    bfloat16: bool
    threads: int
    load_before: float | None
    load_after: float | None
    python: str
    torch: str
    platform: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassSeconds:
    """Processor seconds of one forward and backward pass of all samples through the model as it is.

    Args:
        textbook: `loss.backward()`, which fills the gradients of the weights too.
        frozen: With weights that ask for no gradient.
    """

    textbook: float
    frozen: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackRow:
    """An attack beside the plain loop with the same passes.

    Args:
        attack: As `--attack` takes it.
        minimal: Whether it looks for the nearest success.
        queries, gradients: Forward and backward passes a sample, on average.
        ours, plain: Medians of processor seconds.
        ratio: `ours / plain`.
        per_pass: Our seconds for a gradient (for a question, where there are none) over those of a plain forward and
            backward pass with frozen weights.
        held, held_plain: Share of the samples not broken under the threat; None for a loop that searches another norm.
        distance: Median distance of the nearest success in the threat's norm; None where half have none.
        seconds, seconds_plain: Each repetition, in order.
    """

    attack: str
    minimal: bool
    queries: float
    gradients: float
    ours: float
    plain: float
    ratio: float
    per_pass: float | None
    held: float
    held_plain: float | None
    distance: float | None
    seconds: tuple[float, ...]
    seconds_plain: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerRow:
    """An attack beside another toolkit's, on the same samples with the same steps.

    Args:
        attack: As `--attack` takes it.
        peer: Toolkit and class.
        queries: Questions a sample that the peer asked, where ours was given as many; else None: equal steps.
        ours, theirs: Medians of processor seconds.
        ratio: `ours / theirs`.
        held, held_theirs: Shares of the samples not broken under the threat.
        distance, distance_theirs: Median distances of what a minimal attack found; None where half have none.
        only_ours, only_theirs: Ids of the samples that one side alone breaks.
        seconds, seconds_theirs: Each repetition, in order.
    """

    attack: str
    peer: str
    queries: int | None
    ours: float
    theirs: float
    ratio: float
    held: float
    held_theirs: float
    distance: float | None
    distance_theirs: float | None
    only_ours: tuple[int, ...]
    only_theirs: tuple[int, ...]
    seconds: tuple[float, ...]
    seconds_theirs: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrowthRow:
    """Processor seconds for a sample and a pass at one size.

    Args:
        by: What grows: samples at once, the side of the picture, the number of classes.
        value: How large it is.
        ours, plain: Of the attack and of the plain loop.
        ratio: `ours / plain`.
    """

    by: Literal["batch", "side", "classes"]
    value: int
    ours: float
    plain: float
    ratio: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """Memory of one audit in a process of its own, in bytes.

    Args:
        samples: How many were audited.
        broken: How many an attack broke: their adversarial inputs are kept too.
        data: Size of the inputs.
        before: Resident before the audit, the data and the model among it.
        peak: Most that was resident during the audit.
        seconds: Of the audit, by the clock on the wall.
    """

    samples: int
    broken: int
    data: int
    before: int
    peak: int
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """What `holdfast bench` measured.

    Args:
        complete: False after Ctrl-C: the rows that were finished.
        model, fingerprint, data, split, threat: Who was attacked, on what, how.
        samples, ids: Samples that the model gets right, on which everything is measured.
        seed, repeat: Start of all random numbers; times each side ran.
        precision: In which everything was computed.
        shape: Of one sample.
        machine: Where.
        plain_pass: A pass of all samples; None where the model shows no gradient.
        attacks, peers, growth, memory: The tables, empty where not asked for.
        growth_attack: Whose cost `growth` shows.
        notes: What to know before believing the numbers.
    """

    schema: Literal["urn:holdfast:bench:1"] = "urn:holdfast:bench:1"
    holdfast: str
    complete: bool
    model: str
    fingerprint: str
    data: str
    split: str
    threat: str
    samples: int
    ids: tuple[int, ...]
    seed: int
    repeat: int
    precision: str
    shape: tuple[int, ...]
    machine: Machine
    plain_pass: PassSeconds | None
    attacks: tuple[AttackRow, ...]
    peers: tuple[PeerRow, ...]
    growth: tuple[GrowthRow, ...]
    growth_attack: str
    memory: tuple[MemoryRow, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        told = [f"{row.attack} {row.ratio:.2f}" for row in self.attacks]
        return (
            f"Processor seconds over those of the plain loop on {self.samples} samples of {self.data}: "
            f"{', '.join(told) or 'nothing finished'}."
        )
