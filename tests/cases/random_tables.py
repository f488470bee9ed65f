"""Random schemas with every kind of column, relations among them, and rows of them: for properties of all tables."""

import torch
from hypothesis import strategies as st

from holdfast.threats.tables.feature import DIRECTIONS, Feature
from holdfast.threats.tables.schema import Schema


@st.composite
def tables(draw):
    """A schema, possible rows of it, and rows of anything."""
    features = [
        Feature("a", low=-4, high=4, direction=draw(st.sampled_from(DIRECTIONS)), missing=draw(st.booleans())),
        Feature("b", "integer", low=0, high=200, step=draw(st.sampled_from([1, 5])), immutable=draw(st.booleans())),
        Feature("c", low=0, high=1, step=0.1, direction=draw(st.sampled_from(DIRECTIONS))),
        Feature("d", "categorical", levels=("x", "y", "z"), missing=draw(st.booleans())),
        Feature("e", "one-hot", group="g"),
        Feature("f", "one-hot", group="g"),
        Feature("h", "ordinal", levels=("1", "2", "5"), direction=draw(st.sampled_from(DIRECTIONS))),
    ]
    rules = draw(
        st.lists(
            st.sampled_from(
                ["a <= c", "b >= 10 * a", "d == 'x' -> c < 0.5", "e == 1 -> h >= 2", "a * c <= 1", "a / h < 1",
                 "d == 'y' or f == 1", "h + c != 2", "d determines h", "b > 3 * h and a > -3"]
            ),
            max_size=4,
            unique=True,
        )
    )  # fmt: skip
    number = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-5, 5), st.integers(-2, 250))
    rows = draw(st.integers(1, 5))
    cells = st.lists(number.map(float), min_size=7 * rows, max_size=7 * rows)
    x = torch.tensor(draw(cells), dtype=torch.float64).reshape(rows, 7)
    seed = draw(st.integers(0, 99))
    made = torch.rand((60, 7), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    low, high = (torch.tensor(end) for end in Schema(tuple(features)).bounds)
    made = low + (high - low) * made
    made = torch.stack([f.snap(made[:, j]) for j, f in enumerate(features)], 1)
    made[:, 5] = 1 - made[:, 4]
    if "d determines h" in rules:
        made[:, 6] = made[:, 3]
    schema = Schema(tuple(features), tuple(rules))
    schema = schema.learned(made)
    made = made[schema.validate(made).valid]
    return schema, x, made
