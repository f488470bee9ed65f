"""Look at a wrapped model on a small batch: what its outputs are, how many classes, whether it repeats itself."""

import dataclasses
import functools
import hashlib
import math
import random
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import HoldfastError, ModelError
from holdfast.models.ensemble import Together
from holdfast.models.exhausted import in_parts
from holdfast.models.memory import forgotten, kept
from holdfast.models.model import Model
from holdfast.models.outputs import Output, as_labels, as_scores, check_shape, recognize, saturated
from holdfast.models.source import Source, source_of
from holdfast.models.stage import checked, guarded

ROWS = 32  # rows looked at, and as many random ones
ALONE = 4  # rows asked alone as well
ROUNDING = 1e-5  # differences below this share of the scores' spread are rounding
CHANCE = 1e-6  # how far a probability may be from the library's own
UNUSED = "the scores were not used: their highest is not always the estimator's decision"
LARGE = 1e-3  # differences above this share are worth a remark


def wrapped(model: object) -> Model:
    """The model, if it is one.

    Raises:
        ModelError: HF240 for something that is no wrapped model.
    """
    if isinstance(model, Model):
        return model
    raise ModelError(
        "HF240",
        "A wrapped model is needed",
        seen=type(model).__name__,
        expected="Model",
        fix="hf.wrap(model, bounds=(0, 1))",
    )


def taken(model: Model, x: Tensor) -> None:
    """Ask a settled model about the first of some inputs, before anything is learned from them.

    Raises:
        ModelError: HF221 where it fails: the inputs are another model's.
    """
    with model.borrowed(), torch.no_grad():
        try:
            model.answer(x[:1])
        except HoldfastError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise _cannot_take(x, error) from error


def _cannot_take(x: Tensor, error: Exception) -> ModelError:
    return ModelError(
        "HF221",
        "The model cannot take these inputs",
        seen=f"inputs of shape {tuple(x.shape)}, {type(error).__name__}: {str(error)[:160]}",
        fix="check that these data are the model's, and their shape",
    )


def settle(model: Model, x: Tensor, classes: int | None = None) -> Model:
    """The model with `classes`, `space`, `random`, `noise` and `notes` filled from what it says about a batch.

    Costs a few small forward passes, once: a settled model comes back as it is, and so does one put together by hand
    with `classes`.

    Args:
        model: A model made by `wrap`.
        x: Inputs `(n, ...)`; the first 32 are looked at, beside 32 random ones.
        classes: Number of classes in the data, for models that return bare labels.

    Raises:
        ModelError: HF240 for something that is no wrapped model, HF203 where the outputs could mean two things, HF204
            where they mean none, HF205 where they are not finite, HF210 where the number of classes is unknown or
            contradicts what was said.
    """
    if wrapped(model).guarded is not None:
        return _settled_behind(model, x, classes)
    source = source_of(model)
    if source is None or source.settled:
        return model if model.classes is not None else dataclasses.replace(model, classes=_counted(model, x, classes))
    if not len(x):
        raise ModelError("HF210", "A model cannot be looked at without inputs", seen="an empty batch")
    x = x[:ROWS]
    with model.borrowed():
        if isinstance(source.ask, Together):
            source = _with_members(source, x, classes)
        source, beside = forgotten(source), _random_inputs(model, x)
        source, notes = _read(source, x, beside, classes)
        source, apart, remark = _as_copied(source, torch.cat([x, beside.to(x)]))
        notes += [remark] if remark else []
        if isinstance(source.ask, Together):
            notes = [*source.ask.notes, *notes]
            model = dataclasses.replace(model, suspicion=source.ask.suspicion if source.ask.rejects else None)
        wavers = _wavers(functools.partial(_answers, source), x) or _moody(model, x)
        noise, remark = (0.0, "") if wavers else _company(functools.partial(_answers, source), x)
    if wavers:
        notes.append("two passes over the same input differ: the model is random")
    notes += [remark] if remark else []
    source = source if wavers or remark else kept(source)
    settled = dataclasses.replace(source, settled=True).model(
        dataclasses.replace(
            model,
            space=model.space.seen(x),
            random=wavers,
            noise=max(noise, apart),
            notes=tuple(dict.fromkeys((*model.notes, *notes))),
        )
    )
    hidden = {field: None for field in ("scores", "module", "wide") if getattr(model, field) is None}
    return dataclasses.replace(settled, **hidden)  # type: ignore[arg-type]


def _settled_behind(model: Model, x: Tensor, classes: int | None) -> Model:
    """A guarded model whose base has been looked at, and whose stage keeps its word."""
    behind = model.guarded
    if behind is None or behind.checked:
        return model
    if not len(x):
        raise ModelError("HF210", "A model cannot be looked at without inputs", seen="an empty batch")
    stage, x = behind.stage, x[:ROWS]
    stage.meets(x)
    with model.borrowed(), torch.no_grad():
        space = model.space.seen(x)
        inside = stage.apply(x, space)
    base = dataclasses.replace(settle(behind.base, inside, classes), space=space)
    with model.borrowed():
        checked(stage, x, space)
    made = guarded(base, stage)
    hidden = {field: None for field in ("scores", "module", "features") if getattr(model, field) is None}
    made = dataclasses.replace(made, guarded=dataclasses.replace(made.guarded, checked=True), **hidden)  # type: ignore

    def ask(rows: Tensor) -> Tensor:
        return torch.cat(in_parts(lambda part: made.answer(part).scores, rows)).double()

    with made.borrowed(), torch.no_grad():
        noise, remark = (0.0, "") if made.random else _company(ask, x)
    notes = (*made.notes, remark) if remark else made.notes
    return dataclasses.replace(made, noise=max(noise, base.noise), notes=tuple(dict.fromkeys(notes)))


def fingerprint(model: Model, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> str:
    """Who a model is: 32 hexadecimal digits of its parameters, bounds, stages, and its answers to 64 random inputs.

    Scores enter as their mean and spread by class, rounded to 1/1000 of the overall spread, computed on one thread: so
    the digest does not move with the number of threads. Costs 64 forward passes.

    Args:
        model: A settled model.
        shape: Of one input, without the batch.
        dtype: Floating type of the data.
    """
    draw = torch.Generator().manual_seed(64)
    rest = model.space.sample(torch.zeros((64, *shape), dtype=dtype), draw)
    low, high = model.space.limits(rest)
    made = hashlib.blake2b(digest_size=16)
    made.update(b"" if model.parameters is None else model.parameters())
    made.update(repr(model.stages).encode())
    for end in (low, high):
        made.update(end[0].double().contiguous().numpy().tobytes())
    with model.borrowed(), torch.no_grad():
        torch.set_num_threads(1)
        _seed(64)
        answers = in_parts(model.answer, rest)
    scores = torch.cat([answer.scores for answer in answers]).detach().double().cpu()
    made.update(scores.argmax(1).numpy().tobytes())
    made.update(f"({tuple(scores.shape)}, {model.threshold or 'Argmax()'})".encode())
    spread = float(scores.std()) or 1.0
    for part in (scores - scores.mean(1, keepdim=True)).mean(0), scores.std(0):
        made.update((part / spread * 1000).round().long().numpy().tobytes())
    for answer in answers:
        if answer.suspicion is not None:
            made.update((answer.suspicion > 0).cpu().numpy().tobytes())
    return made.hexdigest()


def _seed(seed: int) -> None:
    """Inside `borrowed`, which gives the process its numbers back."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def _random_inputs(model: Model, x: Tensor) -> Tensor:
    return model.space.sample(x, torch.Generator().manual_seed(0))


def _with_members(source: Source, x: Tensor, classes: int | None) -> Source:
    if not isinstance(source.ask, Together):
        return source
    together = dataclasses.replace(source.ask, members=tuple(settle(m, x, classes) for m in source.ask.members))
    known = source.classes or together.members[0].classes
    return dataclasses.replace(source, ask=together, slope=source.slope and together.slope, classes=known)


def _read(source: Source, x: Tensor, beside: Tensor, classes: int | None) -> tuple[Source, list[str]]:
    """The source with its output kind and number of classes, and what there is to remark."""
    notes: list[str] = []
    for way in (source, *source.others):
        raw = _asked(way, x)
        output = way.output
        if output is None:
            reading = recognize(torch.cat([raw, _asked(way, beside, strict=False)]))
            output, notes = reading.output, [reading.note] if reading.note else []
        _check_finite(raw, output)
        found = dataclasses.replace(way, output=output, slope=None if output == "labels" else way.slope)
        if _decides(dataclasses.replace(way, output=output), x, raw, beside):
            share = float(saturated(raw, output).double().mean())
            if share and found.slope is not None:
                notes.append(f"{share:.0%} of {len(x)} inputs have a probability of exactly 0: no gradient there")
            return dataclasses.replace(found, classes=_count(found, raw, classes)), notes
        notes = [] if way.threshold else [UNUSED]
    if source.threshold is not None:
        raise ModelError(
            "HF282",
            "This model tells no probabilities that a threshold could cut",
            seen="labels alone" if source.output in (None, "labels") else "scores that are no probabilities",
            expected="probabilities or logits",
            fix="calibrate it (CalibratedClassifierCV), or wrap a function that returns probabilities",
        )
    raise ModelError("HF204", "The estimator's decisions agree with none of its outputs", expected="scores or labels")


def _decides(way: Source, x: Tensor, raw: Tensor, beside: Tensor) -> bool:
    """Whether the scores of this way decide as the library does, or tell its probabilities where a threshold decides.

    Args:
        way: With the kind of its outputs.
        x: Inputs.
        raw: Its outputs on them.
        beside: Random inputs.
    """
    if way.threshold is None:
        return (
            way.decide is None
            or way.output == "labels"
            or _agree(way.decide(x), as_scores(raw, way.output or "logits"))
        )
    if way.output in (None, "labels"):
        return False
    if way.chances is None or way.chances is way.ask:
        return True
    rows = torch.cat([x, beside.to(x)])
    with torch.no_grad():
        told = as_scores(way.chances(rows), "probabilities").softmax(1)
        own = as_scores(_asked(way, rows), way.output).softmax(1)
    return told.shape == own.shape and bool((told.double() - own.double()).abs().max() <= CHANCE)


def _as_copied(source: Source, x: Tensor) -> tuple[Source, float, str]:
    """The source without gradients where they come from a copy that answers otherwise; how far it is off, and why."""
    if source.same is None or source.slope is None or source.output is None:
        return source, 0.0, ""
    same, output = source.same, source.output
    told = in_parts(lambda rows: same(rows, output), x)
    apart, remark = max(far for far, _ in told), next((said for _, said in told if said), "")
    return (dataclasses.replace(source, slope=None) if remark else source), apart, remark


def _asked(source: Source, x: Tensor, strict: bool = True) -> Tensor:
    with torch.no_grad():
        try:
            answers = in_parts(source.ask, x)
        except HoldfastError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise _cannot_take(x, error) from error
        answer = answers[0] if len(answers) == 1 else torch.cat([torch.as_tensor(part) for part in answers])
        raw = check_shape(answer, len(x)).detach()
    return raw if strict else raw[torch.isfinite(raw.reshape(len(raw), -1).double()).all(1)]


def _agree(said: Tensor, scores: Tensor) -> bool:
    """Whether the decisions have the highest score, ties aside."""
    if int(said.max()) >= scores.shape[1]:
        return False
    return bool((scores.gather(1, said[:, None])[:, 0] >= scores.amax(1) - 1e-12).all())


def _check_finite(raw: Tensor, output: Output) -> None:
    values = raw.double()
    bad = values.isnan() | (values.isinf() if output != "log-probabilities" else values == torch.inf)
    if bool(bad.any()):
        raise ModelError(
            "HF205",
            "The model's outputs are not finite",
            expected="finite numbers",
            seen=f"{int(bad.reshape(len(bad), -1).any(1).sum())} of {len(bad)} inputs with NaN or infinity",
        )


def _count(source: Source, raw: Tensor, classes: int | None) -> int:
    single = raw.dim() == 1 or raw.shape[1] == 1
    if source.output == "labels" and single:
        found = source.classes or classes
        if found is None:
            raise ModelError(
                "HF210",
                "The number of classes is unknown",
                seen="a model that returns bare labels",
                fix="wrap(..., classes=10)",
            )
        highest, lowest = int(raw.max()), int(raw.min())
        if highest >= found or lowest < 0:
            raise ModelError(
                "HF210",
                "The model returns labels outside its classes",
                seen=f"{lowest} to {highest}",
                expected=f"0 to {found - 1}",
            )
        return found
    found = 2 if single else raw.shape[1]
    if source.classes not in (None, found):
        raise ModelError(
            "HF210",
            "The model has another number of classes than was said",
            seen=f"{found} output columns",
            expected=f"classes={source.classes}",
        )
    return found


def _counted(model: Model, x: Tensor, classes: int | None) -> int:
    """Number of classes of a model that was put together by hand."""
    if model.scores is not None or model.module is not None:
        with model.borrowed(), torch.no_grad():
            return int(model.answer(x[:1], gradient=model.scores is None).scores.shape[1])
    if classes is None:
        raise ModelError(
            "HF210", "The number of classes is unknown", seen=repr(model.name), fix="Model(..., classes=10)"
        )
    return classes


def _answers(source: Source, x: Tensor) -> Tensor:
    """Scores, or one-hot decisions where there are none."""
    raw = _asked(source, x)
    if source.output == "labels" or source.output is None:
        return torch.nn.functional.one_hot(as_labels(raw), source.classes or -1).double()
    return source.scores(raw).double()


def _spread(scores: Tensor) -> float:
    return float(scores.amax() - scores.amin()) or 1.0


def _wavers(ask: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    first, second = ask(x), ask(x)
    return bool((first - second).abs().max() > ROUNDING * _spread(first))


def _moody(model: Model, x: Tensor) -> bool:
    """Whether two passes disagree about what is suspicious."""
    if model.suspicion is None:
        return False
    with torch.no_grad():
        return not torch.equal(model.suspicion(x), model.suspicion(x))


def _company(ask: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, str]:
    """How far a margin moves when a row is asked alone, as a power of ten above it, and a remark where that is much."""
    together = ask(x)
    alone = torch.cat([ask(row[None]) for row in x[:ALONE]])
    moved = 2 * float((alone - together[: len(alone)]).abs().max())
    if not moved:
        return 0.0, ""
    noise = 10.0 ** math.ceil(math.log10(moved))
    if moved <= LARGE * _spread(together):
        return noise, ""
    return noise, f"an answer depends on the other rows of the batch: alone its margin moves by up to {moved:.2g}"
