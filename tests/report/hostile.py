"""Names that strangers may give to classes, features, files and models, and what they would like to do."""

import dataclasses

from holdfast.evaluation.before import EarlierRun
from holdfast.evaluation.summary import Summary

CORPUS = (
    "<script>globalThis.pwned = 1</script>",
    "</script><script>globalThis.pwned = 1</script>",
    "</style><img src=x onerror=globalThis.pwned=1>",
    '" onmouseover="globalThis.pwned=1" x="',
    "' autofocus onfocus=globalThis.pwned=1 '",
    "</title></textarea></svg><svg onload=globalThis.pwned=1>",
    "<iframe src=https://evil.example></iframe>",
    "<!-- ",
    "]]>",
    "&lt;b&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/x.png)",
    "<https://evil.example>",
    "https://evil.example www.evil.example a@b.example",
    "@everyone #1 **bold** _it_ ~~no~~ `code`",
    "| a | b |",
    "```\n# heading\n```",
    "1. list",
    "- item",
    "> quote",
    "---",
    "===",
    "$x$",
    "\\",
    "\\`",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "'=1",
    "\uff1d1",
    '"=1',
    "%0a",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "\x00null",
    "\b\b\b\b",
    "line\nbreak\r\nback",
    "\u2028line",
    "[bold red]rich[/]",
    "[/]",
    "[link=https://evil.example]x[/link]",
    "[@click=app.quit]x[/]",
    "\u202ereversed",
    "\u2066isolate\u2069",
    "zero\u200bwidth",
    "\ufeffbom",
    "tag\U000e0041",
    "e" + "\u0301" * 200,
    "\ud800lone",
    "long " + "x" * 100_000,
    "日本語",
    "🛑 stop",
)
FIXED = {"schema", "state", "kind", "method", "denominator", "schema_version"}


def everywhere(summary: Summary, text: str) -> Summary:
    """The summary with the text in every field that can hold one."""
    return _walk(replaying(summary), text)


def replaying(summary: Summary) -> Summary:
    """The summary of a run that tried inputs of an earlier one first."""
    found = EarlierRun(run="before", model="b", inputs="0123456789", stored=5, tried=3, broken=1)
    return dataclasses.replace(summary, replay=found)


def _walk(value, text):
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(_walk(part, text) for part in value)
    if isinstance(value, dict):
        return {key: _walk(part, text) for key, part in value.items()}
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return dataclasses.replace(
            value, **{key: _walk(part, text) for key, part in fields.items() if key not in FIXED}
        )
    return value


def rows(table, text):
    """The rows of a samples table with the text in every text column."""
    return [
        {key: text if isinstance(value, str) and key != "status" else value for key, value in row.items()}
        for row in table
    ]
