"""An estimator before and after hardening as a page: recall alone and under attack, columns, recipes, what to know."""

from collections.abc import Iterator

from holdfast.evaluation.defending.hardening import Hardening, OfClass, Tried
from holdfast.evaluation.document import to_json
from holdfast.evaluation.paired import Paired
from holdfast.evaluation.statistics import Rate
from holdfast.report import sheet
from holdfast.report.comparison import GROUPED, INDEPENDENT
from holdfast.report.sheet import Sheet, Table
from holdfast.report.words import counted, percent

SHOWN, PAGE = 12, "report.html"  # columns; of an audit
FORMS = (".html", ".md", ".json", ".txt")


def render(found: Hardening, form: str, linked: bool = False) -> str:
    """The page in the form of a file's ending: .html .md .json .txt."""
    if form == ".json":
        return to_json(found)
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found, linked))


def page(found: Hardening, linked: bool = False) -> Sheet:
    """Headline, before and after, columns, recipes, notes.

    Args:
        found: What came of it.
        linked: Whether the reports of both audits lie in their folders beside the page.
    """
    tables = [_rates(found), _columns(found), _examples(found), _recipes(found), *([_audits(found)] if linked else ())]
    about = (
        f"{found.threat}: {found.words}. {counted(found.comparison.samples, 'row')} of {found.data} "
        f"({found.split or 'test'}), suite {found.suite}."
    )
    return Sheet(
        title=f"{found.model} hardened by {found.choice.recipe}",
        lead=(_headline(found), about, _file(found)),
        tables=tuple(table for table in tables if table.rows),
        notes=tuple(_notes(found)),
        foot=f"Made by holdfast {found.holdfast} from {', '.join(side.run for side in found.comparison.runs)}.",
    )


def _headline(found: Hardening) -> str:
    """What withstands before and after, and what that cost."""
    pair = found.comparison.pairs[0]
    main = pair.contrasts[0].counts
    clean = next(c.counts for c in pair.contrasts if c.metric == "clean_accuracy")
    what = ("recall under attack", "recall") if found.evade else ("right under attack", "right")
    sure = "" if main.significant else ", which may be chance"
    told = (
        f"{what[0].capitalize()}: {_share(main, False)} before, {_share(main, True)} after "
        f"({_points(main)} points{sure}). "
        f"{what[1].capitalize()} as they are: {_share(clean, False)} before, {_share(clean, True)} after."
    )
    if found.accuracy is not None:
        told += f" All classes: {percent(found.accuracy[0].point)} and {percent(found.accuracy[1].point)}."
    return told


def _file(found: Hardening) -> str:
    if not found.file:
        return f"No model file was written. Learned in {found.seconds:.0f} s."
    trust = f"; opening it needs --trust {found.file}, for types that skops does not know" if found.trust else ""
    what = f"Model: {found.file} ({found.kind}), read back with the same answers{trust}."
    return f"{what} Learned in {found.seconds:.0f} s."


def _rates(found: Hardening) -> Table:
    """Both audits, row by row, then class by class."""
    contrasts = found.comparison.pairs[0].contrasts
    names = {"clean_accuracy": "right, as they are", "empirical_robust_accuracy": "right, and not broken"}
    rows: list[tuple[str, ...]] = [
        (names[c.metric], _share(c.counts, False), _share(c.counts, True), _points(c.counts), f"{c.counts.p:.2g}")
        for c in contrasts
    ]
    if found.exact is not None:
        rows.append(("right, and nothing in the ball changes it", *_both(*found.exact), "", ""))
    if found.accuracy is not None:
        rows.append(("right, all classes of the test part", *_both(*found.accuracy), "", ""))
    for one in found.classes if len(found.classes) > 1 else ():
        rows += _of_class(one)
    return Table(
        caption="Before and after, the same rows", heads=("", ">before", ">after", ">points", ">p"), rows=tuple(rows)
    )


def _of_class(one: OfClass) -> list[tuple[str, ...]]:
    return [
        (f"{one.name}: recall", *_both(one.before, one.after), "", ""),
        (f"{one.name}: recall under attack", *_both(one.held_before, one.held_after), "", ""),
    ]


def _columns(found: Hardening) -> Table:
    """The columns that adversarial rows changed."""
    before, after = found.broken
    rows = [(c.name, _part(c.before, before), _part(c.after, after)) for c in found.columns[:SHOWN]]
    more = f", {len(found.columns) - SHOWN} more left out" if len(found.columns) > SHOWN else ""
    return Table(
        caption=f"Columns that attackers changed, of {counted(before, 'broken row')} before and {after} after{more}",
        heads=("column", ">before", ">after"),
        rows=tuple(rows),
    )


def _examples(found: Hardening) -> Table:
    """What broke single rows, in words."""
    return Table(
        caption="What broke single rows",
        heads=(">row", "before", "after"),
        rows=tuple((str(one.row), one.before, one.after or "holds now") for one in found.examples),
    )


def _recipes(found: Hardening) -> Table:
    """What was tried on the validation part."""
    one_class = any(tried.rest is not None for tried in found.choice.tried)
    heads = ("recipe", ">holds", ">right", *((">others right",) if one_class else ()), ">seconds")
    return Table(
        caption="What was tried, on the validation part",
        heads=heads,
        rows=tuple(_tried(one, one_class) for one in found.choice.tried),
    )


def _tried(one: Tried, one_class: bool) -> tuple[str, ...]:
    rest = ((percent(one.rest.point) if one.rest is not None else "–"),) if one_class else ()
    return (one.recipe, percent(one.held.point), percent(one.right.point), *rest, f"{one.seconds:.1f}")


def _audits(found: Hardening) -> Table:
    """Both audits, with their reports."""
    before, after = found.comparison.runs
    return Table(
        caption="The audits, with everything that was asked",
        heads=("", "report"),
        rows=(("before", before.model), ("after", after.model)),
        links=(f"before/{PAGE}", f"after/{PAGE}"),
    )


def _notes(found: Hardening) -> Iterator[str]:
    yield found.choice.text
    if found.suite.endswith("*"):
        yield f"{found.suite}: what cannot ask the model or does not fit the threat gave way; the audits say which."
    yield from found.notes
    if found.exact is not None:
        yield (
            "What nothing in the ball changes is proven by an exact search of the trees; the line above it is what "
            "the attacks of the suite leave."
        )
    pair = found.comparison.pairs[0]
    yield from pair.notes
    yield INDEPENDENT if pair.contrasts[0].counts.groups is None else GROUPED


def _share(found: Paired, after: bool) -> str:
    return percent((found.both + (found.won if after else found.lost)) / found.n)


def _both(before: Rate, after: Rate) -> tuple[str, str]:
    return percent(before.point), percent(after.point)


def _part(k: int, n: int) -> str:
    return f"{k} ({percent(k / n)})" if n else "–"


def _points(found: Paired) -> str:
    return f"{100 * found.difference:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
