"""What a comparison of models found, as the document it writes."""

import dataclasses
from typing import Literal

from holdfast.evaluation.paired import Paired
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import ClassFacts

Access = Literal["gradients", "trees", "scores", "labels"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Against:
    """One model and the best, on the rows that all models judged.

    Args:
        robust: Paired difference of empirical robust accuracy, this model minus the best.
        clean: Of clean accuracy.
        p: Of `robust`, corrected (Holm) for all pairs of models, because the best was chosen by the same rows.
    """

    robust: Paired
    clean: Paired
    p: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A model, as its audit found it.

    Args:
        name: What the comparison calls it: the name of its file, or of the Model.
        run: The run folder, below that of the comparison.
        model: What the run calls it.
        adapter: How it was opened.
        best, worst: The ranks that it may have, as on a leaderboard.
        clean: Clean accuracy.
        robust: Empirical robust accuracy, the worst case over the threats: an upper bound.
        threats: Literal -> rate under that threat.
        per_class: Recall of each class, alone and under attack.
        valid: Adversarial rows of a table that its schema allows; None where no table was attacked, or nothing broke.
        access: The most that an attack of this run saw of the model.
        attacks: Those that were tried on at least one sample.
        trees: Whether exact distances can be computed for it.
        queries, gradients: What the attacks asked for, over all samples.
        seconds: What the audit cost.
        state: Of the verdict: `measured` or `doubtful`.
        masking: What the masking battery says.
        against: Beside the best; None for the best itself.
    """

    name: str
    run: str
    model: str
    adapter: str
    best: int
    worst: int
    clean: Rate
    robust: Rate
    threats: dict[str, Rate]
    per_class: tuple[ClassFacts, ...]
    valid: Rate | None
    access: Access
    attacks: tuple[str, ...]
    trees: bool
    queries: int
    gradients: int
    seconds: float
    state: str
    masking: str
    against: Against | None = None

    @property
    def weakest(self) -> ClassFacts:
        """The class with the lowest recall under attack."""
        return min(self.per_class, key=lambda c: (c.robust.point, c.label))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A model that stands in no row, and why: `code` and `line` of the error."""

    name: str
    code: str
    line: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """Models side by side, the best first.

    Args:
        complete: Whether every model was audited to the end.
        folder: Where everything is kept.
        samples: Rows of the data that were used, of `total`.
        words: The threats in words.
        tests: Pairs of models that were compared.
        rows: The models whose audit is finished.
        left_out: Models that could not be opened or attacked.
        left: Models whose audit is not finished; the same call continues.
    """

    schema: Literal["urn:holdfast:models:1"] = "urn:holdfast:models:1"
    holdfast: str
    complete: bool
    folder: str
    data: str
    split: str
    samples: int
    total: int
    threats: tuple[str, ...]
    words: tuple[str, ...]
    suite: str
    seed: int
    tests: int
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        from holdfast.evaluation.comparing.rows import sentence

        lines = [sentence(self.rows, self.threats), *(f"Left out: {each.name}. {each.line}" for each in self.left_out)]
        return "\n".join([*lines, *([f"Not finished: {', '.join(self.left)}."] if self.left else [])])
