"""What the processor does fast."""

import functools
import pathlib
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "auto"]


def wants_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as said, or with "auto" where the hardware has instructions for it."""
    if precision != "auto":
        return precision == "bfloat16"
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else _processor()


@functools.cache
def _processor() -> bool:
    """Linux tells; elsewhere float32 is the safe answer."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(word in flags for word in (" avx512_bf16", " amx_bf16", " bf16 "))
