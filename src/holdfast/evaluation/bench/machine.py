"""What computes here, and what else it has to do."""

import os
import pathlib
import platform
import re

import torch

from holdfast.evaluation.bench.records import Machine

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # flags of x86 and of ARM


def load() -> float | None:
    """Processes that wanted a processor over the last minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(before: float | None) -> Machine:
    """The machine as it is now; `before` is its load when the work began."""
    facts = _facts()
    return Machine(
        processor=facts.get("model name", "") or platform.processor() or platform.machine(),
        processors=processors(),
        bfloat16=bool(set(BFLOAT16) & set((facts.get("flags", "") or facts.get("Features", "")).split())),
        threads=torch.get_num_threads(),
        load_before=before,
        load_after=load(),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
    )


def busy(found: Machine) -> str:
    """A warning where more wanted to run than there are processors, else empty."""
    loads = [value for value in (found.load_before, found.load_after) if value is not None]
    if max(loads, default=0.0) <= found.processors:
        return ""
    told = f"{max(loads):.1f} processes for {found.processors} processor{'s' if found.processors != 1 else ''}"
    return f"The machine was loaded ({told}): trust ratios, which both sides share, more than seconds."


def _facts() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo."""
    path = pathlib.Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0] if path.exists() else ""
    return {key: value.strip() for key, value in re.findall(r"^([\w ]+?)\s*:(.*)$", text, re.MULTILINE)}
