"""The computations of an audit, a part at a time: samples of one group in, a row for each out. No files here."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.outcome import NORMS, Outcome
from holdfast.attacks.run import run
from holdfast.core.errors import HoldfastError, ModelError
from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.metrics.eight_bit import stored
from holdfast.evaluation.metrics.loss import confidence, cross_entropy
from holdfast.evaluation.metrics.psnr import psnr
from holdfast.evaluation.metrics.ssim import ssim
from holdfast.evaluation.parts import Array
from holdfast.evaluation.rows import CleanRow, ControlRow, SearchRow
from holdfast.geometry.draw import Draw
from holdfast.models.exhausted import out_of_memory
from holdfast.models.model import Model
from holdfast.models.spending import Spent
from holdfast.models.stage import why
from holdfast.threats.space import Box, Image
from holdfast.threats.tables.measuring import MEASURES
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.threats import Threat
from holdfast.threats.written import COLUMN

REJECTED = -1  # in place of a class
UNREAD = ("HF270", "HF271", "HF272")
"""Codes of errors about the trees of a model, whichever rows are asked."""

GONE = ("HF242", "HF243", "HF244", "HF245", "HF247")
"""Codes of errors that say nothing about rows: nobody answers, answers are nonsense, or no more may be asked."""
NAN = "the model returned no number (NaN)"
KEEP = 4  # strongest points kept of the samples of a team that held: those nearest to breaking


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """The model and the samples, by key.

    Args:
        model: A settled model.
        x: Key -> position in `inputs`.
        inputs: `(n, ...)`.
        labels: `(n,)`.
        seed: Of every draw.
        batch: Rows at once; a circumstance.
    """

    model: Model
    x: Mapping[str, int]
    inputs: Tensor
    labels: Tensor
    seed: int
    batch: int

    def take(self, keys: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Inputs and labels of these samples."""
        rows = torch.tensor([self.x[key] for key in keys], dtype=torch.long)
        return self.inputs[rows], self.labels[rows]


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What a part will hold.

    Args:
        rows: A row a sample.
        arrays: Name -> key -> array.
        forwards: Rows sent through the model for it.
        batch: What memory forced, if it did.
        spent: How many rows a model with a memory was really asked.
    """

    rows: list[Any]
    arrays: dict[str, dict[str, Array]]
    forwards: int
    batch: int = 0
    spent: Spent = Spent()

    def without(self, failed: Set[str]) -> "Answers":
        """Without the rows of these samples on which the model failed again: what is known of them stays."""
        kept = [row for row in self.rows if row.status != "error" or row.key not in failed]
        return dataclasses.replace(self, rows=kept)

    def trimmed(self, teams: Sequence[Sequence[str]]) -> "Answers":
        """With the strongest points of each team's `KEEP` samples nearest to breaking; the others are not stored."""
        if "strongest" not in self.arrays:
            return self
        margins, strongest = {row.key: row.margin for row in self.rows}, self.arrays["strongest"]
        near = [sorted((k for k in team if k in strongest), key=margins.__getitem__)[:KEEP] for team in teams]
        kept = {key: strongest[key] for team in near for key in team}
        return dataclasses.replace(self, arrays={**self.arrays, "strongest": kept})


def clean(bench: Bench, keys: Sequence[str]) -> Answers:
    """The model's decisions on the samples as they are."""
    return surely(
        bench,
        keys,
        _clean,
        lambda key, reason: CleanRow(key=key, status="error", predicted=-1, confidence=None, loss=None, reason=reason),
    )


def search(bench: Bench, keys: Sequence[str], attack: Attack, threat: Threat) -> Answers:
    """One attack on samples that are right so far."""
    return surely(bench, keys, lambda b, k: _search(b, k, attack, threat), _failed)


def control(bench: Bench, keys: Sequence[str], threat: Threat) -> Answers:
    """A random point of the region: does plain noise of this size change the decision?"""

    def ask(b: Bench, k: Sequence[str]) -> Answers:
        x, y = b.take(k)
        noisy = threat.around(x, b.model.space).sample(Draw(b.seed, "noise control", [number_of(key) for key in k], x))
        return _verdicts(k, fooled(b.model, noisy, y, b.batch))

    return surely(bench, keys, ask, lambda key, reason: ControlRow(key=key, status="error", reason=reason))


def transfer(bench: Bench, keys: Sequence[str], adversarial: Mapping[str, Array]) -> Answers:
    """Adversarial inputs of another model, shown to this one; status wrong where it fails on the original already."""

    def ask(b: Bench, k: Sequence[str]) -> Answers:
        x, y = b.take(k)
        shown = torch.from_numpy(np.stack([adversarial[key] for key in k])).to(x)
        right, gone = decided(b.model, x, b.batch) == y, fooled(b.model, shown, y, b.batch)
        status = [
            "wrong" if not r else "broken" if f else "unbroken"
            for r, f in zip(right.tolist(), gone.tolist(), strict=True)
        ]
        return Answers(
            [ControlRow(key=key, status=s, reason="") for key, s in zip(k, status, strict=True)], {}, 2 * len(k)
        )

    return surely(bench, keys, ask, lambda key, reason: ControlRow(key=key, status="error", reason=reason))


def decided(model: Model, x: Tensor, batch: int) -> Tensor:
    """Classes `(n,)` on the CPU, `REJECTED` where the model accepts no class: so a rejected input is never right."""
    with model.borrowed():
        return deciding(model, x, batch)


def deciding(model: Model, x: Tensor, batch: int) -> Tensor:
    """The same of a model that is borrowed already: a loan of a network copies its buffers each time."""
    with torch.no_grad():
        answers = [model.answer(rows) for rows in torch.split(x, batch)]
    return torch.cat([_decision(a.scores, a.suspicion) for a in answers]).cpu()


def fooled(model: Model, x: Tensor, y: Tensor, batch: int) -> Tensor:
    """Wrong and accepted, `(n,)`: what an attack must reach. A rejected input fools nobody."""
    return misled(decided(model, x, batch), y)


def misled(found: Tensor, y: Tensor) -> Tensor:
    """Decisions `(n,)` that are wrong and no refusal."""
    return (found != y.cpu()) & (found != REJECTED)


def _decision(scores: Tensor, suspicion: Tensor | None) -> Tensor:
    classes = scores.argmax(1)
    return classes if suspicion is None else classes.masked_fill(suspicion > 0, REJECTED)


def surely(
    bench: Bench, keys: Sequence[str], ask: Callable[[Bench, Sequence[str]], Answers], failed: Callable[[str, str], Any]
) -> Answers:
    """All samples at once; after a failure one by one, so that only the samples that fail are lost.

    Raises:
        ModelError: One of `GONE` or `UNREAD`: what no sample is to blame for must not count as failed samples.
    """
    try:
        return ask(bench, keys)
    except Exception as error:  # noqa: BLE001 - a user's model may raise anything
        if isinstance(error, HoldfastError) and (
            not isinstance(error, ModelError) or gone(error) or error.code in UNREAD
        ):
            raise
        halved = out_of_memory(error) and bench.batch > 1
    if halved:  # outside of `except`: what the failed try held is free again
        half = dataclasses.replace(bench, batch=bench.batch // 2)
        answers = surely(half, keys, ask, failed)
        return dataclasses.replace(answers, batch=answers.batch or half.batch)
    rows: list[Any] = []
    arrays: dict[str, dict[str, Array]] = {}
    forwards = 0
    for key in keys:
        try:
            one = ask(bench, [key])
        except Exception as error:  # noqa: BLE001
            if gone(error):
                raise
            one = Answers([failed(key, reason(error))], {}, 0)
        rows, forwards = rows + one.rows, forwards + one.forwards
        for name, values in one.arrays.items():
            arrays.setdefault(name, {}).update(values)
    return Answers(rows, arrays, forwards)


def gone(error: BaseException) -> bool:
    """Whether an error speaks of who should have answered, not of the rows that were asked."""
    return isinstance(error, ModelError) and error.code in GONE


def reason(error: BaseException) -> str:
    """One line of at most 200 characters."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _failed(key: str, why: str) -> SearchRow:
    return SearchRow(
        key=key,
        status="error",
        adversarial_label=None,
        adversarial_confidence=None,
        margin=float("nan"),
        loss=None,
        linf=None,
        l2=None,
        l1=None,
        l0=None,
        queries=0,
        gradients=0,
        checks=0,
        zero_gradients=0,
        bad_gradients=0,
        eight_bit=None,
        psnr=None,
        ssim=None,
        reason=why,
    )


def _verdicts(keys: Sequence[str], broken: Tensor) -> Answers:
    rows = [
        ControlRow(key=key, status="broken" if b else "unbroken", reason="")
        for key, b in zip(keys, broken.tolist(), strict=True)
    ]
    return Answers(rows, {}, len(keys))


def _clean(bench: Bench, keys: Sequence[str]) -> Answers:
    """Rows that a schema forbids are not asked about: no model has to know what cannot be.

    The reason names columns and relations, and no value: runs are handed on, rows are not.
    """
    space = bench.model.space
    if not isinstance(space, Tabular):
        return _asked(bench, keys)
    judged = space.schema.validate(bench.take(keys)[0])
    possible = [key for key, fine in zip(keys, judged.valid.tolist(), strict=True) if fine]
    answers = _asked(bench, possible) if possible else Answers([], {}, 0)
    rows = {row.key: row for row in answers.rows}
    for key, why_not in zip(keys, judged.where, strict=True):
        text = "; ".join(why_not)[:200]
        blank: dict[str, Any] = {"predicted": -1, "confidence": None, "loss": None}
        rows.setdefault(key, CleanRow(key=key, status="invalid", reason=text, **blank))
    return dataclasses.replace(answers, rows=[rows[key] for key in keys])


def _asked(bench: Bench, keys: Sequence[str]) -> Answers:
    x, y = bench.take(keys)
    scores, flagged = _scores(bench, x)
    finite, decision = ~scores.isnan().any(1), scores.argmax(1)
    sure, loss = (confidence(scores), cross_entropy(scores, y)) if bench.model.scores is not None else (None, None)
    told = _reasons(bench, x, flagged & finite)
    rows = []
    for i, key in enumerate(keys):
        silent = not finite[i]
        status = "error" if silent else "rejected" if flagged[i] else "right" if decision[i] == y[i] else "wrong"
        rows.append(
            CleanRow(
                key=key,
                status=status,
                predicted=-1 if silent else int(decision[i]),
                reason=NAN if silent else told[i],
                confidence=None if sure is None or silent else float(sure[i]),
                loss=None if loss is None or silent or not loss[i].isfinite() else float(loss[i]),
            )
        )
    return Answers(rows, {}, len(keys) + int(flagged.sum()))


def _reasons(bench: Bench, x: Tensor, rejected: Tensor) -> list[str]:
    """Why the model rejects these rows, of at most 200 characters; empty for the others."""
    told, rows = [""] * len(x), rejected.nonzero()[:, 0]
    for part in torch.split(rows, bench.batch) if len(rows) else ():
        for i, text in zip(part.tolist(), why(bench.model, x[part.to(x.device)]), strict=True):
            told[i] = " ".join((text or "rejected").split())[:200]
    return told


def _scores(bench: Bench, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores `(n, classes)` and whether a detector flags the row `(n,)`."""
    with bench.model.borrowed(), torch.no_grad():
        answers = [bench.model.answer(rows) for rows in torch.split(x, bench.batch)]
    scores = torch.cat([a.scores for a in answers]).cpu()
    flags = [a.suspicion for a in answers if a.suspicion is not None]
    return scores, torch.cat(flags).cpu() > 0 if flags else torch.zeros(len(scores), dtype=torch.bool)


def _search(bench: Bench, keys: Sequence[str], attack: Attack, threat: Threat) -> Answers:
    x, y = bench.take(keys)
    out = run(
        attack, bench.model, x, y, threat, seed=bench.seed, ids=[number_of(key) for key in keys], batch=bench.batch
    )
    spent = int(out.queries.sum() + out.checks.sum()) + len(keys)
    rows, extra = _measured(bench, keys, x, y, out)
    won = [i for i, row in enumerate(rows) if row.status == "broken"]
    held = [i for i, row in enumerate(rows) if row.status in ("unbroken", "rejected") and row.valid is None]
    arrays = {
        "adversarial": {keys[i]: out.adversarial[i].cpu().numpy() for i in won},
        "strongest": {keys[i]: out.strongest[i].cpu().numpy() for i in held},
    }
    return Answers(rows, arrays, spent + extra)


def _measured(bench: Bench, keys: Sequence[str], x: Tensor, y: Tensor, out: Outcome) -> tuple[list[SearchRow], int]:
    """The rows of a search, with labels, distances and image metrics of what broke, and the forwards that took.

    What is claimed with a row that the schema forbids breaks nothing: it is unbroken, and `valid` is false.
    """
    scored = bench.model.scores is not None
    strongest, flagged = _scores(bench, out.strongest)
    rejected = flagged & (strongest.argmax(1) != y) & torch.tensor([s == "unbroken" for s in out.status])
    told, forwards = _reasons(bench, out.strongest, rejected), 2 * len(keys) + int(rejected.sum())
    found, _ = _scores(bench, out.adversarial)
    loss, sure, far = cross_entropy(strongest, y), confidence(found), _distances(bench.model.space, x, out)
    space = bench.model.space
    possible = space.schema.validate(out.adversarial, x).valid if isinstance(space, Tabular) else None
    image, survives = isinstance(bench.model.space, Image), None
    if image:
        low, high = bench.model.space.limits(x)
        span = float((high - low).amax())
        noise, like = psnr(x, out.adversarial, span), ssim(x, out.adversarial, span)
        survives, forwards = (
            fooled(bench.model, stored(out.adversarial, low, high), y, bench.batch),
            forwards + len(keys),
        )
    rows = []
    for i, key in enumerate(keys):
        claimed = out.status[i] == "broken"
        fine = None if possible is None or not claimed else bool(possible[i])
        broken = claimed and fine is not False
        number = bool(loss[i].isfinite()) and scored
        rows.append(
            SearchRow(
                key=key,
                status="rejected" if rejected[i] else "unbroken" if claimed and not broken else out.status[i],
                margin=float(out.margin[i]),
                loss=float(loss[i]) if number else None,
                adversarial_label=int(found[i].argmax()) if broken else None,
                adversarial_confidence=float(sure[i]) if broken and scored else None,
                **{n: float(d[i]) if broken else None for n, d in far.items()},
                queries=int(out.queries[i]),
                gradients=int(out.gradients[i]),
                checks=int(out.checks[i]),
                zero_gradients=int(out.zero_gradients[i]),
                bad_gradients=int(out.bad_gradients[i]),
                eight_bit=bool(survives[i]) if broken and survives is not None else None,
                psnr=float(noise[i]) if broken and image else None,
                ssim=float(like[i]) if broken and image else None,
                reason=NAN if out.status[i] == "error" else told[i],
                valid=fine,
            )
        )
    return rows, forwards


def _distances(space: Box, x: Tensor, out: Outcome) -> dict[str, Tensor]:
    """How far the adversarial inputs are, `(n,)` each: in a table in standardized units, and what they cost."""
    if not isinstance(space, Tabular):
        return {name: out.distance(name) for name in NORMS}
    ruler = space.schema.ruler
    return {COLUMN[measure]: ruler.distance(out.adversarial, x, measure) for measure in MEASURES}
