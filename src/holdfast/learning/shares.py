"""Tensors that every process holds whole, and shares of them that each holds alone: the ways between, differentiable.

A tensor is either the same in every process or each process's own. Four functions lead from one kind to the other, and
the backward pass of each is another of the four, so that gradients are exact, in any process and to any order:

    split    whole batch -> own rows                     backward: gather
    gather   own rows -> whole batch                     backward: split
    lend     the same numbers -> each process's copy     backward: total
    total    each process's numbers -> their sum         backward: lend
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Group(Protocol):
    """Processes that go through the same calls in the same order."""

    @property
    def rank(self) -> int:
        """Which one this is, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def collect(self, own: Tensor) -> list[Tensor]:
        """The tensors of all processes, of one shape and type, in order."""

    def added(self, own: Tensor) -> Tensor:
        """The sum of the tensors of all processes, the same bits in each."""


def sizes(rows: int, count: int) -> list[int]:
    """Rows of each process: as even as can be, the first ones have one more."""
    return [rows // count + (k < rows % count) for k in range(count)]


def split(group: Group, x: Tensor) -> Tensor:
    """The rows of this process, `(own, ...)`, of a batch `(rows, ...)` that every process holds."""
    own: Tensor = _Split.apply(group, x)  # type: ignore[no-untyped-call]
    return own


def gather(group: Group, own: Tensor, rows: int) -> Tensor:
    """A batch `(rows, ...)` from the rows of each process, `(own, ...)`."""
    whole: Tensor = _Gather.apply(group, own, rows)  # type: ignore[no-untyped-call]
    return whole


def lend(group: Group, held: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """This process's copies of tensors that every process holds; one message brings all their gradients back."""
    own: tuple[Tensor, ...] = _Lend.apply(group, *held)  # type: ignore[no-untyped-call]
    return own


class _Split(torch.autograd.Function):
    """Own rows of a whole batch."""

    @staticmethod
    def forward(ctx: Any, group: Group, x: Tensor) -> Tensor:
        ctx.group, ctx.rows = group, len(x)
        return torch.split(x, sizes(len(x), group.count))[group.rank].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, gather(ctx.group, grads[0], ctx.rows)


class _Gather(torch.autograd.Function):
    """A whole batch of own rows, which travel filled up to the longest share."""

    @staticmethod
    def forward(ctx: Any, group: Group, own: Tensor, rows: int) -> Tensor:
        ctx.group, parts = group, sizes(rows, group.count)
        sent = own.new_zeros(parts[0], *own.shape[1:])
        sent[: len(own)] = own
        return torch.cat([one[:part] for one, part in zip(group.collect(sent), parts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        return None, split(ctx.group, grads[0]), None


class _Lend(torch.autograd.Function):
    """Own copies of what all hold."""

    @staticmethod
    def forward(ctx: Any, group: Group, *held: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        return tuple(one.view_as(one) for one in held)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_Total.apply(ctx.group, *grads)  # type: ignore[no-untyped-call]


class _Total(torch.autograd.Function):
    """Sums over all processes."""

    @staticmethod
    def forward(ctx: Any, group: Group, *own: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        found: dict[int, Tensor] = {}
        for dtype in dict.fromkeys(one.dtype for one in own):
            which = [k for k, one in enumerate(own) if one.dtype == dtype]
            sums = group.added(torch.cat([own[k].reshape(-1) for k in which]))
            parts = torch.split(sums, [own[k].numel() for k in which])
            found |= {k: one.reshape(own[k].shape) for k, one in zip(which, parts, strict=True)}
        return tuple(found[k] for k in range(len(own)))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return None, *lend(ctx.group, grads)
