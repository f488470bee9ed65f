"""What a model's raw outputs mean, and the scores they become."""

import dataclasses
from typing import Literal, get_args

import torch
from torch import Tensor

from holdfast.core.errors import ModelError

Output = Literal["logits", "log-probabilities", "probabilities", "labels"]
OUTPUTS: tuple[Output, ...] = get_args(Output)


@dataclasses.dataclass(frozen=True)
class Reading:
    """What `recognize` made of a batch of raw outputs.

    Args:
        output: What they are.
        note: Why, where a person might have meant something else; else empty.
    """

    output: Output
    note: str = ""


def check_output(output: str | None) -> Output | None:
    """Refuse a word that `output=` does not know.

    Raises:
        ModelError: HF204.
    """
    for known in OUTPUTS:
        if output == known:
            return known
    if output is None:
        return None
    raise ModelError("HF204", "The output= of wrap is unknown", seen=repr(output), expected=", ".join(OUTPUTS))


def check_shape(raw: object, rows: int) -> Tensor:
    """The raw outputs as a tensor `(batch,)` or `(batch, columns)`.

    Raises:
        ModelError: HF204 for anything else.
    """
    if not isinstance(raw, Tensor):
        raise ModelError(
            "HF204",
            "The model returns no tensor",
            seen=type(raw).__name__,
            expected="one tensor of scores",
            fix="wrap a module whose forward returns the logits alone",
        )
    if raw.dim() not in (1, 2) or len(raw) != rows or raw.is_complex():
        raise ModelError(
            "HF204",
            "The model's output has a shape that means no classification",
            seen=f"{tuple(raw.shape)} for {rows} inputs",
            expected=f"({rows}, classes) or ({rows},)",
        )
    if raw.dim() == 2 and raw.shape[1] == 0:
        raise ModelError("HF204", "The model's output has no columns", seen=tuple(raw.shape))
    return raw


def recognize(raw: Tensor) -> Reading:
    """Tell logits, log-probabilities, probabilities and labels apart by their values on a batch.

    Raises:
        ModelError: HF203 where a single column could be a probability as well as a logit or a label.
    """
    if not raw.is_floating_point():
        return (
            Reading("labels")
            if raw.dim() == 1 or raw.shape[1] == 1 or _one_hot(raw.double())
            else Reading("logits", "whole numbers in several columns were taken as scores")
        )
    values = raw.detach().double()
    near = 0.02 if raw.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return _single(values.reshape(-1)) if values.dim() == 1 or values.shape[1] == 1 else _several(values, near)


def as_scores(raw: Tensor, output: Output) -> Tensor:
    """`(batch, classes)` whose argmax decides; one column z becomes (0, z). Differentiable, at least float32.

    Probabilities become their logarithms, floored at the smallest normal number, where the gradient is zero.
    """
    if not raw.is_floating_point():
        raw = raw.double()
    elif raw.dtype in (torch.float16, torch.bfloat16):
        raw = raw.float()
    single = raw.dim() == 1 or raw.shape[1] == 1
    z = raw.reshape(len(raw), -1)
    tiny = torch.finfo(z.dtype).tiny
    if output == "labels":
        return z
    if output == "logits":
        return torch.cat([torch.zeros_like(z), z], 1) if single else z
    if output == "probabilities":
        return (torch.cat([1 - z, z], 1) if single else z).clamp(min=tiny).log()
    if single:
        z = torch.cat([torch.log((-torch.expm1(z)).clamp(min=tiny)), z], 1)
    return z.clamp(min=float(torch.log(torch.tensor(tiny, dtype=z.dtype))))


def as_labels(raw: Tensor) -> Tensor:
    """Decisions `(batch,)` from labels `(batch,)`, `(batch, 1)` or one-hot rows."""
    return raw.reshape(-1).long() if raw.dim() == 1 or raw.shape[1] == 1 else raw.argmax(1)


def saturated(raw: Tensor, output: Output) -> Tensor:
    """Which rows have a probability so near 0 or 1 that the logarithm's gradient vanishes: `(batch,)`."""
    if output not in ("probabilities", "log-probabilities"):
        return torch.zeros(len(raw), dtype=torch.bool)
    scores = as_scores(raw.detach(), output)
    floor = float(torch.log(torch.tensor(torch.finfo(scores.dtype).tiny, dtype=scores.dtype)))
    return (scores <= floor + 1e-3).any(1).cpu()


def _several(values: Tensor, near: float) -> Reading:
    unit = bool(((values >= -near) & (values <= 1 + near)).all())
    if unit and _one_hot(values):
        return Reading("labels", "outputs of zeros and a one were taken as one-hot labels")
    if unit and bool(((values.sum(1) - 1).abs() <= near).all()):
        return Reading("probabilities", "outputs that are positive and sum to one were taken as probabilities")
    if bool((values <= near).all()) and bool(((values.exp().sum(1) - 1).abs() <= near).all()):
        return Reading("log-probabilities")
    if unit:
        return Reading(
            "logits",
            "outputs in [0, 1] that do not sum to one were taken as logits; "
            'if they are probabilities say output="probabilities"',
        )
    return Reading("logits")


def _single(values: Tensor) -> Reading:
    if bool(((values >= 0) & (values <= 1)).all()):
        raise ModelError(
            "HF203",
            "One output column with values in [0, 1] may be a probability, a logit or a label",
            seen=f"values from {float(values.min()):.3g} to {float(values.max()):.3g}",
            fix='say output="probabilities", "logits" or "labels", to hf.wrap or in the card beside a file',
        )
    if bool((values == values.round()).all()) and bool((values >= 0).all()):
        return Reading("labels", "whole numbers were taken as labels")
    return Reading("logits")


def _one_hot(values: Tensor) -> bool:
    return bool(((values == 0) | (values == 1)).all()) and bool((values.sum(1) == 1).all())
