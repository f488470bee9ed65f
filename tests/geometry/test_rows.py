"""Row-wise arithmetic."""

import math

import pytest
import torch

from holdfast.geometry.rows import dot, expand, norm, pick, put, sigmoid, take, unit


@pytest.mark.parametrize("p", [1, 2, math.inf])
@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
def test_unit_rows_have_length_one_and_zero_rows_stay(p, size):
    x = torch.tensor([[3.0, -4.0], [0.0, 0.0], [0.0, 2.0]]) * size
    length = norm(unit(x, p), p)
    assert torch.allclose(length, torch.tensor([1.0, 0.0, 1.0]))
    assert torch.equal(unit(x, p)[2], torch.tensor([0.0, 1.0]))


def test_norms_by_hand():
    x = torch.tensor([[[3.0, -4.0], [0.0, 0.0]]])
    assert [norm(x, p).item() for p in (0, 1, 2, math.inf)] == [2.0, 7.0, 5.0, 4.0]
    with pytest.raises(ValueError, match="norm knows p in"):
        norm(x, 3)


def test_rows_are_taken_put_and_picked():
    x = torch.arange(6.0).reshape(3, 2)
    rows = torch.tensor([0, 2])
    assert take(x, rows).tolist() == [[0, 1], [4, 5]]
    assert put(x, rows, -take(x, rows)).tolist() == [[0, -1], [2, 3], [-4, -5]]
    assert x.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert pick(torch.tensor([True, False, True]), x, -x).tolist() == [[0, 1], [-2, -3], [4, 5]]
    assert dot(x, x).tolist() == [1, 13, 41]
    assert expand(torch.ones(3), x).shape == (3, 1)


def test_sigmoid_is_the_same_in_every_batch():
    v = torch.linspace(-40, 40, 500, dtype=torch.float64)
    assert torch.allclose(sigmoid(v), torch.sigmoid(v), rtol=1e-14)
    assert torch.equal(torch.cat([sigmoid(part) for part in v.split(7)]), sigmoid(v))
    assert sigmoid(torch.tensor([-1e9, 1e9])).tolist() == [0.0, 1.0]
