"""What an attack did, a row a sample."""

import dataclasses

import torch
from torch import Tensor

from holdfast.geometry.rows import join, norm, put, take

NORMS = {"linf": torch.inf, "l2": 2.0, "l1": 1.0, "l0": 0.0}


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What happened to each sample.

    Args:
        status: `wrong` (the goal was reached before the attack), `broken`, `unbroken`, `error` (the model gave no
            number).
        x0: The originals, `(batch, ...)`.
        adversarial: Nearest success inside the threat, `(batch, ...)`; the original where there is none.
        strongest: The point of lowest margin inside the threat, `(batch, ...)`.
        margin: Of `strongest`, `(batch,)` float64; negative where the goal is reached.
        queries, gradients, checks: Forward, backward and verification passes spent on each row, `(batch,)`.
        zero_gradients, bad_gradients: Backward passes that came back all zero, or not finite, `(batch,)`.
        confirmed: Share of the verification passes that reached the goal, `(batch,)`; NaN where nothing was claimed.
    """

    status: tuple[str, ...]
    x0: Tensor
    adversarial: Tensor
    strongest: Tensor
    margin: Tensor
    queries: Tensor
    gradients: Tensor
    checks: Tensor
    zero_gradients: Tensor
    bad_gradients: Tensor
    confirmed: Tensor

    def __len__(self) -> int:
        return len(self.status)

    @property
    def success(self) -> Tensor:
        """Whether the attack broke the sample: `(batch,)`."""
        return torch.tensor([s == "broken" for s in self.status], dtype=torch.bool)

    def distance(self, name: str) -> Tensor:
        """Of the nearest success in one of linf, l2, l1, l0: `(batch,)` float64; inf where there is none.

        In a table that is one of codes, where a value that goes missing or appears counts as 1; `schema.ruler` measures
        in standardized units.
        """
        change = self.adversarial.double() - self.x0.double()
        both = self.adversarial.isnan() & self.x0.isnan()
        far = norm(torch.where(both, 0.0, change.nan_to_num(1.0, torch.inf, -torch.inf)), NORMS[name])
        return torch.where(self.success.to(far.device), far, torch.inf)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.status.count(s)} {s}" for s in sorted(set(self.status)))
        return f"Outcome({len(self)} samples: {counts})"

    @staticmethod
    def concatenated(parts: list["Outcome"]) -> "Outcome":
        """Batches end to end."""
        status = tuple(s for part in parts for s in part.status)
        return Outcome(status, *(join([getattr(part, name) for part in parts]) for name in TENSORS))

    def replaced(self, rows: Tensor, by: "Outcome") -> "Outcome":
        """The same with `rows`, ascending, taken from another outcome."""
        status = list(self.status)
        for i, s in zip(rows.tolist(), by.status, strict=True):
            status[i] = s
        return Outcome(tuple(status), *(put(getattr(self, name), rows, getattr(by, name)) for name in TENSORS))

    def after(self, earlier: "Outcome") -> "Outcome":
        """The same with the passes of an earlier search of the same rows added to the books."""
        spent = {name: getattr(self, name) + getattr(earlier, name) for name in BOOKS}
        return dataclasses.replace(self, **spent)

    def take(self, rows: Tensor) -> "Outcome":
        """The chosen rows, ascending."""
        return Outcome(
            tuple(self.status[i] for i in rows.tolist()), *(take(getattr(self, name), rows) for name in TENSORS)
        )


TENSORS = tuple(f.name for f in dataclasses.fields(Outcome) if f.name != "status")
BOOKS = ("queries", "gradients", "checks", "zero_gradients", "bad_gradients")
