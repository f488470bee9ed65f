"""Ranges, steps and directions of all columns at once, beside `Feature`, which says them of one."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.ranges import Ranges

NAN = float("nan")
FEATURES = (
    Feature("a", "integer", low=-7, high=20, step=3, direction="up"),
    Feature("b", "real", low=0.05, high=0.93, step=0.07, missing=True),
    Feature("c", "real", low=-1, high=1, step=0.01, direction="down", missing=True),
    Feature("d", "real", low=-1e6, high=1e6, direction="up"),
    Feature("e", "real", low=0, high=5, step=1.5, immutable=True),
    Feature("f", "categorical", levels=("p", "q", "r"), missing=True),
    Feature("g", "ordinal", levels=("low", "mid", "high"), direction="down"),
    Feature("h", "one-hot", group="x"),
    Feature("i", "one-hot", group="x"),
)
RANGES = Ranges.of(FEATURES)
CODES = st.one_of(
    st.just(NAN), st.integers(-9, 25).map(float), st.floats(-30, 30), st.integers(-99, 99).map(lambda k: k * 0.07)
)
ROWS = st.lists(st.lists(CODES, min_size=9, max_size=9), min_size=1, max_size=5)


def same(a, b):
    return torch.equal(torch.nan_to_num(a, nan=9e99), torch.nan_to_num(b, nan=9e99))


@given(ROWS)
def test_each_column_as_its_feature_has_it_bit_for_bit(rows):
    x = torch.tensor(rows, dtype=torch.float64)
    for j, f in enumerate(FEATURES):
        alone = RANGES.only(j)
        for way in (0, 1, -1):
            assert same(RANGES.stepped(x, way)[:, j], f.stepped(x[:, j], way))
        assert same(RANGES.snap(x)[:, j], f.snap(x[:, j]))
        assert same(alone.snap(x[:, j]), f.snap(x[:, j]))
        assert RANGES.possible(x)[:, j].tolist() == f.possible(x[:, j]).tolist()


@given(ROWS, st.randoms(use_true_random=False))
def test_what_a_column_becomes_is_a_move_it_may_make_and_a_possible_code(rows, draw):
    x = torch.tensor(rows, dtype=torch.float64)
    x0 = RANGES.snap(torch.tensor([[draw.uniform(-30, 30) for _ in FEATURES] for _ in rows], dtype=torch.float64))
    y = RANGES.allowed(x, x0)
    assert RANGES.moves(y, x0).all()
    assert RANGES.possible(y).all()
    stays = RANGES.possible(x) & RANGES.moves(x, x0)
    turned = x.isnan() & (RANGES.way != 0)  # a gap is no direction
    assert same(y[stays & ~turned], x[stays & ~turned])
    assert same(y[:, 4], x0[:, 4]), "immutable"
    for j in (0, 2, 3, 6):
        onward = x[:, j] > x0[:, j] if FEATURES[j].direction == "up" else x[:, j] < x0[:, j]
        assert RANGES.moves(x, x0)[:, j].tolist() == (onward | (x[:, j] == x0[:, j])).tolist()
