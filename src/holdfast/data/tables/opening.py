"""What a child process does with Parquet files on trial (see `core.trial`): read all, keep nothing, say sizes."""

from collections.abc import Iterator

import pyarrow
import pyarrow.parquet

from holdfast.core.errors import DataError

MEMORY = 4 << 30
"""What the child may take: the columns as they are unpacked."""

SECONDS = 120
LARGEST = 2 << 30
"""Bytes that the columns of one file may have when unpacked."""


def parquet(path: str) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    """Read a Parquet file, column by column, and say what it holds.

    Raises:
        DataError: HF146 for a damaged file, or one that would unpack to more than 2 GiB.
    """
    try:
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
        about = file.metadata
        size = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        if size > LARGEST:
            raise DataError("HF146", "A table that unpacks to too much", seen=f"{size / 2**30:.1f} GiB")
        for i, field in enumerate(file.schema_arrow):
            column = file.read([field.name], use_threads=False).column(0)
            yield field.name, (len(column),), str(field.type), column.nbytes
            if i >= 10_000:
                raise DataError("HF146", "A table with more than 10,000 columns")
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        name = path.replace("\\", "/").rpartition("/")[2]
        raise DataError(
            "HF146", f"The file {name!r} cannot be read as a table", seen=f"{error}"[:160], expected="a Parquet file"
        ) from error
