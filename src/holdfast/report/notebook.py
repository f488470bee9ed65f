"""What a notebook shows of a run: static HTML with inline SVG, no script, under 20 kB, and plain text beneath it."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.summary import Summary
from holdfast.report import svg, words
from holdfast.report.gallery import Card
from holdfast.report.visible import cleaned, short

STYLE = Markup("""<style>
.hf-run{font:14px/1.5 system-ui,sans-serif;max-width:680px;--ink:#1b1f24;--soft:#57606a;--blue:#0072b2;--orange:#d55e00;--grey:#c3c9d0;--stripe:#8b949e;--paper:#fff;color:var(--ink)}
@media(prefers-color-scheme:dark){.hf-run{--ink:#e7eaed;--soft:#a5aeb8;--blue:#56b4e9;--orange:#e69f00;--grey:#4a525b;--stripe:#7d8792;--paper:#14171b}}
.hf-run pre{display:none}.hf-run p{margin:0 0 8px}.hf-run svg{display:block;overflow:visible;font:12px sans-serif}.hf-run svg text{fill:var(--ink)}
.hf-run .axis{fill:var(--soft)}.hf-run .strong{font-weight:600}.hf-run .held{fill:var(--blue)}.hf-run .lost{fill:var(--orange)}.hf-run .wrong{fill:var(--grey)}
.hf-run .stripe{stroke:var(--stripe);stroke-width:2}.hf-run .whisker,.hf-run .tick{stroke:var(--ink);stroke-width:2}.hf-run .whisker.over{stroke:var(--paper);stroke-width:5}
.hf-run td,.hf-run th{text-align:left;padding:3px 14px 3px 0}.hf-run figure{display:inline-block;margin:0 12px 8px 0}.hf-run img{image-rendering:pixelated;width:64px;height:64px}
</style>""")


def render(summary: Summary, line: str) -> str:
    """The verdict, the bracket bar and a line for each threat; `line` is the fallback where styles are stripped."""
    summary = cleaned(summary)
    robust, clean = summary.rates.empirical_robust_accuracy, summary.rates.clean_accuracy
    parts = [Markup("<p><b>{}</b></p>").format(short(summary.verdict.text, 600))]
    if not summary.complete:
        parts.append(Markup("<p>◌ Partial run. {}</p>").format(short(words.stopped(summary), 300)))
    if robust is not None and clean is not None:
        parts.append(svg.bracket(robust, clean, not summary.complete))
    rows = [("clean accuracy", clean), ("not broken, at most", robust)]
    rows += [(short(t.literal, 60), t.empirical_robust_accuracy) for t in summary.threats[:8]] if len(summary.threats) > 1 else []
    parts.append(Markup("<table><tbody>{}</tbody></table>").format(Markup("").join(_row(name, rate) for name, rate in rows)))
    return str(Markup('{}<div class="hf-run">{}<pre>{}</pre></div>').format(STYLE, Markup("").join(parts), line))


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
            Markup('<figure><img src="{}" alt="clean"> <img src="{}" alt="{}"><figcaption>{}</figcaption></figure>').format(
                card.clean, card.changed, card.told, short(card.told, 60)) for card in self.cards)
        return str(Markup('{}<div class="hf-run">{}</div>').format(STYLE, figures))
