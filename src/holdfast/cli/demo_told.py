"""What `holdfast demo road-signs` says at its end: a table, what crossed over, what it cost, what to do next."""

import dataclasses
import json
import shlex
import textwrap
from collections.abc import Sequence

from holdfast.cli import output, result
from holdfast.cli.demo_story import RENDERED, Judged, Told
from holdfast.cli.progress import clock
from holdfast.cli.terminal import clean, strong, table
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import Transfer
from holdfast.report import words

WIDTH = 80
SCHEMA = "urn:holdfast:demo:1"


def screen(told: Told, quiet: int = 0) -> str:
    """The story on one screen of 80 columns, commands and paths aside; with `-q` the table alone."""
    if quiet:
        return rates(told)
    lines = [*_wrapped(opening(told)), "", rates(told), "", *(line for text in found(told) for line in _wrapped(text))]
    lines += ["", *_wrapped(cost(told)), "", strong("Reports")]
    lines += [f"  {clean(each.page, '')}" for each in told.judged]
    return "\n".join([*lines, "", *output.following(following(told))])


def opening(told: Told) -> str:
    """What was asked of whom."""
    facts, threat = told.judged[0].summary.data, told.judged[0].summary.threats[0]
    what = "rendered road signs" if told.story.data == RENDERED else f"pictures of {clean(facts.name, '')}"
    return (
        f"{facts.n} {what} that no network learned from; {threat.words} ({threat.literal}). "
        f"Attacks: the suite {told.judged[0].summary.provenance.suite}."
    )


def rates(told: Told) -> str:
    """Clean accuracy and what was not broken, each with its 95 % interval."""
    rows = [(each.part.name, *(_rate(r) for r in _both(each))) for each in told.judged]
    return table(rows, ("", "clean", "not broken, at most"))


def found(told: Told) -> list[str]:
    """What crossed from network to network, and what the hardening bought and cost."""
    resnet, vgg, hardened = told.judged
    lines = []
    for source, target in ((resnet, vgg), (vgg, resnet)):
        for transfer in source.summary.transfer:
            lines.append(_crossed(source, target, transfer))
    before, after = _both(resnet), _both(hardened)
    if None not in before and None not in after:
        clean_before, robust_before, clean_after, robust_after = (r.point for r in (*before, *after) if r is not None)
        lines.append(
            f"Adversarial training moved the share that was not broken from {words.percent(robust_before)} to "
            f"{words.percent(robust_after)}, and clean accuracy from {words.percent(clean_before)} to "
            f"{words.percent(clean_after)}, on the same pictures."
        )
    return [f"- {line}" for line in lines]


def cost(told: Told) -> str:
    """What this call spent, and what it found done."""
    spent = [f"{name} {clock(seconds)}" for name, seconds in told.seconds.items()]
    whole = all(f"train {each.part.name}" in told.seconds for each in told.judged)
    reused = "" if whole else " What is not named was in the folder already, and so may be parts of what is."
    return f"Time of this call: {clock(sum(told.seconds.values()))} ({', '.join(spent)}).{reused}"


def following(told: Told) -> list[tuple[str, str]]:
    """Three commands to go on with."""
    resnet, _, hardened = told.judged
    story = told.story
    again = ["holdfast", "audit", str(hardened.file), story.data, "--threat", story.threat]
    return [
        (f"holdfast show {shlex.quote(str(resnet.folder))} --status broken", "what broke, the smallest change first"),
        (
            shlex.join([*again, "--limit", str(story.samples), "-o", str(hardened.folder)]),
            "a number to state needs the standard attacks; what is done is reused",
        ),
        ("holdfast audit MODEL DATA", "the same for your own model and your own data"),
    ]


def document(told: Told) -> str:
    """The same as JSON."""
    runs = [
        {
            "name": each.part.name,
            "model": str(each.file),
            "folder": str(each.folder),
            "report": str(each.page),
            "clean_accuracy": _plain(_both(each)[0]),
            "empirical_robust_accuracy": _plain(_both(each)[1]),
            "transfer": [{"model": t.model, "threat": t.threat, "rate": _plain(t.rate)} for t in each.summary.transfer],
        }
        for each in told.judged
    ]
    return json.dumps({"schema": SCHEMA, "data": told.story.data, "runs": runs, "seconds": told.seconds})


def exit_code(told: Told) -> int:
    """That of the first audit which did not come to its end, else 0; a demonstration shows doubt, it gates nothing."""
    ended = [each.summary for each in told.judged if each.summary.verdict.state != "doubtful"]
    return next((int(code) for summary in ended if (code := result.exit_code(summary))), 0)


def _both(each: Judged) -> tuple[Rate | None, Rate | None]:
    return each.summary.rates.clean_accuracy, each.summary.rates.empirical_robust_accuracy


def _rate(found: Rate | None) -> str:
    return words.rate(found).replace("\u00a0", " ")


def _plain(found: Rate | None) -> dict[str, object] | None:
    return None if found is None else dataclasses.asdict(found)


def _crossed(source: Judged, target: Judged, transfer: Transfer) -> str:
    if transfer.rate is None:
        return f"Nothing could be carried over from the {source.part.name} to the {target.part.name}."
    of = f"Of the pictures changed to break the {source.part.name}"
    return f"{of}, {_rate(transfer.rate)} break the {target.part.name} too."


def _wrapped(text: str) -> Sequence[str]:
    plain = clean(text, "").replace("\u00a0", " ").replace("\u202f", " ")
    hang = "  " if plain.startswith("- ") else ""
    return textwrap.wrap(plain, WIDTH, subsequent_indent=hang, break_on_hyphens=False)
