"""The leaderboard as a page: a table for each question that models were asked."""

from holdfast.evaluation.board import Board, Ranking, Row
from holdfast.evaluation.document import to_json
from holdfast.report import sheet
from holdfast.report.sheet import Sheet, Table
from holdfast.report.visible import short
from holdfast.report.words import counted, number, percent, rate, seconds

FORMS = (".html", ".md", ".json", ".txt")
TRUST = {"measured": "measured", "doubtful": "DOUBTFUL"}
BAND = (
    "Band: the ranks a model may have. Two models share ranks where the exact McNemar test, corrected (Holm) for all "
    "pairs of the table, finds no difference on their samples. “Not broken” is an upper bound under these attacks."
)


def render(found: Board, form: str) -> str:
    """The page in the form of a file's ending: .html .md .json .txt."""
    if form == ".json":
        return to_json(found)
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found))


def page(found: Board) -> Sheet:
    """A sentence, the tables, what was left out."""
    count = sum(len(ranking.rows) for ranking in found.rankings)
    lead = (
        f"{counted(count, 'run')} in {counted(len(found.rankings), 'table')}: models stand in one table where samples, "
    )
    lead += "threats and attacks are the same."
    notes = [BAND] + [_beat(ranking) for ranking in found.rankings if ranking.rows[0].command]
    notes += [
        f"{short(row.model, 32)} in {short(row.run, 80)}: {row.decided}"
        for ranking in found.rankings
        for row in ranking.rows
        if row.decided
    ]
    notes += [f"Left out: {short(left.run, 80)}. {left.why}" for left in found.left_out]
    return Sheet(
        title="Leaderboard",
        lead=(lead,),
        tables=tuple(_table(ranking) for ranking in found.rankings),
        notes=tuple(notes),
        foot="Every number comes from a run folder; holdfast recheck RUN verifies one on its model.",
    )


def _table(ranking: Ranking) -> Table:
    several = ranking.threats if len(ranking.threats) > 1 else ()
    total = max(row.total for row in ranking.rows)
    count = "" if total == ranking.samples else f" of {number(total)}"
    count = f"{number(ranking.samples)}{count} samples"
    return Table(
        caption=f"{short(ranking.data, 60)}: {count} under {', '.join(ranking.threats)}, "
        f"{short(ranking.suite, 60)}; {counted(ranking.tests, 'pair')} compared",
        heads=("band", "model", ">not broken", *(f">{t}" for t in several), ">clean", "trust", "run", "ended", ">took"),
        rows=tuple(_cells(row, several) for row in ranking.rows),
    )


def _cells(row: Row, several: tuple[str, ...]) -> tuple[str, ...]:
    return (
        str(row.best) if row.best == row.worst else f"{row.best}-{row.worst}",
        short(row.model, 32),
        rate(row.robust),
        *(percent(row.threats[literal].point) if literal in row.threats else "" for literal in several),
        percent(row.clean.point),
        TRUST.get(row.state, row.state),
        short(row.run, 40),
        row.finished[:10],
        seconds(row.seconds),
    )


def _beat(ranking: Ranking) -> str:
    return f"To stand in the table of {ranking.data}, repeat this with another model: {ranking.rows[0].command}"
