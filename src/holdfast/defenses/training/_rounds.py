"""What rounds of adversarial rows have found, kept in a folder: plain numbers, a file a round."""

import dataclasses
import io
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import IntegrityError
from holdfast.core.files import write_atomic, writing
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Rounds:
    """The rounds of one learner on certain data.

    Args:
        folder: Where; None to keep nothing.
        mark: Of learner, data and seed: other rounds have other files.
    """

    folder: pathlib.Path | None
    mark: str

    @classmethod
    def of(cls, learner: Any, data: Dataset, seed: int) -> "Rounds":
        """Those of a learner; how many rounds it makes is no part of their mark, so more of them go on from fewer."""
        if not learner.checkpoint:
            return cls(None, "")
        told = [learner.threat.literal, repr(learner.attack), learner.samples, learner.source, said(learner.of), seed]
        return cls(pathlib.Path(learner.checkpoint), digest([told, list(data.digests), data.x.shape[1]])[:16])

    def read(self, k: int) -> tuple[Tensor, Tensor] | None:
        """Positions of the rows that round `k` broke `(n,)`, and what broke them; None where it is not there.

        Raises:
            IntegrityError: HF418 where it cannot be read.
        """
        file = self._file(k)
        if file is None or not file.is_file():
            return None
        try:
            with np.load(file, allow_pickle=False) as held:
                return torch.from_numpy(held["rows"]), torch.from_numpy(held["x"])
        except (OSError, ValueError, TypeError, KeyError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise IntegrityError(
                "HF418", f"'{file}' cannot be read", seen=type(error).__name__, fix="delete it; the round is made again"
            ) from error

    def write(self, k: int, rows: Tensor, x: Tensor) -> None:
        """Keep what round `k` broke."""
        file = self._file(k)
        if file is None:
            return
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        out = io.BytesIO()
        np.savez_compressed(out, rows=rows.numpy(), x=x.detach().cpu().numpy())
        write_atomic(file, out.getvalue())

    def _file(self, k: int) -> pathlib.Path | None:
        return None if self.folder is None else self.folder / f"round-{self.mark}-{k + 1}.npz"


def said(learner: Any) -> str:
    """A learner's settings as text; an estimator's in full, which its own repr cuts."""
    estimator: Any = getattr(learner, "estimator", None)
    if not hasattr(estimator, "get_params"):
        return repr(learner)
    settings = sorted((name, repr(value)) for name, value in estimator.get_params().items())
    cut = getattr(learner, "threshold", None)
    return f"{type(estimator).__name__} {settings}" + ("" if cut is None else f" {cut}")
