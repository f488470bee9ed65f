"""What attacks cost, as a page and as rows for a spreadsheet."""

import csv
import dataclasses
import io
from collections.abc import Iterator
from typing import Any

from holdfast.evaluation.bench.records import AttackRow, Bench, GrowthRow, MemoryRow, PeerRow
from holdfast.evaluation.document import to_json
from holdfast.report import sheet
from holdfast.report.csv import safe
from holdfast.report.sheet import Sheet, Table
from holdfast.report.words import number, percent

FORMS = (".html", ".md", ".json", ".txt", ".csv")
SHOWN = 10  # ids of samples on which two sides disagree
BY = {"batch": "samples at once", "side": "side of the picture", "classes": "classes"}


def render(found: Bench, form: str) -> str:
    """The page in the form of a file's ending."""
    if form == ".json":
        return to_json(found)
    if form == ".csv":
        return _spreadsheet(found)
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found))


def page(found: Bench) -> Sheet:
    """The tables that were asked for, and what to know."""
    makers = ((found.attacks, _attacks), (found.peers, _peers), (found.growth, _growth), (found.memory, _memory))
    machine = found.machine
    load = " to ".join(number(value) for value in (machine.load_before, machine.load_after))
    return Sheet(
        title=f"What attacks cost: {found.model} on {found.data}",
        lead=(
            f"{found.threat}, {found.samples} samples that the model gets right, each side in turn "
            f"{found.repeat} times, medians of processor seconds, precision {found.precision}.",
            f"{machine.processor}; {machine.processors} processors, load {load}, threads {machine.threads}, "
            f"torch {machine.torch}.",
        ),
        tables=tuple(make(found) for rows, make in makers if rows),
        notes=(*found.notes, *_explained(found)),
        foot=f"holdfast {found.holdfast}, seed {found.seed}, model {found.fingerprint}",
    )


def _attacks(found: Bench) -> Table:
    rows = tuple(
        (
            row.attack,
            _spent(row.ours),
            _spent(row.plain),
            _ratio(row.ratio),
            _ratio(row.per_pass),
            f"{row.gradients:.0f}/{row.queries:.0f}",
            percent(row.held),
            "–" if row.held_plain is None else percent(row.held_plain),
            _far(row.distance) if row.minimal else "–",
        )
        for row in found.attacks
    )
    heads = ("attack", ">ours", ">plain", ">ratio", ">per pass", ">passes", ">held", ">plain", ">distance")
    return Table(caption="Beside the plain loop with as many passes", heads=heads, rows=rows)


def _peers(found: Bench) -> Table:
    rows = tuple(
        (
            row.attack + (f", {row.queries} queries" if row.queries is not None else ""),
            row.peer.split()[0],
            f"{_spent(row.ours)}/{_spent(row.theirs)}",
            _ratio(row.ratio),
            f"{_share(row.held)}/{_share(row.held_theirs)} %",
            "–" if not _minimal(row) else f"{_far(row.distance)}/{_far(row.distance_theirs)}",
            f"{len(row.only_ours)}/{len(row.only_theirs)}",
        )
        for row in found.peers
    )
    heads = ("attack", "beside", ">seconds", ">ratio", ">held", ">distance", ">only")
    caption = (
        "Beside other toolkits, on the same samples with the same steps, ours/theirs; only: broken by one side alone"
    )
    return Table(caption=caption, heads=heads, rows=rows)


def _minimal(row: PeerRow) -> bool:
    return row.distance is not None or row.distance_theirs is not None


def _far(distance: float | None) -> str:
    return "–" if distance is None else f"{distance:.3g}"


def _share(held: float) -> str:
    return f"{100 * held:.1f}"


def _growth(found: Bench) -> Table:
    rows = tuple(
        (BY[row.by], str(row.value), f"{1000 * row.ours:.3g}", f"{1000 * row.plain:.3g}", _ratio(row.ratio))
        for row in found.growth
    )
    caption = f"Milliseconds for a sample and a pass of {found.growth_attack}"
    return Table(caption=caption, heads=("what grows", ">to", ">ours", ">plain", ">ratio"), rows=rows)


def _memory(found: Bench) -> Table:
    rows = tuple(
        (
            number(row.samples),
            number(row.broken),
            *map(_mib, (row.data, row.before, row.peak, row.peak - row.before)),
            f"{row.seconds:.0f}",
        )
        for row in found.memory
    )
    return Table(
        caption="Resident memory of an audit in MiB: seeded noise of MNIST's shape, a small network",
        heads=(">samples", ">broken", ">inputs", ">before", ">peak", ">difference", ">seconds"),
        rows=rows,
    )


def _explained(found: Bench) -> Iterator[str]:
    """How the columns are to be read, and on which samples two sides disagree."""
    one = found.plain_pass
    if found.attacks:
        yield (
            "ratio: ours / the loop of a textbook, with as many forward and backward passes on the model as it is; no "
            "row stops early. A minimal attack may end a row by its own rule; then the loop makes the mean of passes."
        )
    if one is not None:
        yield (
            f"A plain pass of all {found.samples} samples takes {_spent(one.textbook)} s with loss.backward(), which "
            f"fills the weights' gradients too, and {_spent(one.frozen)} s with frozen weights. ratio is beside the "
            "first; per pass is our seconds for a gradient (for a question, where there are none) beside the second."
        )
    for row in found.peers:
        for side, ids in (("ours", row.only_ours), ("theirs", row.only_theirs)):
            if ids:
                more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
                shown = ", ".join(map(str, ids[:SHOWN]))
                yield f"{row.attack} beside {row.peer}: broken by {side} only: {shown}{more}"


def _spreadsheet(found: Bench) -> str:
    """One line for each number: table, row, measure, value."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow(["table", "row", "measure", "value"])
    for table in ("attacks", "peers", "growth", "memory"):
        for row in getattr(found, table):
            for field in dataclasses.fields(row):
                value: Any = getattr(row, field.name)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    writer.writerow([table, safe(_named(row)), field.name, value])
    return file.getvalue()


def _named(row: AttackRow | PeerRow | GrowthRow | MemoryRow) -> str:
    if isinstance(row, GrowthRow):
        return f"{row.by} {row.value}"
    if isinstance(row, MemoryRow):
        return f"{row.samples} samples"
    return row.attack + (f" | {row.peer}" if isinstance(row, PeerRow) else "")


def _spent(seconds: float) -> str:
    return f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}"


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
