"""What a gate says as a badge: an SVG of its own, or JSON for the endpoint badge of shields.io.

A badge travels without its report, so it says "at most", carries the interval, the threat and the date, and shows no
rate where the run cannot be judged.
"""

import json

from markupsafe import Markup

from holdfast.evaluation.gate import Gate
from holdfast.report import words
from holdfast.report.junit import legal
from holdfast.report.svg import element
from holdfast.report.visible import cleaned, short

COLORS = {"passed": ("green", "#2e7d32"), "failed": ("red", "#b3261e"), "advisory": ("orange", "#9a5b00")}
NEITHER = ("lightgrey", "#5f6368")
NAME = 40
HEIGHT, SIZE, ROOM = 20, 11, 7  # pixels
_NARROW = set(" .,:;|!'()[]/ijlt")


def endpoint(found: Gate) -> str:
    """The JSON that shields.io reads: `https://img.shields.io/endpoint?url=...`."""
    label, message, (color, _) = _said(found)
    return json.dumps({"schemaVersion": 1, "label": label, "message": message, "color": color}, indent=1) + "\n"


def svg(found: Gate) -> str:
    """The picture: label in gray, message in the color of the state, the same as text for who does not see it."""
    label, message, (_, color) = _said(found)
    left, right = _width(label), _width(message)
    whole = element(
        "svg",
        element("title", f"{label}: {message}"),
        element("rect", width=left, height=HEIGHT, fill="#3c4043"),
        element("rect", x=left, width=right, height=HEIGHT, fill=color),
        _text(label, 0, left),
        _text(message, left, right),
        xmlns="http://www.w3.org/2000/svg",
        width=left + right,
        height=HEIGHT,
        role="img",
        aria_label=f"{label}: {message}",
        font_family="Verdana, DejaVu Sans, sans-serif",
        font_size=SIZE,
    )
    return f"{whole}\n"


def _said(found: Gate) -> tuple[str, str, tuple[str, str]]:
    """Label, message and color."""
    found = cleaned(found)
    under = legal(short(" or ".join(found.threats), NAME))
    label, date = f"not broken under {under}" if under else "not broken", legal(found.finished[:10])
    if found.rate is None or found.state not in ("passed", "failed"):
        return label, f"no result: {found.state}, {date}", NEITHER
    rate = f"≤ {words.percent(found.rate.point)} {words.interval(found.rate)}".replace("\u00a0", " ")
    advisory = found.advisory and found.state == "failed"
    state = "failed, advisory" if advisory else found.state
    return label, f"{rate}, {date}, gate {state}", COLORS["advisory" if advisory else found.state]


def _width(text: str) -> int:
    """About what the text takes in Verdana; the picture then gives it exactly this."""
    return round(sum(4.5 if sign in _NARROW else 7.2 for sign in text)) + 2 * ROOM


def _text(text: str, start: int, width: int) -> Markup:
    return element("text", text, x=start + ROOM, y=14, fill="#fff", textLength=width - 2 * ROOM, aria_hidden="true")
