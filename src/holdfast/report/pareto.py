"""The plot of models or defenses: clean accuracy against what withstands, and which no other beats on both."""

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from holdfast.evaluation.statistics import Rate
from holdfast.report import words
from holdfast.report.svg import element

LEFT, TOP, WIDTH, HEIGHT = 11.0, 4.0, 86.0, 84.0  # of the plot inside the picture, in percent
SMALLEST, LARGEST = 5.0, 15.0  # radius of a mark, by the time of a pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mark:
    """What is drawn for one model or defense.

    Args:
        label: What stands beside it, as in the table.
        name: What it is called.
        clean, held: Its two rates.
        bare: Whether it is what the others are compared with.
        doubt: Whether its numbers should not be trusted yet.
        counts: Whether it may stand on the front: nothing does that hardly looks at its inputs.
        ratio: Time of a pass, in those of the bare one.
    """

    label: str
    name: str
    clean: Rate
    held: Rate
    bare: bool = False
    doubt: bool = False
    counts: bool = True
    ratio: float = 1.0

    @property
    def radius(self) -> float:
        """Its area grows with the time of a pass, within bounds."""
        return min(LARGEST, SMALLEST * math.sqrt(max(self.ratio, 1.0)))


def front(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    """Those of which no other has both more clean accuracy and more that withstands, by clean accuracy, falling."""
    counted = [mark for mark in marks if mark.counts]
    found = [
        mark
        for mark in counted
        if not any(
            other.clean.point >= mark.clean.point
            and other.held.point >= mark.held.point
            and (other.clean.point, other.held.point) != (mark.clean.point, mark.held.point)
            for other in counted
        )
    ]
    return tuple(sorted(found, key=lambda mark: (-mark.clean.point, mark.held.point)))


def told(marks: Sequence[Mark], along: str) -> str:
    """The plot in words, for who does not see it; `along` names the rate that they hold."""
    best = {id(mark) for mark in front(marks)}
    each = "; ".join(
        f"{mark.label} {mark.name}: clean {words.percent(mark.clean.point)}, "
        f"{along} {words.percent(mark.held.point)}{', on the front' if id(mark) in best else ''}"
        for mark in marks
    )
    return f"Clean accuracy against {along}. {each}."


def plot(marks: Sequence[Mark], along: str) -> Markup:
    """Marks with intervals, labeled as in the table; the line joins those that no other beats on both axes.

    Blue circles are measured, orange squares are in doubt, the hollow one is what the others are compared with. The
    area of a mark grows with the time of a pass. `along` names the rate that they hold, on the upright axis.
    """
    axes = _Axes(marks)
    parts = [element("title", told(marks, along)), *axes.grid(along)]
    line = [f"{axes.inner(mark)}" for mark in front(marks)]
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
    for mark in marks:
        x, y = axes.x(mark.clean.point), axes.y(mark.held.point)
        across = element("line", class_="reach", x1=axes.x(mark.clean.low), x2=axes.x(mark.clean.high), y1=y, y2=y)
        upright = element("line", class_="reach", x1=x, x2=x, y1=axes.y(mark.held.low), y2=axes.y(mark.held.high))
        parts += [across, upright]
    parts += [_drawn(mark, axes, along) for mark in marks]
    parts += _labels(marks, axes)
    shape = {"class_": "curve pareto", "role": "img", "aria_label": told(marks, along), "width": "100%"}
    return element("svg", *parts, height=420, **shape)


def _drawn(mark: Mark, axes: "_Axes", along: str) -> Markup:
    """A circle or a square."""
    x, y, size = axes.x(mark.clean.point), axes.y(mark.held.point), mark.radius
    title = element(
        "title", f"{mark.label} {mark.name}: clean {words.rate(mark.clean)}, {along} {words.rate(mark.held)}"
    )
    kind = "mark-bare" if mark.bare else "mark-doubt" if mark.doubt else "mark-sound"
    if mark.doubt:
        square = {"x": x, "y": y, "width": 2 * size, "height": 2 * size}
        return element("rect", title, class_=kind, transform=f"translate({-size:.1f} {-size:.1f})", **square)
    return element("circle", title, class_=kind, cx=x, cy=y, r=f"{size:.1f}")


def _labels(marks: Sequence[Mark], axes: "_Axes") -> list[Markup]:
    """Drawn above all marks, towards the middle; those at one place share a label."""

    def beside(there: Sequence[Mark]) -> dict[str, str]:
        away = max(mark.radius for mark in there) + 3
        left = axes.right(there[0])
        return {"class_": "strong end" if left else "strong", "dx": f"{-away if left else away:.0f}"}

    places: dict[tuple[str, str], list[Mark]] = {}
    for mark in marks:
        places.setdefault((axes.x(mark.clean.point), axes.y(mark.held.point)), []).append(mark)
    return [
        element(
            "text",
            ", ".join(mark.label for mark in there),
            x=x,
            y=y,
            dy=-5,
            **beside(there),
        )
        for (x, y), there in places.items()
    ]


class _Axes:
    """Both axes, cut to what is shown, in steps of 10 points."""

    def __init__(self, marks: Sequence[Mark]):
        self.across = _limits([end for mark in marks for end in (mark.clean.low, mark.clean.high)])
        self.along = _limits([end for mark in marks for end in (mark.held.low, mark.held.high)])

    def x(self, share: float) -> str:
        return f"{LEFT + WIDTH * _place(share, self.across):.3f}%"

    def y(self, share: float) -> str:
        return f"{TOP + HEIGHT * (1 - _place(share, self.along)):.3f}%"

    def inner(self, mark: Mark) -> str:
        """In the thousandths of the plot."""
        across, along = _place(mark.clean.point, self.across), _place(mark.held.point, self.along)
        return f"{1000 * across:.2f},{1000 * (1 - along):.2f}"

    def right(self, mark: Mark) -> bool:
        """Whether it stands where a name to its right would leave the picture."""
        return _place(mark.clean.point, self.across) > 0.8

    def grid(self, along: str) -> list[Markup]:
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
        parts.append(element("text", f"↑ {along}", class_="axis", x=f"{LEFT}%", y=0, dx=4, dy=10))
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
