"""Transfer: adversarial inputs of one model shown to another; counted only where the other is right on the original."""

from collections.abc import Iterable

from holdfast.evaluation.statistics import Rate, rate


def transfer_rate(statuses: Iterable[str]) -> Rate | None:
    """Broken of (broken + unbroken); None where the second model was right on none."""
    found = list(statuses)
    fooled, n = found.count("broken"), found.count("broken") + found.count("unbroken")
    return rate(fooled, n, "broken samples that the second model gets right") if n else None
