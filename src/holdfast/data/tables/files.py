"""CSV and Parquet files as columns. CSV cells stay the texts they are until somebody says what they mean."""

import csv
import gzip
import pathlib
from collections.abc import Iterator
from typing import Any, TextIO

from holdfast.core.errors import DataError
from holdfast.core.trial import look
from holdfast.threats.tables.raw import Column, columns, numbers_of

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet")
LARGEST = 1 << 30
"""Characters of a CSV file when unpacked."""


def here(path: pathlib.Path) -> bool:
    """Whether a path has the name of a table."""
    return path.name.lower().endswith(SUFFIXES)


def read(path: pathlib.Path) -> dict[str, Column]:
    """The columns of a file by their names.

    Raises:
        DataError: HF146 for a file that is no table, HF145 for a column that holds neither numbers nor texts.
        ResourceError: HF505 where the child that tries Parquet files first does not survive it.
    """
    if path.name.lower().endswith(".parquet"):
        return _parquet(path)
    try:
        with (gzip.open if path.name.lower().endswith(".gz") else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as text:
            return _csv(text, path.name)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise _refused(path.name, f"{error}"[:160], "comma-separated values in UTF-8") from error


def _csv(text: TextIO, name: str) -> dict[str, Column]:
    head = text.readline(1 << 20)
    sign = max(",;\t", key=head.count)
    names = next(csv.reader([head], delimiter=sign), [])
    if not names or len(set(names)) < len(names) or not all(names):
        raise _refused(name, f"{head!r:.100}", "a first line with the names of the columns, each once")
    rows = list(_rows(csv.reader(_counted(text, name), delimiter=sign), len(names), name))
    if not rows:
        raise _refused(name, "no rows", "rows below the names of the columns")
    found = {}
    for column, cells in zip(names, zip(*rows, strict=True), strict=True):
        texts = tuple(cell or None for cell in cells)
        found[column] = Column(numbers=numbers_of(texts), texts=texts)
    return found


def _rows(reader: Any, width: int, name: str) -> Iterator[list[str]]:
    for row in reader:
        if len(row) == width:
            yield row
        elif row:
            raise _refused(name, f"{len(row)} cells in line {reader.line_num + 1}", f"{width}, one for each column")


def _counted(text: TextIO, name: str) -> Iterator[str]:
    count = 0
    while line := text.readline(1 << 20):
        count += len(line)
        if count > LARGEST:
            raise _refused(name, f"more than {LARGEST >> 30} GiB of text", "less, or a Parquet file")
        yield line


def _parquet(path: pathlib.Path) -> dict[str, Column]:
    from holdfast.data.tables import opening

    look("holdfast.data.tables.opening:parquet", [path], opening.MEMORY, opening.SECONDS, ["numpy", "pyarrow"])
    import pyarrow
    import pyarrow.parquet

    try:
        return columns(pyarrow.parquet.read_table(path, use_threads=False))
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise _refused(path.name, f"{error}"[:160], "a Parquet file") from error


def _refused(name: str, seen: str, expected: str) -> DataError:
    return DataError("HF146", f"The file {name!r} cannot be read as a table", seen=seen, expected=expected)
