"""JUnit XML, the form that every build server shows: a test case for each rule of a gate and each finding of a run.

A policy alone says what fails. A finding is a failure where a rule of level error about what is not broken fails that
looks at the same threat: then it says why. Rules of other metrics look at other samples. Anywhere else it is told as a
skipped test case, which servers show without failing.
"""

import dataclasses
import re
import shlex
import xml.etree.ElementTree as Xml
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from holdfast.evaluation.gate import Check, Gate
from holdfast.evaluation.summary import Finding, Summary
from holdfast.report import words
from holdfast.report.visible import cleaned, visible

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0, section 2.2
FACTS = ("run", "model", "policy", "baseline", "finished")
JUDGED = "the run can be judged"


def render(found: Gate) -> str:
    """What a gate says; a failure that is only advisory is a skipped test case."""
    found = cleaned(found)
    cases = [_rule(check, found.advisory) for check in _apart(found.checks)]
    if found.state in ("empty", "incomplete", "untrustworthy"):
        cases.append(_case("holdfast.gate", JUDGED, "error", found.state, found.text))
    rates = [check for check in found.checks if check.metric == "empirical_robust_accuracy"]
    failed = [check.threat for check in rates if check.state == "failed"]
    suites = [_suite("holdfast.gate", cases, {name: getattr(found, name) for name in FACTS}, found.text)]
    told = []
    for finding in found.findings:
        fails = not found.advisory and any(finding.threat in (threat, "") or not threat for threat in failed)
        told.append(_finding(finding, "failure" if fails else "skipped", found.run))
    return _document([*suites, *([_suite("holdfast.findings", told)] if told else [])])


def of_run(summary: Summary, run: str) -> str:
    """What a run says without a policy: whether it can be judged, its rate under each threat, and its findings.

    Args:
        summary: Of the run.
        run: Its folder, as a person would type it in a command.
    """
    summary, run = cleaned(summary), visible(run)
    state, facts = summary.verdict.state, {"run": run, "model": summary.model.name, "data": summary.data.name}
    kind: Literal["error", ""] = "" if state == "measured" else "error"
    cases = [_case("holdfast.run", JUDGED, kind, state, summary.verdict.text)]
    for threat in summary.threats:
        seen = words.rate(threat.empirical_robust_accuracy)
        cases.append(_case("holdfast.run", f"attacked under {threat.literal}", "", "", f"not broken, at most: {seen}"))
    suites = [_suite("holdfast.run", cases, facts, summary.verdict.text)]
    told = [_finding(finding, "skipped", run) for finding in summary.findings]
    return _document([*suites, *([_suite("holdfast.findings", told)] if told else [])])


def _apart(checks: Sequence[Check]) -> list[Check]:
    """Rules of one name with the line they stand on: servers know a test case by its name."""
    often = Counter(check.name for check in checks)
    return [dataclasses.replace(c, name=f"{c.name}, line {c.line}") if often[c.name] > 1 else c for c in checks]


def _rule(check: Check, advisory: bool) -> Xml.Element:
    told = f"{check.seen}; wanted: {check.wanted}"
    if check.state == "failed":
        evidence = [f"line {check.line} of the policy", *_numbers("samples that the baseline held", check.samples)]
        kind: Literal["skipped", "failure"] = "skipped" if advisory else "failure"
        told = f"advisory: {told}" if advisory else told
        return _case("holdfast.gate", check.name, kind, "policy", told, evidence)
    if check.state in ("off", "unjudged"):
        return _case("holdfast.gate", check.name, "skipped", check.state, told)
    return _case("holdfast.gate", check.name, "", "", f"{'warning: ' if check.state == 'warned' else ''}{told}")


def _finding(finding: Finding, kind: Literal["failure", "skipped"], run: str) -> Xml.Element:
    """The finding: what was found as the message; its number, samples and the next step below it."""
    under = f" under {finding.threat}" if finding.threat else ""
    number = [] if finding.rate is None else [f"{words.rate(finding.rate)} of {finding.rate.denominator}"]
    shown = [*_numbers("samples", finding.samples), *([f"next: {finding.next}"] if finding.next else [])]
    evidence = [*number, *shown, f"report: holdfast show {shlex.quote(run)}", f"finding {finding.id}"]
    return _case("holdfast.findings", f"{finding.title}{under}", kind, "finding", finding.text, evidence)


def _numbers(what: str, samples: Sequence[int]) -> list[str]:
    return [f"{what}: {', '.join(map(str, samples))}"] if samples else []


def _case(
    group: str,
    name: str,
    kind: Literal["failure", "error", "skipped", ""],
    sort: str,
    told: str,
    evidence: Sequence[str] = (),
) -> Xml.Element:
    """A test case that passed where `kind` is empty; `sort` is the type that the server shows beside the message."""
    case = Xml.Element("testcase", classname=group, name=legal(name))
    if kind:
        Xml.SubElement(case, kind, type=sort, message=legal(told)).text = legal("\n".join(evidence)) or None
    else:
        Xml.SubElement(case, "system-out").text = legal(told)
    return case


def _suite(
    name: str, cases: Sequence[Xml.Element], facts: Mapping[str, str] | None = None, text: str = ""
) -> Xml.Element:
    suite = Xml.Element("testsuite", {"name": name, **{kind: str(count) for kind, count in _counts(cases).items()}})
    if facts:
        whole = Xml.SubElement(suite, "properties")
        for key, value in facts.items():
            Xml.SubElement(whole, "property", name=key, value=legal(value))
    suite.extend(cases)
    if text:
        Xml.SubElement(suite, "system-out").text = legal(text)
    return suite


def _counts(cases: Sequence[Xml.Element]) -> dict[str, int]:
    kinds = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {"tests": len(cases)} | {
        name: sum(case.find(kind) is not None for case in cases) for name, kind in kinds.items()
    }


def _document(suites: Sequence[Xml.Element]) -> str:
    total = {kind: str(sum(int(suite.get(kind, 0)) for suite in suites)) for kind in ("tests", "failures", "errors")}
    root = Xml.Element("testsuites", {"name": "holdfast", **total})
    root.extend(suites)
    Xml.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def legal(text: str) -> str:
    """The text without the characters that no XML document may hold, not even escaped."""
    return _FORBIDDEN.sub("\ufffd", text)
