"""Whether two sets of numbers come from one source: the kernel two-sample test."""

import dataclasses

import torch
from torch import Tensor

from holdfast.core.errors import DataError
from holdfast.defenses.detection._looks import Look, gathered, squared

PIECE = 256  # permutations computed at once
EQUAL = 1e-9  # share of the spread below which two values are one: a permutation may rename the same parts


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shift:
    """What a test says of a batch.

    Args:
        p: The share of relabelings, the true one among them, that look at least as different.
        mmd: The unbiased estimate of the squared maximum mean discrepancy; near or below zero where nothing differs.
        level: Below or at which p counts as a shift.
        bandwidth: Of the kernel.
        reference: Samples compared with.
        batch: Samples tested.
    """

    p: float
    mmd: float
    level: float
    bandwidth: float
    reference: int
    batch: int

    @property
    def found(self) -> bool:
        """Whether the batch comes from elsewhere, at the stated level."""
        return self.p <= self.level

    def __str__(self) -> str:
        said = "a shift" if self.found else "no shift found"
        return f"{said}: p {self.p:.3g} at level {self.level:g}, MMD^2 {self.mmd:.3g}, {self.batch} samples"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """A monitor and its reference samples.

    Args:
        look: What is compared: batch -> `(batch, d)`.
        kept: The same of the reference samples, `(n, d)`.
        shape: Of one input.
        level: Share of batches from the reference's own source that may be called shifted.
        permutations: Relabelings drawn.
        bandwidth: Of the kernel; 0 for the median of all distances.
        of: The monitor as text.
    """

    look: Look = dataclasses.field(repr=False)
    kept: Tensor = dataclasses.field(repr=False)
    shape: tuple[int, ...]
    level: float
    permutations: int
    bandwidth: float
    of: str

    def test(self, x: Tensor, seed: int = 0) -> Shift:
        """Compare a batch with the reference samples.

        Args:
            x: `(m, ...)`, two inputs or more.
            seed: Of the relabelings; the global random state stays as it is.

        Raises:
            DataError: HF140 for fewer than two inputs, or of another shape.
        """
        if len(x) < 2 or tuple(x.shape[1:]) != self.shape:
            raise DataError(
                "HF140",
                "This batch cannot be compared with the reference",
                seen=f"shape {tuple(x.shape)}",
                expected=f"two inputs or more of shape {self.shape}",
                fix="collect a batch; a single input has no distribution",
            )
        found = gathered(self.look, x).to(self.kept)
        far = squared(*(torch.cat([self.kept, found]),) * 2)
        width = self.bandwidth or median(far)
        kernel = torch.exp(-far / (2 * width**2))
        p, mmd = permuted(kernel, len(self.kept), self.permutations, seed)
        return Shift(p=p, mmd=mmd, level=self.level, bandwidth=width, reference=len(self.kept), batch=len(found))

    def __str__(self) -> str:
        return self.of


def median(far: Tensor) -> float:
    """Of the distances between different rows, from their squares `(n, n)`; 1 where it is zero."""
    rows, columns = torch.triu_indices(len(far), len(far), 1)
    found = float(far[rows, columns].sqrt().median())
    return found if found > 1e-9 else 1.0


def permuted(kernel: Tensor, n: int, permutations: int, seed: int) -> tuple[float, float]:
    """The p-value of the first n rows against the others, and their discrepancy.

    Args:
        kernel: `(n + m, n + m)`, symmetric.
        n: Rows of the first set, 2 or more, as are the others.
        permutations: Drawn with replacement from all relabelings.
        seed: Of the draw.
    """
    total = len(kernel)
    kernel = kernel.clone().fill_diagonal_(0.0)
    draw = torch.Generator().manual_seed(seed)
    first = torch.zeros(1, total, dtype=kernel.dtype)
    first[0, :n] = 1.0
    seen = float(discrepancy(kernel, first, n))
    above, left = 0, permutations
    while left:
        count = min(PIECE, left)
        order = torch.rand(count, total, generator=draw, dtype=torch.float64).argsort(1)[:, :n]
        mine = torch.zeros(count, total, dtype=kernel.dtype).scatter_(1, order, 1.0)
        drawn = discrepancy(kernel, mine, n)
        above += int((drawn >= seen - EQUAL * (abs(seen) + float(drawn.std(correction=0)))).sum())
        left -= count
    return (1 + above) / (1 + permutations), seen


def discrepancy(kernel: Tensor, mine: Tensor, n: int) -> Tensor:
    """The unbiased squared discrepancies `(count,)` of relabelings: rows of zeros and n ones `(count, n + m)`."""
    m = kernel.shape[0] - n
    within = ((mine @ kernel) * mine).sum(1)
    between = mine @ kernel.sum(1) - within
    others = kernel.sum() - within - 2 * between
    return within / (n * (n - 1)) + others / (m * (m - 1)) - 2 * between / (n * m)
