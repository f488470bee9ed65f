"""Relations between the features of a row as text, read by a parser that knows nothing but a small grammar.

    condition   comparison | condition and | or | -> condition | not condition | (condition)
    comparison  value < | <= | == | != | >= | > value
    value       number | name | value + | - | * | / value | - value | (value)
    a level     "texts in quotes", compared with a feature that has levels
    dependence  name, name, ... determines name          (the whole relation)

A name is bare (`src_bytes`) or stands in backquotes (`` `char_freq_;` ``, a backquote doubled). From the loosest to the
tightest: `->` (to the right), `or`, `and`, `not`, comparisons, `+ -`, `* /`, the sign. Nothing is ever evaluated as
Python. `str(node)` writes a relation with as few parentheses as it needs, and reading that gives the same nodes.
"""

import dataclasses
import math
import re

from holdfast.core.errors import DataError

LONGEST = 4_000
"""Characters of a relation."""

MOST = 400
"""Names, numbers and signs of a relation; so no relation nests deeper than Python does."""

DEEPEST = 40
"""Parentheses and signs that may stand around each other."""

COMPARISONS = ("<", "<=", "==", "!=", ">=", ">")
LEVELS = {"->": 1, "or": 2, "and": 3, **dict.fromkeys(COMPARISONS, 5), "+": 6, "-": 6, "*": 7, "/": 7}
NOT, SIGN, ATOM = 4, 8, 9
WORDS = ("and", "or", "not", "determines")

BARE = re.compile(r"[^\W\d][\w.]*")
TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    rf"|(?P<name>{BARE.pattern})|`(?P<quoted>(?:[^`]|``)+)`"
    r"""|"(?P<double>(?:[^"\\]|\\["'\\])*)"|'(?P<single>(?:[^'\\]|\\["'\\])*)'"""
    r"|(?P<sign>->|<=|==|!=|>=|[<>+\-*/(),])"
)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number, not negative: a sign before it is a node of its own."""

    value: float

    def __str__(self) -> str:
        return repr(self.value).removesuffix(".0")


@dataclasses.dataclass(frozen=True)
class Text:
    """The name of a level."""

    value: str

    def __str__(self) -> str:
        return '"' + self.value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@dataclasses.dataclass(frozen=True)
class Name:
    """The value of a feature."""

    name: str

    def __str__(self) -> str:
        plain = BARE.fullmatch(self.name) and self.name not in WORDS
        return self.name if plain else "`" + self.name.replace("`", "``") + "`"


@dataclasses.dataclass(frozen=True)
class Negative:
    """A value with its sign turned."""

    of: "Value"

    def __str__(self) -> str:
        return f"-{_inside(self.of, SIGN)}"


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Two values and one of `+ - * /`."""

    sign: str
    left: "Value"
    right: "Value"

    def __str__(self) -> str:
        level = LEVELS[self.sign]
        return f"{_inside(self.left, level)} {self.sign} {_inside(self.right, level + 1)}"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two values, or a name and the text of a level, and one of `< <= == != >= >`."""

    sign: str
    left: "Value | Text"
    right: "Value | Text"

    def __str__(self) -> str:
        level = LEVELS[self.sign] + 1
        return f"{_inside(self.left, level)} {self.sign} {_inside(self.right, level)}"


@dataclasses.dataclass(frozen=True)
class Not:
    """What must not hold."""

    of: "Condition"

    def __str__(self) -> str:
        return f"not {_inside(self.of, NOT)}"


@dataclasses.dataclass(frozen=True)
class Logic:
    """Two conditions and one of `and`, `or`, `->`."""

    word: str
    left: "Condition"
    right: "Condition"

    def __str__(self) -> str:
        level, right = LEVELS[self.word], self.word == "->"
        return f"{_inside(self.left, level + right)} {self.word} {_inside(self.right, level + (not right))}"


@dataclasses.dataclass(frozen=True)
class Determines:
    """Equal values on the left mean equal values on the right; which ones is learned from data."""

    left: tuple[str, ...]
    right: str

    def __str__(self) -> str:
        return f"{', '.join(str(Name(name)) for name in self.left)} determines {Name(self.right)}"


Value = Number | Name | Negative | Arithmetic
Condition = Comparison | Not | Logic
Node = Value | Text | Condition


def parse(text: str) -> Condition | Determines:
    """A relation from its text.

    Raises:
        DataError: HF141 for anything that is not in the grammar; the text is quoted with `^` before the place.
    """
    return _Reader(text).relation()


def names(node: Node | Determines) -> tuple[str, ...]:
    """The features that a relation speaks of, each once, in order."""
    if isinstance(node, Determines):
        return tuple(dict.fromkeys((*node.left, node.right)))
    if isinstance(node, Name):
        return (node.name,)
    parts = [getattr(node, field, None) for field in ("of", "left", "right")]
    return tuple(dict.fromkeys(name for part in parts if part is not None for name in names(part)))


def comparisons(node: Condition) -> tuple[Comparison, ...]:
    """The comparisons in a condition, from left to right."""
    if isinstance(node, Comparison):
        return (node,)
    if isinstance(node, Not):
        return comparisons(node.of)
    return comparisons(node.left) + comparisons(node.right)


def _level(node: Node) -> int:
    if isinstance(node, Logic):
        return LEVELS[node.word]
    if isinstance(node, Arithmetic | Comparison):
        return LEVELS[node.sign]
    return NOT if isinstance(node, Not) else SIGN if isinstance(node, Negative) else ATOM


def _inside(node: Node, level: int) -> str:
    return f"({node})" if _level(node) < level else str(node)


@dataclasses.dataclass(frozen=True)
class _Token:
    kind: str  # number, name, text, sign, word, end
    text: str
    at: int


class _Reader:
    """Top-down operator precedence (Pratt, 1973) over the words of one text."""

    def __init__(self, text: str):
        self.text, self.place, self.depth = text, 0, 0
        if len(text) > LONGEST:
            raise self.refused(f"it has more than {LONGEST} characters", 0)
        self.tokens = list(self.words())
        if len(self.tokens) > MOST:
            raise self.refused(f"it has more than {MOST} names, numbers and signs", self.tokens[MOST].at)

    def words(self) -> "list[_Token]":
        found, at = [], 0
        while at < len(self.text):
            if self.text[at].isspace():
                at += 1
                continue
            seen = TOKEN.match(self.text, at)
            if seen is None:
                raise self.refused(_unknown(self.text, at), at)
            found.append(_token(seen))
            at = seen.end()
        return [*found, _Token("end", "", len(self.text))]

    @property
    def next(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def relation(self) -> Condition | Determines:
        if any(token.kind == "word" and token.text == "determines" for token in self.tokens):
            return self.dependence()
        found = self.expression(0)
        if self.next.kind != "end":
            raise self.refused("an operator is missing", self.next.at)
        return self.condition(found, 0)

    def dependence(self) -> Determines:
        left = [self.name()]
        while self.next.text == "," and self.next.kind == "sign":
            self.take()
            left.append(self.name())
        if (self.next.kind, self.next.text) != ("word", "determines"):
            raise self.refused("'determines' stands between names, alone", self.next.at)
        self.take()
        right = self.name()
        if self.next.kind != "end":
            raise self.refused("'determines' stands between names, alone", self.next.at)
        if right in left or len(set(left)) < len(left):
            raise self.refused("a name stands twice", 0)
        return Determines(tuple(left), right)

    def name(self) -> str:
        if self.next.kind != "name":
            raise self.refused("the name of a feature is missing", self.next.at)
        return self.take().text

    def expression(self, least: int) -> Node:
        """What binds at least as tightly as `least`."""
        left = self.start()
        while (level := LEVELS.get(self.next.text, 0)) >= max(least, 1) and self.next.kind in ("sign", "word"):
            at, sign = self.next.at, self.take().text
            right = self.expression(level + (sign != "->"))
            left = self.joined(sign, left, right, at)
        return left

    def start(self) -> Node:
        token = self.take()
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.refused(f"more than {DEEPEST} parentheses or signs stand around each other", token.at)
        found = self.begun(token)
        self.depth -= 1
        return found

    def begun(self, token: _Token) -> Node:
        if token.kind == "number":
            value = float(token.text)
            if math.isinf(value):
                raise self.refused("the number is too large", token.at)
            return Number(value)
        if token.kind in ("name", "text"):
            return Name(token.text) if token.kind == "name" else Text(token.text)
        if token.kind == "word" and token.text == "not":
            return Not(self.condition(self.expression(NOT), token.at))
        if token.kind == "sign" and token.text == "-":
            return Negative(self.value(self.expression(SIGN), token.at))
        if token.kind == "sign" and token.text == "(":
            found = self.expression(0)
            if self.next.kind != "sign" or self.next.text != ")":
                raise self.refused("a parenthesis is not closed", self.next.at)
            self.take()
            return found
        raise self.refused("a name, a number or a parenthesis is missing", token.at)

    def joined(self, sign: str, left: Node, right: Node, at: int) -> Node:
        if sign in ("->", "or", "and"):
            return Logic(sign, self.condition(left, at), self.condition(right, at))
        if sign not in COMPARISONS:
            return Arithmetic(sign, self.value(left, at), self.value(right, at))
        if isinstance(left, Comparison) or isinstance(right, Comparison):
            raise self.refused("comparisons cannot be chained; write a < b and b < c", at)
        if isinstance(left, Text) or isinstance(right, Text):
            other = right if isinstance(left, Text) else left
            if not isinstance(other, Name):
                raise self.refused("a text is compared with the name of a feature", at)
            return Comparison(sign, left, right)  # type: ignore[arg-type]
        return Comparison(sign, self.value(left, at), self.value(right, at))

    def condition(self, node: Node, at: int) -> Condition:
        if isinstance(node, Condition):
            return node
        raise self.refused("a condition is missing, such as a <= b", at)

    def value(self, node: Node, at: int) -> Value:
        if isinstance(node, Value):
            return node
        raise self.refused("a number or the name of a feature is missing", at)

    def refused(self, why: str, at: int) -> DataError:
        start = max(0, at - 120)
        quoted = f"{'…' if start else ''}{self.text[start:at]}^{self.text[at : at + 80]}"
        return DataError(
            "HF141",
            f"A relation that cannot be read: {why}",
            seen=f"{quoted} (character {at + 1})",
            expected="names, numbers, + - * /, < <= == != >= >, and, or, not, ->, determines",
            fix='such as src_bytes <= 2 * dst_bytes, or flag == "SF" -> serror_rate == 0; other names in `backquotes`',
        )


def _token(seen: re.Match[str]) -> _Token:
    kind, text = str(seen.lastgroup), str(seen[str(seen.lastgroup)])
    if kind in ("double", "single"):
        return _Token("text", re.sub(r"\\(.)", r"\1", text), seen.start())
    if kind == "quoted":
        return _Token("name", text.replace("``", "`"), seen.start())
    return _Token("word" if kind == "name" and text in WORDS else kind, text, seen.start())


def _unknown(text: str, at: int) -> str:
    if text[at] in "`\"'":
        return "a quote is not closed"
    return "equality is written ==" if text[at] == "=" else f"{text[at]!r} means nothing here"
