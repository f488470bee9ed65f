"""Records that are published as JSON documents: one way to write them, and their schemas."""

import dataclasses
import functools
import json
from typing import Any

import pydantic

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@functools.cache
def adapter(kind: Any) -> pydantic.TypeAdapter[Any]:
    """What reads, writes and describes records of a kind."""
    return pydantic.TypeAdapter(kind)


def dump(record: Any) -> dict[str, Any]:
    """A record as plain JSON values, names as in the file (`from`, `to`)."""
    kind: type = type(record)
    document: dict[str, Any] = adapter(kind).dump_python(record, mode="json", by_alias=True)
    return document


def to_json(record: Any) -> str:
    """The document as text, schema id first, with a newline at the end; NaN and infinity cannot be written."""
    return json.dumps(dump(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def schema(kind: type) -> dict[str, Any]:
    """The JSON schema of a kind of record: as written where its field `schema` names it, else as read (a policy)."""
    name = {field.name: field.default for field in dataclasses.fields(kind)}.get("schema")
    generated = adapter(kind).json_schema(by_alias=True, mode="serialization" if name else "validation")
    return {"$schema": DIALECT, **({"$id": name} if name else {}), **generated}
