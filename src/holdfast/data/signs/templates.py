"""The signs seen from the front, drawn once: shapes and colors follow the Vienna Convention on Road Signs (1968)."""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from holdfast.data.signs import glyphs, shapes

SIZE = 96
"""Pixels along a side of a template."""

WHITE, BLACK, RED, BLUE, YELLOW = (
    (0.95, 0.95, 0.95),
    (0.06, 0.06, 0.07),
    (0.78, 0.07, 0.10),
    (0.05, 0.27, 0.62),
    (0.97, 0.78, 0.08),
)
UP = -math.pi / 2

Color = tuple[float, float, float]


class Canvas:
    """A square to paint on: colors times coverage, and coverage, `(4, SIZE, SIZE)`."""

    def __init__(self) -> None:
        self.x, self.y = shapes.plane(SIZE)
        self.image = torch.zeros(4, SIZE, SIZE)

    def fill(self, distance: Tensor, color: Color) -> None:
        """Paint the inside of a shape."""
        self.stamp(shapes.coverage(distance, 2 / SIZE), color)

    def stamp(self, covered: Tensor, color: Color) -> None:
        """Paint where `covered` `(SIZE, SIZE)` says, from 0 to 1."""
        paint = torch.tensor([*color, 1.0])[:, None, None]
        self.image = self.image * (1 - covered) + paint * covered

    def arrow(self, path: list[shapes.Point], width: float, head: float, color: Color) -> None:
        """Strokes along the path, and a head of that half width whose tip is the path's last point."""
        (ax, ay), (tx, ty) = path[-2:]
        length = math.hypot(tx - ax, ty - ay)
        ux, uy = (tx - ax) / length, (ty - ay) / length
        base = tx - 1.1 * head * ux, ty - 1.1 * head * uy
        for start, end in zip(path[:-1], [*path[1:-1], base], strict=True):
            self.fill(shapes.capsule(self.x, self.y, start, end, width), color)
        corners = [(tx, ty), (base[0] - head * uy, base[1] + head * ux), (base[0] + head * uy, base[1] - head * ux)]
        self.fill(shapes.convex(self.x, self.y, corners), color)


def speed_limit(c: Canvas, value: str) -> None:
    """A red ring around black figures."""
    c.fill(shapes.disc(c.x, c.y, 0.95), RED)
    c.fill(shapes.disc(c.x, c.y, 0.70), WHITE)
    half = (0.44, 0.40) if len(value) == 2 else (0.54, 0.36)
    c.stamp(glyphs.written(c.x, c.y, value, (0, 0), half), BLACK)


def stop(c: Canvas) -> None:
    """A red octagon with the word in white."""
    c.fill(shapes.regular(c.x, c.y, 8, 0.93), WHITE)
    c.fill(shapes.regular(c.x, c.y, 8, 0.85), RED)
    c.stamp(glyphs.written(c.x, c.y, "STOP", (0, 0), (0.72, 0.32)), WHITE)


def give_way(c: Canvas) -> None:
    """A white triangle on its tip with a red border."""
    c.fill(shapes.regular(c.x, c.y, 3, 0.56, UP, (0, -0.27)), RED)
    c.fill(shapes.regular(c.x, c.y, 3, 0.34, UP, (0, -0.27)), WHITE)


def no_entry(c: Canvas) -> None:
    """A white bar on a red disc."""
    c.fill(shapes.disc(c.x, c.y, 0.95), WHITE)
    c.fill(shapes.disc(c.x, c.y, 0.89), RED)
    c.fill(shapes.box(c.x, c.y, (0, 0), (0.66, 0.17)), WHITE)


def priority_road(c: Canvas) -> None:
    """A yellow square on its corner with a white border."""
    for apothem, color in ((0.68, BLACK), (0.65, WHITE), (0.46, YELLOW)):
        c.fill(shapes.regular(c.x, c.y, 4, apothem, math.pi / 4), color)


def _warning(c: Canvas) -> None:
    c.fill(shapes.regular(c.x, c.y, 3, 0.56, -UP, (0, 0.27)), RED)
    c.fill(shapes.regular(c.x, c.y, 3, 0.40, -UP, (0, 0.27)), WHITE)


def danger(c: Canvas) -> None:
    """A warning triangle with an exclamation mark."""
    _warning(c)
    c.fill(shapes.convex(c.x, c.y, [(-0.11, -0.18), (0.11, -0.18), (0.05, 0.28), (-0.05, 0.28)]), BLACK)
    c.fill(shapes.disc(c.x, c.y, 0.09, (0, 0.45)), BLACK)


def bend(c: Canvas, side: int) -> None:
    """A warning triangle with an arrow that bends to the left (-1) or to the right (1)."""
    _warning(c)
    c.arrow([(-0.16 * side, 0.52), (-0.16 * side, 0.25), (0.26 * side, -0.10)], 0.075, 0.20, BLACK)


def _mandatory(c: Canvas) -> None:
    c.fill(shapes.disc(c.x, c.y, 0.95), WHITE)
    c.fill(shapes.disc(c.x, c.y, 0.89), BLUE)


def ahead_only(c: Canvas) -> None:
    """A white arrow up on a blue disc."""
    _mandatory(c)
    c.arrow([(0, 0.62), (0, -0.68)], 0.12, 0.40, WHITE)


def turn(c: Canvas, side: int) -> None:
    """A white arrow that turns to the left (-1) or to the right (1) on a blue disc."""
    _mandatory(c)
    c.arrow([(-0.30 * side, 0.58), (-0.30 * side, -0.10), (0.68 * side, -0.10)], 0.12, 0.36, WHITE)


SIGNS: dict[str, Callable[[Canvas], None]] = {
    **{f"speed limit {v}": functools.partial(speed_limit, value=v) for v in ("20", "30", "50", "60", "80", "100")},
    "stop": stop,
    "yield": give_way,
    "no entry": no_entry,
    "priority road": priority_road,
    "danger": danger,
    "bend left": functools.partial(bend, side=-1),
    "bend right": functools.partial(bend, side=1),
    "ahead only": ahead_only,
    "turn left": functools.partial(turn, side=-1),
    "turn right": functools.partial(turn, side=1),
}


@functools.cache
def templates() -> Tensor:
    """Every sign, in the order of `SIGNS`: `(classes, 4, SIZE, SIZE)`, colors times coverage, and coverage."""
    drawn = []
    for paint in SIGNS.values():
        canvas = Canvas()
        paint(canvas)
        drawn.append(canvas.image)
    return torch.stack(drawn)
