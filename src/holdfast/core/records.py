"""Records as plain JSON: one text for one value, so that equal configurations have equal digests on every machine."""

import dataclasses
import hashlib
import json
import math
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.core.errors import ParameterError
from holdfast.core.params import parameters

_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def config(record: Any) -> dict[str, Any]:
    """A dataclass instance as plain JSON values, its class first: `{"name": "Pgd", "steps": 40, ...}`.

    Nested records become such dictionaries too; tuples and sets become lists; infinity and NaN become the
    strings `inf`, `-inf` and `nan`, because JSON has no numbers for them.

    Raises:
        ParameterError: HF002 where a value has no JSON form, or a field is itself called `name`.
    """
    kind: type = type(record)
    found: dict[str, Any] = {"name": kind.__name__}
    for p in parameters(kind):
        if p.name == "name":
            raise ParameterError("HF002", f"{found['name']} has a field 'name', so it cannot be a configuration")
        value = getattr(record, p.name)
        real = (
            _takes(p.kind, float) and not _takes(p.kind, int) and isinstance(value, int) and not isinstance(value, bool)
        )
        found[p.name] = plain(float(value) if real else value)
    return found


def revive(document: Mapping[str, Any], find: Callable[[str], type]) -> Any:
    """The record that `config` wrote down.

    Args:
        document: What `config` returned, also after a trip through JSON.
        find: Class name -> class; only classes it returns are ever built.

    Raises:
        ParameterError: HF003 where a field is unknown or missing, HF001 where a value is out of range.
    """
    kind = find(str(document.get("name", "")))
    declared = {p.name: p.kind for p in parameters(kind)}
    unknown = sorted(set(document) - set(declared) - {"name"})
    if unknown:
        raise ParameterError("HF003", f"{kind.__name__} has no parameter {unknown[0]!r}", expected=", ".join(declared))
    try:
        return kind(**{key: _revived(declared[key], document[key], find) for key in declared if key in document})
    except TypeError as error:
        raise ParameterError("HF003", f"{kind.__name__} cannot be built: {error}") from error


def plain(value: Any) -> Any:
    """Any value made of records, mappings, sequences, sets, numbers, strings and paths as JSON values."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else str(value)  # + 0.0: -0.0 equals 0.0, so it reads the same
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return config(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ParameterError(
                "HF002", "A dictionary without string keys cannot be written as JSON", seen=list(value)[:3]
            )
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=canonical)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, pathlib.PurePath):
        return value.as_posix()
    raise ParameterError(
        "HF002", "A value cannot be written as JSON", seen=f"{value!r:.60} of type {type(value).__name__}"
    )


def canonical(value: Any) -> str:
    """The one compact JSON text of a value: keys sorted, no spaces, no NaN.

    Raises:
        ParameterError: HF002 where a value has no JSON form.
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """32 hexadecimal digits (BLAKE2b, 128 bits) of bytes, or of a value's canonical text."""
    data = value if isinstance(value, bytes | bytearray | memoryview) else canonical(value).encode()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _revived(kind: Any, value: Any, find: Callable[[str], type]) -> Any:
    if isinstance(value, Mapping):
        return revive(value, find) if "name" in value else dict(value)
    if isinstance(value, list | tuple):
        items = tuple(_revived(object, item, find) for item in value)
        return frozenset(items) if _takes(kind, frozenset) else items
    if isinstance(value, str) and value in _SPECIAL and _takes(kind, float):
        return _SPECIAL[value]
    return value


def _takes(kind: Any, wanted: type) -> bool:
    """Whether an annotation allows a type: `float`, `float | None`, `frozenset[str]`."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_takes(part, wanted) for part in typing.get_args(kind))
    if origin is typing.Annotated:
        return _takes(typing.get_args(kind)[0], wanted)
    return (origin or kind) is wanted
