"""Sizes and places are uniform and each row's own; what is laid there is what torch and a slice would lay there."""

import collections

import pytest
import torch
from torch.nn.functional import interpolate

from holdfast.core.errors import DataError, ParameterError
from holdfast.defenses.preprocessing.resize_pad import ResizePad, weights
from holdfast.threats.space import space_of


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [5, 9, 12, 17])
def test_a_resized_line_is_that_of_torch(method, size):
    x = pictures(2, 1, 9, 9)
    matrix = weights(9, torch.full((2,), size), torch.zeros(2, dtype=torch.long), size, method)
    out = matrix[:, None] @ x @ matrix[:, None].transpose(2, 3)
    options = {"align_corners": False} if method == "bilinear" else {}
    torch.testing.assert_close(out, interpolate(x, size=(size, size), mode=method, **options))


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
def test_every_row_is_a_resized_picture_on_a_canvas(method, bounds):
    """Found again by trying all sizes and places; rows of one batch differ."""
    x = bounds[0] + (bounds[1] - bounds[0]) * (0.5 + 0.5 * pictures(12, 2, 10, 8))
    stage = ResizePad(smallest=0.6, largest=0.9, canvas=1.2, method=method, fill=0.25)
    out = stage.apply(x, space_of(x, bounds))
    assert out.shape == (12, 2, 12, 10)
    fill = bounds[0] + 0.25 * (bounds[1] - bounds[0])
    options = {"align_corners": False} if method == "bilinear" else {}
    found = set()
    for row, picture in zip(out, x, strict=True):
        bare = (row - fill).abs().amax(0) < 1e-9
        rows, columns = (torch.nonzero(~bare.all(dim)).flatten() for dim in (1, 0))
        size = len(rows), len(columns)
        laid = row[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        torch.testing.assert_close(laid, interpolate(picture[None], size=size, mode=method, **options)[0])
        assert 6 <= size[0] <= 9
        assert 5 <= size[1] <= 7
        found.add((size, int(rows[0]), int(columns[0])))
    assert len(found) > 6


def test_sizes_and_places_are_uniform():
    x = torch.ones(6000, 1, 4, 4, dtype=torch.float64)
    out = ResizePad(smallest=0.5, largest=1.0).apply(x, space_of(x))
    sizes = collections.Counter((out > 0.5).any(3).sum((1, 2)).tolist())
    assert sorted(sizes) == [2, 3, 4]
    assert all(1800 <= n <= 2200 for n in sizes.values())
    small = out[(out > 0.5).any(3).sum((1, 2)) == 2]
    places = collections.Counter((small[:, 0] > 0.5).flatten(1).double().argmax(1).tolist())
    assert len(places) == 9
    assert all(0.06 <= n / len(small) <= 0.17 for n in places.values())


def test_the_paper_s_sizes_can_be_expressed():
    x = torch.rand(2, 3, 299, 299)
    stage = ResizePad(smallest=1.0, largest=330 / 299, canvas=331 / 299, method="nearest")
    out = stage.apply(x, space_of(x))
    assert out.shape == (2, 3, 331, 331)
    assert all(299 <= int((row > 0).any(0).any(0).sum()) <= 330 for row in out)


def test_its_gradient_is_exact():
    x = pictures(2, 1, 4, 3).requires_grad_()

    def still(z):
        torch.manual_seed(3)
        return ResizePad(smallest=0.5).apply(z, space_of(z))

    assert torch.autograd.gradcheck(still, x)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ParameterError, match="HF001 The 'smallest', 'largest' and 'canvas'"):
        ResizePad(smallest=1.0, largest=0.9)
    with pytest.raises(ParameterError, match="HF001"):
        ResizePad(largest=1.1, canvas=1.0)
    with pytest.raises(DataError, match="HF131 ResizePad works on pictures"):
        ResizePad().apply(torch.rand(2, 7), space_of(torch.rand(2, 7)))


def test_one_size_and_place_is_no_randomness():
    stage = ResizePad(smallest=0.5, largest=0.5, canvas=0.5)
    x = pictures(2, 1, 8, 8)
    assert not stage.random
    torch.testing.assert_close(stage.apply(x, space_of(x)), interpolate(x, size=(4, 4), mode="bilinear"))
