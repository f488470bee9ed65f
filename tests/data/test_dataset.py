"""The Dataset record: what goes in, what is refused, and the subsets it makes."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import DataError
from holdfast.data.dataset import Dataset, Splits


def rows(n=12, seed=0):
    return torch.rand(n, 5, generator=torch.Generator().manual_seed(seed))


def images(n=6, seed=0):
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "y",
    [
        [0, 2, 1],
        (0, 2, 1),
        np.array([0, 2, 1], dtype=np.uint8),
        np.array([0.0, 2.0, 1.0]),
        np.array([[0], [2], [1]]),
        torch.tensor([0, 2, 1]),
        torch.tensor([[0], [2], [1]], dtype=torch.int32),
        np.eye(3)[[0, 2, 1]],
        torch.eye(3, dtype=torch.bool)[[0, 2, 1]],
        np.eye(3, dtype=int)[[0, 2, 1]].tolist(),
    ],
)
def test_labels_are_read_from_indices_columns_and_one_hot_rows(y):
    data = Dataset(rows(3), y)
    assert data.y.dtype == torch.int64
    assert data.y.tolist() == [0, 2, 1]
    assert data.n_classes == 3
    assert data.classes == ("0", "1", "2")


def test_one_hot_columns_without_samples_still_are_classes():
    assert Dataset(rows(2), np.eye(7)[[1, 2]]).n_classes == 7
    assert Dataset(rows(2), [0, 1], classes=("a", "b", "c")).n_classes == 3


@pytest.mark.parametrize(
    ("y", "says"),
    [
        ([0, 1], "do not fit"),
        (np.zeros((3, 2, 2)), "do not fit"),
        (np.zeros((1, 3)), "do not fit"),
        ([-1, 1, 1], "negative"),
        ([0, 1, 0.5], "no class indices"),
        ([0, 1, float("nan")], "no class indices"),
        (["a", "b", "a"], "no numbers"),
        (np.full((3, 3), 1 / 3), "neither"),
        (np.array([[1, 1], [1, 0], [0, 1]]), "neither"),
        (np.zeros((3, 2)), "neither"),
        ([0, 1, 5_000_000], "look like values"),
    ],
)
def test_ambiguous_labels_are_refused(y, says):
    with pytest.raises(DataError, match=says) as caught:
        Dataset(rows(3), y)
    assert caught.value.code == "HF101"


def test_labels_and_class_names_must_agree():
    with pytest.raises(DataError, match="no class name"):
        Dataset(rows(3), [1, 2, 3], classes=("a", "b", "c"))
    with pytest.raises(DataError, match="2 columns and 3 names"):
        Dataset(rows(3), np.eye(2)[[0, 1, 1]], classes=("a", "b", "c"))


@pytest.mark.parametrize(
    ("x", "code"),
    [
        (np.zeros(3), "HF102"),
        (np.zeros((3, 8, 8, 3)), "HF102"),
        (np.zeros((3, 3, 8, 8), np.uint8), "HF106"),
        (np.array([["a"], ["b"], ["c"]]), "HF106"),
        (torch.zeros(3, 2, dtype=torch.complex64), "HF106"),
        (np.array([[0.0], [np.nan], [0.0]]), "HF105"),
        (np.array([[0.0], [np.inf], [0.0]]), "HF105"),
        (np.array([[0.0], [1.01], [0.0]]), "HF104"),
        (np.array([[0.0], [-0.01], [0.0]]), "HF104"),
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(x, code):
    with pytest.raises(DataError) as caught:
        Dataset(x, [0, 1, 0])
    assert caught.value.code == code
    assert caught.value.expected


def test_8_bit_images_need_their_range_said():
    x = np.arange(3 * 48, dtype=np.uint8).reshape(3, 3, 4, 4)
    with pytest.raises(DataError, match=r"x / 255.*bounds=\(0, 255\)"):
        Dataset(x, [0, 1, 0])
    data = Dataset(x, [0, 1, 0], bounds=(0, 255))
    assert data.x.dtype == torch.float32
    assert data.x.max() == 143
    assert data.bounds == (0.0, 255.0)


@pytest.mark.parametrize(
    ("mean", "std", "name"),
    [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "ImageNet"), ((0.5,) * 3, (0.5,) * 3, "mean 0.5, std 0.5")],
)
def test_normalized_images_are_recognized(mean, std, name):
    x = (images(40) - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    with pytest.raises(DataError, match=rf"normalized \({name}\).*mean=") as caught:
        Dataset(x, [0] * 40)
    assert caught.value.code == "HF104"
    with pytest.raises(DataError, match="mean/std-normalized"):
        Dataset(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), [0] * 50)
    with pytest.raises(DataError) as caught:
        Dataset(images() * 3, [0] * 6)
    assert "normalized" not in str(caught.value)
    with pytest.raises(DataError, match="8-bit"):
        Dataset((images() * 255).int(), [0] * 6)


def test_rounding_beyond_a_bound_is_set_to_the_bound():
    x = np.array([[0.0, 1.0 + 2e-16 * 2], [-1e-9, 0.5]])
    data = Dataset(x, [0, 1])
    assert data.x.dtype == torch.float64
    assert data.x.min() == 0
    assert data.x.max() == 1
    assert bool(data.space.validate(data.x).all())


def test_bounds_for_each_feature():
    data = Dataset(rows(4) * torch.tensor([1, 10, 1, 1, 1]), [0, 1, 0, 1], bounds=([0] * 5, np.array([1, 10, 1, 1, 1])))
    assert data.bounds == ((0.0,) * 5, (1.0, 10.0, 1.0, 1.0, 1.0))
    assert bool(data.space.validate(data.x).all())
    with pytest.raises(DataError) as caught:
        Dataset(rows(4) * 10, [0, 1, 0, 1], bounds=([0] * 5, [1, 10, 1, 1, 1]))
    assert caught.value.code == "HF104"


@pytest.mark.parametrize(
    "bounds", [(1, 0), (0, 0), (0, float("inf")), (0, float("nan")), 5, (0, 1, 2), ([0, 0], [1, 1]), "ab", None]
)
def test_bounds_that_are_no_range_are_refused(bounds):
    with pytest.raises(DataError) as caught:
        Dataset(rows(3), [0, 1, 0], bounds=bounds)
    assert caught.value.code == "HF103"


@pytest.mark.parametrize("made", [np.zeros((3, 5), np.float32), torch.zeros(3, 5), torch.zeros(3, 5).double()])
def test_the_callers_arrays_are_copied(made):
    y, groups = np.array([0, 1, 0]), np.array([4, 4, 5])
    data = Dataset(made, y, groups=groups)
    data.x[:], data.y[:], data.groups[:] = 0.5, 1, 9
    assert not made.any()
    assert y.tolist() == [0, 1, 0]
    assert groups.tolist() == [4, 4, 5]
    again = Dataset(torch.zeros(3, 5, requires_grad=True), y)
    assert not again.x.requires_grad


def test_types_of_inputs():
    assert Dataset(torch.zeros(2, 3, dtype=torch.bfloat16), [0, 1]).x.dtype == torch.float32
    assert Dataset(np.zeros((2, 3), ">f8"), [0, 1]).x.dtype == torch.float64
    big = Dataset(np.array([[2**24 + 1], [0]]), [0, 1], bounds=(0, 2**25))
    assert big.x[0, 0] == 2**24 + 1
    assert Dataset(np.array([[True], [False]]), [0, 1]).x.tolist() == [[1.0], [0.0]]


@pytest.mark.parametrize(
    "extra", [{"groups": [1, 2]}, {"ids": [[1], [2], [3]]}, {"masks": np.ones((3, 8, 8))}, {"features": ("a",)}]
)
def test_companions_must_fit(extra):
    with pytest.raises(DataError) as caught:
        Dataset(rows(3), [0, 1, 0], **extra)
    assert caught.value.code == "HF102"


def test_take_keeps_what_belongs_to_the_samples():
    masks = torch.rand(6, 8, 8) > 0.5
    data = Dataset(images(), [0, 1, 2, 3, 0, 1], groups=["b", "a", "b", "c", "c", "a"], masks=masks, classes="wxyz")
    part = data.take([4, 1])
    assert part.ids.tolist() == [4, 1]
    assert part.groups.tolist() == [2, 0]
    assert torch.equal(part.masks, masks[[4, 1]])
    assert part.classes == data.classes
    assert data.take(data.y == 1).ids.tolist() == [1, 5]
    assert len(data.take(slice(2, 5))) == 3
    assert data.take([5, 3]).take([1]).ids.tolist() == [3]
    assert data.take(np.array([1, 0], dtype=np.uint8)).ids.tolist() == [1, 0]
    assert len(data.take([])) == 0


@pytest.mark.parametrize("data", [Dataset(rows(), list(range(12))), Dataset(images(12), [0, 1] * 6)])
def test_digests_change_with_their_sample_and_with_nothing_else(data):
    before = data.digests
    assert len(set(before)) == len(before) == 12
    assert all(len(digest) == 32 for digest in before)
    assert dataclasses.replace(data, name="other", split="test").digests == before
    assert data.take([7, 2]).digests == (before[7], before[2])
    for place in (0, 5, 11):
        x, y = data.x.clone(), data.y.clone()
        x[place].view(-1)[-1] = torch.nextafter(x[place].view(-1)[-1], torch.tensor(0.0))
        y[place] = (y[place] + 1) % 2
        for changed in (dataclasses.replace(data, x=x), dataclasses.replace(data, y=y)):
            assert [a != b for a, b in zip(before, changed.digests, strict=True)] == [k == place for k in range(12)]
    assert set(dataclasses.replace(data, x=data.x.double()).digests).isdisjoint(before)
    assert set(dataclasses.replace(data, x=data.x.flatten(1)[:, :, None]).digests).isdisjoint(before)


def test_known_digest_and_sample_stay_as_they_are():
    data = Dataset(torch.linspace(0, 1, 8).reshape(4, 2), [0, 1, 0, 1])
    assert data.digests[1] == "d987702a8e77843b7f2d7769ac427c2d"
    assert Dataset(torch.zeros(100, 1), [0] * 100).sample(6, seed=3).ids.tolist() == [10, 15, 17, 20, 35, 42]


def test_sample_is_uniform_nested_and_in_order():
    data = Dataset(torch.zeros(10, 1), [0] * 10)
    counts, pairs = np.zeros(10), np.zeros((10, 10))
    for seed in range(3000):
        ids = data.sample(3, seed).ids.tolist()
        assert ids == sorted(set(ids))
        counts[ids] += 1
        pairs[np.ix_(ids, ids)] += 1
    spread = np.abs(counts / 3000 - 0.3).max() / np.sqrt(0.3 * 0.7 / 3000)
    assert 0.3 < spread < 4
    together = pairs[np.triu_indices(10, 1)] / 3000
    assert np.abs(together - 6 / 90).max() < 4.5 * np.sqrt(6 / 90 / 3000)
    assert set(data.sample(3, 7).ids.tolist()) < set(data.sample(6, 7).ids.tolist())
    assert data.sample(99).ids.tolist() == list(range(10))
    assert data.sample(4, 1).ids.tolist() == data.sample(4, 1).ids.tolist()
    with pytest.raises(DataError):
        data.sample(-1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=60), st.floats(0.02, 0.98), st.integers(0, 99))
def test_a_division_never_splits_a_group(groups, share, seed):
    data = Dataset(torch.zeros(len(groups), 1), [0] * len(groups), groups=groups)
    if len(set(groups)) < 2:
        with pytest.raises(DataError) as caught:
            data.divide(share, seed)
        assert caught.value.code == "HF109"
        return
    first, second = data.divide(share, seed)
    assert set(first.groups.tolist()).isdisjoint(second.groups.tolist())
    assert sorted(first.ids.tolist() + second.ids.tolist()) == list(range(len(groups)))
    assert len(first)
    assert len(second)
    largest = max(groups.count(group) for group in groups)
    assert abs(len(first) - share * len(groups)) <= largest


def test_a_division_without_groups_is_exact_and_random():
    data = Dataset(torch.zeros(200, 1), [0] * 200)
    first, second = data.divide(0.7, 1)
    assert (len(first), len(second)) == (140, 60)
    assert first.ids.tolist() != list(range(140))
    assert first.ids.tolist() != data.divide(0.7, 2)[0].ids.tolist()
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(DataError):
            data.divide(share)


def test_parts_that_are_not_there():
    data = Dataset(rows(), [0] * 12, split="test")
    parts = Splits(data.take([]), data)
    assert parts.part("test") is data
    for missing in ("train", "val", "nonsense"):
        with pytest.raises(DataError, match=r"Seen test.*--split test") as caught:
            parts.part(missing)
        assert caught.value.code == "HF108"


def test_it_says_what_it_is_in_a_line():
    data = Dataset(images(), [0] * 6, name="photos", split="test")
    assert repr(data) == "Dataset(photos test, n=6, shape=(3, 8, 8), classes=1)"
    assert type(data.space).__name__ == "Image"
    assert type(Dataset(rows(), [0] * 12).space).__name__ == "Box"
