"""A run held against a policy: which rules it meets, and what the gate as a whole says. No model is needed."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Literal

from holdfast.core.errors import UsageError
from holdfast.core.records import digest
from holdfast.evaluation import integrity
from holdfast.evaluation.comparison import CLEAN, Comparison, Contrast, compare
from holdfast.evaluation.journal import words_of
from holdfast.evaluation.paired import Paired
from holdfast.evaluation.policy import Policy, Rule
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Finding, Summary
from holdfast.evaluation.verdict import percent

SHOWN = 8  # samples that a rule names
METRICS = {"clean_accuracy": "clean accuracy", "empirical_robust_accuracy": "not broken"}
HARDEST = "hardest_lost"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A rule and what came of it.

    Args:
        id: Stable over runs and over changes of the threshold.
        name: What is measured.
        line: Where the rule begins in the policy.
        level: error, warn or off.
        state: `passed`; `failed`; `warned` (failed, of level warn); `off`; `unjudged` (the run cannot answer yet).
        wanted, seen: In words.
        rate: The rate that was judged, None for a regression.
        metric, threat: What the rule looks at; no threat for the worst case over all.
        samples: Where a regression fails, some samples that the baseline holds and the run does not.
    """

    id: str
    name: str
    line: int
    level: Literal["error", "warn", "off"]
    state: Literal["passed", "failed", "warned", "off", "unjudged"]
    wanted: str
    seen: str
    rate: Rate | None = None
    metric: str = ""
    threat: str = ""
    samples: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What a gate says.

    Args:
        state: `passed`, `failed`; or why neither can be said: `empty` (no sample could be judged), `incomplete` (work
            is left), `untrustworthy` (the run's verdict is doubtful).
        advisory: A failure is told, not counted.
        text: The same in one sentence.
        rate: Empirical robust accuracy over all threats of the run, None where nothing could be judged.
        threats: Their literals.
        findings: Of the run, worst first.
        model_file: The model as the command of the run names it, where that is a file or folder found from here.
    """

    schema: Literal["urn:holdfast:gate:1"] = "urn:holdfast:gate:1"
    holdfast: str
    run: str
    model: str
    finished: str
    policy: str
    baseline: str
    state: Literal["passed", "failed", "empty", "incomplete", "untrustworthy"]
    advisory: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    text: str
    rate: Rate | None = None
    threats: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    model_file: str = ""

    def __str__(self) -> str:
        return self.text


def gate(folder: Folder, policy: Policy, baseline: Folder | None = None, common: bool = False) -> Gate:
    """Hold a run against a policy.

    Args:
        folder: The run.
        policy: The rules.
        baseline: The run that rules with `max_regression` compare with.
        common: Compare with the baseline on what both hold, where samples or threats differ.

    Raises:
        UsageError: HF824 where a rule asks for a threat or a baseline that is not there.
        IntegrityError: HF413 where run and baseline cannot be compared; HF411 where the run was changed.
    """
    integrity.refuse_damaged(folder)
    summary = folder.summary
    if summary.data.chosen:
        raise UsageError(
            "HF824",
            "A gate judges rates, and the samples of this run were chosen by what an earlier one found on them",
            seen=f"'{folder.path}': {summary.data.chosen}",
            fix="gate the run around it; a rule with metric hardest_lost counts these",
        )
    _refuse(policy, summary, baseline)
    paired = any(rule.max_regression is not None and rule.level != "off" for rule in policy.rules)
    compared = None
    if baseline is not None and paired and summary.complete:
        compared = compare([baseline, folder], common)
    checks = _checks(policy, summary, compared)
    state = _state(summary, policy, checks)
    return Gate(
        holdfast=summary.holdfast,
        run=str(folder.path),
        model=summary.model.name,
        finished=summary.provenance.finished,
        policy=policy.path,
        baseline=str(baseline.path) if baseline else "",
        state=state,
        advisory=policy.advisory,
        checks=checks,
        notes=(*_chosen(summary), *(compared.pairs[0].notes if compared else _unused(folder, baseline, paired))),
        text=sentence(state, checks, policy),
        rate=summary.rates.empirical_robust_accuracy,
        threats=tuple(t.literal for t in summary.threats),
        findings=summary.findings,
        model_file=_model_file(summary.provenance.command),
    )


def _model_file(command: str) -> str:
    """The first word after `holdfast audit`, where something lies there."""
    words = words_of(command)
    return words[2] if words[:2] == ["holdfast", "audit"] and len(words) > 2 and os.path.exists(words[2]) else ""


def _chosen(summary: Summary) -> tuple[str, ...]:
    """What became of the hardest samples of a baseline, where some were attacked first."""
    if summary.hardest is None:
        return ()
    return (f"Hardest samples of the baseline, chosen, so no rate: {summary.hardest}.",)


def _unused(folder: Folder, baseline: Folder | None, paired: bool) -> tuple[str, ...]:
    """What must be said about a baseline that the run was not compared with."""
    if baseline is None:
        return ()
    why = "no rule has max_regression" if not paired else "the run is not complete"
    told = [f"The baseline {baseline.path} was not used: {why}."]
    mine, theirs = folder.summary.data, baseline.summary.data
    if mine.digest != theirs.digest:
        shared = len(set(folder.manifest.samples.keys) & set(baseline.manifest.samples.keys))
        told.append(f"The baseline is a run on other samples: {theirs.n}, of which {shared} are samples of this run.")
    return tuple(told)


def sentence(state: str, checks: Sequence[Check], policy: Policy) -> str:
    """What the gate says, in one sentence."""
    judged = [c for c in checks if c.state in ("passed", "failed", "warned")]
    failed, warned = ([c for c in checks if c.state == s] for s in ("failed", "warned"))
    extra = f"; {len(warned)} of level warn not met" if warned else ""
    if state == "failed":
        head = "Failed, advisory" if policy.advisory else "Failed"
        return f"{head}: {len(failed)} of {_rules(len(judged))} not met: {'; '.join(c.name for c in failed)}{extra}."
    if state == "passed":
        return f"Passed: {len(judged) - len(warned)} of {_rules(len(judged))} met{extra}."
    why = {
        "empty": "no sample of the run could be judged",
        "incomplete": "the run is not complete, and more work can only lower its rates",
        "untrustworthy": "the run's own verdict is doubtful: see its report",
    }[state]
    return f"Not decided: {why}."


def _rules(count: int) -> str:
    return f"{count} rule{'' if count == 1 else 's'}"


def _refuse(policy: Policy, summary: Summary, baseline: Folder | None) -> None:
    there = [t.literal for t in summary.threats]
    for rule in policy.rules:
        if rule.level == "off":
            continue
        if rule.threat and rule.threat not in there:
            raise UsageError(
                "HF824",
                f"The policy has a rule under {rule.threat}, and the run was not attacked under it",
                seen=", ".join(there),
                fix=f"holdfast audit MODEL DATA --threat {rule.threat}",
            )
        if rule.metric == HARDEST and summary.hardest is None:
            raise UsageError(
                "HF824",
                "The policy has a rule about the hardest samples of a baseline, and the run chose none",
                fix="holdfast audit MODEL DATA --hardest-of BASELINE --budget 5m, or a policy without the rule",
            )
        if rule.max_regression is not None and baseline is None:
            raise UsageError(
                "HF824",
                "The policy has a rule with max_regression, and there is no baseline to compare with",
                fix='--baseline RUN, or level = "off" in the rule',
            )


def _checks(policy: Policy, summary: Summary, compared: Comparison | None) -> tuple[Check, ...]:
    found: list[Check] = []
    seen: dict[str, int] = {}
    for rule, line in zip(policy.rules, policy.lines, strict=True):
        kind = "regression" if rule.at_least is None and rule.at_most is None else rule.bound
        key = f"{rule.metric} {rule.threat} {kind} {rule.level}"
        seen[key] = seen.get(key, 0) + 1
        state, text, rate = _judged(rule, summary, compared)
        found.append(
            Check(
                id=digest([key, seen[key]])[:16],
                name=rule.name or _name(rule),
                line=line,
                level=rule.level,
                state="warned" if state == "failed" and rule.level == "warn" else state,
                wanted=_wanted(rule),
                seen=text,
                rate=rate,
                metric=rule.metric,
                threat=rule.threat,
                samples=_lost(rule, summary, compared) if state == "failed" else (),
            )
        )
    return tuple(found)


def _name(rule: Rule) -> str:
    if rule.metric == HARDEST:
        return "hardest samples of the baseline, lost"
    under = f" under {rule.threat}" if rule.threat else ""
    what = f"{METRICS[rule.metric]}{under}"
    if rule.at_least is None:
        return f"{what} (against the baseline)"
    return f"{what} (lower end)" if rule.bound == "low" else f"{what} (rate itself)"


def _wanted(rule: Rule) -> str:
    if rule.at_most is not None:
        return f"at most {percent(rule.at_most)} %"
    if rule.at_least is not None:
        return f"at least {percent(rule.at_least)} %"
    return f"no significant drop of more than {100 * (rule.max_regression or 0):.1f} points"


def _judged(
    rule: Rule, summary: Summary, compared: Comparison | None
) -> tuple[Literal["passed", "failed", "off", "unjudged"], str, Rate | None]:
    """State, what was seen, and the rate."""
    if rule.level == "off":
        return "off", "not checked", None
    if summary.hardest is not None and rule.at_most is not None:
        found = summary.hardest
        most, told = rule.at_most * found.tried + 1e-9, f"{found.lost} of {found.tried} lost: {found.parts}"
        if found.lost > most:
            return "failed", told, None
        return "passed" if found.lost + found.left <= most else "unjudged", told, None
    if rule.at_least is None:
        if compared is None:
            return "unjudged", "the run is not complete", None
        return (*_regression(rule, compared), None)
    rates: Mapping[str, Rate | None] = {t.literal: t.empirical_robust_accuracy for t in summary.threats}
    rate = rates[rule.threat] if rule.threat else getattr(summary.rates, rule.metric)
    if rate is None:
        return "unjudged", "no sample", None
    value = rate.low if rule.bound == "low" else rate.point
    if value >= rule.at_least - 1e-12:
        return "passed", str(rate), rate
    if rule.metric == CLEAN and not summary.complete:
        return "unjudged", "the run is not complete", rate  # samples not yet looked at count as not right
    return "failed", str(rate), rate


def _regression(rule: Rule, compared: Comparison) -> tuple[Literal["passed", "failed"], str]:
    """Failed where the drop is larger than allowed and the exact paired test finds it."""
    contrast = _contrast(rule, compared.pairs[0].contrasts)
    counts = contrast.counts
    drop, sure = -counts.difference, counts.p <= rule.alpha + 1e-12
    failed = sure and drop > (rule.max_regression or 0) + 1e-12
    points = f"{100 * counts.difference:+.1f} points"
    text = f"{points} ({counts.lost} lost, {counts.won} won of {counts.n}; p = {counts.p:.2g})"
    if drop > (rule.max_regression or 0) and not sure:
        text += ", not significant"
    if not failed:
        text += f"; {_would_find(counts)}"
    return "failed" if failed else "passed", text


def _would_find(counts: Paired) -> str:
    """What a gate on these samples can see."""
    if counts.detectable is None:
        return "no drop is sure to be found" + (" on samples in groups" if counts.groups is not None else "")
    return f"a drop of {100 * counts.detectable:.1f} points is found {100 * counts.power:.0f} times of 100"


def _lost(rule: Rule, summary: Summary, compared: Comparison | None) -> tuple[int, ...]:
    """The first samples that the baseline holds and the run does not; none for a rule that compares with none."""
    if rule.metric == HARDEST and summary.hardest is not None:
        return summary.hardest.samples
    if compared is None or rule.max_regression is None:
        return ()
    return _contrast(rule, compared.pairs[0].contrasts).lost[:SHOWN]


def _contrast(rule: Rule, contrasts: Sequence[Contrast]) -> Contrast:
    if rule.metric == CLEAN:
        return next(c for c in contrasts if c.metric == CLEAN)
    robust = [c for c in contrasts if c.metric != CLEAN]
    return next((c for c in robust if rule.threat and c.threat == rule.threat), robust[0])


def _state(
    summary: Summary, policy: Policy, checks: Sequence[Check]
) -> Literal["passed", "failed", "empty", "incomplete", "untrustworthy"]:
    """A rule that fails now stays failed: more work, and better attacks, can only lower a rate."""
    if any(c.state == "failed" for c in checks):
        return "failed"
    if summary.verdict.state == "empty":
        return "empty"
    if any(c.state == "unjudged" and c.level == "error" for c in checks):
        return "incomplete"
    if "complete" in policy.require and not summary.complete:
        return "incomplete"
    if "trustworthy" in policy.require and summary.verdict.state not in ("measured", "partial"):
        return "untrustworthy"
    return "passed"
