"""Whether the gradient keeps its word.

Idea: a gradient promises by how much the margin falls on a short step against its sign. Zero, not finite, or a promise
that the model does not keep: shattered, quantized or cut parts; a step to a random side tells of parts that were cut
out whole. A longer step that brings far more than was promised: a slope that is hidden in saturation.
A detector has no say here: it is the network's gradient that is asked. Whether the attacks find their way past the
detector too is asked by the trials.
Cost: 3 forward and backward passes and 4 forward passes a sample, once a run.
Source: Athalye, Carlini, Wagner, ICML 2018, arXiv:1802.00420 (shattered and vanishing gradients); Pintor et al.,
NeurIPS 2022, arXiv:2106.09947 (indicators of attack failure: unavailable gradients).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.masking.limits import COARSEST, FAR, NEAR
from holdfast.evaluation.rows import SlopeRow
from holdfast.evaluation.work import Answers, Bench
from holdfast.geometry.draw import Draw
from holdfast.models.model import Model
from holdfast.threats.goals import Wrong, overall

ROUNDING = 2e-5  # share of the largest score below which a change of the margin is rounding


def slopes(bench: Bench, keys: Sequence[str]) -> Answers:
    """The gradient of the margin at each sample and at two points near it, and what a step along it brings."""
    x, y = bench.take(keys)
    draw = Draw(bench.seed, "masking slopes", [number_of(key) for key in keys], x)
    rows, n = [], bench.batch
    jitter = [share(FAR, x) * (2 * draw.uniform(*x.shape[1:]) - 1) for _ in range(2)]
    sides = [draw.signs(*x.shape[1:]) for _ in range(2)]
    for i in range(0, len(keys), n):
        part = slice(i, i + n)
        rows += _rows(bench.model, keys[part], x[part], y[part], [j[part] for j in jitter], [s[part] for s in sides])
    return Answers(rows, {}, 7 * len(keys))


def failed(key: str, why: str) -> SlopeRow:
    """A sample that the model failed on."""
    return SlopeRow(key=key, status="error", zero=0, bad=0, near=None, far=None, aside=None, reason=why)


def _rows(
    model: Model, keys: Sequence[str], x: Tensor, y: Tensor, jitter: Sequence[Tensor], sides: Sequence[Tensor]
) -> list[SlopeRow]:
    low, high = model.space.limits(x)
    with model.borrowed():
        g, margin, size = gradient(model, x, y)
        around = [gradient(model, (x + j * (high - low)).clamp(low, high), y)[0] for j in jitter]
        ways = [share(h, x) * g.nan_to_num(0, 0, 0).sign() for h in (NEAR, FAR)]
        ways += [share(NEAR, x) * side for side in sides]
        steps = [(x - way * (high - low)).clamp(low, high) for way in ways]
        fell = [margin - at(model, s, y) for s in steps]
    parts = [-(g.double() * (s - x).double()).flatten(1) for s in steps]
    told, rounding = [part.sum(1) for part in parts], ROUNDING * size + model.noise
    near, far = (_kept(f, t, rounding) for f, t in zip(fell[:2], told[:2], strict=True))
    usual = [part.square().sum(1).sqrt() for part in parts[2:]]  # what a step to a random side brings
    off = [(f - t).abs() / torch.maximum(u, rounding) for f, t, u in zip(fell[2:], told[2:], usual, strict=True)]
    aside = torch.stack(off).amax(0)
    found = [g, *around]
    zero = torch.stack([(one == 0).flatten(1).all(1) for one in found]).sum(0)
    bad = torch.stack([~torch.isfinite(one).flatten(1).all(1) for one in found]).sum(0)
    return [
        SlopeRow(
            key=key,
            status="ok",
            zero=int(zero[i]),
            bad=int(bad[i]),
            near=near[i],
            far=far[i],
            aside=min(1e6, float(aside[i])) if aside[i].isfinite() else None,
            reason="",
        )
        for i, key in enumerate(keys)
    ]


def share(length: float, x: Tensor) -> float:
    """By how much each coordinate moves, as a share of its range, in a step of that length over all of them."""
    return length * min(COARSEST, float(x[0].numel() ** -0.5))


def gradient(model: Model, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the margin: `(batch, ...)`; the margin and the largest score `(batch,)`, float64. A cut graph gives zeros."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        answer = model.answer(leaf, gradient=True)
        margin = overall(Wrong(y).margins(answer))
    if margin.requires_grad:
        (g,) = torch.autograd.grad(margin.sum(), leaf, allow_unused=True)
    else:
        g = None
    size = answer.scores.detach().double().abs().nan_to_num(0, 0, 0).amax(1)
    return torch.zeros_like(x) if g is None else g, margin.detach().double(), size


def at(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The margin at x: `(batch,)`, float64."""
    with torch.no_grad():
        return overall(Wrong(y).margins(model.answer(x))).double()


def _kept(fell: Tensor, told: Tensor, rounding: Tensor) -> list[float | None]:
    """What came, as a multiple of what was promised; None where both are rounding."""
    known = ((fell.abs() > rounding) | (told.abs() > rounding)) & fell.isfinite() & told.isfinite()
    share = fell / told.clamp(min=1e-30)
    return [max(-1e6, min(1e6, value)) if k else None for value, k in zip(share.tolist(), known.tolist(), strict=True)]
