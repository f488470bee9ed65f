"""What a run folder holds beside its parts, derived from them: samples.parquet, examples.npz, summary.json."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from holdfast.core.files import write_atomic
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters, manifest, provenance, summarize
from holdfast.evaluation.attribution import Together
from holdfast.evaluation.before import EarlierRun
from holdfast.evaluation.document import to_json
from holdfast.evaluation.examples import changes, examples
from holdfast.evaluation.finals import Final, View, finals
from holdfast.evaluation.masking.judge import judged
from holdfast.evaluation.metrics.coverage import TREES, not_tested
from holdfast.evaluation.metrics.findings import Hit, findings
from holdfast.evaluation.metrics.gradients import useless
from holdfast.evaluation.metrics.transfer import transfer_rate
from holdfast.evaluation.rows import ControlRow
from holdfast.evaluation.steps import transfer_question
from holdfast.evaluation.store import Store, encoded
from holdfast.evaluation.suites import describe, left_out
from holdfast.evaluation.summarize import Case
from holdfast.evaluation.summary import (
    Cost,
    Coverage,
    DataFacts,
    Finding,
    Masking,
    ModelFacts,
    Rates,
    Summary,
    ThreatFacts,
    Transfer,
    Verdict,
    subset_seed,
)
from holdfast.evaluation.table import table
from holdfast.evaluation.verdict import verdict
from holdfast.threats.literals import parse

LIMITS = (
    "Empirical robust accuracy is an upper bound: these attacks within these budgets did not break those samples; "
    "others may.",
    "Intervals are sampling intervals of that bound for samples drawn like these, not guarantees about the model.",
    "Samples that could not be judged (error) or were not reached (undecided) count as not broken.",
)
ERRORS, MASKED = 0.01, 0.5  # shares of failed samples and of useless gradients from which a run is called doubtful


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the document takes over as it is.

    Args:
        model, data, precision: Of the run.
        stopped: Why it is not complete, empty where it is.
        sees: Literal of a threat -> fields of the model that may be asked under it.
        rejects: Whether the model can reject an input.
    """

    model: ModelFacts
    data: DataFacts
    precision: str
    stopped: str
    sees: Mapping[str, Sequence[str]]
    rejects: bool = False


def derive(store: Store, view: View, data: Dataset, others: Sequence[tuple[str, str]], facts: Facts) -> Summary:
    """Write all derived files, the summary last; each is replaced in one step.

    Args:
        store: The folder.
        view: What was asked for.
        data: The samples, for the examples.
        others: Name and fingerprint of the models for transfer.
        facts: The rest.
    """
    found, samples = finals(view), store.manifest.samples
    ids = dict(zip(samples.keys, samples.ids, strict=True))
    told = table(view, found, samples, bool(facts.model.stages), changes(view, found, data))
    write_atomic(store.folder / "samples.parquet", encoded(told))
    teams = list(manifest.teams(samples, samples.keys))
    shown = examples(view, found, data, ids, teams) if facts.data.kind == "image" else None
    if shown is not None:
        write_atomic(store.folder / "examples.npz", shown)
    else:
        (store.folder / "examples.npz").unlink(missing_ok=True)
    case = Case(
        view,
        found,
        dict(zip(view.keys, data.y.tolist(), strict=True)),
        facts.model.class_names,
        data.space,
        facts.data.kind == "image",
        dict(zip(samples.keys, samples.source, strict=True)),
        facts.rejects,
        {} if data.kinds is None else dict(zip(view.keys, data.kinds.tolist(), strict=True)),
        data.kind_names,
        bool(facts.data.direction),
    )
    document = _summary(store, case, others, facts, ids)
    write_atomic(store.folder / "summary.json", to_json(document).encode("utf-8", "backslashreplace"))
    return document


@dataclasses.dataclass(frozen=True, kw_only=True)
class Concluded:
    """What follows from the committed parts: the fields of the summary of the same names."""

    verdict: Verdict
    rates: Rates
    threats: tuple[ThreatFacts, ...]
    together: Together | None
    transfer: tuple[Transfer, ...]
    findings: tuple[Finding, ...]
    masking: Masking
    replay: EarlierRun | None
    coverage: Coverage
    cost: Cost


def concluded(case: Case, others: Sequence[tuple[str, str]], facts: Facts, ids: Mapping[str, int]) -> Concluded:
    """Everything that is computed from the parts; the model is not asked.

    Args:
        case: Verdicts and what is known of the samples.
        others: Name and fingerprint of the models for transfer.
        facts: What is taken over as it is.
        ids: Key -> number of the sample.
    """
    rates, view = summarize.headline(case), case.view
    threats = tuple(summarize.threat_facts(case, threat) for threat in view.threats)
    moved = transfers(view, others)
    failed = summarize.failures(case, ids)
    masking, asked = judged(view, facts.sees, math.prod(facts.data.shape))
    doubts = _doubts(threats, len(failed), len(view.keys))
    doubts += [f"masking, {reason}" for reason in masking.reasons]
    lineage = digest([facts.model.name, facts.model.classes, list(facts.data.shape)])
    hits = {
        literal: [_hit(f, literal, ids, case) for f in members.values() if f.status == "broken"]
        for literal, members in case.found.items()
    }
    return Concluded(
        verdict=verdict(rates, threats, facts.stopped, doubts),
        rates=rates,
        threats=threats,
        together=summarize.together(case),
        transfer=moved,
        findings=findings(lineage, threats, moved, hits),
        masking=masking,
        replay=summarize.earlier_run(case),
        coverage=Coverage(
            statuses=summarize.statuses(case),
            errors=failed,
            not_tested=not_tested(threats, bool(others), TREES in facts.model.notes),
        ),
        cost=summarize.cost(case, [*(transfer_question(view, t, f) for t in view.threats for _, f in others), *asked]),
    )


def _summary(store: Store, case: Case, others: Sequence[tuple[str, str]], facts: Facts, ids: dict[str, int]) -> Summary:
    found = concluded(case, others, facts, ids)
    return Summary(
        holdfast=provenance.version(),
        complete=not facts.stopped,
        stopped=facts.stopped,
        model=facts.model,
        data=facts.data,
        limits=_limits(case, facts),
        provenance=provenance.provenance(store, case.view.seed, _suite(case.view), facts.precision),
        **{field.name: getattr(found, field.name) for field in dataclasses.fields(found)},
    )


def _hit(final: Final, literal: str, ids: Mapping[str, int], case: Case) -> Hit:
    measure, row = parse(literal).measure, final.row
    size = float(getattr(row, measure) or 0.0)
    return Hit(ids[final.key], size, case.labels[final.key], row.adversarial_label if row else None)


def transfers(view: View, others: Sequence[tuple[str, str]]) -> tuple[Transfer, ...]:
    """What the inputs of each threat do to the other models (name, fingerprint)."""
    found = []
    for name, fingerprint in others:
        for threat in view.threats:
            rows = view.parts.rows(transfer_question(view, threat, fingerprint), ControlRow)
            found.append(
                Transfer(
                    model=name,
                    threat=threat.literal,
                    rate=transfer_rate(rows[key].status for key in view.keys if key in rows),
                    fingerprint=fingerprint,
                )
            )
    return tuple(found)


def _doubts(threats: Sequence[ThreatFacts], failed: int, n: int) -> list[str]:
    """Why the numbers should not be trusted yet."""
    doubts = []
    if failed > ERRORS * n:
        doubts.append(f"{failed} of {n} samples could not be judged")
    for t in threats:
        k, total = useless(t.attacks)
        if total and k > MASKED * total:
            doubts.append(
                f"{k} of {total} gradients under {t.literal} were zero or not finite, so gradient attacks were blind"
            )
    return doubts


def _limits(case: Case, facts: Facts) -> tuple[str, ...]:
    more = []
    if facts.data.limited:
        more.append(
            f"A simple random subset of {facts.data.n} of {facts.data.total} samples "
            f"(seed {subset_seed(facts.data)}) was used."
        )
    clean, count = case.view.clean(), len(case.view.keys) - len(case.judged)
    if count:
        first = next(key for key in case.view.keys if key in clean and clean[key].status == "invalid")
        more.append(
            f"{count} of {facts.data.n} rows break their schema and stand outside every rate; the first: "
            f"{clean[first].reason}."
        )
    source = [case.groups.get(key, -1) for key in case.judged]
    if clusters.grouped(source):
        more.append(
            f"The samples come in {clusters.count(source)} groups: the intervals of clean accuracy, empirical robust "
            f"accuracy and success rate come from a cluster bootstrap that draws groups (BCa, {clusters.RESAMPLES} "
            f"times, seed {case.view.seed}). Every other interval takes samples for independent and is too narrow."
        )
    curves = dict.fromkeys(describe(case.view.curve(t)) for t in case.view.threats if t.bounded)
    if curves:
        more.append(
            f"The curve below a radius comes from {' or '.join(curves)} alone, on the samples that broke at the radius."
        )
    if case.image:
        more.append(
            "SSIM of images with a side below 11 pixels uses a smaller window; compare it with such images only."
        )
    more += [left_out(case.view.suite, threat) for threat in case.view.threats]
    found = summarize.earlier_run(case)
    if found is not None:
        more.append(
            f"Before the attacks, inputs that the run {found.run} holds against its model (fingerprint {found.model}, "
            f"inputs {found.inputs}) were tried on {found.tried} of {facts.data.n} samples and broke {found.broken}. "
            "The rate is that of these inputs and the suite together, and compares only with runs that replayed the "
            "same; nothing is replayed under a threat without a radius or at the smaller radii of a curve."
        )
    return (*LIMITS, *(line for line in (*more, case.view.suite.note) if line))


def _suite(view: View) -> str:
    """The suite's name, with a star where a stage of it was left out or replaced."""
    changed = any(left_out(view.suite, threat) for threat in view.threats) or bool(view.suite.note)
    return view.suite.name + "*" * changed
