"""The samples that only one of two runs holds: what broke each of them in the other run, and at what cost."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.evaluation.rows import HELD
from holdfast.evaluation.store import Folder
from holdfast.threats.written import measure_of

MOST = 100  # a side; all numbers stand in the contrasts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flip:
    """A sample that one run holds under every threat and the other does not.

    Args:
        sample: Its number in the run that does not hold it.
        won: Whether the other run holds it and the first does not; else it is the first that does.
        label: Its class, by name where there is one.
        status: In the run that does not hold it: `broken`, or `wrong` before any attack.
        threat: The first threat that broke it; empty where it is wrong before any attack.
        attack: What broke it there.
        becomes: The class it was taken for.
        measure, size: Size of the change under that threat, None where nothing broke it.
        queries, gradients: What its searches under that threat took.
        change: What changed in a row of a shared table, in words.
    """

    sample: int
    won: bool
    label: str
    status: str
    threat: str
    attack: str
    becomes: str
    measure: str
    size: float | None
    queries: int
    gradients: int
    change: str = ""


def flips(
    first: Folder, other: Folder, lost: Sequence[str], won: Sequence[str], threats: Sequence[str]
) -> tuple[Flip, ...]:
    """The flips of both sides, those that only the first run holds before the others, by threat, small changes first.

    Args:
        first: A run.
        other: The run it is compared with.
        lost: Keys of the samples that only the first one holds.
        won: Keys of those that only the other one holds.
        threats: Literals that both runs have.
    """
    return (*_side(other, lost, threats, False), *_side(first, won, threats, True))


def _side(folder: Folder, keys: Sequence[str], threats: Sequence[str], won: bool) -> list[Flip]:
    """Those of one side, told by the run that does not hold them."""
    samples, wanted = folder.manifest.samples, set(keys)
    numbers = {number: key for key, number in zip(samples.keys, samples.ids, strict=True) if key in wanted}
    rows: dict[int, dict[str, dict[str, Any]]] = {number: {} for number in numbers}
    for row in folder.samples.to_pylist() if numbers else ():
        if row["sample"] in rows and row["threat"] in threats and row["status"] not in HELD:
            rows[row["sample"]][row["threat"]] = row
    found = [_flip(folder, next(r[t] for t in threats if t in r), won) for r in rows.values() if r]
    order = {literal: place for place, literal in enumerate(threats)}
    return sorted(found, key=lambda f: (order.get(f.threat, len(order)), f.size or 0.0, f.sample))[:MOST]


def _flip(folder: Folder, row: Mapping[str, Any], won: bool) -> Flip:
    broken, measure = row["status"] == "broken", measure_of(row["threat"])
    into = row["adversarial_label"] if broken else row["predicted"]
    return Flip(
        sample=row["sample"],
        won=won,
        label=_name(folder, row["label"]),
        status=row["status"],
        threat=row["threat"] if broken else "",
        attack=row["broken_by"] or "" if broken else "",
        becomes=_name(folder, into),
        measure=measure if broken else "",
        size=row.get(measure) if broken else None,
        queries=row["queries"] if broken else 0,
        gradients=row["gradients"] if broken else 0,
        change=row.get("change") or "",
    )


def _name(folder: Folder, label: int | None) -> str:
    """The class's name, its number without one; empty for none."""
    names = folder.summary.model.class_names
    if label is None:
        return ""
    return names[label] if 0 <= label < len(names) else str(label)
