"""What a comparison of defenses found, as the document it writes."""

import dataclasses
from typing import Literal

from holdfast.evaluation.bench.records import Machine
from holdfast.evaluation.defending.chain import Kind
from holdfast.evaluation.defending.measure import Passes
from holdfast.evaluation.paired import Paired
from holdfast.evaluation.statistics import Rate

Reader = Literal["accuracy first", "robustness first", "latency first", "health", "driving", "security"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spent:
    """What it cost to make something: seconds on the clock, and of this process's processor."""

    seconds: float
    processor_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a defense before any attack; written beside its runs as soon as it is built.

    Args:
        defense: As text.
        kind: "stage", "fitted" or "learner", the dearest of its parts; "none" for the undefended model.
        random: Whether two passes over the same input differ.
        gradient: Whether attacks see a gradient, true or straight-through.
        trained: What the training cost; None where nothing was trained for it.
        fitted: What fitting the parts in front cost; None where none learns.
        passes: A pass beside one of the undefended model; None for that model itself.
        rejected: Clean samples that it refuses; None where it refuses nothing.
        notes: What to know.
    """

    defense: str
    kind: Literal["none"] | Kind
    random: bool
    gradient: bool
    trained: Spent | None = None
    fitted: Spent | None = None
    passes: Passes | None = None
    rejected: Rate | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Against:
    """A share of the samples that withstand, and its paired difference from the undefended model's."""

    threat: str
    withstood: Rate
    difference: Paired | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A defense, or first of all the undefended model.

    Args:
        facts: What it is and costs.
        run: The run folder, below that of the comparison.
        clean: Clean accuracy; a rejected input is not right.
        clean_difference: Paired, against the undefended model; None for that model itself.
        oblivious: Share that withstands the inputs made for the undefended model.
        aware: Share that withstands an audit of the defended model too; never above `oblivious`.
        aware_difference: Paired, against the undefended model's audit; None for that model itself.
        others: Trained defenses and the undefended model under the other threats, all aware.
        state: Of the run's verdict; `doubtful` numbers are shown and not recommended.
        masking: What the masking battery says of the run.
        agreement: Cohen's kappa of the accepted clean answers with the labels: 1 all right, 0 no better than answers
            that do not look at the input; None where all labels are one.
        audited: Seconds on the clock of its audits, under every threat.
    """

    facts: Facts
    run: str
    clean: Rate
    clean_difference: Paired | None
    oblivious: Rate
    aware: Rate
    aware_difference: Paired | None
    others: tuple[Against, ...] = ()
    state: str = "measured"
    masking: str = "not checked"
    agreement: float | None = None
    audited: float = 0.0

    @property
    def gap(self) -> float:
        """How much of the oblivious share an attacker who knows the defense takes away."""
        return self.oblivious.point - self.aware.point


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advice:
    """What one kind of reader should take.

    Args:
        reader: Who.
        wants: What counts for this reader.
        defense: The defense as text; empty where none is clearly better than no defense.
        text: The recommendation with threat, cost and reason.
        runs: The run folders whose numbers it uses, the recommended one first.
    """

    reader: Reader
    wants: str
    defense: str
    text: str
    runs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refused:
    """A defense that cannot be made for these data, and why: its error in a line."""

    defense: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefenseComparison:
    """Defenses side by side, the undefended model first.

    `left` names those that are not finished, on which the same call goes on; `refused` those that cannot be made.
    """

    schema: Literal["urn:holdfast:defenses:1"] = "urn:holdfast:defenses:1"
    holdfast: str
    complete: bool
    title: str
    folder: str
    data: str
    split: str
    samples: int
    threat: str
    words: str
    other_threats: tuple[str, ...]
    suite: str
    seed: int
    subset_seed: int
    protocol: str
    machine: Machine
    rows: tuple[Row, ...]
    left: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    advice: tuple[Advice, ...]
    notes: tuple[str, ...]

    @property
    def undefended(self) -> Row:
        """The first row."""
        return self.rows[0]

    @property
    def seconds(self) -> float:
        """On the clock: all training, fitting and auditing of the rows."""
        made = [spent.seconds for row in self.rows for spent in (row.facts.trained, row.facts.fitted) if spent]
        return sum(made) + sum(row.audited for row in self.rows)

    def __str__(self) -> str:
        told = [f"{each.reader.capitalize()}: {each.text}" for each in self.advice[:3]] or ["No defense is finished."]
        left = [f"Not finished: {', '.join(self.left)}."] if self.left else []
        return "\n".join([*told, *left, *(f"Left out: {each.defense}: {each.reason}" for each in self.refused)])
