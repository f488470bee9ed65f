"""What a notebook shows of a run: static HTML with inline SVG, no script, under 20 kB, and plain text beneath it."""

import dataclasses
import functools
import importlib.resources
from collections.abc import Sequence

from markupsafe import Markup

from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import Summary
from holdfast.report import svg, words
from holdfast.report.gallery import Card
from holdfast.report.visible import cleaned, short


def render(summary: Summary, line: str) -> str:
    """The verdict, the bracket bar and a line for each threat; `line` is the fallback where styles are stripped."""
    summary = cleaned(summary)
    robust, clean = summary.rates.empirical_robust_accuracy, summary.rates.clean_accuracy
    parts = [Markup("<p><b>{}</b></p>").format(short(summary.verdict.text, 600))]
    if not summary.complete:
        parts.append(Markup("<p>◌ Partial run. {}</p>").format(short(words.stopped(summary), 300)))
    if robust is not None and clean is not None:
        parts.append(svg.bracket(robust, clean, not summary.complete))
    rows = words.headline(summary)
    rows += (
        [(short(t.literal, 60), t.empirical_robust_accuracy) for t in summary.threats[:8]]
        if len(summary.threats) > 1
        else []
    )
    parts.append(
        Markup("<table><tbody>{}</tbody></table>").format(Markup("").join(_row(name, rate) for name, rate in rows))
    )
    return str(Markup('{}<div class="hf-run">{}<pre>{}</pre></div>').format(_style(), Markup("").join(parts), line))


def _row(name: str, rate: Rate | None) -> Markup:
    return Markup("<tr><th>{}</th><td>{}</td></tr>").format(name, words.rate(rate))


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A few samples as a notebook shows them: clean and changed side by side."""

    cards: Sequence[Card]

    def __len__(self) -> int:
        return len(self.cards)

    def __repr__(self) -> str:
        return f"Pictures({len(self.cards)} samples)"

    def _repr_html_(self) -> str:
        figures = Markup("").join(
            Markup(
                '<figure><img src="{}" alt="clean"> <img src="{}" alt="{}"><figcaption>{}</figcaption></figure>'
            ).format(card.clean, card.changed, card.told, short(card.told, 60))
            for card in self.cards
        )
        return str(Markup('{}<div class="hf-run">{}</div>').format(_style(), figures))


@functools.cache
def _style() -> Markup:
    style = (
        importlib.resources.files("holdfast.report").joinpath("templates", "notebook.css").read_text(encoding="utf-8")
    )
    return Markup("<style>{}</style>").format(Markup(style))
