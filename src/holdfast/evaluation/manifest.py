"""The manifest of a run folder, `manifest.json`: whose run it is, and which samples stand together. It only grows."""

import dataclasses
import hashlib
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pydantic

from holdfast.core.errors import IntegrityError
from holdfast.core.files import write_atomic
from holdfast.evaluation.document import adapter, to_json
from holdfast.evaluation.summary import RESULT_VERSION

FORMAT = "urn:holdfast:manifest:1"
GROUP = 256  # samples that are searched together and committed together, at most
LEAST = 64  # and at least, however large they are
VALUES = 2**17  # in one channel of a group: small samples in small groups keep a processor busy with everything else


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """An attack of a suite, by its name and parameters."""

    name: str
    config: dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples a run has seen, in columns; `groups` lists the positions that are computed together.

    Args:
        keys: What a sample is: digest of input and label, with a counter where the same sample comes twice.
        ids: The data set's number for it.
        labels: Its class.
        source: The data set's group for it, -1 where there is none.
    """

    keys: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    source: tuple[int, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Identity (model fingerprint, result version, precision), samples, every stage and threat ever asked for."""

    format: str = FORMAT
    holdfast: str
    created: str
    fingerprint: str
    result_version: int = RESULT_VERSION
    precision: str
    samples: Samples = dataclasses.field(default_factory=Samples)
    stages: tuple[Stage, ...] = ()
    threats: tuple[str, ...] = ()


IDENTITY = ("fingerprint", "result_version", "precision")


def read(path: pathlib.Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        IntegrityError: HF405 where the file is no manifest.
    """
    try:
        found: Manifest = adapter(Manifest).validate_json(path.read_bytes())
    except (pydantic.ValidationError, UnicodeDecodeError) as error:
        raise IntegrityError(
            "HF405", "The run folder's manifest cannot be read", seen=str(path), fix="give another folder with --out"
        ) from error
    if found.format != FORMAT:
        raise IntegrityError(
            "HF405", "The run folder has a manifest of another kind", seen=found.format, expected=FORMAT
        )
    return found


def write(path: pathlib.Path, manifest: Manifest) -> None:
    """Replace the file in one step."""
    write_atomic(path, to_json(manifest).encode("utf-8", "backslashreplace"))


def refuse_other(found: Manifest, wanted: Manifest, folder: pathlib.Path) -> None:
    """Refuse a folder of another model, result version or precision.

    Raises:
        IntegrityError: HF402, naming the fields that differ.
    """
    different = [name for name in IDENTITY if getattr(found, name) != getattr(wanted, name)]
    if different:
        show = {name: (getattr(found, name), getattr(wanted, name)) for name in different}
        raise IntegrityError(
            "HF402",
            f"The run folder {folder} belongs to something else",
            seen=", ".join(f"{name} {there}" for name, (there, _) in show.items()),
            expected=", ".join(f"{name} {here}" for name, (_, here) in show.items()),
            fix="--new makes a folder beside it, or give another one with --out",
        )


def keys_of(digests: Sequence[str]) -> tuple[str, ...]:
    """A key for each sample: its digest, and `digest.2`, `digest.3`, ... where it comes again."""
    seen: dict[str, int] = {}
    keys = []
    for d in digests:
        seen[d] = seen.get(d, 0) + 1
        keys.append(d if seen[d] == 1 else f"{d}.{seen[d]}")
    return tuple(keys)


def number_of(key: str) -> int:
    """The whole number of 60 bits that a sample's random draws depend on, the same in whatever company it comes."""
    return int(hashlib.blake2b(key.encode(), digest_size=8).hexdigest()[:15], 16)


def width_of(sample: Sequence[int]) -> int:
    """Samples of a group, from the shape of a sample."""
    return min(GROUP, max(LEAST, VALUES // max(1, math.prod(sample[-2:]))))


def grow(
    samples: Samples,
    keys: Sequence[str],
    ids: Sequence[int],
    labels: Sequence[int],
    source: Sequence[int],
    size: int | None = None,
) -> Samples:
    """Add the samples that are not there yet, in new groups; groups that exist never change."""
    known = set(samples.keys)
    new = [i for i, key in enumerate(keys) if key not in known]
    first, width = len(samples.keys), size or GROUP
    spans = [tuple(range(first + start, first + min(start + width, len(new)))) for start in range(0, len(new), width)]
    return Samples(
        keys=(*samples.keys, *(keys[i] for i in new)),
        ids=(*samples.ids, *(int(ids[i]) for i in new)),
        labels=(*samples.labels, *(int(labels[i]) for i in new)),
        source=(*samples.source, *(int(source[i]) for i in new)),
        groups=(*samples.groups, *spans),
    )


def teams(samples: Samples, wanted: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The wanted samples, group by group, in the manifest's order."""
    chosen = set(wanted)
    for group in samples.groups:
        team = tuple(samples.keys[i] for i in group if samples.keys[i] in chosen)
        if team:
            yield team


def appended(old: Sequence[Any], new: Sequence[Any]) -> tuple[Any, ...]:
    """`old` and what of `new` is not in it."""
    return (*old, *(item for item in new if item not in old))
