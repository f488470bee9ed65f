"""The grid of turns and shifts, on a model that knows where the light is."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast.core.errors import DataError, ParameterError
from holdfast.evaluation.spatial import _steps
from holdfast.threats.space import Image


def lights(places, **more):
    """A bright dot each, at (row, column) of 21 x 21; class 1 where it is right of the middle."""
    x = torch.zeros(len(places), 1, 21, 21)
    for k, (i, j) in enumerate(places):
        x[k, 0, i - 1 : i + 2, j - 1 : j + 2] = 1
    return hf.Dataset(x, torch.tensor([int(j > 10) for _, j in places]), **more)


def model():
    columns = torch.arange(21.0)

    def labels(x):
        mass = x.sum((1, 2))
        return ((mass * columns.to(x)).sum(1) / mass.sum(1).clamp(min=1e-6) > 10.2).long()

    return hf.Model(space=Image(), classes=2, labels=labels)


def test_shifts_break_exactly_the_dots_that_can_cross():
    data = lights([(10, 14), (10, 12), (10, 17), (10, 4)])
    found = hf.spatial(model(), data, rotate=0, translate=3 / 21, angles=1, shifts=7)
    assert found.broken.tolist() == [False, True, False, False]  # three columns left: 14 ends at 11, 12 at 9
    assert (found.clean.k, found.worst.k) == (4, 3)
    assert found.how[1].tolist() == [0.0, 0.0, -2.0]  # the least shift that crosses
    assert torch.equal(found.how[0], torch.zeros(3, dtype=torch.float64))


def test_turns_break_what_they_carry_over():
    data = lights([(3, 12), (10, 17)])
    found = hf.spatial(model(), data, rotate=45, translate=0, angles=31, shifts=1)
    assert found.broken.tolist() == [True, False]
    assert found.how[0, 0] > 0  # up and right of the middle: counterclockwise carries it left
    assert "worst of the grid" in str(found)


def test_random_places_lie_within_the_grid_and_belong_to_the_sample():
    data = lights([(10, 12), (10, 14), (10, 17), (10, 4), (4, 11), (16, 11)])
    found = hf.spatial(model(), data, translate=0.15, looks=20)
    assert found.worst.k <= found.worst_of_random.k <= found.clean.k
    assert found.random.n == 120
    assert found.random.groups == 6
    part = hf.spatial(model(), data.take(torch.tensor([4, 1])), translate=0.15, looks=20)
    assert part.broken.tolist() == found.broken[[4, 1]].tolist()
    assert torch.equal(part.how, found.how[[4, 1]])


def test_other_bounds_and_groups():
    data = lights([(10, 12), (10, 17)])
    found = hf.spatial(model(), data, angles=5, shifts=3)
    wide = dataclasses.replace(data, x=2 * data.x - 1, bounds=(-1, 1), groups=torch.tensor([0, 0]))
    shown = hf.Model(space=Image((-1, 1)), classes=2, labels=lambda x: model().labels((x + 1) / 2))
    other = hf.spatial(shown, wide, angles=5, shifts=3)
    assert torch.equal(other.how, found.how)
    assert other.worst.groups == 1


def test_the_grid_begins_in_the_middle():
    assert _steps(1) == [0.0]
    assert _steps(3) == [0.0, -1.0, 1.0]


@pytest.mark.parametrize("more", [{"rotate": -1}, {"rotate": 200}, {"translate": 1}, {"angles": 0}, {"looks": 0}])
def test_what_makes_no_grid(more):
    with pytest.raises(ParameterError, match="HF001"):
        hf.spatial(model(), lights([(10, 12)]), **more)


def test_what_cannot_be_turned():
    with pytest.raises(DataError, match="HF102"):
        hf.spatial(model(), hf.Dataset(torch.rand(3, 5), torch.zeros(3, dtype=torch.long)))
    with pytest.raises(DataError, match="HF120"):
        hf.spatial(model(), lights([(10, 12)]).take(torch.arange(0)))
