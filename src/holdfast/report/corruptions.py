"""Accuracies under the common corruptions as a page."""

from holdfast.evaluation.corruptions import Corruptions
from holdfast.evaluation.document import to_json
from holdfast.report import sheet
from holdfast.report.sheet import Sheet, Table
from holdfast.report.words import percent, rate

FORMS = (".html", ".md", ".json", ".txt")
OWN = "frost (own texture)"  # the published one lays photographs over the picture
NOTES = (
    "Corruptions are not attacks: nobody chose them to fool this model. A model that holds here may still break under "
    "`holdfast audit`.",
    "Mean: over the severities asked, all on the same samples; its interval draws whole samples (BCa bootstrap).",
    "Numbers of each severity as in CIFAR-10-C (sides up to 64 pixels) or ImageNet-C; frost lays a texture of our own "
    "over the picture, where the published one takes photographs, so its row is not comparable with published ones.",
)


def render(found: Corruptions, form: str) -> str:
    """The page in the form of a file's ending: .html .md .json .txt."""
    if form == ".json":
        return to_json(found)
    return {".md": sheet.markdown, ".html": sheet.html, ".txt": sheet.text}[form](page(found))


def page(found: Corruptions) -> Sheet:
    """A sentence, the table, what to know."""
    by_name = {cell.corruption: cell.group for cell in found.cells}
    at = {(cell.corruption, cell.severity): cell.accuracy for cell in found.cells}
    rows = tuple(
        (
            OWN if name == "frost" else name.replace("_", " "),
            group,
            *(percent(at[name, severity].point) for severity in found.severities),
            rate(at[name, 0]).split(" (")[0],
        )
        for name, group in by_name.items()
    )
    return Sheet(
        title="Common corruptions",
        lead=(str(found), found.decided) if found.decided else (str(found),),
        tables=(
            Table(
                caption=f"Right answers on {found.samples} samples of {found.data}; clean {rate(found.clean)}",
                heads=("corruption", "kind", *(f">{severity}" for severity in found.severities), ">mean"),
                rows=rows,
            ),
        ),
        notes=NOTES,
        foot=f"holdfast {found.holdfast}, seed {found.seed}, model {found.fingerprint}",
    )
