"""CSV files without quotes, read by Arrow: they mean the same to every reader, and it takes a fifth of the time."""

import gzip
import io
import pathlib
from typing import IO, TYPE_CHECKING, BinaryIO, cast

import numpy as np

from holdfast.data.tables.separated import LINE, named, separator, too_large, too_many
from holdfast.threats.tables.raw import Column, of_levels

if TYPE_CHECKING:
    import pyarrow

BLOCK = 1 << 20
"""Bytes that Arrow looks at together; a longer line is left to the other reader."""

MARK = b"\xef\xbb\xbf"


class Quoted(Exception):
    """There is something in the file that readers may disagree about."""


def read(path: pathlib.Path) -> dict[str, Column] | None:
    """The columns of a file; None where it has quotes, or Arrow refuses it for another reason.

    Raises:
        DataError: HF146 for names of columns that cannot be, or more cells than a table may have.
        OSError, EOFError: As reading the file does.
    """
    import pyarrow

    with (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb") as file:
        head = file.readline(LINE)
        try:
            first = head.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
            if not head.endswith(b"\n") or '"' in first or "\r" in first:
                return None
            sign = separator(first)
            names = first.split(sign)
            named(names, first, path.name)
            table = _table(
                io.BufferedReader(_Plain(cast(IO[bytes], file), path.name, len(head))), names, sign, path.name
            )
        except (pyarrow.ArrowException, UnicodeDecodeError, Quoted):
            return None
    return {name: _column(table.column(i)) for i, name in enumerate(names)} if table is not None else None


def _table(file: BinaryIO, names: list[str], sign: str, name: str) -> "pyarrow.Table | None":
    """All rows, every cell as a text; None where there are none."""
    import pyarrow
    import pyarrow.csv

    places = [str(i) for i in range(len(names))]
    coded = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    batches, rows = [], 0
    with pyarrow.csv.open_csv(
        file,
        read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=places),
        parse_options=pyarrow.csv.ParseOptions(delimiter=sign, quote_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            strings_can_be_null=False, column_types=dict.fromkeys(places, coded)
        ),
    ) as reader:
        for batch in reader:
            rows += len(batch)
            too_many(rows * len(names), name)
            batches.append(batch)
    return pyarrow.Table.from_batches(batches).unify_dictionaries().combine_chunks() if rows else None


def _column(cells: "pyarrow.ChunkedArray") -> Column:
    """A column that Arrow holds as places in a list of texts."""
    (whole,) = cells.chunks
    places = np.frombuffer(whole.indices.buffers()[1], np.int32)[whole.indices.offset :][: len(whole)]
    return of_levels(whole.dictionary.to_pylist(), places)


class _Plain(io.RawIOBase):
    """The rest of a file, as long as it has no quote and is not too long."""

    def __init__(self, file: IO[bytes], name: str, begun: int):
        self.file, self.name, self.begun, self.size = file, name, begun, begun

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        """The next bytes."""
        found = self.file.read(len(into))
        if b'"' in found or (self.size == self.begun and found.startswith(MARK)):
            raise Quoted
        self.size += len(found)
        too_large(self.size, self.name)
        into[: len(found)] = found
        return len(found)
