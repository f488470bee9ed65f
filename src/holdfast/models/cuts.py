"""What a model's notes say of a class that is decided at a threshold, read without torch."""

from collections.abc import Sequence

MARK = " is decided where its probability is at least "
HIGHEST = "The class with the highest score is decided."


def decisions(notes: Sequence[str]) -> tuple[str, ...]:
    """Those of a model's notes that say where a class is decided, as sentences."""
    return tuple(f"{note[:1].upper()}{note[1:]}." for note in notes if MARK in note)


def differing(runs: Sequence[tuple[str, Sequence[str]]]) -> str:
    """How runs (name, notes of the model) decide, as a sentence, where they do not all decide alike; else empty."""
    ways: dict[str, list[str]] = {}
    for name, notes in runs:
        ways.setdefault("".join(decisions(notes)) or HIGHEST, []).append(name)
    if len(ways) < 2:
        return ""
    told = "; ".join(f"{', '.join(names)}: {way[:1].lower()}{way[1:-1]}" for way, names in ways.items())
    return f"The decisions are not made in the same way, so the numbers are those of different classifiers: {told}."
