"""CSV text as columns, row by row in Python: what every CSV file means, also those with quotes."""

import csv
import itertools
import re
from collections.abc import Iterator
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError
from holdfast.threats.tables.raw import Column, of_levels

LARGEST = 1 << 30
"""Bytes of a file when unpacked, of one with quotes its characters."""

MOST = 1 << 27
"""Cells of a table: such a one takes 4 GiB while it is read."""

WIDEST = 10_000
"""Columns of a table."""

LINE = 1 << 20
"""Characters of a line."""

TOGETHER = 2048
"""Rows that are turned into columns at once: rows as lists of texts take ten times the room."""


class Places(dict[str, int]):
    """The place of each text in the order in which they came."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return len(self) - 1


def read(text: TextIO, name: str) -> dict[str, Column]:
    """The columns of a text.

    Raises:
        DataError: HF146 for a text that is no table.
        csv.Error: For a quote that is not closed, or a cell of more characters than the csv module takes.
    """
    lines = _lines(text, name)
    head = next(lines, "")
    reader = csv.reader(itertools.chain([head], lines), delimiter=separator(head), strict=True)
    names = next(reader, [])
    named(names, head, name)
    rows = _rows(reader, len(names), name)
    seen, parts = [Places() for _ in names], list[list[NDArray[np.int32]]]([[] for _ in names])
    for done in itertools.count(1):
        some = list(itertools.islice(rows, TOGETHER))
        if not some:
            break
        too_many(done * TOGETHER * len(names) - TOGETHER * len(names), name)
        for places, part, cells in zip(seen, parts, zip(*some, strict=True), strict=True):
            part.append(np.fromiter(map(places.__getitem__, cells), np.int32, len(cells)))
    if not parts[0]:
        raise refused(name, "no rows", "rows below the names of the columns")
    found = (of_levels(places, np.concatenate(part)) for places, part in zip(seen, parts, strict=True))
    return dict(zip(names, found, strict=True))


def separator(head: str) -> str:
    """The sign that parts the names of the columns: a comma, a semicolon or a tab, whichever is there most often."""
    return max(",;\t", key=re.sub('"[^"]*"', "", head).count)


def named(names: list[str], head: str, name: str) -> None:
    """Refuse names of columns that are missing, empty or there twice.

    Raises:
        DataError: HF146.
    """
    if not names or len(set(names)) < len(names) or not all(names):
        raise refused(name, f"{head!r:.100}", "a first line with the names of the columns, each once")
    if len(names) > WIDEST:
        raise refused(name, f"{len(names)} columns", f"at most {WIDEST}")


def too_large(size: int, name: str) -> None:
    """Refuse a file that unpacks to so many bytes.

    Raises:
        DataError: HF146.
    """
    if size > LARGEST:
        raise refused(name, f"more than {LARGEST >> 20} MiB of text", "less, or a Parquet file")


def too_many(cells: int, name: str) -> None:
    """Refuse a table of so many cells.

    Raises:
        DataError: HF146.
    """
    if cells > MOST:
        raise refused(name, f"more than {MOST} cells", "fewer rows or columns")


def refused(name: str, seen: str, expected: str) -> DataError:
    """The error for a file that is no table."""
    return DataError("HF146", f"The file {name!r} cannot be read as a table", seen=seen, expected=expected)


def _rows(reader: "csv._reader", width: int, name: str) -> Iterator[list[str]]:  # type: ignore[name-defined]
    for row in reader:
        if len(row) == width:
            yield row
        elif row:
            raise refused(name, f"{len(row)} cells in line {reader.line_num}", f"{width}, one for each column")


def _lines(text: TextIO, name: str) -> Iterator[str]:
    count = 0
    while line := text.readline(LINE):
        count += len(line)
        too_large(count, name)
        if len(line) == LINE and line[-1] not in "\r\n":
            raise refused(name, f"a line of more than {LINE} characters", "shorter lines")
        yield line
