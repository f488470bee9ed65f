"""Several threats in one run: what breaks under any of them, and which threat and attack broke each sample."""

import json
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from holdfast.core.lazy import snake
from holdfast.evaluation.attribution import Attribution, Combination, Together
from holdfast.evaluation.finals import Final
from holdfast.evaluation.statistics import Rate


def union(found: Mapping[str, Mapping[str, Final]], keys: Sequence[str], broken: Rate | None) -> Together | None:
    """The union of several threats; None for a single one.

    Args:
        found: Literal of a threat -> key of a sample -> verdict.
        keys: The samples that are right before any attack.
        broken: The share of them that any threat breaks.
    """
    if len(found) < 2:
        return None
    hits = {key: {t: members[key] for t, members in found.items() if members[key].status == "broken"} for key in keys}
    hits = {key: by for key, by in hits.items() if by}
    together = Counter(tuple(by) for by in hits.values())
    ordered = sorted(together.items(), key=lambda item: (-item[1], item[0]))
    return Together(
        broken=broken,
        attributions=tuple(one for literal in found for one in _under(literal, hits)),
        combinations=tuple(Combination(threats=threats, broken=count) for threats, count in ordered),
    )


def _under(literal: str, hits: Mapping[str, Mapping[str, Final]]) -> Iterator[Attribution]:
    """The attacks that broke something under a threat."""
    mine = {key: by[literal] for key, by in hits.items() if literal in by}
    for attack, count in sorted(Counter(map(_attack, mine.values())).items(), key=lambda item: (-item[1], item[0])):
        won = {key: final for key, final in mine.items() if _attack(final) == attack}
        yield Attribution(
            threat=literal,
            attack=attack,
            broken=count,
            only=sum(len(hits[key]) == 1 for key in won),
            cheapest=sum(min(hits[key], key=lambda t: hits[key][t].queries) == literal for key in won),
            queries_median=float(statistics.median(final.queries for final in won.values())),
            gradients_median=float(statistics.median(final.gradients for final in won.values())),
        )


def _attack(final: Final) -> str:
    """The name of the attack that broke it."""
    return "" if final.asked is None else snake(str(json.loads(final.asked.attack)["name"]))
