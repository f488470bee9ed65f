"""From parts to one verdict a sample and threat: the first attack that breaks it counts."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from holdfast.attacks.attack import Attack
from holdfast.core.records import canonical, config
from holdfast.evaluation.earlier import AWARE, Earlier, Replay
from holdfast.evaluation.parts import Array, Parts, Question
from holdfast.evaluation.plan import CLEAN, families, question, radii, smaller
from holdfast.evaluation.rows import STANDING, CleanRow, SearchRow
from holdfast.evaluation.suites import Suite
from holdfast.threats.threats import Threat


@dataclasses.dataclass(frozen=True)
class Final:
    """One sample under one threat.

    Args:
        key: The sample.
        status: Of the statuses of a sample.
        clean: The model on the original.
        row: The search that decided: the one that broke it, else the one that came nearest; None if none ran.
        asked: The question of that search.
        attack: Its attack's position in the suite, -1 where nothing was searched.
        queries, gradients: Spent on it under this threat by all its searches.
        margin: Lowest found.
        loss: Highest found, the clean one where nothing was searched.
        reason: Why it could not be judged, or why it is rejected.
    """

    key: str
    status: str
    clean: CleanRow | None
    row: SearchRow | None = None
    asked: Question | None = None
    attack: int = -1
    queries: int = 0
    gradients: int = 0
    margin: float = math.nan
    loss: float | None = None
    reason: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What a run is asked for (samples in the data's order, threats, attacks, seed), and what has been committed.

    `earlier` holds the inputs of another run that are tried first.
    """

    parts: Parts
    keys: tuple[str, ...]
    threats: tuple[Threat, ...]
    suite: Suite
    seed: int
    earlier: Earlier | None = None

    def attacks(self, threat: Threat) -> tuple[Attack, ...]:
        """The stages under a threat: the replay of an earlier run where there is one, then the suite."""
        replay = () if self.earlier is None or not threat.bounded else (self.earlier.stage,)
        return (*replay, *self.suite.serving(threat).attacks)

    def first(self, threat: Threat) -> Attack:
        """The first attack of the suite."""
        return self.suite.serving(threat).attacks[0]

    def curve(self, threat: Threat) -> Attack:
        """The attack that searches the smaller radii."""
        return self.suite.curve_of(threat)

    def tries(self, threat: Threat, attack: Attack, key: str) -> bool:
        """Whether the stage has anything to try on the sample: a replay only where there is an input."""
        return not isinstance(attack, Replay) or (
            self.earlier is not None and key in self.earlier.found[threat.literal]
        )

    def searched(self, threat: Threat, attack: Attack) -> dict[str, SearchRow]:
        """Key -> row."""
        return self.parts.rows(question(threat, attack, self.seed), SearchRow)

    def clean(self) -> dict[str, CleanRow]:
        """Key -> row."""
        return self.parts.rows(CLEAN, CleanRow)

    def knows(self, final: Final) -> str:
        """What whoever broke the sample knew of the stages before the model: `earlier.AWARE` unless it was a replay."""
        if final.status != "broken" or final.asked is None:
            return ""
        found = self.earlier
        replayed = found is not None and final.asked.attack == canonical(config(found.stage))
        return found.knows if found is not None and replayed else AWARE

    def adversarial(self, final: Final) -> Array | None:
        """The stored input of a broken sample."""
        return None if final.asked is None else self.parts.arrays(final.asked, "adversarial").get(final.key)

    def strongest(self, final: Final) -> Array | None:
        """The stored point of lowest margin, kept for a few samples that held."""
        return None if final.asked is None else self.parts.arrays(final.asked, "strongest").get(final.key)


def finals(view: View) -> dict[str, dict[str, Final]]:
    """Literal of the threat -> key -> verdict, for every threat in working order."""
    found: dict[str, dict[str, Final]] = {}
    clean = view.clean()
    for threat in families(view.threats):
        below = [found[t.literal] for t in smaller(threat, view.threats)]
        searched = [
            (stage, a, question(threat, a, view.seed), view.searched(threat, a))
            for stage, a in enumerate(view.attacks(threat))
        ]
        found[threat.literal] = {
            key: inherited(key, below)
            or judge(key, clean.get(key), [(s, q, rows) for s, a, q, rows in searched if view.tries(threat, a, key)])
            for key in view.keys
        }
    return found


def inherited(key: str, below: Sequence[Mapping[str, Final]]) -> Final | None:
    """The verdict at the smallest radius that broke the sample."""
    return next((members[key] for members in below if members[key].status == "broken"), None)


def judge(key: str, clean: CleanRow | None, searched: Sequence[tuple[int, Question, dict[str, SearchRow]]]) -> Final:
    """The verdict from the stages that have something to try: position in the plan, question, rows."""
    if clean is None:
        return Final(key, "undecided", None)
    if clean.status != "right":
        return Final(
            key, "wrong" if clean.status == "rejected" else clean.status, clean, loss=clean.loss, reason=clean.reason
        )
    tried: list[tuple[int, Question, SearchRow]] = []
    status = "unbroken"
    for stage, asked, rows in searched:
        row = rows.get(key)
        if row is None:
            status = "undecided"
            break
        tried.append((stage, asked, row))
        if row.status in ("broken", "wrong"):
            status = row.status
            break
        status = "error" if row.status == "error" else status
    return _told(key, status, clean, tried)


def _told(key: str, status: str, clean: CleanRow, tried: Sequence[tuple[int, Question, SearchRow]]) -> Final:
    if not tried:
        return Final(key, status, clean, loss=clean.loss)
    rows = [row for _, _, row in tried]
    margins = [row.margin for row in rows if not math.isnan(row.margin)]
    losses = [v for v in (clean.loss, *(row.loss for row in rows)) if v is not None]
    best = (
        tried[-1]
        if status == "broken"
        else min(tried, key=lambda t: math.inf if math.isnan(t[2].margin) else t[2].margin)
    )
    if status == "unbroken" and best[2].status == "rejected":
        status = "rejected"
    silent = next((row.reason for row in rows if row.status == "error" and row.reason), "")
    return Final(
        key,
        status,
        clean,
        best[2],
        best[1],
        best[0],
        sum(r.queries for r in rows),
        sum(r.gradients for r in rows),
        min(margins, default=math.nan),
        max(losses, default=None),
        best[2].reason if status == "rejected" else silent,
    )


def survivors(view: View, threat: Threat, stage: int, known: Mapping[str, Mapping[str, Final]]) -> list[str]:
    """Samples that the stage must try: right, and broken neither at a smaller radius nor by an earlier stage."""
    clean, below = view.clean(), [known[t.literal] for t in smaller(threat, view.threats)]
    before = [(a, view.searched(threat, a)) for a in view.attacks(threat)[:stage]]
    own = view.attacks(threat)[stage]
    return [
        key
        for key in view.keys
        if key in clean
        and clean[key].status == "right"
        and inherited(key, below) is None
        and view.tries(threat, own, key)
        and all(
            key in rows and rows[key].status in STANDING for attack, rows in before if view.tries(threat, attack, key)
        )
    ]


def curve_needs(view: View, threat: Threat, radius: float, known: Mapping[str, Mapping[str, Final]]) -> list[str]:
    """Samples to search at a radius of the curve: broken at the threat's, not yet known to break or to hold there."""
    at = broken_at(view, threat, radius, known, own=False)
    attack = view.curve(threat)
    above = [view.searched(threat.at(r), attack) for r in radii(threat, view.threats) if r > radius]
    floor = [known[t.literal] for t in smaller(threat, view.threats) if t.radius > radius]
    return [
        key
        for key in view.keys
        if known[threat.literal][key].status == "broken"
        and not at[key]
        and all(members[key].status == "broken" for members in floor)
        and all(key not in rows or rows[key].status in ("broken", "error") for rows in above)
    ]


def broken_at(
    view: View, threat: Threat, radius: float, known: Mapping[str, Mapping[str, Final]], own: bool = True
) -> dict[str, bool]:
    """Key -> whether something breaks it within `radius`, by a search there (with `own`), below, or at the threat's."""
    attack = view.curve(threat)
    below = [
        view.searched(threat.at(r), attack) for r in radii(threat, view.threats) if r < radius or (own and r == radius)
    ]
    smallest = [known[t.literal] for t in smaller(threat, view.threats) if t.radius <= radius]
    answer = {}
    for key in view.keys:
        final = known[threat.literal][key]
        far = None if final.row is None else getattr(final.row, threat.measure)
        answer[key] = final.status == "broken" and (
            (far is not None and far <= radius)
            or any(key in rows and rows[key].status == "broken" for rows in below)
            or any(members[key].status == "broken" for members in smallest)
        )
    return answer
