"""A comparison of runs as a page: the sentence, the paired counts, what to know before believing them."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.evaluation.comparison import Comparison, Contrast, Pair
from holdfast.evaluation.document import to_json
from holdfast.evaluation.flips import Flip
from holdfast.evaluation.paired import Paired
from holdfast.evaluation.store import Folder
from holdfast.report import sheet, svg
from holdfast.report.flips import galleries
from holdfast.report.sheet import Figure, Sheet, Table
from holdfast.report.visible import cleaned, short
from holdfast.report.words import counted, number, percent, seconds
from holdfast.report.words import rate as rate_of
from holdfast.report.words import size as size_of
from holdfast.threats.written import radius

if TYPE_CHECKING:
    from holdfast.data.dataset import Dataset

SHOWN, NAME = 12, 22
INDEPENDENT = (
    "Only samples on which two runs differ tell them apart: p is the exact McNemar test of those, the interval is "
    "Tango's 95 % score interval of the difference."
)
GROUPED = (
    "The samples come in groups, and those of one group are alike: p is the exact test that flips the signs of whole "
    "groups, the 95 % interval of the difference is a cluster bootstrap (BCa) that draws whole groups."
)
SPENT = "What the runs cost: a sample that breaks is left alone, so a weaker model costs less"
ELSEWHERE = "The runs were made on different machines, or with other threads: their times say nothing of the models."
FORMS = (".md", ".html", ".json", ".txt")


def render(comparison: Comparison, form: str, folders: Sequence[Folder] = (), data: "Dataset | None" = None) -> str:
    """The page in the form of a file's ending: .md .html .json .txt.

    Args:
        comparison: What to show.
        form: The ending.
        folders: The runs in its order: with them HTML shows what changed sides as cards, and curves are drawn.
        data: The samples, where inputs that the runs do not keep may be shown.
    """
    if form == ".json":
        return to_json(comparison)
    cards = galleries(comparison, folders, data) if folders and form == ".html" else ()
    shown = dataclasses.replace(page(comparison, not cards), galleries=cards, figures=_curves(comparison, folders))
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](shown)


def page(comparison: Comparison, listed: bool = True) -> Sheet:
    """Headline, a table for each of the other runs, what changed sides (where it is to be `listed`), notes."""
    runs, threats = comparison.runs, " and ".join(comparison.threats)
    title = f"{len(runs)} runs compared: {counted(comparison.samples, 'sample')} under {threats}"
    notes = list(dict.fromkeys(note for pair in comparison.pairs for note in pair.notes))
    notes.append(INDEPENDENT if comparison.pairs[0].contrasts[0].counts.groups is None else GROUPED)
    tables = [table for pair in comparison.pairs for table in _tables(comparison, pair, listed)]
    tables += [*_transferred(comparison), _costs(comparison)]
    notes += [ELSEWHERE] if len({side.machine for side in runs}) > 1 else []
    for pair in comparison.pairs:
        main = pair.contrasts[0]
        notes += [_listed(f"Held by {short(runs[0].run, 60)} alone", main.lost)] if main.lost else []
        notes += [_listed(f"Held by {short(runs[pair.other].run, 60)} alone", main.won)] if main.won else []
        if main.counts.detectable is not None:
            notes.append(
                f"With {main.counts.n} samples of which {main.counts.lost + main.counts.won} differ, a true drop of "
                f"{100 * main.counts.detectable:.1f} points is found {100 * main.counts.power:.0f} times of 100."
            )
    return Sheet(
        title=title,
        lead=tuple(pair.text for pair in comparison.pairs),
        tables=tuple(tables),
        notes=tuple(dict.fromkeys(notes)),
        foot=f"Made by holdfast {runs[0].holdfast} from {', '.join(short(side.run, 80) for side in runs)}.",
    )


def _tables(comparison: Comparison, pair: Pair, listed: bool) -> tuple[Table, ...]:
    """The rates, the samples by what became of them, and those that changed sides."""
    flipped = _flipped(comparison, pair) if listed else []
    return (_table(comparison, pair), _matrix(comparison, pair), *flipped)


def _matrix(comparison: Comparison, pair: Pair) -> Table:
    """The samples by what becomes of them in both runs, under all threats."""
    counts = pair.contrasts[0].counts
    return Table(
        caption="The same samples in both runs, under all threats",
        heads=("", ">held by B", ">not by B"),
        rows=(
            ("held by A", str(counts.both), str(counts.lost)),
            ("not by A", str(counts.won), str(counts.neither)),
        ),
    )


def _transferred(comparison: Comparison) -> list[Table]:
    """For each threat whose inputs were shown to another's model: who was fooled by what was made on whom."""
    found = list[Table]()
    runs = comparison.runs
    for literal in comparison.threats:
        told = {(t.source, t.target): rate_of(t.rate) for t in comparison.transferred if t.threat == literal}
        rows = tuple(
            (short(one.run, 40), *("–" if i == j else told.get((i, j), "not shown") for j in range(len(runs))))
            for i, one in enumerate(runs)
        )
        caption = f"What breaks one under {literal}, shown to the others: wrong too, of those they get right unharmed"
        heads = ("made on", *(f">{short(one.run, NAME)}" for one in runs))
        found += [Table(caption=caption, heads=heads, rows=rows)] if told else []
    return found


def _costs(comparison: Comparison) -> Table:
    """What each run spent."""
    heads = ("", ">took", ">rows through the model", ">gradients", ">queries", ">median to break one")
    rows = tuple(
        (
            short(side.run, 40),
            seconds(side.cost.seconds),
            *map(number, (side.cost.forwards, side.cost.gradients, side.cost.queries, side.effort)),
        )
        for side in comparison.runs
    )
    return Table(caption=SPENT, heads=heads, rows=rows)


def _curves(comparison: Comparison, folders: Sequence[Folder]) -> tuple[Figure, ...]:
    """Of each pair and threat both curves of empirical robust accuracy over the radius."""
    found = list[Figure]()
    for pair in comparison.pairs if folders else ():
        names = [short(comparison.runs[i].run, 40) for i in (0, pair.other)]
        for literal in comparison.threats:
            facts = [next(t for t in folders[i].summary.threats if t.literal == literal) for i in (0, pair.other)]
            if not all(one.curve for one in facts):
                continue
            title = f"Not broken under {literal}, by size of the change"
            series = [(name, one.curve) for name, one in zip(names, facts, strict=True)]
            picture = svg.curves(cleaned(series), radius(literal), title)
            told = [
                f"{name} " + ", ".join(f"{percent(p.rate.point)} at {size_of(p.radius)}" for p in curve)
                for name, curve in series
            ]
            caption = f"{title}. Solid: {names[0]}; dashed: {names[1]}"
            found.append(Figure(caption=caption, picture=picture, text=f"{title}: {'; '.join(told)}."))
    return tuple(found)


def _table(comparison: Comparison, pair: Pair) -> Table:
    first, other = comparison.runs[0], comparison.runs[pair.other]
    several = len(comparison.threats) > 1
    rows = tuple((_name(c, several), *_cells(c.counts)) for c in pair.contrasts)
    return Table(
        caption=f"A: {short(first.run, 60)} ({short(first.model, 40)}), "
        f"B: {short(other.run, 60)} ({short(other.model, 40)})",
        heads=("", ">A", ">B", ">B - A, points", ">only A", ">only B", ">of", ">p"),
        rows=rows,
    )


def _flipped(comparison: Comparison, pair: Pair) -> list[Table]:
    """What only one of the two runs holds, with what broke it in the other."""
    found = list[Table]()
    for won in (False, True):
        mine = [flip for flip in pair.flips if flip.won == won][:SHOWN]
        holds, loses = (short(comparison.runs[i].run, 40) for i in ((pair.other, 0) if won else (0, pair.other)))
        changed = any(flip.change for flip in mine)
        rows = tuple((*_lost(flip), *((flip.change,) if changed else ())) for flip in mine)
        heads = (">sample", "class", "taken for", "broken by", ">size", ">queries", *(("change",) if changed else ()))
        total = len(pair.contrasts[0].won if won else pair.contrasts[0].lost)
        part = f"{len(mine)} of {total}, " if len(mine) < total else ""
        caption = f"Held by {holds}, not by {loses}: {part}by threat, small changes first"
        found += [Table(caption=caption, heads=heads, rows=rows)] if rows else []
    return found


def _lost(flip: Flip) -> tuple[str, ...]:
    by = f"{flip.attack} {flip.threat}" if flip.status == "broken" else "wrong before any attack"
    size = "" if flip.size is None else f"{flip.measure} {size_of(flip.size)}"
    return str(flip.sample), flip.label, flip.becomes, by, size, str(flip.queries) if flip.threat else ""


def _name(contrast: Contrast, several: bool) -> str:
    if contrast.metric == "clean_accuracy":
        return "clean accuracy"
    under = contrast.threat if contrast.threat else "all threats"
    return f"not broken, {under}" if several else "not broken"


def _cells(found: Paired) -> tuple[str, ...]:
    return (
        percent((found.both + found.lost) / found.n),
        percent((found.both + found.won) / found.n),
        f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]",
        str(found.lost),
        str(found.won),
        str(found.n),
        f"{found.p:.2g}",
    )


def _listed(head: str, samples: tuple[int, ...]) -> str:
    more = f" and {len(samples) - SHOWN} more" if len(samples) > SHOWN else ""
    return f"{head}: samples {', '.join(map(str, samples[:SHOWN]))}{more}."
