"""The one plot of a comparison of defenses: clean accuracy against what withstands attackers who know the defense."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from holdfast.evaluation.defending.advice import blind
from holdfast.evaluation.defending.records import Row
from holdfast.report import words
from holdfast.report.svg import element

LEFT, TOP, WIDTH, HEIGHT = 11.0, 4.0, 86.0, 84.0  # of the plot inside the picture, in percent
SMALLEST, LARGEST = 5.0, 15.0  # radius of a mark, by the time of a pass


def front(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Those of which no other has both more clean accuracy and more that withstands, by clean accuracy, falling.

    Rows that hardly look at their inputs are left out.
    """
    seeing = [row for row in rows if not blind(row)]
    found = [
        row
        for row in seeing
        if not any(
            other.clean.point >= row.clean.point
            and other.aware.point >= row.aware.point
            and (other.clean.point, other.aware.point) != (row.clean.point, row.aware.point)
            for other in seeing
        )
    ]
    return tuple(sorted(found, key=lambda row: (-row.clean.point, row.aware.point)))


def told(rows: Sequence[Row]) -> str:
    """The plot in words, for who does not see it."""
    best = {id(row) for row in front(rows)}
    each = "; ".join(
        f"{number} {row.facts.defense}: clean {words.percent(row.clean.point)}, "
        f"defense-aware {words.percent(row.aware.point)}{', on the front' if id(row) in best else ''}"
        for number, row in enumerate(rows)
    )
    return f"Clean accuracy against defense-aware robust accuracy. {each}."


def plot(rows: Sequence[Row]) -> Markup:
    """Marks with intervals, numbered as in the table; the line joins those that no other beats on both axes.

    Blue circles are measured, orange squares are in doubt, the hollow one is the undefended model. The area of a mark
    grows with the time of a pass.
    """
    axes = _Axes(rows)
    parts = [element("title", told(rows)), *axes.grid()]
    line = [f"{axes.inner(row)}" for row in front(rows)]
    if len(line) > 1:
        parts.append(
            element(
                "svg",
                element("polyline", class_="line", points=" ".join(line)),
                x=f"{LEFT}%",
                y=f"{TOP}%",
                width=f"{WIDTH}%",
                height=f"{HEIGHT}%",
                viewBox="0 0 1000 1000",
                preserveAspectRatio="none",
            )
        )
    for row in rows:
        x, y = axes.x(row.clean.point), axes.y(row.aware.point)
        across = element("line", class_="reach", x1=axes.x(row.clean.low), x2=axes.x(row.clean.high), y1=y, y2=y)
        along = element("line", class_="reach", x1=x, x2=x, y1=axes.y(row.aware.low), y2=axes.y(row.aware.high))
        parts += [across, along]
    parts += [_mark(number, row, axes) for number, row in enumerate(rows)]
    parts += _labels(rows, axes)
    return element("svg", *parts, class_="curve pareto", role="img", aria_label=told(rows), width="100%", height=420)


def _mark(number: int, row: Row, axes: "_Axes") -> Markup:
    """A circle or a square."""
    x, y, size = axes.x(row.clean.point), axes.y(row.aware.point), radius(row)
    title = element(
        "title",
        f"{number} {row.facts.defense}: clean {words.rate(row.clean)}, defense-aware {words.rate(row.aware)}",
    )
    doubtful = row.state != "measured" or row.masking == "suspect" or blind(row)
    kind = "mark-bare" if row.facts.passes is None else "mark-doubt" if doubtful else "mark-sound"
    if doubtful:
        square = {"x": x, "y": y, "width": 2 * size, "height": 2 * size}
        return element("rect", title, class_=kind, transform=f"translate({-size:.1f} {-size:.1f})", **square)
    return element("circle", title, class_=kind, cx=x, cy=y, r=f"{size:.1f}")


def _labels(rows: Sequence[Row], axes: "_Axes") -> list[Markup]:
    """The numbers, drawn above all marks; rows at one place share a label."""
    places: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault((axes.x(row.clean.point), axes.y(row.aware.point)), []).append(number)
    return [
        element(
            "text",
            ", ".join(map(str, numbers)),
            class_="strong",
            x=x,
            y=y,
            dx=f"{max(radius(rows[number]) for number in numbers) + 3:.0f}",
            dy=-5,
        )
        for (x, y), numbers in places.items()
    ]


def radius(row: Row) -> float:
    """Of a mark: its area grows with the time of a pass, within bounds."""
    ratio = 1.0 if row.facts.passes is None else row.facts.passes.ratio
    return min(LARGEST, SMALLEST * math.sqrt(max(ratio, 1.0)))


class _Axes:
    """Both axes, cut to what is shown, in steps of 10 points."""

    def __init__(self, rows: Sequence[Row]):
        self.across = _limits([end for row in rows for end in (row.clean.low, row.clean.high)])
        self.along = _limits([end for row in rows for end in (row.aware.low, row.aware.high)])

    def x(self, share: float) -> str:
        return f"{LEFT + WIDTH * _place(share, self.across):.3f}%"

    def y(self, share: float) -> str:
        return f"{TOP + HEIGHT * (1 - _place(share, self.along)):.3f}%"

    def inner(self, row: Row) -> str:
        """In the thousandths of the plot."""
        across, along = _place(row.clean.point, self.across), _place(row.aware.point, self.along)
        return f"{1000 * across:.2f},{1000 * (1 - along):.2f}"

    def grid(self) -> list[Markup]:
        """Lines, numbers and what the axes are."""
        parts = []
        for level in _ticks(self.along):
            y = self.y(level)
            parts.append(element("line", class_="grid", x1=f"{LEFT}%", x2=f"{LEFT + WIDTH}%", y1=y, y2=y))
            parts.append(element("text", f"{100 * level:.0f} %", class_="axis end", x=f"{LEFT}%", y=y, dx=-8, dy=4))
        for level in _ticks(self.across):
            x = self.x(level)
            parts.append(element("line", class_="grid", x1=x, x2=x, y1=f"{TOP}%", y2=f"{TOP + HEIGHT}%"))
            parts.append(element("text", f"{100 * level:.0f} %", class_="axis mid", x=x, y=f"{TOP + HEIGHT}%", dy=18))
        middle = f"{LEFT + WIDTH / 2}%"
        parts.append(element("text", "clean accuracy", class_="axis mid", x=middle, y=f"{TOP + HEIGHT}%", dy=38))
        parts.append(element("text", "↑ withstands, defense-aware", class_="axis", x=f"{LEFT}%", y=0, dx=4, dy=10))
        return parts


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Whole steps of 10 points around the values, at least two of them."""
    low, high = int(10 * min(values)) / 10, -int(-10 * max(values) // 1) / 10
    return (low, max(high, low + 0.2)) if low <= 0.8 else (0.8, 1.0)


def _ticks(limits: tuple[float, float]) -> list[float]:
    """Every 10 points, every 20 where that would be many."""
    count = round(10 * (limits[1] - limits[0]))
    step = 1 if count <= 6 else 2
    return [limits[0] + place / 10 for place in range(0, count + 1, step)]


def _place(share: float, limits: tuple[float, float]) -> float:
    return (share - limits[0]) / (limits[1] - limits[0])
