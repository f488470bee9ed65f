"""The spread over seeds as a page."""

from holdfast.evaluation.spread import Spread
from holdfast.report.sheet import Sheet, Table
from holdfast.report.visible import short
from holdfast.report.words import rate

SHOWN = 20
NOTE = (
    "Each seed is an attack of its own, so a sample that any of them broke is broken: the last line is the number to "
    "state. A wide range says that the attacks were too weak to find the same points twice."
)


def page(found: Spread) -> Sheet:
    """A sentence, a table for each threat, what it means."""
    tables = tuple(
        Table(
            caption=f"{found.model} on {found.data}, {t.threat}",
            heads=("seed", ">not broken", "run"),
            rows=(
                *((str(one.seed), rate(one.held), short(one.run, 40)) for one in t.each),
                ("all", rate(t.union), "broken by no seed"),
            ),
        )
        for t in found.threats
    )
    moved = [
        f"{t.threat}: samples that depend on the seed: {', '.join(map(str, t.unsteady[:SHOWN]))}"
        + (" ..." if len(t.unsteady) > SHOWN else "")
        for t in found.threats
        if t.unsteady
    ]
    return Sheet(title="Spread over seeds", lead=(str(found),), tables=tables, notes=(*moved, NOTE))
