"""The samples a report shows: pictures clean / adversarial / difference with their facts, within a size budget."""

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from holdfast.evaluation.metrics.distances import DISTANCES
from holdfast.evaluation.store import Examples
from holdfast.evaluation.summary import Summary
from holdfast.report import pictures, words
from holdfast.threats.written import measure_of

Array = npt.NDArray[Any]
BUDGET = 2_000_000  # characters of pictures in one report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """One sample under one threat.

    Args:
        status: As in the run; `broken`, `unbroken` or `rejected` for cards with pictures.
        distances: Norm and size of the change, only where the sample broke.
        clean, changed, difference: `data:` addresses, empty where the run keeps no pictures.
        amplified: How many times the difference is amplified; full color is `peak` in data units.
        change: What changed in a row of a table, in words; empty where that is not told.
        tried: Attacks that the threat's plan holds.
        command: The line that repeats the attack on this sample.
    """

    sample: int
    threat: str
    status: str
    label: str
    predicted: str
    confidence: float | None
    adversarial: str
    adversarial_confidence: float | None
    attack: str
    tried: int
    queries: int
    gradients: int
    eight_bit: bool | None
    distances: tuple[tuple[str, float], ...]
    command: str
    change: str = ""
    clean: str = ""
    changed: str = ""
    difference: str = ""
    amplified: float = 0.0
    peak: float = 0.0
    width: int = 0

    @property
    def told(self) -> str:
        """The card in one sentence, for readers who do not see the pictures."""
        if self.status != "broken":
            return f"Sample {self.sample}, {self.label}: not broken"
        told = f"Sample {self.sample}, {self.label}, becomes {self.adversarial} with {self.attack}"
        return told + (f": {self.change}" if self.change else "")


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The cards that fit, and how many chosen ones did not."""

    cards: tuple[Card, ...]
    left_out: int

    def of(self, threat: str, samples: tuple[int, ...]) -> list[Card]:
        """Cards with pictures of the named samples; any threat where `threat` is empty."""
        return [c for c in self.cards if c.clean and c.sample in samples and threat in ("", c.threat)]


def gallery(summary: Summary, samples: pa.Table, examples: Examples | None, run: str) -> Gallery:
    """The cards of a run.

    Args:
        summary: Names and bounds; already cleaned.
        samples: One row for each threat and sample.
        examples: Inputs in full, None where the run keeps none: then cards have no pictures.
        run: The run folder as a person would type it.
    """
    rows = {(row["threat"], row["sample"]): row for row in samples.to_pylist()}
    if examples is None or summary.data.kind != "image" or not len(examples):
        chosen = [rows[key] for key in _chosen(summary, rows)]
        return Gallery(tuple(Card(**facts(summary, row, run)) for row in chosen), 0)
    cards: list[Card] = []
    spent = 0
    for place, key in enumerate(zip(examples.threat.tolist(), examples.sample.tolist(), strict=True)):
        if key not in rows:
            continue
        card = Card(
            **facts(summary, rows[key], run), **pictured(summary, examples.clean[place], examples.adversarial[place])
        )
        spent += len(card.clean) + len(card.changed) + len(card.difference)
        if spent > BUDGET and cards:
            return Gallery(tuple(cards), len(examples) - place)
        cards.append(card)
    return Gallery(tuple(cards), 0)


def facts(summary: Summary, row: dict[str, Any], run: str) -> dict[str, Any]:
    """The fields of a card but for its pictures, from a row of the samples."""
    found = [(norm, row[norm]) for norm in DISTANCES if row.get(norm) is not None] if row["status"] == "broken" else []
    return {
        "sample": row["sample"],
        "threat": row["threat"],
        "status": row["status"],
        "label": words.class_name(summary, row["label"]),
        "predicted": words.class_name(summary, row["predicted"]),
        "confidence": row["confidence"],
        "adversarial": words.class_name(summary, row["adversarial_label"]),
        "adversarial_confidence": row["adversarial_confidence"],
        "attack": row["broken_by"] or "",
        "tried": next((len(t.attacks) for t in summary.threats if t.literal == row["threat"]), 0),
        "queries": row["queries"],
        "gradients": row["gradients"],
        "eight_bit": row["eight_bit"],
        "distances": tuple(found),
        "change": row.get("change") or "",
        "command": command(run, row["sample"]),
    }


def pictured(summary: Summary, clean: Array, changed: Array) -> dict[str, Any]:
    """The pictures of a card, from an original and what became of it."""
    shown, peak = pictures.difference(clean, changed)
    low, high = summary.data.bounds
    return {
        "clean": pictures.address(pictures.pixels(clean, (low, high))),
        "changed": pictures.address(pictures.pixels(changed, (low, high))),
        "difference": pictures.address(shown),
        "peak": peak,
        "amplified": (high - low) / peak if peak > 0 else 1.0,
        "width": int(clean.shape[-1]),
    }


def command(run: str, sample: int) -> str:
    """`holdfast replay RUN SAMPLE`, quoted for a shell."""
    quoted = "~/" + shlex.quote(run[2:]) if run.startswith("~/") else shlex.quote(run)
    return f"holdfast replay {quoted} {sample}"


def _chosen(summary: Summary, rows: dict[tuple[str, int], dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Without pictures: smallest, median and largest change of each threat, then three that were not broken."""
    for threat in summary.threats:
        norm = measure_of(threat.literal)
        mine = [(key, row) for key, row in rows.items() if key[0] == threat.literal]
        broken = sorted((row.get(norm) or 0.0, key) for key, row in mine if row["status"] == "broken")
        places = sorted({0, len(broken) // 2, len(broken) - 1}) if broken else []
        yield from (broken[place][1] for place in places)
        yield from [key for key, row in mine if row["status"] in ("unbroken", "rejected")][:3]
