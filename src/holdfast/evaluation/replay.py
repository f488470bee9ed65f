"""Verifying what a run claims: `recheck` asks the model again about every stored input, `replay` repeats one search."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from holdfast import attacks
from holdfast.attacks.attack import Attack
from holdfast.attacks.run import run
from holdfast.core.errors import IntegrityError
from holdfast.core.records import revive
from holdfast.data.dataset import Dataset
from holdfast.evaluation import integrity, manifest
from holdfast.evaluation.earlier import Replay
from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.parts import Array, Question
from holdfast.evaluation.plan import CLEAN
from holdfast.evaluation.rebuilt import Rebuilt, rebuilt
from holdfast.evaluation.rederive import underived
from holdfast.evaluation.rows import CleanRow, SearchRow
from holdfast.evaluation.store import Folder
from holdfast.evaluation.work import REJECTED, decided
from holdfast.models.model import Model
from holdfast.models.settle import fingerprint, settle
from holdfast.threats.literals import parse
from holdfast.threats.tables.tabular import Tabular

TIE = 1e-4  # share of the scores' spread within which another machine may decide otherwise


@dataclasses.dataclass(frozen=True)
class Replayed:
    """One search, repeated.

    Args:
        sample: The sample's number.
        threat, attack: What broke it, as literal and configuration.
        label: What it is.
        decided: What the model says about the stored input now, -1 where it rejects it.
        verified: Whether the stored input still breaks the model, inside the threat.
        reproduced: Whether the search breaks the sample again.
        identical: Whether it finds the stored input to the last bit.
        difference: Largest difference of the two inputs, in the data's own units; None where it found none.
        company: Samples that were searched together with it.
    """

    sample: int
    threat: str
    attack: str
    label: int
    decided: int
    verified: bool
    reproduced: bool
    identical: bool
    difference: float | None
    company: int


@dataclasses.dataclass(frozen=True)
class Claim:
    """A stored claim that does not hold: which sample, under which threat, and what is wrong with it."""

    sample: int
    threat: str
    why: str


@dataclasses.dataclass(frozen=True)
class Rechecked:
    """All stored claims, asked again.

    Args:
        claims: Stored adversarial inputs.
        failed: Those that do not hold.
        distances: Whether their distances were measured again.
        damage: What else does not hold, a line each: damaged files, and what table and summary say without evidence.
        left: What was not verified, a few words each.
    """

    claims: int
    failed: tuple[Claim, ...]
    distances: bool
    damage: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every claim holds, and every file."""
        return not self.failed and not self.damage


def recheck(
    folder: Folder | str | pathlib.Path, model: Model, data: Dataset | None = None, batch: int = 256
) -> Rechecked:
    """Ask the model about every stored adversarial input, and check that all else in the folder follows from the parts.

    Without asking the model: the journal and the digest of every file that it names; `samples.parquet`, and in
    `summary.json` the counts, curves, transfer rates, masking verdict, costs, findings and verdict, derived again from
    the parts. With the data the model is asked about each sample as it is, too. Cost: one forward pass for each stored
    input and each sample.

    Args:
        folder: A run.
        model: The model it was made with.
        data: The samples; with them clean decisions are asked and distances measured again, without them only stored
            inputs and bounds are.
        batch: Rows at once.

    Raises:
        IntegrityError: HF402 another model, HF405 no manifest, HF408 no summary.
    """
    folder = _folder(folder)
    parts = folder.parts
    changed = parts.damage()
    damage = (*changed, *integrity.contradictions(folder), *underived(folder))
    claims = [(q, key, array) for q in _searches(folder) for key, array in parts.arrays(q, "adversarial").items()]
    failed: list[Claim] = []
    if claims:
        _same_model(folder, model, claims[0][2])
        model = _settled(folder, model, torch.from_numpy(np.stack([c[2] for c in claims[:32]])))
    elif data is not None:
        model = _settled(folder, model, data.x)
    for start in range(0, len(claims), batch):
        failed += _failing(claims[start : start + batch], model, folder, data, batch)
    made = rebuilt(folder, model, data) if claims or data is not None else Rebuilt((), ("numbers that need a model",))
    made = Rebuilt((), ("numbers that rest on damaged parts",)) if changed else made
    if data is not None and not model.random:
        damage += _decided_otherwise(folder, model, data, batch)
    left = (*made.left, *(() if data is not None and not model.random else ("decisions before any attack",)))
    return Rechecked(len(claims), tuple(failed), data is not None, (*damage, *made.differs), left)


def replay(
    folder: Folder | str | pathlib.Path, sample: int, model: Model, data: Dataset, threat: str | None = None
) -> Replayed:
    """Repeat the search that broke a sample, alone, and in the company it had where that does not give the same.

    Args:
        folder: A run.
        sample: Number of the sample, as in `samples.parquet`.
        model: The model the run was made with.
        data: The samples.
        threat: Literal, the first threat under which the sample broke unless given.

    Raises:
        IntegrityError: HF410 nothing stored for this sample, HF402 another model, HF412 other data.
    """
    folder = _folder(folder)
    asked, key, stored = _winner(folder, sample, threat)
    _same_model(folder, model, stored)
    place = {k: i for i, k in enumerate(manifest.keys_of(data.digests))}
    if key not in place:
        raise IntegrityError(
            "HF412", f"Sample {sample} of the run is not in these data", seen=data.name, fix="give the data of the run"
        )
    model = _settled(folder, model, data.x)
    x, y = data.x[[place[key]]], data.y[[place[key]]]
    adversarial = torch.from_numpy(stored)[None].to(x)
    now, region = int(decided(model, adversarial, 1)[0]), parse(asked.threat).around(x, model.space)
    together = [k for k in _company(folder, asked, key) if k in place]
    again, company = _again(asked, [key], model, data, place, stored), 1
    if again is None or not torch.equal(again, adversarial):
        again, company = _again(asked, together, model, data, place, stored, key), len(together)
    return Replayed(
        sample=sample,
        threat=asked.threat,
        attack=asked.attack,
        label=int(y[0]),
        decided=now,
        verified=now not in (REJECTED, int(y[0])) and bool(region.contains(adversarial)[0]),
        reproduced=again is not None,
        identical=again is not None and bool(torch.equal(again, adversarial)),
        difference=None if again is None else float((again.double() - adversarial.double()).abs().max()),
        company=company,
    )


def _again(
    asked: Question,
    keys: Sequence[str],
    model: Model,
    data: Dataset,
    place: dict[str, int],
    stored: Array,
    key: str | None = None,
) -> Tensor | None:
    """The input that the search finds for `key` (the only one unless given), `(1, ...)`; None for none."""
    rows = [place[k] for k in keys]
    attack = _attack(asked, {number_of(key or keys[0]): stored})
    out = run(
        attack, model, data.x[rows], data.y[rows], asked.threat, seed=asked.seed, ids=[number_of(k) for k in keys]
    )
    i = 0 if key is None else keys.index(key)
    return out.adversarial[i][None] if out.status[i] == "broken" else None


def _attack(asked: Question, points: dict[int, Array]) -> Attack:
    """The attack of a question; the replay of an earlier run with these inputs, by sample number."""
    attack: Attack = revive(
        json.loads(asked.attack), lambda name: Replay if name == Replay.__name__ else getattr(attacks, name)
    )
    return attack.showing(points) if isinstance(attack, Replay) else attack


def _folder(folder: Folder | str | pathlib.Path) -> Folder:
    return folder if isinstance(folder, Folder) else Folder(folder)


def _searches(folder: Folder) -> list[Question]:
    """Every search that was committed."""
    return [q for q in folder.parts.questions() if q.kind == "search"]


def _winner(folder: Folder, sample: int, threat: str | None) -> tuple[Question, str, Array]:
    """The search that broke the sample, its key, and the stored input."""
    rows = [r for r in folder.samples.to_pylist() if r["sample"] == sample]
    row = next((r for r in rows if r["status"] == "broken" and threat in (None, r["threat"])), None)
    if row is None:
        raise IntegrityError(
            "HF410",
            f"There is nothing to replay for sample {sample}",
            seen=rows[0]["status"] if rows else "no such sample",
            expected="a sample with status broken",
            fix="holdfast show RUN lists them",
        )
    samples = folder.manifest.samples
    keys = [k for k, i in zip(samples.keys, samples.ids, strict=True) if i == sample]
    for asked in (q for q in _searches(folder) if q.digest == row["origin"]):
        arrays = folder.parts.arrays(asked, "adversarial")
        for key in (k for k in keys if k in arrays):
            return asked, key, arrays[key]
    raise IntegrityError(
        "HF411", f"The input of sample {sample} is not stored any more", fix="run the same audit again"
    )


def _company(folder: Folder, asked: Question, key: str) -> tuple[str, ...]:
    """The samples of the part that the sample's row came from, in their order."""
    return next((keys for keys in folder.parts.members(asked) if key in keys), (key,))


def _settled(folder: Folder, model: Model, x: Tensor) -> Model:
    """As the run had it: where a model returns bare labels, its classes are those of the run's data."""
    return settle(model, x, len(folder.summary.model.class_names))


def _same_model(folder: Folder, model: Model, example: Array) -> None:
    """Refuse another model than the run's."""
    x = torch.from_numpy(example)[None]
    now = fingerprint(_settled(folder, model, x), example.shape, x.dtype)
    if now != folder.manifest.fingerprint:
        raise IntegrityError(
            "HF402",
            f"The run in '{folder.path}' was made with another model",
            seen=f"fingerprint {now}",
            expected=folder.manifest.fingerprint,
            fix="give the model of the run, with the threshold it had",
        )


def _failing(
    claims: Sequence[tuple[Question, str, Array]], model: Model, folder: Folder, data: Dataset | None, batch: int
) -> list[Claim]:
    """The claims that do not hold."""
    found = folder.manifest
    order = {key: i for i, key in enumerate(found.samples.keys)}
    x = torch.from_numpy(np.stack([array for _, _, array in claims]))
    now, inside = decided(model, x, batch), model.space.validate(x)
    place = {} if data is None else {k: i for i, k in enumerate(manifest.keys_of(data.digests))}
    failed = []
    for i, (asked, key, _) in enumerate(claims):
        why = ""
        if int(now[i]) == found.samples.labels[order[key]]:
            why = "the model is right on the stored input"
        elif int(now[i]) == REJECTED:
            why = "the model rejects the stored input"
        elif not bool(inside[i]):
            why = "the stored input lies outside the bounds"
        elif data is not None and key in place:
            region = parse(asked.threat).around(data.x[[place[key]]], model.space)
            why = "" if bool(region.contains(x[[i]])[0]) else "the stored input lies outside the threat"
            why = why or _mismeasured(folder, asked, key, model, float(region.distance(x[[i]])[0]))
        if why:
            failed.append(Claim(found.samples.ids[order[key]], asked.threat, why))
    return failed


def _mismeasured(folder: Folder, asked: Question, key: str, model: Model, now: float) -> str:
    """Why the stored distance is not that of the stored input, empty where it is, or is measured in other units."""
    if isinstance(model.space, Tabular):
        return ""
    measure = parse(asked.threat).measure
    stated = getattr(folder.parts.rows(asked, SearchRow)[key], measure)
    if stated is None or math.isclose(stated, now, rel_tol=1e-3, abs_tol=1e-6):
        return ""
    return f"its {measure} distance is {now:.6g}, not {stated:.6g}"


def _decided_otherwise(folder: Folder, model: Model, data: Dataset, batch: int) -> tuple[str, ...]:
    """Samples that the model decides otherwise before any attack than the parts say, a line each; ties aside."""
    rows, told = folder.parts.rows(CLEAN, CleanRow), list[str]()
    place = {k: i for i, k in enumerate(manifest.keys_of(data.digests))}
    samples = folder.manifest.samples
    there = [
        (number, rows[key])
        for key, number in zip(samples.keys, samples.ids, strict=True)
        if key in place and key in rows and rows[key].status in ("right", "wrong", "rejected")
    ]
    for start in range(0, len(there), batch):
        some = there[start : start + batch]
        with model.borrowed(), torch.no_grad():
            answer = model.answer(data.x[[place[row.key] for _, row in some]])
        rejected = torch.zeros(len(some), dtype=torch.bool) if answer.suspicion is None else answer.suspicion.cpu() > 0
        scores, best = answer.scores.cpu(), answer.scores.argmax(1).tolist()
        for i, (number, row) in enumerate(some):
            slack = TIE * float(scores[i].max() - scores[i].min())
            near = row.predicted >= 0 and float(scores[i].max() - scores[i][row.predicted]) <= slack
            if bool(rejected[i]) != (row.status == "rejected") or not (near or row.status == "rejected"):
                now = "rejects it" if bool(rejected[i]) else f"decides for class {best[i]}"
                stated = "that it rejects it" if row.status == "rejected" else f"class {row.predicted}"
                told.append(f"sample {number} before any attack: the model {now}, the parts say {stated}")
    return tuple(told)
