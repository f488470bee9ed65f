"""The document of a finished or partial run, `summary.json`: everything a report needs, no model needed.

Every share is a `Rate` (k, n, exact interval, denominator), so a bare share cannot be written. Records only grow: a
field that a later minor version adds has a default, so older documents stay readable; a newer major version is refused.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

from holdfast.core.errors import IntegrityError
from holdfast.evaluation.attribution import Together
from holdfast.evaluation.before import EarlierRun, Hardest
from holdfast.evaluation.document import adapter
from holdfast.evaluation.sequential import Decision
from holdfast.evaluation.statistics import Rate

SCHEMA_VERSION = "1.10.0"
RESULT_VERSION = 8  # goes up when the same audit would give other numbers

STATUSES = ("wrong", "broken", "unbroken", "certified", "rejected", "undecided", "invalid", "error")
NORMS = ("linf", "l2", "l1", "l0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """Smallest, median and largest of n finite values."""

    min: float
    median: float
    max: float
    n: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """The one sentence of a run, the same in every view.

    State: `measured`; `partial` (the run was stopped, more work is left); `empty` (no sample could be judged);
    `doubtful` (the numbers are there, and `findings` or `coverage` say why not to trust them yet).
    """

    text: str
    state: Literal["measured", "partial", "empty", "doubtful"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates:
    """Over all samples that are not invalid; None where there is none. `benign_reject_rate`: rejected as they are."""

    clean_accuracy: Rate | None
    empirical_robust_accuracy: Rate | None
    benign_reject_rate: Rate | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What was attacked; `fingerprint` and `parameters` are digests."""

    name: str
    fingerprint: str
    adapter: str
    classes: int
    class_names: tuple[str, ...] = ()
    parameters: str | None = None
    notes: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What it was attacked on: n of `total` samples, where `limited` drawn with `subset_seed`, else with `seed`.

    `chosen`: where they were chosen by what an earlier run found on them, how; then no rate says anything of others.
    `direction`: what shall be taken for what, where only that counts; then the success rate is the evasion rate.
    """

    name: str
    split: str
    n: int
    total: int
    limited: bool
    seed: int
    subset_seed: int | None = None
    digest: str
    shape: tuple[int, ...]
    bounds: tuple[float, float]
    license: str
    kind: Literal["image", "vector"]
    chosen: str = ""
    direction: str = ""


def subset_seed(data: DataFacts) -> int:
    """What the subset was drawn with."""
    return data.seed if data.subset_seed is None else data.subset_seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackFacts:
    """One attack under one threat.

    Args:
        name: Name in the catalog.
        config: Its parameters.
        stage: Position in the suite, from 0.
        attempted: Samples it was tried on, those that earlier attacks had left.
        broken: Samples it broke.
        seconds: Time of its searches.
        queries_median, gradients_median: Queries and gradients a broken sample took, None where nothing broke.
        forwards: Rows sent through the model, verification included.
        zero_gradients, nonfinite_gradients: Gradients that were exactly zero, or with a NaN or infinity.
        gradients: Gradients asked in all.
    """

    name: str
    config: dict[str, Any]
    stage: int
    attempted: int
    broken: int
    seconds: float
    queries_median: float | None
    gradients_median: float | None
    forwards: int
    zero_gradients: int
    nonfinite_gradients: int
    gradients: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """Empirical robust accuracy at one radius; broken at a radius counts as broken at every larger one."""

    radius: float
    rate: Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassFacts:
    """The rates of the samples with one label; `evasion`: of one direction, those right before that an attack broke."""

    label: int
    name: str
    clean: Rate
    robust: Rate
    evasion: Rate | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Confusion:
    """Broken samples of one label that became one other label; `from` and `to` in the document."""

    source: Annotated[int, pydantic.Field(alias="from")]
    into: Annotated[int, pydantic.Field(alias="to")]
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """Mean cross-entropy of n samples: as they are, and at the strongest point found for each."""

    clean: float
    adversarial: float
    n: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThreatFacts:
    """The results under one threat.

    Args:
        success_rate: Broken samples of those that were right before the attack; None where there is none.
        attacks: In the order they ran.
        distances: Norm -> size of the changes of the broken samples.
        eight_bit: Broken samples whose adversarial input still breaks after storage in 8 bits; `psnr`, `ssim` likewise.
        control: Samples (right before) that plain noise of the same radius breaks.
        statuses: Status -> samples.
        oblivious, defense_aware: Samples (right before) that replayed inputs break which were made without the defense,
            and that only attacks on the defended model break; `valid`: Successes in a table, possible rows or not,
            that its schema allows: no other counts as broken.
    """

    literal: str
    words: str
    nist: str
    atlas: str
    knowledge: str
    queries: int | None
    empirical_robust_accuracy: Rate | None
    success_rate: Rate | None
    attacks: tuple[AttackFacts, ...] = ()
    distances: dict[str, Spread] = dataclasses.field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    per_class: tuple[ClassFacts, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    eight_bit: Rate | None = None
    psnr: Spread | None = None
    ssim: Spread | None = None
    loss: Loss | None = None
    control: Rate | None = None
    statuses: dict[str, int] = dataclasses.field(default_factory=dict)
    oblivious: Rate | None = None
    defense_aware: Rate | None = None
    valid: Rate | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Transfer:
    """Adversarial inputs of one threat that the second model gets wrong too, of those whose original it gets right.

    `fingerprint`: of the second model; empty in documents before 1.10.
    """

    model: str
    threat: str
    rate: Rate | None
    fingerprint: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """Something to act on. `id` is stable over runs: a digest of rule, model lineage, threat and slice.

    Args:
        title, text, rate: A few words; a sentence or two with the numbers; the number behind it.
        threat: Literal of the threat, empty where it concerns all.
        samples: A few sample numbers that show it.
        next: A command or a line of code to go on with.
    """

    id: str
    title: str
    text: str
    rate: Rate | None
    threat: str
    samples: tuple[int, ...]
    next: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A sample that could not be judged, and why."""

    sample: int
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Coverage:
    """What was and was not looked at; `statuses` counts samples by their worst status over the threats."""

    statuses: dict[str, int]
    errors: tuple[Failure, ...]
    not_tested: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskingCheck:
    """One check of the masking battery, with its evidence.

    Args:
        name: `determinism`, `company`, `saturation`, `gradients`, `slope`, `direction`, `doubling`, `larger`, `reach`,
            `black_box`, `transfer` or `noise`.
        threat: Literal of the threat, empty where the check is about the model alone.
        state: `passed`; `suspect` (more samples show the sign than `allowed`); `not_applicable`; `not_run`.
        text, rate: What was found, or why the check does not apply; the samples that show the sign.
        allowed: How many may show it by chance on a model without masking.
        source: The paper the check comes from.
    """

    name: str
    threat: str
    state: Literal["passed", "suspect", "not_applicable", "not_run"]
    text: str
    rate: Rate | None = None
    allowed: int | None = None
    source: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Masking:
    """Whether the model only looks robust because the attacks could not see.

    Args:
        state: `no sign of masking`, `suspect`, or `not checked` where the run stopped before the checks were done or
            none of them applies.
        reasons: The texts of the checks that are suspect.
        samples: Samples the battery looked at.
        checks: Every check, also those that do not apply.
        forwards, seconds: Rows sent through the model for it, and its time.
    """

    state: Literal["no sign of masking", "suspect", "not checked"]
    reasons: tuple[str, ...] = ()
    samples: int = 0
    checks: tuple[MaskingCheck, ...] = ()
    forwards: int = 0
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """What the whole run spent; `forwards` are rows sent through the model, `checks` verification passes.

    Of a model with a memory: rows that were really `asked`, and that were not because they are `remembered`.
    """

    seconds: float
    queries: int
    gradients: int
    forwards: int
    checks: int
    asked: int = 0
    remembered: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the run came to be; `circumstances` may differ between two equal runs."""

    command: str
    seed: int
    suite: str
    started: str
    finished: str
    python: str
    torch: str
    numpy: str
    platform: str
    threads: int
    device: str
    precision: str
    circumstances: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """The whole document; `stopped`: why it is not complete, else empty; `together`: where it has several threats."""

    schema: Literal["urn:holdfast:summary:1"] = "urn:holdfast:summary:1"
    schema_version: str = SCHEMA_VERSION
    holdfast: str
    result_version: int = RESULT_VERSION
    complete: bool
    stopped: str
    verdict: Verdict
    rates: Rates
    model: ModelFacts
    data: DataFacts
    threats: tuple[ThreatFacts, ...]
    together: Together | None = None
    transfer: tuple[Transfer, ...] = ()
    findings: tuple[Finding, ...] = ()
    masking: Masking | None = None
    decision: Decision | None = None
    replay: EarlierRun | None = None
    hardest: Hardest | None = None
    coverage: Coverage
    limits: tuple[str, ...] = ()
    cost: Cost
    provenance: Provenance

    @property
    def suite(self) -> str:
        """All that was tried: the suite's name, `replay+` before it where inputs of an earlier run came first."""
        return ("replay+" if self.replay else "") + self.provenance.suite


def read(document: bytes | str | Mapping[str, Any], name: str = "This") -> Summary:
    """A summary from its JSON text or values. Fields of a later minor version are left out.

    Raises:
        IntegrityError: HF403 for a newer major version, HF404 for a document that is no summary.
    """
    try:
        values = json.loads(document) if isinstance(document, bytes | str) else document
        major = int(str(values["schema_version"]).split(".")[0])
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError("HF404", f"{name} is no holdfast summary", seen=type(error).__name__) from error
    if major > (newest := int(SCHEMA_VERSION.split(".")[0])):
        told = {"seen": values["schema_version"], "expected": f"at most {newest}.x", "fix": "pip install -U holdfast"}
        raise IntegrityError("HF403", "The summary was written by a newer holdfast", **told)
    try:
        return adapter(Summary).validate_python(dict(values))  # type: ignore[no-any-return]
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        seen = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise IntegrityError("HF404", f"{name} is no holdfast summary", seen=seen) from error


def read_file(path: pathlib.Path) -> Summary:
    """`read` of a file."""
    return read(path.read_bytes(), f"'{path}'")
