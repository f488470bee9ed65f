"""A comparison of defenses as a page: what to take, one table, one plot, what to know before believing them."""

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence

from holdfast.evaluation.defending.advice import WANTS, blind, trusted
from holdfast.evaluation.defending.records import DefenseComparison, Row
from holdfast.evaluation.document import to_json
from holdfast.evaluation.paired import Paired
from holdfast.report import sheet
from holdfast.report.csv import safe
from holdfast.report.pareto import Mark, plot, told
from holdfast.report.sheet import Figure, Sheet, Table
from holdfast.report.visible import cleaned, short
from holdfast.report.words import counted, percent, seconds

REFUSED, TIME, MEMORY, MADE, AUDITED = ">refused", ">time", ">memory", ">made in", ">audited in"
MASKING = "masking"
GAP, NAME = ">gap", 38
AWARE = "defense-aware robust accuracy"
FORMS = (".html", ".md", ".json", ".txt", ".csv")
NOTES = (
    "Oblivious: the inputs made for the undefended model, shown to the defended one. Aware: an audit of the defended "
    "model that tries those inputs first, so it is never above. Only the second says what a defense is worth.",
    "Δ: points of paired difference from the undefended model on the same samples, with Tango's 95\u00a0% interval; * "
    "marks those that the exact McNemar test finds.",
    "Time and memory are those of a pass of the same inputs beside the undefended model, taken in turn on this "
    "machine, medians of processor seconds and the most tensor memory held at once; training and fitting in "
    "processor seconds, audits under every threat in seconds of the clock.",
)


def render(found: DefenseComparison, form: str) -> str:
    """The page in the form of a file's ending."""
    if form == ".json":
        return to_json(found)
    if form == ".csv":
        return _spreadsheet(found)
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found))


def page(found: DefenseComparison) -> Sheet:
    """Recommendations, the table, the plot, notes."""
    found = cleaned(found)
    about = (
        f"{found.threat}: {found.words}. {counted(found.samples, 'sample')} of {found.data} ({found.split}), suite "
        f"{found.suite}, the attacker knows the defense."
    )
    missing = (
        *((f"Partial: {', '.join(found.left)} not finished.",) if found.left else ()),
        *(f"Left out: {each.defense}: {each.reason}" for each in found.refused),
    )
    took = (f"All training, fitting and auditing took {seconds(found.seconds)}.",) if found.rows else ()
    shown = marks(found.rows)
    picture = Figure(caption=_caption(found), picture=plot(shown, AWARE), text=told(shown, AWARE)) if shown else None
    return Sheet(
        title=f"What defenses buy and cost: {found.title or found.data}",
        lead=(_headline(found), *missing, about),
        tables=(_table(found),) if found.rows else (),
        figures=() if picture is None else (picture,),
        points=tuple(_advice(found)),
        notes=(*found.notes, *NOTES, *took),
        foot=f"holdfast {found.holdfast}, seed {found.seed}, runs below {found.folder}, protocol {found.protocol}.",
    )


def marks(rows: Sequence[Row]) -> tuple[Mark, ...]:
    """What the plot shows of each row, numbered as in the table."""
    return tuple(
        Mark(
            label=str(number),
            name=row.facts.defense,
            clean=row.clean,
            held=row.aware,
            bare=row.facts.passes is None,
            doubt=blind(row) or not trusted(row),
            counts=not blind(row),
            ratio=1.0 if row.facts.passes is None else row.facts.passes.ratio,
        )
        for number, row in enumerate(rows)
    )


def _headline(found: DefenseComparison) -> str:
    """What the reader who wants robustness should take, short."""
    if not found.advice:
        return "No defense is finished yet." if len(found.rows) < 2 else "Nothing can be recommended."
    best = next(each for each in found.advice if each.reader == "robustness first")
    if not best.defense:
        return f"No defense is clearly better than none under {found.threat}."
    row = next(row for row in found.rows if row.facts.defense == best.defense)
    change = _points(row.clean_difference, False).rstrip("*")
    return (
        f"{best.defense} withstands {percent(row.aware.point)} under {found.threat}, without a defense "
        f"{percent(found.undefended.aware.point)}; clean accuracy {change} points."
    )


def _advice(found: DefenseComparison) -> Iterator[tuple[str, str]]:
    """Who, and what to take; readers with one answer share it."""
    texts: dict[str, list[str]] = {}
    for each in found.advice:
        texts.setdefault(each.text, []).append(each.reader)
    for text, readers in texts.items():
        who = ", ".join(readers)
        wants = f" ({WANTS[readers[0]]})" if len(readers) == 1 else ""  # type: ignore[index]
        yield f"{who[:1].upper()}{who[1:]}{wants}", text


def screen(found: DefenseComparison) -> Sheet:
    """The page for a terminal of 100 columns: what they buy, then what they cost."""
    whole = page(found)
    if not found.rows:
        return whole
    table = whole.tables[0]
    columns = {head: place for place, head in enumerate(table.heads)}
    others = [f">{each.threat}" for each in found.undefended.others]
    cost = [head for head in (REFUSED, TIME, MEMORY, MADE, AUDITED, *others, MASKING) if head in columns]
    buys = [head for head in table.heads[1:] if head not in (*cost, GAP)]

    def part(caption: str, heads: list[str]) -> Table:
        chosen = [table.heads[0], *heads]
        rows = tuple(tuple(short(row[columns[head]], NAME) for head in chosen) for row in table.rows)
        return Table(caption=caption, heads=tuple(chosen), rows=rows)

    both = (
        part("What they buy, the undefended model first", buys),
        part("What they cost, and the other threats" if others else "What they cost", cost),
    )
    return dataclasses.replace(whole, tables=both, figures=())


def _table(found: DefenseComparison) -> Table:
    others = [each.threat for each in found.undefended.others]
    refuses = any(row.facts.rejected is not None for row in found.rows)
    heads = ("defense", ">clean", ">Δ clean", ">aware", ">Δ aware", MASKING, ">oblivious", GAP)
    heads = (*heads, *(f">{t}" for t in others), *((REFUSED,) if refuses else ()), TIME, MEMORY, MADE, AUDITED)
    names = [f"{number} {row.facts.defense.replace('+', ' + ')}" for number, row in enumerate(found.rows)]
    rows = tuple((name, *_cells(row, others, refuses)) for name, row in zip(names, found.rows, strict=True))
    return Table(caption="Defenses, the undefended model first; numbers as in the plot", heads=heads, rows=rows)


def _cells(row: Row, others: list[str], refuses: bool) -> tuple[str, ...]:
    facts, passes = row.facts, row.facts.passes
    under = {each.threat: each for each in row.others}
    made = [spent.processor_seconds for spent in (facts.trained, facts.fitted) if spent is not None]
    refused = "–" if facts.rejected is None else percent(facts.rejected.point)
    return (
        percent(row.clean.point),
        _points(row.clean_difference, False),
        percent(row.aware.point),
        _points(row.aware_difference),
        "suspect" if row.masking == "suspect" else "no sign" if row.state == "measured" else row.state,
        "–" if row.aware_difference is None else percent(row.oblivious.point),
        "–" if row.aware_difference is None else f"{100 * row.gap:.1f}",
        *(percent(under[t].withstood.point) if t in under else "–" for t in others),
        *((refused,) if refuses else ()),
        "1" if passes is None else f"{passes.ratio:.2f}×",
        "1" if passes is None else f"{passes.bytes_ratio:.2f}×",
        f"{sum(made):.3g} s" if made else "–",
        seconds(row.audited),
    )


def _points(found: Paired | None, whole: bool = True) -> str:
    """`+12.0 [+6.1, +18.0] *`."""
    if found is None:
        return "–"
    around = f" [{100 * found.low:.1f}, {100 * found.high:.1f}]" if whole else ""
    return f"{100 * found.difference:+.1f}{around}{'*' if found.significant else ''}".replace("-", "−")


def _caption(found: DefenseComparison) -> str:
    return (
        f"Up and to the right is better. Bars are 95\u00a0% intervals; the line joins the defenses that no other beats "
        f"on both axes; larger marks take longer for a pass; hollow is the undefended model, orange squares are in "
        f"doubt. Threat {found.threat}."
    )


def _spreadsheet(found: DefenseComparison) -> str:
    """One line for each number: defense, measure, value."""
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
    writer.writerow(["defense", "measure", "value", "low", "high", "run"])
    for row in found.rows:
        for name, cells in _measures(row):
            writer.writerow([safe(row.facts.defense), name, *cells, safe(row.run)])
    return file.getvalue()


def _measures(row: Row) -> Iterator[tuple[str, tuple[float | str, float | str, float | str]]]:
    """Name, value, and the ends of its interval where it has one; seconds are those of the table."""
    shares = [("clean", row.clean), ("oblivious", row.oblivious), ("aware", row.aware)]
    shares += [] if row.facts.rejected is None else [("refused", row.facts.rejected)]
    for name, share in [*shares, *((each.threat, each.withstood) for each in row.others)]:
        yield name, (share.point, share.low, share.high)
    for name, change in (("clean points", row.clean_difference), ("aware points", row.aware_difference)):
        if change is not None:
            yield name, (change.difference, change.low, change.high)
    if row.facts.passes is not None:
        yield "time", (row.facts.passes.ratio, "", "")
        yield "memory", (row.facts.passes.bytes_ratio, "", "")
    made = [spent.processor_seconds for spent in (row.facts.trained, row.facts.fitted) if spent is not None]
    if made:
        yield "made in, processor seconds", (sum(made), "", "")
    yield "audited in, seconds", (row.audited, "", "")
