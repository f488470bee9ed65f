"""Where broken samples go: label -> label of the adversarial input."""

from collections import Counter
from collections.abc import Iterable

from holdfast.evaluation.summary import Confusion


def confusions(pairs: Iterable[tuple[int, int]]) -> tuple[Confusion, ...]:
    """Counts of `(label, adversarial label)`, the most frequent first, ties by number."""
    counts = Counter(pairs)
    order = sorted(counts, key=lambda pair: (-counts[pair], pair))
    return tuple(Confusion(source=a, into=b, count=counts[a, b]) for a, b in order)
