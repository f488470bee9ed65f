"""From run folders to the rows of a comparison of models; no model is needed."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import get_args

from holdfast import attacks
from holdfast.core.lazy import camel
from holdfast.data.dataset import Dataset
from holdfast.evaluation.board import bands, pairwise
from holdfast.evaluation.comparable import Seen, read
from holdfast.evaluation.comparing.records import Access, Against, ModelComparison, Row
from holdfast.evaluation.manifest import keys_of
from holdfast.evaluation.metrics.coverage import TREES
from holdfast.evaluation.metrics.per_class import per_class
from holdfast.evaluation.paired import over_groups
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.models.cuts import differing
from holdfast.threats.tables.threat import Table

ALPHA, FEW = 0.05, 3


@dataclasses.dataclass(frozen=True, eq=False)
class Answered:
    """A finished run: what the comparison calls its model, its folder, its samples, what the model shows, the rates.

    `kinds` is the class of each sample whose recall is told, by its key, and `names` are theirs.
    """

    name: str
    folder: Folder
    seen: Seen
    shows: Access
    clean: Rate
    robust: Rate
    kinds: Mapping[str, int]
    names: Sequence[str]

    @functools.cached_property
    def held(self) -> Mapping[str, bool]:
        """Sample -> whether it held under every threat."""
        return {key: all(under[key] for under in self.seen.held.values()) for key in self.seen.ids}


def answered(name: str, folder: Folder, shows: Access, data: Dataset) -> Answered | None:
    """A finished run on these samples; None where it judged none."""
    seen, rates = read(folder), folder.summary.rates
    if not seen.ids or rates.clean_accuracy is None or rates.empirical_robust_accuracy is None:
        return None
    classes = (data.y if data.kinds is None else data.kinds).tolist()
    kinds = {key: kind for key, kind in zip(keys_of(data.digests), classes, strict=True) if key in seen.ids}
    names = folder.summary.model.class_names if data.kinds is None else data.kind_names
    return Answered(name, folder, seen, shows, rates.clean_accuracy, rates.empirical_robust_accuracy, kinds, names)


def rows(runs: Sequence[Answered]) -> tuple[Row, ...]:
    """A row for each run, the best first: by empirical robust accuracy, then by clean accuracy.

    Pairs are compared on the samples that all models judged, and corrected for all pairs.
    """
    if not runs:
        return ()
    keys = [key for key in runs[0].seen.ids if all(key in run.seen.ids for run in runs)]
    held = [{key: run.held[key] for key in keys} for run in runs]
    groups = runs[0].seen.groups
    values, ranks = pairwise(held, groups), bands(held, groups)
    order = sorted(range(len(runs)), key=lambda i: (-runs[i].robust.point, -runs[i].clean.point, runs[i].name))
    first, source = order[0], [groups[key] for key in keys]
    found = []
    for i in order:
        against = None
        if i != first:
            best, own = runs[first].seen.clean, runs[i].seen.clean
            robust = over_groups([held[first][k] for k in keys], [held[i][k] for k in keys], source)
            clean = over_groups([best[k] for k in keys], [own[k] for k in keys], source)
            against = Against(robust=robust, clean=clean, p=values[(min(i, first), max(i, first))])
        found.append(_row(runs[i], ranks[i], against))
    return tuple(found)


def sentence(found: Sequence[Row], threats: Sequence[str]) -> str:
    """The comparison in one sentence or two."""
    if not found:
        return "No model is finished."
    best, under = found[0], " and ".join(threats)
    share = f"{100 * best.robust.point:.1f} % [{100 * best.robust.low:.1f}, {100 * best.robust.high:.1f}]"
    text = f"{best.name} withstands most: {share} of {best.robust.n} samples were not broken under {under}"
    behind = [row.name for row in found[1:] if row.against is not None and row.against.p <= ALPHA + 1e-12]
    level = [row.name for row in found[1:] if row.name not in behind]
    if level:
        text += f"; no significant difference from {_named(level)}"
    if behind:
        text += f"; {_named(behind)} {'withstand' if len(behind) > 1 else 'withstands'} significantly less"
    return text + "."


def _named(models: Sequence[str]) -> str:
    """A few names, or how many there are."""
    return ", ".join(models) if len(models) <= FEW else f"{len(models)} others"


def notes(found: Sequence[Row], runs: Sequence[Answered]) -> tuple[str, ...]:
    """What to know before believing the rows."""
    told = []
    tried = [row for row in found if row.attacks]
    ways = {access: [row.name for row in tried if row.access == access] for access in get_args(Access)}
    seen = {access: names for access, names in ways.items() if names}
    if len(seen) > 1:
        which = "; ".join(f"{', '.join(names)} by {access}" for access, names in seen.items())
        least = "labels" if "labels" in seen else "scores"
        told.append(
            f"The models were not attacked in the same way, each was asked for what it shows: {which}. Attacks that "
            f"see less find less, and a difference may be theirs: knowledge={least} in the threat asks all alike."
        )
    elif len({row.attacks for row in tried}) > 1:
        told.append("The attacks were not the same for all models: a stage runs only where earlier ones left samples.")
    if cut := differing([(run.name, run.folder.summary.model.notes) for run in runs]):
        told.append(cut)
    trees = [row.name for row in found if row.trees and not any(_of_rows(literal) for literal in row.threats)]
    if trees:
        told.append(
            f"Made of trees: {', '.join(trees)}. Attacks search there and may find less than there is; "
            "hf.exact_distance finds the nearest other decision exactly."
        )
    told += [
        f"The numbers of {row.name} are {row.state}; see its report."
        for row in found
        if row.state not in ("measured", "empty")
    ]
    of = {run.name: run for run in runs}
    told += [_disordered(row, of[row.name].names) for row in found if _worse_than_chance(of[row.name])]
    if len({frozenset(run.seen.ids) for run in runs}) > 1:
        told.append("Not all models judged the same samples: pairs are compared on those that all of them judged.")
    return tuple(told)


def replaced(earlier: ModelComparison, found: ModelComparison) -> str:
    """What the page of a folder no longer says once `found` is written there; empty where it says more than before."""
    facts = (
        ("of", earlier.split, found.split),
        ("under", " and ".join(earlier.threats), " and ".join(found.threats)),
        ("suite", earlier.suite, found.suite),
        ("seed", earlier.seed, found.seed),
    )
    told = [f"{word} {before}" for word, before, now in facts if before != now]
    names = {*(row.name for row in found.rows), *found.left, *(each.name for each in found.left_out)}
    gone = [row.name for row in earlier.rows if row.name not in names]
    told += [f"with {', '.join(gone)}"] if gone else []
    what = f"The earlier comparison in this folder ({'; '.join(told)}) is replaced; its runs are kept."
    return what if told else ""


def _worse_than_chance(run: Answered) -> bool:
    """Right on nothing; or, among samples of several labels, surely less often than one class of all is drawn."""
    labels, classes = run.folder.manifest.samples.labels, run.folder.summary.model.class_names
    return not run.clean.k or (len(set(labels)) > 1 and run.clean.high < 1 / len(classes))


def _disordered(row: Row, classes: Sequence[str]) -> str:
    some = ", ".join([*classes[:FEW], *(["..."] if len(classes) > FEW else [])])
    return (
        f"{row.name} is right on {100 * row.clean.point:.1f} % of the samples before any attack: its row says little. "
        f"See that its classes stand in the order of the data: {some}."
    )


def _row(run: Answered, band: tuple[int, int], against: Against | None) -> Row:
    s, seen = run.folder.summary, run.seen
    union = per_class(run.kinds, seen.clean, run.held, run.names)
    tried = tuple(dict.fromkeys(a.name for t in s.threats for a in t.attacks if a.attempted))
    valid = [t.valid for t in s.threats if t.valid is not None]
    return Row(
        name=run.name,
        run=run.folder.path.name,
        model=s.model.name,
        adapter=s.model.adapter,
        best=band[0],
        worst=band[1],
        clean=run.clean,
        robust=run.robust,
        threats={t.literal: t.empirical_robust_accuracy for t in s.threats if t.empirical_robust_accuracy is not None},
        per_class=s.threats[0].per_class if len(s.threats) == 1 else union,
        valid=min(valid, key=lambda rate: rate.point) if valid else None,
        access=_access(run, tried),
        attacks=tried,
        trees=TREES in s.model.notes,
        queries=s.cost.queries,
        gradients=s.cost.gradients,
        seconds=s.cost.seconds,
        state=s.verdict.state,
        masking="not checked" if s.masking is None else s.masking.state,
        against=against,
    )


def _access(run: Answered, tried: Sequence[str]) -> Access:
    """The most that an attack saw."""
    threats = run.folder.summary.threats
    if any(attack.gradients for threat in threats for attack in threat.attacks):
        return "gradients"
    if run.shows == "labels" or all(threat.knowledge == "labels" for threat in threats):
        return "labels"
    kinds = [getattr(attacks, camel(name), None) for name in tried]
    if any("trees" in getattr(kind, "needs", ()) for kind in kinds):
        return "trees"
    rows = any(_of_rows(threat.literal) for threat in threats)  # there scores are taken where they are shown
    blind = kinds and not rows and all(getattr(kind, "needs", None) == frozenset({"labels"}) for kind in kinds)
    return "labels" if blind else "scores"


def _of_rows(literal: str) -> bool:
    """Whether a threat is about rows of a table."""
    return literal.startswith(f"{Table.norm}:")
