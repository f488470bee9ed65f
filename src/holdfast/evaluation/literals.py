"""Catalog entries as text, `pgd(steps=10)+square` or `jpeg(quality=75)`: names, numbers and words; nothing is run."""

import ast
import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.core.errors import UsageError, some
from holdfast.core.params import parameters

LONGEST = 1000  # letters of a text; a chain of defenses is a line


@dataclasses.dataclass(frozen=True)
class Call:
    """A name and the values given to it, as they were written."""

    name: str
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Word:
    """A bare name where a value stands, `of=trades`: another entry of the catalog."""

    name: str


def split(text: str) -> list[str]:
    """Cut at the plus signs that are not inside brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def call(text: str, what: str, code: str, example: str, words: bool = False) -> Call:
    """The name and the keyword values of a call whose values are plain literals.

    Args:
        text: `name` or `name(parameter=value)`.
        what: What is said where it cannot be read.
        code: Of that error.
        example: A text that can.
        words: Whether a value, or each of a list, may be a bare name, which becomes a `Word`, or again a call.

    Raises:
        UsageError: With that code.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Name):
            return Call(tree.id, {})
        if isinstance(tree, ast.Call):
            return _call(tree, words)
    except (SyntaxError, ValueError, TypeError, ZeroDivisionError, RecursionError, MemoryError):
        pass
    raise UsageError(
        code,
        what,
        seen=repr(text if len(text) <= LONGEST else text[:60] + "..."),
        expected="name or name(parameter=value)+...",
        fix=example,
    )


def unknown(what: str, name: str, known: Sequence[str], code: str, fix: str) -> UsageError:
    """The error for a name that is not in a catalog, with the nearest one that is."""
    close = difflib.get_close_matches(name, known, 1)
    return UsageError(
        code,
        f"There is no {what} '{name}'",
        expected=some(known),
        fix=f"did you mean {close[0]}?" if close else fix,
    )


def known_names(kind: type, read: Call, code: str, fix: str) -> None:
    """Refuse a parameter that the class has not.

    Raises:
        UsageError: With that code.
    """
    known = [p.name for p in parameters(kind)]
    strange = sorted(set(read.values) - set(known))
    if strange:
        close = difflib.get_close_matches(strange[0], known, 1)
        raise UsageError(
            code,
            f"{kind.__name__} has no parameter '{strange[0]}'",
            expected=", ".join(known) or "no parameter",
            fix=f"did you mean {close[0]}?" if close else fix,
        )


def _call(node: ast.Call, words: bool) -> Call:
    """A name with keyword values.

    Raises:
        ValueError: For anything else that can be called, and for values without names.
    """
    if not isinstance(node.func, ast.Name) or node.args or not all(k.arg for k in node.keywords):
        raise ValueError
    return Call(node.func.id, {str(k.arg): _value(k.value, words) for k in node.keywords})


def _value(node: ast.expr, words: bool) -> Any:
    """A literal, a fraction of two literals such as 1/16, or a name, a call or a list of them where they may stand."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return float(ast.literal_eval(node.left)) / float(ast.literal_eval(node.right))
    if words and isinstance(node, ast.Name):
        return Word(node.id)
    if words and isinstance(node, ast.Call):
        return _call(node, words)
    if words and isinstance(node, ast.List | ast.Tuple):
        return [_value(one, words) for one in node.elts]
    return ast.literal_eval(node)
