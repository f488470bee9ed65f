"""Adversarial inputs of an earlier run, tried before all attacks: every evaluation builds on the ones before."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.errors import IntegrityError, UsageError
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.evaluation import manifest
from holdfast.evaluation.parts import Array
from holdfast.evaluation.store import Folder
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

TOGETHER = 256  # stored inputs measured at once
OBLIVIOUS, AWARE = "oblivious", "defense-aware"  # what whoever made an input knew of the stages before the model
SIGHT = ("labels", "scores", "gradients")  # what an attacker sees, from little to all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Replay(Attack):
    """Ask once about a stored input of each row. Its configuration says which inputs these are.

    Cost: one query a row.

    Args:
        inputs: Digest of every adversarial input that the earlier run holds.
        model: Fingerprint of the model it was made with.
        points: Sample number -> the input to try; no part of the configuration.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"labels"})
    norms: ClassVar[tuple[float, ...]] = (0, 1, 2, torch.inf)
    tables: ClassVar[bool] = True
    inputs: str = dataclasses.field(repr=False)
    model: str = dataclasses.field(repr=False)
    points: dataclasses.InitVar[Mapping[int, Array] | None] = None

    def __post_init__(self, points: Mapping[int, Array] | None = None) -> None:
        super().__post_init__()
        object.__setattr__(self, "_points", points or {})

    def showing(self, points: Mapping[int, Array]) -> "Replay":
        """The same stage with these inputs, by sample number."""
        return Replay(inputs=self.inputs, model=self.model, points=points)

    def passes(self) -> int:
        """One question a row."""
        return 1

    def search(self, probe: Probe) -> None:
        """Ask about the rows that have an input."""
        found: Mapping[int, Array] = getattr(self, "_points")  # noqa: B009 - set in __post_init__
        x, there = probe.x0.clone(), torch.zeros_like(probe.alive)
        for row, number in enumerate(probe.draw.ids):
            if number in found:
                x[row], there[row] = torch.from_numpy(found[number]).to(x), True
        probe.margin(x, there)


@dataclasses.dataclass(frozen=True, eq=False)
class Earlier:
    """What an audit may try of an earlier run.

    Args:
        run: The folder, as it was given.
        stage: What stands for it in suite, manifest and summary.
        found: Literal of a threat -> sample key -> the input to try there, the farthest of several.
        stored: Samples of this audit for which the run holds any adversarial input.
        knows: Of a model with stages in front: `OBLIVIOUS` where the run's model is the one behind them all, `AWARE`
            where it is this very model, empty for any other.
    """

    run: str
    stage: Replay
    found: Mapping[str, Mapping[str, Array]]
    stored: int
    knows: str = ""

    @property
    def tried(self) -> int:
        """Samples with an input for at least one of the threats."""
        return len(set().union(*self.found.values()))

    def note(self, samples: int) -> str:
        """How much of the earlier run fits this audit, as a sentence."""
        told = f"replay of {self.run}: {self.tried} of {samples} samples have an input to try first"
        left = self.stored - self.tried
        if not self.stored:
            return f"{told}; it holds no adversarial input for any of these samples"
        return told + (f"; those of {left} more do not fit these threats" if left else "")


def earlier(
    run: str | os.PathLike[str], out: pathlib.Path | None, model: Model, data: Dataset, threats: Sequence[Threat]
) -> Earlier:
    """Read the adversarial inputs of a run, and choose for each sample and threat the one to try.

    A threat without a radius takes none: what is sought there is the nearest input, and a stored one may be far. A
    threat whose attacker sees less, or may ask less, than the one who found an input does not take that input.

    Args:
        run: The earlier run's folder; its model may be another one.
        out: The folder of this audit, None for one that is new.
        model: A settled model.
        data: The samples; inputs are matched by the digest of the original and its label.
        threats: Of this audit.

    Raises:
        IntegrityError: HF407 where there is no run, HF411 where its committed files were changed.
        UsageError: HF828 where it is the folder of this audit.
    """
    if not isinstance(run, str | os.PathLike) or not str(run):
        raise IntegrityError("HF407", "There is no run to replay", seen=repr(run), expected="the folder of a run")
    folder, damaged = Folder(pathlib.Path(run)), list[str]()
    if out is not None and folder.path.resolve() == out.resolve():
        raise UsageError("HF828", "A run cannot replay itself", seen=str(run), fix="give this audit another --out")
    damaged += folder.parts.damage()[:1] if folder.parts.damaged else ()
    folder.parts.note = damaged.append
    place: dict[str, list[int]] = {}
    for i, d in enumerate(data.digests):
        place.setdefault(d, []).append(i)
    keys, marks = manifest.keys_of(data.digests), set[tuple[str, str]]()
    best: dict[str, dict[str, tuple[float, Array]]] = {t.literal: {} for t in threats}
    stored: set[str] = set()
    for under, pairs in _stored(folder):
        marks.update((d, digest(array.tobytes())) for d, array in pairs)
        shape = tuple(data.x.shape[1:])
        mine = [(i, array) for d, array in pairs for i in place.get(d, []) if array.shape == shape]
        stored.update(keys[i] for i, _ in mine)
        for threat in (t for t in threats if mine and t.bounded and _may(t, under)):
            _choose(mine, threat, model, data.x, keys, best[threat.literal])
    if damaged:
        raise IntegrityError(
            "HF411", f"The run in '{run}' was changed after it was committed", seen=damaged[0], fix="audit it again"
        )
    stage = Replay(inputs=digest(sorted(marks)), model=folder.manifest.fingerprint)
    found = {literal: {key: array for key, (_, array) in members.items()} for literal, members in best.items()}
    return Earlier(str(run), stage, found, len(stored), _knows(stage.model, model, data))


def _knows(made_on: str, model: Model, data: Dataset) -> str:
    """What inputs made on the model of that fingerprint know of this model's stages."""
    shape, dtype, base, inside = tuple(data.x.shape[1:]), data.x.dtype, model, data.x[:1]
    if model.guarded is None:
        return ""
    with model.borrowed(), torch.no_grad():
        while base.guarded is not None:  # a stage may change the shape of an input
            inside, base = base.guarded.stage.apply(inside, base.space), base.guarded.base
    if made_on == fingerprint(base, tuple(inside.shape[1:]), dtype):
        return OBLIVIOUS
    return AWARE if made_on == fingerprint(model, shape, dtype) else ""


def _may(threat: Threat, under: Threat) -> bool:
    """Whether an attacker of `threat` may hold what was found `under` another: by no more sight and no more queries."""
    asked = math.inf if under.queries is None else under.queries
    allowed = math.inf if threat.queries is None else threat.queries
    return SIGHT.index(under.knowledge) <= SIGHT.index(threat.knowledge) and asked <= allowed


def _stored(folder: Folder) -> Iterator[tuple[Threat, list[tuple[str, Array]]]]:
    """The threat of every search of the run, with digest of the sample and adversarial input, in pieces."""
    for asked in (q for q in folder.parts.questions() if q.kind == "search"):
        pairs = [(key.partition(".")[0], a) for key, a in folder.parts.arrays(asked, "adversarial").items()]
        for start in range(0, len(pairs), TOGETHER):
            yield parse(asked.threat), pairs[start : start + TOGETHER]


def _choose(
    mine: Sequence[tuple[int, Array]],
    threat: Threat,
    model: Model,
    x: Tensor,
    keys: Sequence[str],
    best: dict[str, tuple[float, Array]],
) -> None:
    """Keep of each sample the farthest input that lies within the threat and the model's bounds."""
    x0, shown = x[[i for i, _ in mine]], torch.from_numpy(np.stack([array for _, array in mine])).to(x)
    region = threat.around(x0, model.space)
    inside, far = region.contains(shown) & model.space.validate(shown), region.distance(shown)
    for (i, array), fits, distance in zip(mine, inside.tolist(), far.tolist(), strict=True):
        if fits and distance > best.get(keys[i], (-1.0, array))[0]:
            best[keys[i]] = (distance, array)
