"""Whether a relation fits the columns that it speaks of."""

import difflib
from collections.abc import Mapping

from holdfast.core.errors import DataError
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.grammar import (
    Comparison,
    Condition,
    Determines,
    Name,
    Text,
    comparisons,
    names,
    parse,
)


def bound(text: str, features: Mapping[str, Feature]) -> Condition | Determines:
    """A relation whose names are columns, whose texts are levels of them, and which does not count with words.

    Raises:
        DataError: HF141 where it cannot be read, HF142 where it does not fit.
    """
    if not isinstance(text, str):
        raise DataError("HF141", "A relation that cannot be read", seen=f"{text!r:.80}", expected="a text")
    node = parse(text)
    for name in names(node):
        if name not in features:
            near = difflib.get_close_matches(name, features, 1)
            raise _misfit(text, f"there is no column {name!r}", f"did you mean {near[0]}?" if near else None)
    if isinstance(node, Determines):
        real = [name for name in names(node) if features[name].kind == "real"]
        if real:
            raise _misfit(text, f"the column {real[0]!r} is real, and only columns with single values determine others")
        return node
    if not names(node):
        raise _misfit(text, "it speaks of no column")
    for comparison in comparisons(node):
        _compared(text, comparison, features)
    return node


def _compared(text: str, node: Comparison, features: Mapping[str, Feature]) -> None:
    sides = (node.left, node.right)
    levels = [side.value for side in sides if isinstance(side, Text)]
    if levels:
        (name,) = names(node)
        feature = features[name]
        if levels[0] not in feature.levels:
            near = difflib.get_close_matches(levels[0], feature.levels, 1)
            fix = f"did you mean {Text(near[0])}?" if near else ", ".join(feature.levels[:8]) or None
            raise _misfit(text, f"{name!r} has no level {levels[0]!r}", fix)
        if not feature.ordered and node.sign not in ("==", "!="):
            raise _misfit(text, f"the levels of {name!r} have no order", "compare them by == or !=")
        return
    for side in sides:
        for name in names(side):
            feature = features[name]
            if feature.levels and not feature.worth and feature.kind != "binary":
                fix = f"compare it with a text, such as {Name(name)} == {Text(feature.levels[0])}"
                raise _misfit(text, f"the levels of {name!r} are words, not numbers", fix)


def _misfit(text: str, why: str, fix: str | None = None) -> DataError:
    return DataError("HF142", f"A relation that does not fit the columns: {why}", seen=text, fix=fix)
