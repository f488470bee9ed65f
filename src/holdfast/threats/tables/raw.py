"""Raw rows as columns: data frames (pandas, polars, Arrow), records, columns by name; and back."""

import dataclasses
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import DataError

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
COMMA = re.compile(r"[+-]?([0-9]+),([0-9]+)")
"""A number with a decimal comma, or with a comma between thousands."""

ENDLESS = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
GAPS = frozenset({"", "NaN", "nan", "NA", "N/A", "null", "NULL", "None"})
"""What stands in a column of numbers where one is missing; among words only the empty text does."""

PLAIN = (str, bool, int, float, np.number, np.bool_, type(None))
"""What a cell may be."""


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One column as it came.

    Args:
        numbers: `(n,)` float64 with NaN for gaps, where all cells are numbers; else None.
        texts: The cells as words, None for gaps, where they came as words; else None.
        commas: Whether the numbers were written with decimal commas.
    """

    numbers: NDArray[np.float64] | None = None
    texts: tuple[str | None, ...] | None = None
    commas: bool = False

    def __len__(self) -> int:
        return len(self.texts if self.texts is not None else self.numbers if self.numbers is not None else ())

    @property
    def words(self) -> tuple[str | None, ...]:
        """The cells as words: 3.0 as `3`."""
        if self.texts is not None:
            return self.texts
        cells = [] if self.numbers is None else self.numbers.tolist()
        return tuple(None if math.isnan(cell) else plain(cell) for cell in cells)


def plain(value: float) -> str:
    """A number as one would write it."""
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(value)


def columns(rows: Any) -> dict[str, Column]:
    """The columns of raw rows by their names.

    Args:
        rows: A data frame that speaks the Arrow C interface (pandas from 2.2, polars, pyarrow), a list of records,
            or a mapping from names to columns (also those that this returned).

    Raises:
        DataError: HF145 where it is none of these, or a column holds neither numbers nor texts.
    """
    if isinstance(rows, Mapping):
        found = _named((name, c if isinstance(c, Column) else of_cells(str(name), c)) for name, c in rows.items())
    elif isinstance(rows, list | tuple) and rows and all(isinstance(row, Mapping) for row in rows):
        heads = list(dict.fromkeys(name for row in rows for name in row))
        found = _named((name, of_cells(str(name), [row.get(name) for row in rows])) for name in heads)
    elif hasattr(rows, "__arrow_c_stream__"):
        found = _arrow(rows)
    else:
        raise DataError(
            "HF145",
            "These are no rows of a table",
            seen=f"{type(rows).__name__}",
            expected="a data frame (pandas, polars, Arrow), a list of records, or columns by name",
            fix="frame.collect()" if hasattr(rows, "collect") else "pandas.DataFrame(x, columns=[...])",
        )
    if len({len(column) for column in found.values()}) > 1:
        raise DataError("HF145", "The columns have different lengths", seen={name: len(c) for name, c in found.items()})
    return found


def of_cells(name: str, cells: Any) -> Column:
    """A column of Python values or of a numpy array.

    Raises:
        DataError: HF145 for cells that are neither numbers nor texts.
    """
    array = np.asarray(cells) if hasattr(cells, "__array__") else np.empty(0, dtype=object)
    if array.ndim == 1 and array.dtype.kind in "biuf":
        return Column(numbers=array.astype(np.float64))
    if not isinstance(cells, Iterable) or isinstance(cells, str | bytes):
        raise _neither(name, cells)
    values = [None if _gap(cell) else cell for cell in (array if hasattr(cells, "__array__") else cells)]
    strange = [cell for cell in values if not isinstance(cell, PLAIN) or isinstance(cell, np.complexfloating)]
    if strange:
        raise _neither(name, strange[0])
    if any(isinstance(cell, str) for cell in values):
        return Column(texts=tuple(_word(cell) for cell in values))
    try:
        return Column(numbers=np.array([math.nan if cell is None else float(cell) for cell in values]))
    except OverflowError as error:
        raise DataError("HF145", f"The column {name!r} holds a number that is too large", expected="float64") from error


def in_order(words: Iterable[str]) -> tuple[str, ...]:
    """Different words in order: numbers by their size (2 before 10), as estimators have their classes; else letters."""
    found = sorted(set(words))
    numbers = numbers_of(found)
    if numbers is None or bool(np.isnan(numbers).any()):
        return tuple(found)
    return tuple(found[i] for i in np.argsort(numbers, kind="stable"))


def numbers_of(texts: Sequence[str | None]) -> NDArray[np.float64] | None:
    """Cells of a text file as numbers; None where one of them is something else, or all are gaps."""
    value: dict[str | None, float] = {None: math.nan}
    for cell in set(texts) - {None}:
        word = str(cell).strip()
        if word not in GAPS and not NUMBER.fullmatch(word):
            return None
        value[cell] = math.nan if word in GAPS else float(word)
    found = np.array([value[cell] for cell in texts], dtype=np.float64)
    return None if np.isnan(found).all() or np.isinf(found).any() else found


def infinite(column: Column) -> int | None:
    """The first row whose number is infinite (`inf`, `-Infinity`, 1e999) in a column of numbers; else None."""
    if column.numbers is not None:
        return next(iter(np.flatnonzero(np.isinf(column.numbers)).tolist()), None)
    endless = dict[str | None, bool]()
    for cell in set(column.words) - {None}:
        word = str(cell).strip()
        if word not in GAPS and not NUMBER.fullmatch(word) and not ENDLESS.fullmatch(word):
            return None
        endless[cell] = word not in GAPS and math.isinf(float(word))
    return next((i for i, cell in enumerate(column.words) if endless.get(cell)), None)


def of_levels(levels: Iterable[str], places: NDArray[np.integer[Any]]) -> Column:
    """A column of a text file.

    Args:
        levels: Its different cells, each once.
        places: Which of them each row has, `(n,)`.
    """
    words = [level or None for level in levels]
    numbers = numbers_of(words)
    pointed = with_points(words) if numbers is None else None
    commas = pointed is not None
    numbers = numbers_of(pointed) if pointed is not None else numbers
    texts = np.array([*words, None], dtype=object)[places]  # None once more, so that it is no array of texts
    return Column(None if numbers is None else numbers[places], tuple(texts.tolist()), commas and numbers is not None)


def with_points(words: Sequence[str | None]) -> list[str | None] | None:
    """Numbers with decimal commas with points instead; None where one is no number, or may be thousands.

    `1,234` alone may be either. Beside `0,5` or `12,75` it is no thousand. Nothing is read where points stand beside
    commas: `1.234` beside `0,5` may be thousands, and `1,234` beside `2.5` is.
    """
    read = {word: COMMA.fullmatch(word.strip()) for word in words if word is not None}
    found = [one for one in read.values() if one is not None]
    others = [word for word, one in read.items() if one is None]
    plainly = [one for one in found if len(one[2]) != 3 or one[1] == "0" or len(one[1]) > 3]
    odd = (w for w in map(str.strip, others) if "." in w or (w not in GAPS and not NUMBER.fullmatch(w)))
    if not plainly or next(odd, None) is not None:
        return None
    return [word if word is None or read[word] is None else word.strip().replace(",", ".") for word in words]


def _named(found: Iterable[tuple[Any, Column]]) -> dict[str, Column]:
    """Columns by their names, which must differ as texts."""
    made: dict[str, Column] = {}
    for name, column in found:
        if str(name) in made:
            raise DataError("HF145", f"Two columns are called {str(name)!r}", fix="give each column a name of its own")
        made[str(name)] = column
    return made


def _arrow(rows: Any) -> dict[str, Column]:
    import pyarrow

    frames = getattr(sys.modules.get("pandas"), "DataFrame", ())
    try:
        if isinstance(rows, frames):
            _named((name, Column()) for name in rows.columns)
            table = pyarrow.Table.from_pandas(rows, preserve_index=False)  # the index is no column
        else:
            table = pyarrow.table(rows)
        return _named((name, _column(str(name), table.column(i))) for i, name in enumerate(table.column_names))
    except (pyarrow.ArrowException, TypeError, UnicodeDecodeError) as error:
        raise DataError(
            "HF145",
            "The data frame cannot be read",
            seen=f"{error}"[:160],
            expected="columns of numbers or of texts",
            fix="make words of a column that mixes both: frame[NAME].astype(str), in polars .cast(polars.String)",
        ) from error


def _column(name: str, cells: Any) -> Column:
    """An Arrow column."""
    import pyarrow

    kind = cells.type
    if pyarrow.types.is_dictionary(kind):
        cells = _decoded(cells)
        kind = cells.type
    if pyarrow.types.is_boolean(kind):
        cells, kind = cells.cast(pyarrow.int8()), pyarrow.int8()
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_decimal(kind):
        found = cells.cast(pyarrow.float64(), safe=False).to_numpy()
        return Column(numbers=np.array(found, dtype=np.float64))
    if pyarrow.types.is_null(kind):
        return Column(numbers=np.full(len(cells), math.nan))
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_string_view(kind):
        return Column(texts=tuple(cell or None for cell in cells.to_pylist()))
    raise _neither(name, kind)


def _decoded(cells: Any) -> Any:
    """The values of an Arrow column that holds places in a list of them: categories of pandas and of polars."""
    import pyarrow

    kind = cells.type.value_type
    if pyarrow.types.is_string_view(kind):  # which Arrow neither takes from nor casts to
        kind = pyarrow.large_string()
        parts = [(pyarrow.array(chunk.dictionary.to_pylist(), kind), chunk.indices) for chunk in cells.chunks]
    else:
        parts = [(chunk.dictionary, chunk.indices) for chunk in cells.chunks]
    return pyarrow.chunked_array([values.take(places) for values, places in parts], type=kind)


def _neither(name: str, seen: Any) -> DataError:
    return DataError(
        "HF145",
        f"The column {name!r} holds neither numbers nor texts",
        seen=f"{seen}" if type(seen).__module__.startswith("pyarrow") else f"{type(seen).__name__}: {seen!r:.60}",
        fix="leave it out, or make numbers or words of it",
    )


def _gap(cell: Any) -> bool:
    if isinstance(cell, float | np.floating):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and not cell) or type(cell).__name__ == "NAType"  # of pandas


def _word(cell: Any) -> str | None:
    return None if cell is None else str(cell) if isinstance(cell, str | bool | np.bool_) else plain(float(cell))
