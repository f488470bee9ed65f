"""A labeled data set: inputs in their own units with their bounds, labels, and what belongs together."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.data.labels import as_labels
from holdfast.data.ranges import Bounds, as_bounds, inside
from holdfast.threats.space import Box, space_of
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and their classes; arrays or tensors go in, CPU tensors come out, always copies of what the caller holds.

    Images are `(n, channels, height, width)`. Values that lie outside the bounds by rounding only (1e-6 of the range)
    are set to the bound.

    Args:
        x: Inputs `(n, ...)` in their own units; float32 and float64 stay, whole numbers and half precision become
            float32 (float64 where a whole number needs it).
        y: Class indices `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`.
        bounds: Lowest and highest possible value, two numbers or for each feature its own.
        classes: Names of the classes; "0", "1", ... when not given.
        features: Names of the columns of a table.
        groups: `(n,)` samples with equal values belong together (frames of one scene, records of one person) and
            are never split.
        ids: `(n,)` whole numbers that name a sample for good, its position when not given; random draws depend on them.
        name: Name of the set.
        split: Part of the set, "train", "val" or "test".
        license: Under what terms the data may be used.
        masks: `(n, height, width)` where the labeled object is.
        schema: What the rows of a table may be; then `x` are its codes, float64 with NaN for gaps, and the bounds and
            the names of the columns are the schema's.
        notes: What one should know before believing a figure, a sentence each.
        shared: Whether anybody may see the samples: reports tell what changed in rows of shared tables alone.
        kinds: `(n,)` a finer class of each sample, an index of `kind_names`, whose rates are told apart.
        kind_names: Names of the kinds.
        direction: What shall be taken for what, where only that counts: `fraud to be taken for legitimate`.

    Raises:
        DataError: HF101 labels, HF102 shapes, HF103 bounds, HF104 out of range, HF105 not finite, HF106 value type.
    """

    x: Tensor
    y: Tensor
    bounds: Bounds = (0.0, 1.0)
    _: dataclasses.KW_ONLY
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    groups: Tensor | None = None
    ids: Tensor | None = None
    name: str = "data"
    split: str = ""
    license: str = ""
    masks: Tensor | None = None
    schema: Schema | None = None
    notes: tuple[str, ...] = ()
    shared: bool = False
    kinds: Tensor | None = None
    kind_names: tuple[str, ...] = ()
    direction: str = ""

    if TYPE_CHECKING:  # what goes in is wider than what the fields hold

        def __init__(
            self,
            x: Any,
            y: Any,
            bounds: Any = (0.0, 1.0),
            *,
            classes: Sequence[Any] = (),
            features: Sequence[Any] = (),
            groups: Any = None,
            ids: Any = None,
            name: str = "data",
            split: str = "",
            license: str = "",
            masks: Any = None,
            schema: Schema | None = None,
            notes: Sequence[str] = (),
            shared: bool = False,
            kinds: Any = None,
            kind_names: Sequence[str] = (),
            direction: str = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.schema is None:
            x = _inputs(self.x, self.bounds)
            bounds = as_bounds(self.bounds, tuple(x.shape[1:]))
            x, features = inside(x, bounds), tuple(str(name) for name in self.features)
        else:
            x, bounds, features = self.schema.codes(self.x), self.schema.bounds, tuple(self.schema.by_name)
        classes = tuple(str(name) for name in self.classes)
        y, count = as_labels(self.y, len(x), classes)
        if features and (x.dim() != 2 or len(features) != x.shape[1]):
            raise DataError(
                "HF102",
                "The feature names do not fit the data",
                seen=f"{len(features)} names for samples of shape {tuple(x.shape[1:])}",
                expected="one name for each column",
            )
        filled = {
            "x": x,
            "notes": tuple(self.notes),
            "y": y,
            "bounds": bounds,
            "classes": classes or tuple(map(str, range(count))),
            "features": features,
            "groups": _whole(self.groups, len(x), "groups"),
            "masks": _masks(self.masks, x),
            "kinds": _whole(self.kinds, len(x), "kinds"),
            "ids": torch.arange(len(x)) if self.ids is None else _whole(self.ids, len(x), "ids"),
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        part, notes = f" {self.split}" if self.split else "", "".join(f"; {note}" for note in self.notes)
        shape = tuple(self.x.shape[1:])
        return f"Dataset({self.name}{part}, n={len(self)}, shape={shape}, classes={self.n_classes}{notes})"

    @property
    def n_classes(self) -> int:
        """Number of classes, also of those no sample has."""
        return len(self.classes)

    @property
    def space(self) -> Box:
        """What an input is: an image, a row of a table, or a point of a box."""
        return space_of(self.x, self.bounds) if self.schema is None else Tabular(self.schema)

    @property
    def digests(self) -> tuple[str, ...]:
        """A hex digest (32 characters) of each sample: type, shape and values of its input, and its label. 1 GB/s."""
        head = f"{self.x.dtype} {tuple(self.x.shape[1:])}".encode()
        rows, labels = self.x.contiguous().numpy(), self.y.numpy().astype("<i8")
        rows = rows.astype(rows.dtype.newbyteorder("<"), copy=False)
        found = []
        for row, label in zip(rows, labels, strict=True):
            made = hashlib.blake2b(head, digest_size=16)
            made.update(label.tobytes())
            made.update(np.ascontiguousarray(row).data)
            found.append(made.hexdigest())
        return tuple(found)

    def take(self, rows: Sequence[int] | np.ndarray | Tensor | slice) -> "Dataset":
        """The samples of these rows, in this order; `rows` are positions, a mask `(n,)` or a slice."""
        chosen = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        whole = chosen if isinstance(chosen, slice) or chosen.dtype == torch.bool else chosen.long()
        picked = torch.arange(len(self))[whole]
        beside = (self.groups, self.ids, self.masks, self.kinds)
        groups, ids, masks, kinds = (None if value is None else value[picked] for value in beside)
        return dataclasses.replace(
            self, x=self.x[picked], y=self.y[picked], groups=groups, ids=ids, masks=masks, kinds=kinds
        )

    def sample(self, n: int, seed: int = 0) -> "Dataset":
        """A simple random subset of `n` samples (all when there are fewer), in their order.

        With the same seed a larger subset holds every smaller one.
        """
        if n < 0:
            raise DataError("HF102", "A subset cannot have a negative size", seen=n, expected="0 or more")
        return self.take(np.sort(_shuffled(len(self), seed)[:n]))

    def divide(self, share: float, seed: int = 0) -> tuple["Dataset", "Dataset"]:
        """Two disjoint random parts, the first with about `share` of the samples; a group is never split.

        Raises:
            DataError: HF109 where no division leaves samples on both sides.
        """
        groups = torch.arange(len(self)) if self.groups is None else self.groups
        _, member, sizes = np.unique(groups.numpy(), return_inverse=True, return_counts=True)
        if not 0 < share < 1 or len(sizes) < 2:
            raise DataError(
                "HF109",
                "The data cannot be divided",
                seen=f"share {share:g}, {len(sizes)} groups",
                expected="a share between 0 and 1 and at least two groups",
            )
        order = _shuffled(len(sizes), seed)
        reached = np.cumsum(sizes[order])[:-1]
        first = order[: 1 + int(np.abs(reached - share * len(self)).argmin())]
        chosen = np.isin(member, first)
        return self.take(np.flatnonzero(chosen)), self.take(np.flatnonzero(~chosen))


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """The parts of a data set. A source without a training part has an empty `train`; `part("train")` says so.

    Args:
        train: To learn from.
        test: To judge on, never looked at before.
        val: To choose by; None where the source has none (`train.divide(0.9)` makes one).
    """

    train: Dataset
    test: Dataset
    val: Dataset | None = None

    def part(self, split: str) -> Dataset:
        """The part called "train", "val" or "test".

        Raises:
            DataError: HF108 where there is no such part.
        """
        parts = {"train": self.train, "val": self.val, "test": self.test}
        there = [name for name, part in parts.items() if part is not None and len(part)]
        found = parts.get(split)
        if found is None or not len(found):
            raise DataError(
                "HF108",
                f"The data have no part {split!r}",
                seen=", ".join(there) or "no samples at all",
                expected="train, val or test",
                fix=f"--split {there[0]}" if there else None,
            )
        return found


def pair(data: Any) -> tuple[Any, Any]:
    """Inputs and labels, where data are two things.

    Raises:
        DataError: HF102 where they are something else.
    """
    if isinstance(data, tuple | list) and len(data) == 2:
        return data[0], data[1]
    fixes = {"DataFrame": 'hf.data.table(frame, label="NAME").test', "Splits": "data.test", "str": "hf.data.load(name)"}
    raise DataError(
        "HF102",
        "These data are neither a Dataset nor a pair",
        seen=type(data).__name__,
        expected="a Dataset, or (x, y)",
        fix=fixes.get(type(data).__name__),
    )


def _shuffled(n: int, seed: int) -> np.ndarray:
    """The numbers below n in an order drawn from the seed by a hash, so the same in every version of every library."""
    keys = [hashlib.blake2b(f"{seed} {row}".encode(), digest_size=8).digest() for row in range(n)]
    return np.array(sorted(range(n), key=keys.__getitem__), dtype=np.int64)


def _inputs(x: Any, bounds: Any) -> Tensor:
    values = x.detach().cpu() if isinstance(x, Tensor) else np.asarray(x)
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "biuf":
            raise DataError(
                "HF106",
                "The inputs are no numbers",
                seen=f"dtype {values.dtype}",
                expected="float32, float64 or whole numbers",
                fix="encode categories and text before",
            )
        values = torch.from_numpy(np.array(values, dtype=values.dtype.newbyteorder("=")))
    if values.dim() < 2:
        raise DataError(
            "HF102",
            "The inputs have no features",
            seen=f"shape {tuple(values.shape)}",
            expected="(n, features) or (n, channels, height, width)",
            fix="x[None] for one sample, x[:, None] for one feature",
        )
    if values.is_complex():
        raise DataError("HF106", "The inputs are complex numbers", seen=str(values.dtype), expected="real numbers")
    if values.dtype == torch.uint8 and values.dim() > 2 and not _eight_bit(bounds):
        raise DataError(
            "HF106",
            "Images of 8-bit values without their range",
            seen=f"uint8, {bounds=}",
            expected="floats in [0, 1]",
            fix="pass x / 255, or say bounds=(0, 255) here and to wrap(model, ...)",
        )
    if (
        values.dim() == 4
        and values.shape[1] not in (1, 3, 4)
        and values.shape[3] in (1, 3, 4)
        and min(values.shape[1:3]) >= 8
    ):
        raise DataError(
            "HF102",
            "The images look channels-last",
            seen=f"shape {tuple(values.shape)}",
            expected="(n, channels, height, width)",
            fix="x.transpose(0, 3, 1, 2) in numpy, x.permute(0, 3, 1, 2) in torch",
        )
    wide = values.dtype == torch.float64 or (
        values.dtype in (torch.int32, torch.int64) and values.numel() > 0 and int(values.abs().max()) > 2**24
    )
    return values.to(torch.float64 if wide else torch.float32, copy=True, memory_format=torch.contiguous_format)


def _eight_bit(bounds: Any) -> bool:
    try:
        return tuple(float(end) for end in bounds) == (0.0, 255.0)
    except (TypeError, ValueError):
        return False


def _whole(values: Any, n: int, what: str) -> Tensor | None:
    """Whole numbers `(n,)`; texts and other values are numbered in sorted order."""
    if values is None:
        return None
    found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if found.shape != (n,):
        raise DataError("HF102", f"The {what} do not fit the samples", seen=f"shape {found.shape}", expected=f"({n},)")
    if found.dtype.kind not in "biu":
        found = np.unique(found, return_inverse=True)[1]
    return torch.from_numpy(found.astype(np.int64))


def _masks(masks: Any, x: Tensor) -> Tensor | None:
    if masks is None:
        return None
    found = masks.detach().cpu().clone() if isinstance(masks, Tensor) else torch.from_numpy(np.array(masks))
    if x.dim() != 4 or found.shape != (len(x), *x.shape[2:]):
        raise DataError(
            "HF102",
            "The masks do not fit the images",
            seen=f"shape {tuple(found.shape)}",
            expected=f"(n, height, width) of images of shape {tuple(x.shape)}",
        )
    return found
