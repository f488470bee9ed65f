"""What a child process does with `.npz` and idx files on trial (see `core.trial`): unpack all, keep nothing, say sizes.

Standard library only, so that the child starts in 0.05 s: the few words of numpy's headers are read by hand, and more
strictly than numpy does.
"""

import ast
import gzip
import math
import re
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, Protocol

from holdfast.core.errors import DataError

LARGEST = 8 << 30
"""Bytes that the arrays of one file may have when unpacked: more is taken for a bomb."""

MEMORY = 256 << 20
"""What the child may take: blocks, names and headers."""

SECONDS = 120
"""Processor time for unpacking: the largest at 70 MB a second."""

BLOCK = 1 << 20
HEADER = 10_000
"""Characters of an array's header, numpy's own limit."""

PLAIN = re.compile(r"[<>|=]?(?:([?biufcSUVMm])(\d{0,9})(?:\[\w{1,20}\])?)")

Fact = tuple[str, tuple[int, ...], str, int]


class Stream(Protocol):
    """What is read from the front to the end."""

    def read(self, size: int, /) -> bytes: ...


def npz(path: str) -> Iterator[Fact]:
    """Unpack every member of an `.npz`, checking that it has the bytes that it declares, and their check sum.

    Raises:
        DataError: HF110 for a damaged file, one with other things than arrays of numbers and texts, or one that would
            unpack to more than 8 GiB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > LARGEST:
                raise _refused(path, f"{size / 2**30:.1f} GiB when unpacked", f"at most {LARGEST >> 30} GiB")
            for member in members:
                with archive.open(member) as file:
                    shape, kind, head = _header(file)
                    count, width = math.prod(shape), _bytes(kind)
                    wanted, found = head + count * width, head + _drained(file, LARGEST)
                if not wanted == found == member.file_size or (count and not width):
                    raise ValueError(f"{member.filename!r} declares {wanted} bytes and has {found}")
                yield member.filename.removesuffix(".npy"), shape, str(kind), found
    except (MemoryError, DataError):
        raise
    except Exception as error:  # zipfile, zlib, bz2, lzma and ast raise many kinds
        raise _refused(path, f"{type(error).__name__}: {error}"[:120], "an .npz of plain numbers") from error


def idx(path: str) -> Iterator[Fact]:
    """Unpack an idx file as far as it declares.

    Raises:
        DataError: HF110 for a damaged file, or one that has other sizes than it declares.
    """
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
            head = file.read(4)
            sizes = tuple(int.from_bytes(file.read(4), "big") for _ in range(head[3] if len(head) == 4 else 0))
            wanted = math.prod(sizes)
            sound = head[:3] == b"\0\0\x08" and 0 < len(sizes) <= 4 and wanted <= LARGEST
            found = _drained(file, wanted) if sound else 0
    except MemoryError:
        raise
    except Exception as error:  # gzip and zlib raise many kinds
        raise DataError(
            "HF110",
            f"The file {_name(path)!r} cannot be unpacked",
            seen=type(error).__name__,
            expected="an idx file, gzipped or not",
        ) from error
    if not sound or found != wanted:
        raise DataError(
            "HF110",
            f"The file {_name(path)!r} is no idx file of bytes",
            seen=f"first bytes {head.hex()}, sizes {list(sizes)}, {found} values",
            expected=f"{wanted} values",
        )
    yield _name(path), sizes, "uint8", found


def _header(file: Stream) -> tuple[tuple[int, ...], Any, int]:
    """Shape, type and length of what stands before an array's values (NEP 1)."""
    start = file.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise ValueError("a member is no array")
    width = 2 if start[6] == 1 else 4
    (length,) = struct.unpack("<H" if width == 2 else "<I", file.read(width))
    if length > HEADER:
        raise ValueError(f"a header of {length} characters")
    text = file.read(length).decode("utf-8" if start[6] == 3 else "latin-1")
    try:
        told = ast.literal_eval(text)
    except (MemoryError, RecursionError) as error:  # what the parser says of deep nesting
        raise ValueError(f"the header {text!r:.60}") from error
    shape = told["shape"]
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n <= LARGEST for n in shape) or len(shape) > 32:
        raise ValueError(f"the shape {shape!r:.60}")
    return shape, told["descr"], 8 + width + length


def _bytes(kind: Any) -> int:
    """Bytes of one value of a numpy type: `<f4`, or a list of fields (name, type, shape)."""
    if isinstance(kind, list):
        return sum(_bytes(field[1]) * math.prod(field[2] if len(field) > 2 else ()) for field in kind)
    found = PLAIN.fullmatch(kind)
    if found is None:
        raise ValueError(f"the type {kind!r:.60}: Python objects are not read")
    return (4 if found[1] == "U" else 1) * int(found[2] or 1)


def _drained(file: Stream, most: int) -> int:
    """Bytes that are left in a stream, counted to one more than `most` without keeping them."""
    count = 0
    while count <= most and (block := file.read(min(BLOCK, most + 1 - count))):
        count += len(block)
    return count


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _refused(path: str, seen: str, expected: str) -> DataError:
    return DataError(
        "HF110",
        f"The file {_name(path)!r} cannot be read as arrays",
        seen=seen,
        expected=expected,
        fix="np.savez('data.npz', x=x, y=y)",
    )
