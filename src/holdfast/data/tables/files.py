"""CSV and Parquet files as columns. CSV cells stay the texts they are until somebody says what they mean."""

import csv
import gzip
import pathlib
import zlib

from holdfast.core.errors import DataError
from holdfast.core.trial import look
from holdfast.data.tables import separated, unquoted
from holdfast.data.tables.separated import refused
from holdfast.threats.tables.raw import Column, columns

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet")


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
        return unquoted.read(path) or _text(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise refused(path.name, f"{error}"[:160], "comma-separated values in UTF-8") from error


def _text(path: pathlib.Path) -> dict[str, Column]:
    packed = path.name.lower().endswith(".gz")
    with (gzip.open if packed else open)(path, "rt", encoding="utf-8-sig", newline="") as text:
        return separated.read(text, path.name)


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
        raise refused(path.name, f"{error}"[:160], "a Parquet file") from error
