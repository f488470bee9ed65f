"""Small static charts as SVG. Coordinates are percentages, so that they fit a phone while letters keep their size."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import CurvePoint
from holdfast.report import words


def element(name: str, *inside: Any, **attributes: Any) -> Markup:
    """One SVG element; everything in it is escaped. `class_` is `class`, `stroke_width` is `stroke-width`."""
    pairs = [
        (key.rstrip("_").replace("_", "-") if key not in _CAMEL else key, value) for key, value in attributes.items()
    ]
    head = Markup("").join(Markup(' {}="{}"').format(Markup(key), value) for key, value in pairs)
    body = Markup("").join(escape(part) for part in inside)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), head, body)


_CAMEL = {"viewBox", "preserveAspectRatio", "patternUnits", "patternTransform"}


def bracket(robust: Rate, clean: Rate, partial: bool = False) -> Markup:
    """The bar of the verdict: not broken, broken, wrong before; intervals as whiskers, clean accuracy as a tick."""
    held, right = robust.point, max(clean.point, robust.point)
    top, height = 34, 34
    told = (
        f"Of all samples {words.rate(robust)} were not broken; "
        f"{words.rate(clean)} were right before any attack. Certified: nothing was computed."
    )
    parts = [
        element("title", told),
        element("defs", _hatch("holdfast-hatch", 5), _hatch("holdfast-partial", 9)),
        _bar(0, held, top, height, "held"),
        _bar(held, right, top, height, "lost"),
        _bar(right, 1, top, height, "wrong"),
        _bar(right, 1, top, height, "lines", fill="url(#holdfast-hatch)"),
    ]
    if partial:
        parts.append(_bar(0, 1, top, height, "lines", fill="url(#holdfast-partial)"))
    parts += [
        *_whisker(robust, top + height / 2, 7, "over"),
        *_whisker(robust, top + height / 2, 7),
        _line(right, top - 8, right, top + height, "tick"),
        _label(right, top - 14, f"clean {words.percent(clean.point)}", "label"),
        _label(held, top + height + 20, f"not broken ≤ {words.percent(held)}", "label strong"),
        *(_label(mark / 100, top + height + 42, f"{mark} %", "axis") for mark in (0, 25, 50, 75, 100)),
    ]
    return element("svg", *parts, class_="bracket", role="img", aria_label=told, width="100%", height=118)


def interval(rate: Rate, other: Rate | None = None) -> Markup:
    """One row of a dot-and-interval plot on an axis from 0 to 100 %; `other` is a hollow second mark."""
    parts = [element("title", words.rate(rate)), *(_line(x, 3, x, 21, "grid") for x in (0, 0.25, 0.5, 0.75, 1))]
    if other is not None:
        parts += [_line(other.point, 6, other.point, 18, "tick thin")]
    parts += [
        _line(rate.low, 12, rate.high, 12, "whisker"),
        element("circle", class_="dot", cx=_at(rate.point), cy=12, r=4.5),
    ]
    return element("svg", *parts, class_="row", role="img", aria_label=words.rate(rate), width="100%", height=24)


def ladder(rows: Sequence[tuple[str, Rate, Rate]]) -> Markup:
    """A line for each name: a rate with its interval, and a second rate as a tick, on one axis from 0 to 100 %."""
    step, foot = 30, 30 * len(rows) + 6
    told = "; ".join(f"{name}: {words.rate(rate)}, tick at {words.percent(other.point)}" for name, rate, other in rows)
    parts = [element("title", told)]
    for mark in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(_beside(mark), 2, _beside(mark), foot, "grid"))
        parts.append(
            element(
                "text", f"{100 * mark:.0f} %", class_="axis", x=_at(_beside(mark)), y=foot + 16, text_anchor="middle"
            )
        )
    for place, (name, rate, other) in enumerate(rows):
        y, low, high, tick = step * place + 18, _beside(rate.low), _beside(rate.high), _beside(other.point)
        parts += [
            element("text", name, class_="axis", x="0%", y=y + 4),
            _line(tick, y - 8, tick, y + 8, "tick thin"),
            *(_line(x, y - 4, x, y + 4, "whisker") for x in (low, high)),
            _line(low, y, high, y, "whisker"),
            element(
                "circle", element("title", words.rate(rate)), class_="dot", cx=_at(_beside(rate.point)), cy=y, r=4.5
            ),
        ]
    return element("svg", *parts, class_="curve", role="img", aria_label=told, width="100%", height=foot + 24)


def bite(before: int, broken: int, total: int) -> Markup:
    """What one attack took from the samples still standing: the rest in blue, the piece it broke in orange."""
    told = f"{broken} of {total} samples broken here, {before - broken} still standing"
    return element(
        "svg",
        element("title", told),
        _bar(0, 1, 7, 10, "base"),
        _bar(0, (before - broken) / total, 7, 10, "held"),
        _bar((before - broken) / total, before / total, 7, 10, "lost"),
        class_="row",
        role="img",
        aria_label=told,
        width="100%",
        height=24,
    )


def curve(points: Sequence[CurvePoint], radius: float | None, title: str) -> Markup:
    """Empirical robust accuracy against the radius, with a band for the interval and a line at the threat's radius."""
    return curves([("", points)], radius, title)


def curves(series: Sequence[tuple[str, Sequence[CurvePoint]]], radius: float | None, title: str) -> Markup:
    """One or two such curves with their names: the first solid with full dots, the second dashed with hollow ones."""
    radii = [point.radius for _, points in series for point in points]
    frame = _Frame(max(radii) or 1.0)
    each = [
        (f"{name}: " if name else "")
        + "; ".join(f"{words.percent(p.rate.point)} at {words.size(p.radius)}" for p in points)
        for name, points in series
    ]
    told, kinds = f"{title}: {'. '.join(each)}", ("", " second")
    plot = element(
        "svg",
        *(_band(frame, points, kind) for (_, points), kind in zip(series, kinds, strict=False)),
        x=f"{_Frame.LEFT}%",
        y=f"{_Frame.TOP}%",
        width=f"{_Frame.WIDTH}%",
        height=f"{_Frame.HEIGHT}%",
        viewBox="0 0 1000 1000",
        preserveAspectRatio="none",
    )
    parts = [element("title", told)]
    for level in (0, 0.25, 0.5, 0.75, 1):
        y = frame.y(level)
        parts += [
            element("line", class_="grid", x1=frame.x(0), x2=frame.x(frame.reach), y1=y, y2=y),
            element("text", f"{100 * level:.0f} %", class_="axis end", x=frame.x(0), y=y, dx=-8, dy=4),
        ]
    if radius is not None and radius <= frame.reach:
        parts.append(
            element("line", class_="mark", x1=frame.x(radius), x2=frame.x(radius), y1=frame.y(0), y2=frame.y(1))
        )
    parts.append(plot)
    for (name, points), kind in zip(series, kinds, strict=False):
        parts += [_dot(frame, point, kind, f"{name}, " if name else "") for point in points]
    for tick in _ticks(radii):
        parts.append(element("text", words.size(tick), class_="axis mid", x=frame.x(tick), y=frame.y(0), dy=18))
    return element("svg", *parts, class_="curve", role="img", aria_label=told, width="100%", height=320)


def _band(frame: "_Frame", points: Sequence[CurvePoint], kind: str) -> Markup:
    """The interval of a curve and its line."""
    upper = [frame.inner(p.radius, p.rate.high) for p in points]
    lower = [frame.inner(p.radius, p.rate.low) for p in reversed(points)]
    middle = [frame.inner(p.radius, p.rate.point) for p in points]
    band = element("polygon", class_=f"band{kind}", points=" ".join(upper + lower))
    return Markup("").join([band, element("polyline", class_=f"line{kind}", points=" ".join(middle))])


def _dot(frame: "_Frame", point: CurvePoint, kind: str, name: str) -> Markup:
    return element(
        "circle",
        element("title", f"{name}{words.size(point.radius)}: {words.rate(point.rate)}"),
        class_=f"dot{kind}",
        cx=frame.x(point.radius),
        cy=frame.y(point.rate.point),
        r=3.5,
    )


class _Frame:
    """The plot area inside a chart, in percent of its size."""

    LEFT, TOP, WIDTH, HEIGHT = 13.0, 3.0, 84.0, 88.0

    def __init__(self, reach: float):
        self.reach = reach

    def x(self, radius: float) -> str:
        return f"{self.LEFT + self.WIDTH * radius / self.reach:.3f}%"

    def y(self, share: float) -> str:
        return f"{self.TOP + self.HEIGHT * (1 - share):.3f}%"

    def inner(self, radius: float, share: float) -> str:
        return f"{1000 * radius / self.reach:.2f},{1000 * (1 - share):.2f}"


def _ticks(radii: list[float]) -> list[float]:
    """At most five of the radii, far enough apart that their labels do not touch; always the first and the last."""
    reach = max(radii) or 1.0
    kept: list[float] = []
    for radius in [*sorted(set(radii))[:1], *sorted(set(radii), reverse=True)]:
        if len(kept) < 6 and all(abs(radius - other) >= 0.17 * reach for other in kept):
            kept.append(radius)
    return kept


def _at(share: float) -> str:
    return f"{100 * share:.3f}%"


def _beside(share: float) -> float:
    """A share on an axis that leaves room for names."""
    return 0.3 + 0.67 * share


def _bar(start: float, end: float, top: float, height: float, kind: str, **more: Any) -> Markup:
    return element("rect", class_=kind, x=_at(start), y=top, width=_at(max(0.0, end - start)), height=height, **more)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", class_=kind, x1=_at(x1), y1=y1, x2=_at(x2), y2=y2)


def _whisker(rate: Rate, y: float, cap: float, kind: str = "") -> list[Markup]:
    ends = [_line(x, y - cap, x, y + cap, f"whisker {kind}") for x in (rate.low, rate.high)]
    return [_line(rate.low, y, rate.high, y, f"whisker {kind}"), *ends]


def _label(share: float, y: float, text: str, kind: str) -> Markup:
    anchor = "start" if share < 0.22 else "end" if share > 0.78 else "middle"
    return element("text", text, class_=kind, x=_at(share), y=y, text_anchor=anchor)


def _hatch(name: str, gap: int) -> Markup:
    stripe = element("line", class_="stripe", x1=0, y1=0, x2=0, y2=gap)
    return element(
        "pattern", stripe, id=name, width=gap, height=gap, patternUnits="userSpaceOnUse", patternTransform="rotate(45)"
    )
