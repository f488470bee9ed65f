"""What a gate says as a page, as JUnit XML, as SARIF or as JSON; the ending of the file chooses."""

from holdfast.evaluation.document import to_json
from holdfast.evaluation.gate import Gate
from holdfast.report import badge, junit, sarif, sheet
from holdfast.report.sheet import Sheet, Table
from holdfast.report.visible import short

FORMS = (".xml", ".sarif", ".md", ".html", ".badge.json", ".json", ".svg", ".txt")
WORDS = {"passed": "passed", "failed": "FAILED", "warned": "warning", "off": "off", "unjudged": "not judged"}
CONSERVATIVE = (
    "A rate is compared by the lower end of its 95 % interval, unless the rule says “rate itself”. A rule against the "
    "baseline fails only where the drop is larger than allowed and the exact McNemar test (sign flips of whole groups, "
    "where samples come in groups) finds it on the same samples."
)


def render(found: Gate, form: str, category: str = "") -> str:
    """The result in the form of a file's ending, one of `FORMS`: .xml is JUnit, .svg and .badge.json are badges.

    Args:
        found: What the gate says.
        form: The ending.
        category: Of the alerts in SARIF; other forms have none.
    """
    if form == ".sarif":
        return sarif.render(found, category)
    if form in (".md", ".html", ".txt"):
        return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found))
    forms = {".xml": junit.render, ".svg": badge.svg, ".badge.json": badge.endpoint}
    return (forms | {".json": to_json})[form](found)


def page(found: Gate) -> Sheet:
    """The sentence, a row for each rule, notes."""
    against = f", baseline {short(found.baseline, 60)}" if found.baseline else ""
    return Sheet(
        title=f"Gate: {short(found.run, 60)} ({short(found.model, 40)}) by {short(found.policy, 60)}{against}",
        lead=(found.text,),
        tables=(
            Table(
                caption="",
                heads=("", "rule", "wanted", "seen"),
                rows=tuple((WORDS[c.state], c.name, c.wanted, c.seen) for c in found.checks),
            ),
        ),
        notes=(*found.notes, CONSERVATIVE),
        foot=f"Made by holdfast {found.holdfast}.",
    )
