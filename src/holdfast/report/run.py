"""A run as a value: its rates, its samples, and its reports. Reads the run folder; no model is needed."""

import os
import pathlib
import shutil
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from holdfast.core.errors import UsageError
from holdfast.core.files import write_atomic
from holdfast.evaluation.document import to_json
from holdfast.evaluation.frames import Frame, frame
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import Finding, Summary, ThreatFacts
from holdfast.report import csv, html, junit, markdown, notebook, text, words
from holdfast.report.gallery import gallery
from holdfast.report.visible import cleaned, visible

if TYPE_CHECKING:
    from holdfast.evaluation.comparison import Comparison

FORMATS = (".html", ".md", ".csv", ".json", ".txt", ".xml")


class Run:
    """A finished or partial run.

    Args:
        folder: The run folder or its path.
        temporary: The folder disappears with this object (or at the end of the program).

    Raises:
        IntegrityError: HF407 no run there; HF408 (on use) killed before it wrote a summary.
    """

    def __init__(self, folder: Folder | str | os.PathLike[str], *, temporary: bool = False):
        self.folder = folder if isinstance(folder, Folder) else Folder(pathlib.Path(folder))
        if temporary:
            weakref.finalize(self, shutil.rmtree, self.folder.path, ignore_errors=True)

    @property
    def path(self) -> pathlib.Path:
        """The run folder."""
        return self.folder.path

    @property
    def summary(self) -> Summary:
        """The document, as in `summary.json`."""
        return self.folder.summary

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was done."""
        return self.summary.complete

    @property
    def clean_accuracy(self) -> Rate | None:
        """Samples that are right before any attack, of all that are not invalid; None where there is none."""
        return self.summary.rates.clean_accuracy

    @property
    def empirical_robust_accuracy(self) -> Rate | None:
        """Samples that are right and that nothing broke: an upper bound; None where there is no sample."""
        return self.summary.rates.empirical_robust_accuracy

    @property
    def benign_reject_rate(self) -> Rate | None:
        """Samples that the model rejects before any attack; None also for a model that rejects nothing."""
        return self.summary.rates.benign_reject_rate

    @property
    def by_threat(self) -> "ByThreat":
        """Literal or Threat -> the facts of that threat, `.empirical_robust_accuracy` among them."""
        return ByThreat(self.summary)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to act on: title, text with the numbers, samples that show it, the next command."""
        return self.summary.findings

    @property
    def samples(self) -> pa.Table:
        """One row for each threat and sample: status, labels, distances, queries."""
        return self.folder.samples

    def to_frame(self, kind: Frame = "auto") -> Any:
        """`samples` as a data frame.

        Args:
            kind: `pandas`, `arrow` (a pyarrow Table, which narwhals and polars take), or `auto`: pandas where it is
                installed.

        Raises:
            MissingExtra: HF701 where pandas was asked for and is not installed.
        """
        return frame(self.samples, kind)

    def report(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Write the report; the ending chooses the form: .html .md .csv .json .txt .xml (JUnit).

        Returns:
            The path that was written.

        Raises:
            UsageError: HF820 for another ending.
            ResourceError: HF501, HF502 or HF503.
        """
        target = pathlib.Path(path)
        form = target.suffix.lower()
        if form not in FORMATS:
            raise UsageError(
                "HF820",
                "This is no form of report",
                seen=visible(target.name, 80),
                expected="a file ending in " + ", ".join(FORMATS),
                fix='run.report("report.html")',
            )
        write_atomic(target, self._rendered(form).encode("utf-8", "backslashreplace"))
        return target

    def compare(self, *others: "Run | str | os.PathLike[str]", common: bool = False) -> "Comparison":
        """Compare other runs with this one, sample by sample: the same as `hf.compare(run, other)`.

        Args:
            others: Runs or run folders over the same samples, threats and attacks.
            common: Compare what all runs share where samples or threats differ, instead of refusing.

        Raises:
            UsageError: HF821 without another run.
            IntegrityError: HF413 where they cannot be compared, HF407 where there is no run.
        """
        from holdfast.evaluation.comparison import compare

        runs = [run if isinstance(run, Run) else Run(run) for run in others]
        return compare([self.folder, *(run.folder for run in runs)], common)

    def images(self, n: int = 8) -> notebook.Pictures:
        """The first n samples that the run keeps as pictures; empty for tables."""
        found = gallery(cleaned(self.summary), self.samples, self.folder.examples, typed(self.path))
        return notebook.Pictures([card for card in found.cards if card.clean][:n])

    def _rendered(self, form: str) -> str:
        if form == ".html":
            return html.render(self.summary, self.samples, self.folder.examples, typed(self.path))
        if form == ".md":
            return markdown.render(self.summary)
        if form == ".csv":
            return csv.render(self.summary, self.samples)
        if form == ".xml":
            return junit.of_run(self.summary, typed(self.path))
        return to_json(self.summary) if form == ".json" else text.text(self.summary)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.summary == other.summary

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        summary, robust = self.summary, self.empirical_robust_accuracy
        rate = (
            "nothing measured" if robust is None else f"robust ≤ {words.percent(robust.point)} {words.interval(robust)}"
        )
        under = " or ".join(threat.literal for threat in summary.threats)
        state = "" if summary.complete else ", partial"
        return visible(f"Run({under}, n={summary.data.n}, {rate}{state})".replace("\u00a0", " "), 400)

    def _repr_html_(self) -> str:
        return notebook.render(self.summary, repr(self))


class ByThreat(Mapping[Any, ThreatFacts]):
    """The threats of a run, by literal (in any spelling) or by Threat."""

    def __init__(self, summary: Summary):
        self._found = {threat.literal: threat for threat in summary.threats}

    def __getitem__(self, key: Any) -> ThreatFacts:
        if isinstance(key, str) and key in self._found:
            return self._found[key]
        from holdfast.threats.literals import parse

        literal = parse(key).literal
        if literal not in self._found:
            raise KeyError(f"{literal}; this run has {', '.join(self._found)}")
        return self._found[literal]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"ByThreat({', '.join(self._found)})"


def typed(path: pathlib.Path) -> str:
    """The folder as a person would type it from here: relative where it lies below, else from `~`."""
    whole = path.resolve()
    for base, head in ((pathlib.Path.cwd(), ""), (pathlib.Path.home(), "~/")):
        if whole != base and whole.is_relative_to(base):
            return head + whole.relative_to(base).as_posix()
    return whole.as_posix()
