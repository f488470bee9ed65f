"""Schemas as TOML: written plainly, read with every value checked and the line of a mistake named."""

import dataclasses
import difflib
import json
import math
import os
import pathlib
import re
import sys
import tomllib
from typing import TYPE_CHECKING, Any

from holdfast.core.errors import DataError
from holdfast.core.files import writing
from holdfast.threats.tables.dependence import Pairs
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.grammar import Determines, parse

if TYPE_CHECKING:
    from holdfast.threats.tables.schema import Schema

VERSION = 1
LARGEST = 16 << 20
"""Bytes of a schema file."""

HEADS = {"schema": int, "name": str, "label": str, "classes": list, "relations": list, "features": list, "pairs": list}
KEYS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "kind": (str,),
    "levels": (list,),
    "low": (int, float),
    "high": (int, float),
    "step": (int, float),
    "group": (str,),
    "immutable": (bool,),
    "direction": (str,),
    "missing": (bool,),
    "scale": (int, float),
    "cost": (int, float),
}
NUMERIC = ("low", "high", "step")
WORDS = {str: "a text", list: "a list", bool: "true or false", int: "a number", float: "a number"}


def written(schema: "Schema") -> str:
    """The file: heads, one `[[features]]` a column with what is not at its default, the pairs of each `determines`."""
    lines = [f"schema = {VERSION}", f"name = {_text(schema.name)}"]
    lines += [f"label = {_text(schema.label)}"] if schema.label else []
    lines += [f"classes = {_list(schema.classes)}"] if schema.classes else []
    if schema.relations:
        lines += ["relations = [", *(f"    {_text(relation)}," for relation in schema.relations), "]"]
    for feature in schema.features:
        lines += ["", "[[features]]", *(f"{key} = {value}" for key, value in _told(feature))]
    for known in schema.pairs:
        node = parse(known.relation)
        columns = (*node.left, node.right) if isinstance(node, Determines) else ()
        rows = [(*left, right) for left, right in zip(known.left, known.right, strict=True)]
        shown = [
            "[" + ", ".join(_code(schema.by_name[n], c) for n, c in zip(columns, row, strict=True)) + "]"
            for row in rows
        ]
        lines += ["", "[[pairs]]", f"relation = {_text(known.relation)}", "values = ["]
        lines += [*(f"    {row}," for row in shown), "]"]
    return "\n".join(lines) + "\n"


def read(text: str, source: str) -> dict[str, Any]:
    """The arguments of a Schema.

    Raises:
        DataError: HF144 for what is no such document, HF143 for a feature that cannot be, both with the line.
    """
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise _refused(source, f"{error}"[:200] or "it nests too deep") from error
    if _huge(told):
        raise _refused(source, "a number is too large")
    place = _Place(source, text)
    place.check(told, HEADS, "", -1)
    if told.get("schema") != VERSION:
        seen = f"schema = {told.get('schema')!r}"
        raise _refused(source, f"{seen}, and this version reads schema = {VERSION}", place.line("", -1, "schema"))
    features = tuple(_feature(one, i, place) for i, one in enumerate(told.get("features", [])))
    by_name = {feature.name: feature for feature in features}
    pairs = tuple(_pairs(one, i, by_name, place) for i, one in enumerate(told.get("pairs", [])))
    for key in ("classes", "relations"):
        if not all(isinstance(word, str) for word in told.get(key, [])):
            raise _refused(source, f"{key} are not all texts", place.line("", -1, key))
    found: dict[str, Any] = {key: told[key] for key in ("name", "label") if key in told}
    return (
        found
        | {key: tuple(told.get(key, ())) for key in ("classes", "relations")}
        | {"features": features, "pairs": pairs}
    )


def _huge(value: Any) -> bool:
    """Whether a whole number in it is no float."""
    if isinstance(value, dict | list):
        return any(map(_huge, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and abs(value) > sys.float_info.max


def save(text: str, path: str | os.PathLike[str]) -> None:
    """Write a file whole."""
    with writing(path):
        pathlib.Path(path).write_text(text, encoding="utf-8")


def load(path: str | os.PathLike[str]) -> str:
    """The text of a file.

    Raises:
        DataError: HF144 where there is none, or it is too large or no text.
    """
    place = pathlib.Path(path)
    try:
        if place.stat().st_size > LARGEST:
            raise _refused(place.name, f"it has more than {LARGEST >> 20} MiB")
        return place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, DataError):
            raise
        raise _refused(place.name, str(error)) from error


@dataclasses.dataclass(frozen=True)
class _Place:
    """Finds the line that says something."""

    source: str
    text: str

    def line(self, table: str, index: int, key: str = "") -> int:
        """The line of a key, or of the head of the table that would hold it."""
        lines = self.text.splitlines()
        starts = [i for i, line in enumerate(lines) if re.match(r"\s*\[", line)]
        heads = [i for i in starts if table and re.match(rf"\s*\[\[\s*{table}\s*\]\]", lines[i])]
        first = heads[index] if 0 <= index < len(heads) else -1
        for i in range(first + 1, len(lines)):
            if re.match(rf"\s*{re.escape(key)}\s*=", lines[i]) and key:
                return i + 1
            if i in starts and re.match(r"\s*\[\[?\s*\w+\s*\]", lines[i]):
                break
        return max(first, 0) + 1

    def check(self, told: dict[str, Any], known: Any, table: str, index: int) -> None:
        """Refuse keys that do not exist and values of another kind."""
        for key, value in told.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                what = f"there is no key {key!r}" + (f"; did you mean {near[0]}?" if near else "")
                raise _refused(self.source, what, self.line(table, index, key))
            kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                what = f"{key} = {value!r:.60} is not {WORDS[kinds[0]]}"
                raise _refused(self.source, what, self.line(table, index, key))


def _feature(told: Any, index: int, place: _Place) -> Feature:
    if not isinstance(told, dict):
        raise _refused(place.source, "features are tables, [[features]]", place.line("features", index))
    place.check(told, KEYS, "features", index)
    if "name" not in told:
        raise _refused(place.source, "a feature has no name", place.line("features", index))
    values: dict[str, Any] = {key: tuple(value) if key == "levels" else value for key, value in told.items()}
    stray = [key for key in NUMERIC if key in told and told.get("kind", "real") not in ("real", "integer")]
    if stray:
        what = f"{told.get('kind')} columns have no {stray[0]}"
        raise _refused(place.source, what, place.line("features", index, stray[0]))
    try:
        return Feature(**values)
    except DataError as error:
        at = f"{place.source}, line {place.line('features', index)}"
        raise DataError(error.code, f"{at}: {error.what}", fix=error.fix) from error


def _pairs(told: Any, index: int, features: dict[str, Feature], place: _Place) -> Pairs:
    at = place.line("pairs", index)
    if not isinstance(told, dict) or set(told) != {"relation", "values"} or not isinstance(told["values"], list):
        raise _refused(place.source, "pairs have a relation and values, and nothing else", at)
    node = parse(told["relation"]) if isinstance(told["relation"], str) else None
    if not isinstance(node, Determines):
        raise _refused(place.source, "pairs belong to a relation with 'determines'", at)
    columns = [features.get(name) for name in (*node.left, node.right)]
    left, right = list[tuple[float, ...]](), list[float]()
    for row in told["values"]:
        if not isinstance(row, list) or len(row) != len(columns):
            raise _refused(place.source, f"the values {row!r:.60} are not one for each of {len(columns)} columns", at)
        codes = [_read(f, value) for f, value in zip(columns, row, strict=True) if f is not None]
        known = [code for code in codes if code is not None]
        if len(known) < len(row):
            raise _refused(place.source, f"the values {row!r:.60} are not values of the columns", at)
        left.append(tuple(known[:-1]))
        right.append(known[-1])
    return Pairs(str(node), tuple(left), tuple(right))


def _told(feature: Feature) -> list[tuple[str, str]]:
    """Keys and values of a feature that are not what reading it would fill in."""
    numeric = feature.kind in ("real", "integer")
    ends: dict[str, Any] = {"low": feature.low, "high": feature.high} if numeric else {}
    bare = Feature(feature.name, feature.kind, **ends, levels=feature.levels, group=feature.group)
    scaled = dataclasses.replace(bare, cost=None, scale=feature.scale)
    shown = {"name": feature.name, "kind": feature.kind, "levels": feature.levels, **ends, "group": feature.group}
    for key in ("step", "immutable", "direction", "missing", "scale", "cost"):
        value = getattr(feature, key)
        if value != getattr(scaled if key == "cost" else bare, key):
            shown[key] = value
    return [
        (key, _list(value) if isinstance(value, tuple) else _value(value))
        for key, value in shown.items()
        if value != "" and value != ()
    ]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _list(values: Any) -> str:
    return "[" + ", ".join(map(_text, values)) + "]"


def _text(text: str) -> str:
    """A basic string of TOML, which JSON's is as well once DEL is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _code(feature: Feature, code: float) -> str:
    return _text(feature.levels[int(code)]) if feature.levels else _number(code)


def _read(feature: Feature, value: Any) -> float | None:
    if isinstance(value, str):
        return float(feature.levels.index(value)) if value in feature.levels else None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if number and not feature.levels else None


def _refused(source: str, what: str, line: int = 0) -> DataError:
    where = f"{source}, line {line}" if line else source
    return DataError(
        "HF144",
        f"A schema that cannot be read: {where}: {what}",
        expected="TOML as `holdfast data inspect TABLE -o schema.toml` writes it",
    )
