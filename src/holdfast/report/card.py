"""A robustness card: Markdown with a YAML head that the Hugging Face Hub reads (`model-index`), filled from a run.

What is measured stands between two pairs of markers, one in the head and one in the text; a later export replaces what
is between them and nothing else. What a person must state is listed once and never filled in.
"""

import dataclasses
import re
import shlex
from typing import Any

import yaml

from holdfast.core.errors import HoldfastError, UsageError
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import Summary, ThreatFacts
from holdfast.report import words
from holdfast.report.markdown import quoted, told, trimmed
from holdfast.report.visible import cleaned, short
from holdfast.threats.literals import parse

HEAD = ("# holdfast begin", "# holdfast end")
TEXT = ("<!-- holdfast begin -->", "<!-- holdfast end -->")
OWNER = """\
## To be stated by the owner

Nothing here follows from a measurement, so nothing is filled in. A later export leaves this section alone.

- Intended use, and uses that are out of scope: **to be stated by the owner**
- Who might attack this model, and why the threats below are the ones that matter: **to be stated by the owner**
- Decision (is this enough for the intended use?), by whom and when: **to be stated by the owner**
- License and contact: **to be stated by the owner**
"""
TASKS = {"image": "image-classification", "vector": "tabular-classification"}
NAME = 100
MARK = "\ufeff"  # a byte order mark
_PLACE = re.compile(
    r"(?:^|(?<=[=:,('\"@]))(?:~[^=:,/\\]*|\.{1,2}|[A-Za-z]:)?[/\\](?!/)(?:[^=:,]*[/\\](?=[^=:,/\\]))?"
)  # before a name
_FRONT = re.compile(r"\A(---[ \t]*\r?\n)(.*?)^(---[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class _Card:
    """A file in two pieces: what stands between the first two `---` lines, as they are written there, and the rest."""

    head: str
    text: str
    lines: tuple[str, str] = ("---\n", "---\n")

    def __str__(self) -> str:
        return f"{self.lines[0]}{self.head}{self.lines[1]}{self.text}"


def render(summary: Summary, before: str = "") -> str:
    """The card; with the text of an earlier one, that text with new measurements.

    Args:
        summary: Of the run.
        before: What the file holds now: an earlier card, or any model card; empty for a new file. A byte order mark
            at its start stays, and so do its line ends; new lines end like the others where those agree.

    Raises:
        UsageError: HF829 where the file's markers or its head are broken, or it has a `model-index` of its own, or the
            head would be broken by what is added.
    """
    if before.startswith(MARK):
        return MARK + render(summary, before.removeprefix(MARK))
    if before.count("\n") == before.count("\r\n") > 0:
        return render(summary, before.replace("\r\n", "\n")).replace("\n", "\r\n")
    summary = _unplaced(cleaned(summary))
    head, text = _head(summary), _text(summary)
    if not before.strip():
        title = f"# Robustness card: {quoted(summary.model.name, NAME)}"
        return str(_Card(_marked(HEAD, head), f"{title}\n\n{OWNER}\n{_marked(TEXT, text)}"))
    card = _parted(before)
    if "model-index" in _mapping(_put(card.head, HEAD, "")):
        raise _refused("it has a model-index of its own", "model-index outside the markers", "none there")
    new = _put(card.head, HEAD, head)
    if _mapping(new).get("model-index") != _mapping(head).get("model-index"):
        raise _refused("its YAML head hides the model-index", "another value in its place", "keys with values")
    return str(dataclasses.replace(card, head=new, text=_put(card.text, TEXT, text, first=OWNER)))


def model_index(summary: Summary) -> dict[str, Any]:
    """The `model-index` of a run as plain values; its metrics are shares, not percent, and empty where none counts.

    A rate of a run that is partial, empty or doubtful is no result to publish.
    """
    data = summary.data
    metrics = [_metric("accuracy", "clean accuracy", summary.rates.clean_accuracy, {})]
    for threat in summary.threats:
        args = {**_ball(threat), "suite": summary.suite, "seed": summary.provenance.seed}
        name = f"not broken under {threat.literal} (upper bound)"
        metrics.append(_metric("robust_accuracy", name, threat.empirical_robust_accuracy, args))
    if len(summary.threats) > 1:
        args = {"threat": " or ".join(t.literal for t in summary.threats), "suite": summary.suite}
        name = "not broken under any of the threats (upper bound)"
        metrics.append(_metric("robust_accuracy", name, summary.rates.empirical_robust_accuracy, args))
    result = {
        "task": {"type": TASKS[data.kind]},
        "dataset": {
            "name": short(data.name, NAME) or "unnamed",
            "type": short(data.name, NAME) or "unnamed",
            "split": short(data.split, NAME),
            "args": {"samples": data.n, "of": data.total, "digest": data.digest},
        },
        "metrics": [metric for metric in metrics if metric] if summary.verdict.state == "measured" else [],
    }
    return {"model-index": [{"name": short(summary.model.name, NAME) or "unnamed", "results": [result]}]}


def _metric(kind: str, name: str, rate: Rate | None, args: dict[str, Any]) -> dict[str, Any]:
    if rate is None:
        return {}
    interval = {"interval": [rate.low, rate.high], "level": rate.level, "samples": rate.n}
    return {"type": kind, "name": short(name, NAME), "value": rate.point, "args": {**args, **interval}}


def _ball(threat: ThreatFacts) -> dict[str, Any]:
    """Norm and radius; an infinite radius as a word, for JSON has no number for it."""
    try:
        found = parse(threat.literal)
    except HoldfastError:
        return {"threat": short(threat.literal, NAME)}  # of a later version
    return {"threat": threat.literal, "norm": found.norm, "eps": found.radius if found.bounded else "inf"}


def _head(summary: Summary) -> str:
    found = model_index(summary)
    if not found["model-index"][0]["results"][0]["metrics"]:
        return f"# no model-index: the result of this run is {summary.verdict.state}\n"
    dumped: str = yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=10**9)
    return dumped


def _text(summary: Summary) -> str:
    """The Markdown report a level lower, with the trust that it deserves at its top."""
    trust = [f"Verdict: {summary.verdict.state}; {quoted(words.masking(summary), 600)}.", ""]
    lines = [f"#{line}" if line.startswith("## ") else line for line in told(summary)]
    page = trimmed(["## Robustness, measured by holdfast", "", *trust, *lines])
    return "".join(line for line in page.splitlines(keepends=True) if line.strip() not in TEXT)


def _unplaced(summary: Summary) -> Summary:
    """The summary with a command that says nothing of this machine: of the paths in it the last part is left."""
    told = summary.provenance.command
    try:
        given = shlex.split(told)
    except ValueError:
        given = told.split()  # a quote that nothing closes
    kept = [_PLACE.sub("", word) for word in given]
    if kept == given:
        return summary
    return dataclasses.replace(summary, provenance=dataclasses.replace(summary.provenance, command=shlex.join(kept)))


def _marked(marks: tuple[str, str], block: str) -> str:
    return f"{marks[0]}\n{block}{marks[1]}\n"


def _parted(page: str) -> _Card:
    """Head and text of a file; without a head the whole file is text."""
    found = _FRONT.match(page)
    if not found:
        return _Card("", page)
    last = found[3] if found[3].endswith("\n") else f"{found[3]}\n"
    return _Card(found[2], page[found.end() :], (found[1], last))


def _put(page: str, marks: tuple[str, str], block: str, first: str = "") -> str:
    """The page with the block between the marks; at its end where they are not there yet, after what comes `first`."""
    lines = page.splitlines(keepends=True)
    begins, ends = ([i for i, line in enumerate(lines) if line.strip() == mark] for mark in marks)
    if not begins and not ends:
        gap = "" if not page.strip() or marks is HEAD else "\n" if page.endswith("\n") else "\n\n"
        return page + gap + (f"{first}\n" if first else "") + _marked(marks, block)
    if len(begins) != 1 or len(ends) != 1 or begins[0] > ends[0]:
        raise _refused(
            "its markers are broken",
            f"{len(begins)} times '{marks[0]}', {len(ends)} times '{marks[1]}'",
            "one of each, in this order",
        )
    return "".join(lines[: begins[0]]) + _marked(marks, block) + "".join(lines[ends[0] + 1 :])


def _mapping(head: str) -> dict[str, Any]:
    """The keys of a head; one that nobody could read is refused."""
    try:
        found = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a day that is in no calendar
        raise _refused("its YAML head cannot be read", " ".join(str(error).split())[:120], "YAML") from error
    if found is not None and not isinstance(found, dict):
        raise _refused("its YAML head is no mapping", type(found).__name__, "keys with values")
    return found or {}


def _refused(why: str, seen: str, expected: str) -> UsageError:
    return UsageError(
        "HF829", f"The card cannot be filled in: {why}", seen=seen, expected=expected, fix="mend it, or another -o"
    )
