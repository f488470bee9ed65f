"""Samples of runs as data frames."""

import importlib.util
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from holdfast.core.extras import need

Frame = Literal["auto", "pandas", "arrow"]


def frame(samples: pa.Table, kind: Frame = "auto") -> Any:
    """A table of samples as a data frame.

    Args:
        samples: One row for each threat and sample.
        kind: `pandas`, `arrow` (a pyarrow Table, which narwhals and polars take), or `auto`: pandas where it is
            installed.

    Raises:
        MissingExtra: HF701 where pandas was asked for and is not installed.
    """
    if kind == "arrow" or (kind == "auto" and importlib.util.find_spec("pandas") is None):
        return samples
    need("pandas", extra="pandas")
    return samples.to_pandas()


def stacked(named: Mapping[str, pa.Table]) -> pa.Table:
    """Tables of samples one after the other, a first column `audit` says which; columns that one lacks are null.

    Args:
        named: Name of an audit -> its samples.
    """
    marked = [table.add_column(0, "audit", pa.array([name] * len(table), pa.string())) for name, table in named.items()]
    return pa.concat_tables(marked, promote_options="permissive")
