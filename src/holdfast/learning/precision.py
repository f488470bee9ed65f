"""What the processor does fast, and which networks stand it."""

import functools
import pathlib
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from holdfast.learning.attacked import BENT, ROUGH, attacked
from holdfast.models.borrow import borrowed
from holdfast.models.prepared import compared, slack_of
from holdfast.models.torch_module import Normalized
from holdfast.threats.space import Box

Precision = Literal["float32", "bfloat16", "auto"]


def wants_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as said, or with "auto" where the hardware has instructions for it."""
    if precision != "auto":
        return precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else _processor()


def narrow(ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Raw outputs of a batch `(batch, ...)` whose layers multiply in bfloat16; weights and gradients stay float32."""
    x = x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return ask(x)


def stands(precision: Precision, like: Normalized, space: Box, x: Tensor) -> Precision:
    """The precision for a network that nobody has tried in bfloat16: "auto" becomes one of the two others.

    bfloat16 where the processor has instructions for it, attacks get a copy in it (`learning.attacked`), and scores and
    input gradients of the network itself are then as near to its own as that copy's must be; else float32. Costs a
    trace and eight small passes; the network and the random state stay as they are.

    Args:
        precision: As asked; what is not "auto" comes back.
        like: The network behind its normalization.
        space: Where inputs live.
        x: Inputs `(n, ...)`, of which the shape counts.
    """
    if precision != "auto":
        return precision
    if not wants_bfloat16(precision, x.device) or attacked(like, space, x, True) is None:
        return "float32"
    with borrowed(like.net):
        near = slack_of(like, functools.partial(narrow, like), compared(space, x), ROUGH, BENT)
    return "float32" if near is None else "bfloat16"


@functools.cache
def _processor() -> bool:
    """Linux tells; elsewhere float32 is the safe answer."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in flags for word in (" avx512_bf16", " amx_bf16", " bf16 "))
