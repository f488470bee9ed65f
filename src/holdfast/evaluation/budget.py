"""Time instead of a number of samples: one batch is measured, and the number that surely fits is fixed.

Here a time is read too that stops a run by the clock.
"""

import math
import pathlib
import re
from typing import Any

from holdfast.core.errors import UsageError
from holdfast.data.dataset import Dataset
from holdfast.evaluation.audit import plan
from holdfast.evaluation.interrupt import Deadline
from holdfast.evaluation.store import Folder
from holdfast.models.model import Model

LONGEST = 366 * 24 * 3600.0  # seconds: a year
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smh])")


def seconds_of(budget: str, what: str = "budget") -> float:
    """Seconds of `90s`, `10m`, `1h30m`.

    Raises:
        UsageError: HF827 for anything else.
    """
    text = budget.strip().lower() if isinstance(budget, str) else ""
    found = _PART.findall(text)
    ordered = [unit for _, unit in found] == [unit for unit in "hms" if unit in text]
    if not ordered or "".join(number + unit for number, unit in found) != text or not 0 < _total(found) <= LONGEST:
        raise UsageError(
            "HF827",
            f"The {what} cannot be read",
            seen=repr(budget)[:60],
            expected="a time such as 90s, 10m or 1h30m, at most a year",
        )
    return _total(found)


def deadline_of(text: str | None, began: float) -> Deadline | None:
    """The moment that the clock stops a call which began then; None for none.

    Raises:
        UsageError: HF827 for what is no time.
    """
    return None if text is None else Deadline(began + seconds_of(text, "deadline"), text.strip())


def affordable(
    model: Model, data: Dataset, *, budget: str, out: pathlib.Path, limit: int | None, **asked: Any
) -> tuple[int, str]:
    """The number of samples that surely fits, at most `limit`, and a sentence about it.

    The cost of a sample is taken from above: as if it withstood every attack. A folder that was begun keeps its number,
    so that the same command continues the same run.

    Args:
        model: A wrapped model.
        data: The samples.
        budget: A time, `10m`.
        out: The run folder.
        limit: The most samples to use.
        asked: `threat`, `suite` and `batch` of `audit`.

    Raises:
        UsageError: HF827 for a budget that cannot be read or holds no sample.
    """
    seconds, most = seconds_of(budget), min(limit or len(data), len(data))
    if (out / "manifest.json").exists():
        begun = min(len(Folder(out).manifest.samples.keys), most)
        return begun, f"this run was begun with {begun:,} of {len(data):,} samples and keeps that number"
    one = plan(model, data, limit=most, **asked).seconds / most
    count = min(math.floor(seconds / one), most) if one > 0 else most
    if count < 1:
        raise UsageError(
            "HF827",
            "The budget holds not one sample",
            seen=budget,
            expected=f"at least {math.ceil(one)}s for one sample on this machine",
            fix="a larger budget, or --suite frugal or quick",
        )
    return count, (
        f"{budget} of the model's passes on this machine = {count:,} of {len(data):,} samples, "
        "if they withstand every attack"
    )


def _total(parts: list[tuple[str, str]]) -> float:
    return sum(float(number) * UNITS[unit] for number, unit in parts)
