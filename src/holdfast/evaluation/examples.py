"""Which samples are shown: a fixed recipe, never hand-picked.

For each threat, of the broken samples: the smallest, the median and the largest change; for each attack its smallest;
for each class its smallest; and up to twelve samples that held, those nearest to breaking. Of changes that
are alike in the threat's measure the shorter one comes first (L2), then the first sample.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from holdfast.data.dataset import Dataset
from holdfast.evaluation.finals import Final, View
from holdfast.evaluation.parts import Question
from holdfast.evaluation.rows import SearchRow
from holdfast.evaluation.work import KEEP
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.threats import Threat

HELD = 12


def chosen(
    view: View,
    found: Mapping[str, Final],
    threat: Threat,
    labels: Mapping[str, int],
    teams: Sequence[Sequence[str]] = (),
) -> list[str]:
    """Sample keys, each once, in the recipe's order.

    Of those that held only the `KEEP` of each team count whose points are stored anyway: a cap cuts teams into pieces,
    each of which stores as many, and what is shown shall not depend on it.
    """
    place = {key: i for i, key in enumerate(view.keys)}
    broken = [
        (getattr(f.row, threat.measure), f.row.l2, place[f.key], f)
        for f in found.values()
        if f.status == "broken" and f.row is not None and view.adversarial(f) is not None
    ]
    ordered = [f for *_, f in sorted(broken, key=lambda one: one[:3])]
    picked = [ordered[i].key for i in (0, len(ordered) // 2, -1)] if ordered else []
    for groups in ([f.asked.attack if f.asked else "" for f in ordered], [labels[f.key] for f in ordered]):
        first: dict[object, str] = {}
        for f, group in zip(ordered, groups, strict=True):
            first.setdefault(group, f.key)
        picked += list(first.values())
    held = [f for f in found.values() if f.status in ("unbroken", "rejected") and view.strongest(f) is not None]
    beyond = {key for asked in {f.asked for f in held if f.asked} for key in _beyond(view, asked, teams)}
    held = [f for f in held if f.key not in beyond]
    picked += [f.key for f in sorted(held, key=lambda f: (f.margin, place[f.key]))[:HELD]]
    return list(dict.fromkeys(picked))


def _beyond(view: View, asked: Question, teams: Sequence[Sequence[str]]) -> list[str]:
    """The samples of each team whose strongest points a whole team would not have stored."""
    rows, stored = view.parts.rows(asked, SearchRow), view.parts.arrays(asked, "strongest")
    near = [sorted((key for key in team if key in stored), key=lambda key: rows[key].margin) for team in teams]
    return [key for team in near for key in team[KEEP:]]


def changes(view: View, found: Mapping[str, Mapping[str, Final]], data: Dataset) -> dict[tuple[str, str], str]:
    """What changed in the rows that broke, in words, by threat and sample; only of data whose rows may be shown."""
    if not data.shared or not isinstance(data.space, Tabular):
        return {}
    told: dict[tuple[str, str], str] = {}
    for literal, members in found.items():
        for i, key in enumerate(view.keys):
            changed = view.adversarial(members[key]) if members[key].status == "broken" else None
            if changed is not None:
                told[literal, key] = data.space.describe(data.x[i], torch.from_numpy(changed))
    return told


def examples(
    view: View,
    found: Mapping[str, Mapping[str, Final]],
    data: Dataset,
    ids: Mapping[str, int],
    teams: Sequence[Sequence[str]] = (),
) -> bytes | None:
    """The content of `examples.npz`; None where there is nothing to show. `teams`: samples that stand together."""
    place = {key: i for i, key in enumerate(view.keys)}
    labels = {key: int(data.y[i]) for key, i in place.items()}
    rows: list[tuple[int, str, str, int, np.ndarray]] = []
    for threat in view.threats:
        for key in chosen(view, found[threat.literal], threat, labels, teams):
            final = found[threat.literal][key]
            changed = view.adversarial(final) if final.status == "broken" else view.strongest(final)
            if changed is not None:
                rows.append((ids[key], threat.literal, final.status, place[key], changed))
    return _packed(rows, data) if rows else None


def _packed(rows: Sequence[tuple[int, str, str, int, np.ndarray]], data: Dataset) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(
        out,
        sample=np.array([r[0] for r in rows], dtype=np.int64),
        threat=np.array([r[1] for r in rows]),
        kind=np.array([r[2] for r in rows]),
        clean=data.x[[r[3] for r in rows]].numpy(),
        adversarial=np.stack([r[4] for r in rows]),
    )
    return out.getvalue()
