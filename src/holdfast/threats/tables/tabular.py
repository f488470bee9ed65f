"""Tables as a space: raw rows in, codes for models and attacks, readable differences out."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.extras import need
from holdfast.threats.space import Bound, Box
from holdfast.threats.tables.coding import decoded, encoded
from holdfast.threats.tables.schema import Schema

if TYPE_CHECKING:
    import pandas

SHOWN = 12
"""Changes that `describe` names."""


@dataclasses.dataclass(frozen=True, repr=False)
class Tabular(Box):
    """The possible rows of a table, as float64 codes `(batch, features)`; NaN where a value is missing.

    Args:
        schema: What a row may be.
    """

    bounds: tuple[Bound, Bound] = dataclasses.field(init=False, default=(0.0, 1.0))
    schema: Schema

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", self.schema.bounds)

    def seen(self, x: Tensor) -> "Tabular":
        """The same space: no batch can say more of it."""
        return self

    def batch(self, x: object) -> Tensor:
        """Codes `(batch, features)` as a tensor.

        Raises:
            DataError: HF148 for anything else; `encode` makes codes of raw rows.
        """
        return self.schema.codes(x)

    def encode(self, rows: Any) -> Tensor:
        """Codes `(batch, features)` of raw rows: a data frame, a list of records, columns by name.

        Raises:
            DataError: HF145 for a missing column, a word that is no level, or a word where a number belongs.
        """
        return encoded(self.schema, rows)

    def decode(self, x: Any) -> dict[str, np.ndarray]:
        """Raw columns by name, in order, of codes `(batch, features)` that are possible.

        Whole numbers that cannot be missing are int64, other numbers float64 and words objects, with NaN for gaps.
        Codes between levels are the nearest one.

        Raises:
            DataError: HF150 for the code of a level that there is not.
        """
        return decoded(self.schema, self.schema.codes(x))

    def frame(self, x: Any) -> "pandas.DataFrame":
        """The decoded rows as a pandas data frame, which scikit-learn's pipelines read.

        Raises:
            MissingExtra: HF701 where pandas is not installed.
        """
        return need("pandas", "pandas").DataFrame(self.decode(x))

    def validate(self, x: Tensor) -> Tensor:
        """Whether each row is possible: `(batch,)`; `schema.validate` says why not."""
        return self.schema.validate(x).valid.to(x.device)

    def sample(self, x: Tensor, draw: torch.Generator) -> Tensor:
        """Random rows, as many as `x` has: codes are possible and one-hot groups whole, relations need not hold."""
        asked = torch.rand(x.shape, generator=draw, dtype=torch.float64)
        low, high = (torch.tensor(end, dtype=torch.float64) for end in self.bounds)
        made = self.schema.ranges.snap(low + (high - low) * asked)
        for group in map(list, self.schema.groups):
            made[:, group] = torch.nn.functional.one_hot(asked[:, group].argmax(1), len(group)).double()
        return made.to(x)

    def describe(self, before: Tensor, after: Tensor) -> str:
        """The difference of two rows in the words of the table: `duration 3 -> 12, flag SF -> S0`."""
        a, b = before.flatten().tolist(), after.flatten().tolist()
        features, grouped = self.schema.features, {j for group in self.schema.groups for j in group}
        said = []
        for j, feature in enumerate(features):
            if j not in grouped and a[j] != b[j] and not (a[j] != a[j] and b[j] != b[j]):
                said.append(f"{feature.name} {feature.shown(a[j])} -> {feature.shown(b[j])}")
        for group in self.schema.groups:
            ones = [next((features[j].name for j in group if row[j] == 1), "none") for row in (a, b)]
            if ones[0] != ones[1]:
                said.append(f"{features[group[0]].group} {ones[0]} -> {ones[1]}")
        more = f" and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
        return (", ".join(said[:SHOWN]) + more) or "nothing changed"

    def __repr__(self) -> str:
        return f"Tabular({self.schema.name}, {len(self.schema.features)} features)"
