"""The two headline rates of every class that occurs, and in one direction its evasion rate."""

from collections.abc import Mapping, Sequence

from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import ClassFacts


def per_class(
    labels: Mapping[str, int],
    right: Mapping[str, bool],
    stands: Mapping[str, bool],
    names: Sequence[str],
    evades: Mapping[str, bool] | None = None,
) -> tuple[ClassFacts, ...]:
    """One entry a label, ascending.

    Args:
        labels: Sample key -> label, of the samples that are not invalid.
        right: Key -> right before any attack.
        stands: Key -> not broken.
        names: Class names, empty where there are none.
        evades: Key -> broken, where the classes are sources of one direction.
    """
    found = []
    for label in sorted(set(labels.values())):
        keys = [key for key, value in labels.items() if value == label]
        words = f"samples with label {label}"
        caught = [key for key in keys if right[key]]
        carried = 0 if evades is None else sum(evades[key] for key in caught)
        found.append(
            ClassFacts(
                label=label,
                name=names[label] if label < len(names) else str(label),
                clean=rate(sum(right[key] for key in keys), len(keys), words),
                robust=rate(sum(stands[key] for key in keys), len(keys), words),
                evasion=None if evades is None or not caught else rate(carried, len(caught), f"{words}, right before"),
            )
        )
    return tuple(found)
