"""A comparison of models as a page: who withstands most, one table, recall by class, what to know before."""

import dataclasses
import pathlib

from markupsafe import Markup

from holdfast.core.files import write_atomic
from holdfast.evaluation.comparing.records import ModelComparison, Row
from holdfast.evaluation.comparing.rows import sentence
from holdfast.evaluation.document import to_json
from holdfast.report import sheet
from holdfast.report.run import Run
from holdfast.report.sheet import Figure, Sheet, Table
from holdfast.report.svg import ladder
from holdfast.report.visible import cleaned, short
from holdfast.report.words import counted, number, percent, rate, seconds

NAME, CLASSES, PAGE = 24, 6, "report.html"
FORMS = (".html", ".md", ".json", ".txt")
BAND, MODEL, CLEAN, HELD, BEST = "band", "model", ">clean", ">not broken", ">Δ best, points"
WEAKEST, VALID, QUERIES, ASKED, MASKING, TOOK = "weakest class", ">valid rows", ">queries", "by", "masking", ">took"
NOTES = (
    "“Not broken” is an upper bound: it counts the samples that these attacks failed on; the interval is that of the "
    "sampling. Band: the ranks that a model may have.",
    "Δ best: points of paired difference from the first model on the same samples, with Tango's 95 % interval (over "
    "groups a cluster bootstrap); * marks those that the exact test finds, corrected (Holm) for all pairs of models.",
    "Weakest class: the lowest recall under attack. Queries: of all attacks over all samples. By: the most that an "
    "attack saw of the model.",
)


def render(found: ModelComparison, form: str) -> str:
    """The page in the form of a file's ending: .html .md .json .txt."""
    if form == ".json":
        return to_json(found)
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found))


def written(found: ModelComparison) -> pathlib.Path:
    """Write the page and the report of every finished run into the folder of the comparison; the page's path."""
    folder = pathlib.Path(found.folder)
    for row in found.rows:
        Run(folder / row.run).report(folder / row.run / PAGE)
    for ending in (".md", ".html"):
        write_atomic(folder / f"comparison{ending}", render(found, ending).encode("utf-8", "backslashreplace"))
    return folder / "comparison.html"


def page(found: ModelComparison) -> Sheet:
    """The sentence, the tables, the picture, notes."""
    found = cleaned(found)
    total = "" if found.samples == found.total else f" of {number(found.total)}"
    split = f" ({found.split})" if found.split else ""
    about = (
        f"{'; '.join(f'{t}: {words}' for t, words in zip(found.threats, found.words, strict=True))}. "
        f"{number(found.samples)}{total} samples of {found.data}{split}, the same for all, suite {found.suite}."
    )
    missing = (f"Partial: {', '.join(found.left)} not finished.",) if found.left else ()
    left_out = tuple(f"Left out: {short(each.name, 60)}. {each.code} {each.line}" for each in found.left_out)
    figures = (Figure(caption=_caption(found), picture=_picture(found), text=_told(found)),) if found.rows else ()
    return Sheet(
        title=f"{counted(len(found.rows), 'model')} compared: {found.data}",
        lead=(sentence(found.rows, found.threats), *missing, *left_out, about),
        tables=(_table(found), *_by_class(found)) if found.rows else (),
        figures=figures,
        notes=(*found.notes, *(NOTES if found.rows else ())),
        foot=f"holdfast {found.holdfast}, seed {found.seed}, a run folder for each model below {found.folder}.",
    )


def screen(found: ModelComparison) -> Sheet:
    """The page for a terminal of 100 columns: what the models withstand, then how that was found."""
    whole = page(found)
    if not found.rows:
        return whole
    table = whole.tables[0]
    columns = {head: place for place, head in enumerate(table.heads)}

    def part(caption: str, heads: list[str]) -> Table:
        rows = tuple(tuple(short(row[columns[head]], NAME + 6) for head in heads) for row in table.rows)
        return Table(caption=caption, heads=tuple(heads), rows=rows)

    first = (BAND, MODEL, CLEAN, HELD, BEST)
    rest = [head for head in table.heads if head not in first and not head.startswith(">table:")]
    both = (part(table.caption, list(first)), part("How that was found", [MODEL, *rest]))
    return dataclasses.replace(whole, tables=(*both, *whole.tables[1:]), figures=())


def _table(found: ModelComparison) -> Table:
    several = found.threats if len(found.threats) > 1 else ()
    valid = any(row.valid is not None for row in found.rows)
    heads = (BAND, MODEL, CLEAN, HELD, BEST, *(f">{t}" for t in several), WEAKEST, *((VALID,) if valid else ()))
    return Table(
        caption=f"{short(found.data, 60)}, the best first; {counted(found.tests, 'pair')} compared",
        heads=(*heads, QUERIES, ASKED, MASKING, TOOK),
        rows=tuple(_cells(row, several, valid) for row in found.rows),
        links=tuple(f"{row.run}/{PAGE}" for row in found.rows),
    )


def _cells(row: Row, several: tuple[str, ...], valid: bool) -> tuple[str, ...]:
    share = "–" if row.valid is None else percent(row.valid.point)
    masking = {"no sign of masking": "no sign"}.get(row.masking, row.masking)
    return (
        str(row.best) if row.best == row.worst else f"{row.best}-{row.worst}",
        short(row.name, NAME * 2),
        percent(row.clean.point),
        rate(row.robust),
        _points(row),
        *(percent(row.threats[literal].point) if literal in row.threats else "" for literal in several),
        f"{short(row.weakest.name, NAME)}: {percent(row.weakest.robust.point)}",
        *((share,) if valid else ()),
        number(row.queries),
        row.access if row.attacks else "–",
        masking if row.state == "measured" or row.masking == "suspect" else row.state,
        seconds(row.seconds),
    )


def _points(row: Row) -> str:
    """`−12.0 [−18.0, −6.1]*`."""
    if row.against is None:
        return "–"
    paired = row.against.robust
    mark = "*" if row.against.p <= 1 - paired.level + 1e-12 else ""
    return f"{100 * paired.difference:+.1f} [{100 * paired.low:+.1f}, {100 * paired.high:+.1f}]{mark}".replace("-", "−")


def _by_class(found: ModelComparison) -> tuple[Table, ...]:
    """Recall of each class, alone and under attack; nothing where there is one class, as under `--evade`."""
    classes = found.rows[0].per_class
    if len(classes) < 2:
        return ()
    worst = {c.label: min(_of(row, c.label) for row in found.rows) for c in classes}
    shown = sorted(sorted(worst, key=lambda label: worst[label])[:CLASSES])
    names = {c.label: c.name for c in classes}
    cut = "" if len(shown) == len(classes) else f", the {len(shown)} weakest of {len(classes)} classes"
    rows = []
    for row in found.rows:
        facts = {c.label: c for c in row.per_class}
        cells = [
            f"{percent(facts[n].clean.point)} → {percent(facts[n].robust.point)}" if n in facts else "" for n in shown
        ]
        rows.append((short(row.name, NAME * 2), *cells))
    heads = ("model", *(f">{short(names[label], NAME)}" for label in shown))
    return (Table(caption=f"Recall of each class, alone → under attack{cut}", heads=heads, rows=tuple(rows)),)


def _of(row: Row, label: int) -> float:
    return min((c.robust.point for c in row.per_class if c.label == label), default=1.0)


def _picture(found: ModelComparison) -> Markup:
    return ladder([(short(row.name, NAME), row.robust, row.clean) for row in found.rows])


def _caption(found: ModelComparison) -> str:
    return f"Not broken under {' and '.join(found.threats)}, with 95 % intervals; the tick is clean accuracy."


def _told(found: ModelComparison) -> str:
    """The picture in words."""
    each = "; ".join(f"{row.name} {rate(row.robust)}, clean {percent(row.clean.point)}" for row in found.rows)
    return f"Not broken: {each}."
