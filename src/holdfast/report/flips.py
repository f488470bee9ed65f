"""What changed sides between two runs, as cards: the run that lost a sample tells what broke it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from holdfast.evaluation.comparison import Comparison, Pair
from holdfast.evaluation.flips import Flip
from holdfast.evaluation.manifest import keys_of
from holdfast.evaluation.store import Folder
from holdfast.report.gallery import BUDGET, Card, facts, pictured
from holdfast.report.run import typed
from holdfast.report.sheet import Cards
from holdfast.report.visible import cleaned, short
from holdfast.report.words import counted

if TYPE_CHECKING:
    from holdfast.data.dataset import Dataset

SHOWN = 12  # cards of a side
Array = npt.NDArray[Any]


def galleries(comparison: Comparison, folders: Sequence[Folder], data: "Dataset | None" = None) -> tuple[Cards, ...]:
    """Two for each of the other runs: what only the first one holds, and what only the other one holds.

    Args:
        comparison: Of these folders.
        folders: In its order.
        data: The samples, where their inputs may be shown beside those that the runs keep.
    """
    found, left = list[Cards](), BUDGET
    for pair in comparison.pairs:
        for won in (False, True):
            made = _gallery(comparison, pair, won, folders, data, left)
            left -= sum(len(c.clean) + len(c.changed) + len(c.difference) for c in made.cards)
            found += [made] if made.cards else []
    return tuple(found)


def _gallery(
    comparison: Comparison, pair: Pair, won: bool, folders: Sequence[Folder], data: "Dataset | None", budget: int
) -> Cards:
    """One side of a pair."""
    holds, loses = (pair.other, 0) if won else (0, pair.other)
    mine = [flip for flip in pair.flips if flip.won == won]
    shown = _Shown(folders[loses], [folders[holds], folders[loses]], data)
    cards = [card for card in (shown.card(flip) for flip in _ordered(mine, shown)) if card is not None]
    total = len(pair.contrasts[0].won if won else pair.contrasts[0].lost)
    names = [short(comparison.runs[i].run, 60) for i in (holds, loses)]
    first = "those with pictures first, " if any(card.clean for card in cards) else ""
    note = f"{counted(total, 'sample')}, {len(cards)} shown: {first}by threat, small changes first."
    if any(not card.clean for card in cards) and data is None:
        note += " Inputs that the runs do not keep are shown with --rows."
    return Cards(f"Held by {names[0]}, not by {names[1]}", note, tuple(_within(cards, budget)))


def _ordered(found: Sequence[Flip], shown: "_Shown") -> list[Flip]:
    """By the recipe: those with pictures first, each part as it comes (by threat, small changes first)."""
    return sorted(found, key=lambda flip: not shown.pictured(flip))[:SHOWN]


def _within(cards: Sequence[Card], budget: int) -> list[Card]:
    """The cards; without their pictures from where those would be too large together."""
    kept, spent = list[Card](), 0
    for card in cards:
        spent += len(card.clean) + len(card.changed) + len(card.difference)
        kept.append(card if spent <= budget else dataclasses.replace(card, clean="", changed="", difference=""))
    return kept


class _Shown:
    """What may be shown of the samples that a run lost.

    Args:
        loser: The run.
        runs: Whose kept examples are the originals.
        data: The samples, None where nobody asked for them.
    """

    def __init__(self, loser: Folder, runs: Sequence[Folder], data: "Dataset | None"):
        self.folder, self.summary, self.data = loser, cleaned(loser.summary), data
        samples = loser.manifest.samples
        self.keys = dict(zip(samples.ids, samples.keys, strict=True))
        self.rows = {(r["threat"], r["sample"]): r for r in loser.samples.to_pylist()}
        self.originals: dict[str, Array] = {}
        for run in runs if self.summary.data.kind == "image" else ():
            key_of = dict(zip(run.manifest.samples.ids, run.manifest.samples.keys, strict=True))
            if run.examples is not None:
                self.originals |= {
                    key_of[n]: x for n, x in zip(run.examples.sample.tolist(), run.examples.clean, strict=True)
                }
        if data is not None:
            self.places = {key: i for i, key in enumerate(keys_of(data.digests))}
            wanted = [key for key in self.keys.values() if key in self.places]
            self.originals |= {key: data.x[self.places[key]].numpy() for key in wanted}

    def pictured(self, flip: Flip) -> bool:
        """Whether there is an original to show."""
        return self.summary.data.kind == "image" and self.keys[flip.sample] in self.originals

    def card(self, flip: Flip) -> Card | None:
        """The card of a flip."""
        threat = flip.threat or self.summary.threats[0].literal
        row = self.rows.get((threat, flip.sample))
        if row is None:
            return None
        found = facts(self.summary, row, typed(self.folder.path))
        clean, changed = self.originals.get(self.keys[flip.sample]), self._adversarial(row, self.keys[flip.sample])
        if flip.status != "broken":
            found["command"] = f"{found['command'].replace(' replay ', ' show ', 1)}"
            changed = clean
        if clean is not None and changed is not None:
            if self.summary.data.kind == "image":
                found |= {k: Markup(v) if isinstance(v, str) else v for k, v in self._pictures(clean, changed).items()}
            elif flip.status == "broken":
                found["change"] = found["change"] or self._told(clean, changed)
        return Card(**cleaned(found))

    def _pictures(self, clean: Array, changed: Array) -> dict[str, Any]:
        return pictured(self.summary, clean, changed)

    def _adversarial(self, row: Mapping[str, Any], key: str) -> Array | None:
        """The stored input that broke the sample."""
        for asked in self.folder.parts.questions():
            if asked.kind == "search" and asked.digest == row.get("origin"):
                return self.folder.parts.arrays(asked, "adversarial").get(key)
        return None

    def _told(self, clean: Array, changed: Array) -> str:
        """What changed in a row: in the words of its table, else by position."""
        import torch

        space = None if self.data is None or self.data.schema is None else self.data.space
        if space is not None:
            return str(space.describe(torch.from_numpy(clean), torch.from_numpy(changed)))
        a, b = clean.ravel(), changed.ravel()
        places = sorted(np.flatnonzero(a != b).tolist(), key=lambda j: -abs(float(b[j] - a[j])))
        words = ", ".join(f"x[{j}] {a[j]:.4g} -> {b[j]:.4g}" for j in places[:8])
        return words + (f" and {len(places) - 8} more" if len(places) > 8 else "")
