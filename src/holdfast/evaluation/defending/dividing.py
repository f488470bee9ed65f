"""The rows of a hardening by what they are for: to learn from, to choose by, to judge on."""

import dataclasses

from holdfast.core.errors import UsageError
from holdfast.data.dataset import Dataset, Splits
from holdfast.data.tables.loading import profiled
from holdfast.data.tables.loading import under as under_profile
from holdfast.evaluation.evading import of_source
from holdfast.threats.profiles.named import PROFILES
from holdfast.threats.profiles.profile import Profile
from holdfast.threats.threats import Threat

TRAINED = 0.8  # share of data in one part that is learned from
HELD_OUT = 0.8  # share of a training part that recipes are tried on, where there is no validation part


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The data by what they are for.

    Args:
        train: What the hardened model learns from.
        learned, validation: What recipes are tried on; `learned` is `train` where the data have a validation part.
        test: What both models are judged on.
        judged: Of it the class that is attacked; all of it unless one is.
        remark: What to know of it; empty where there is nothing.
    """

    train: Dataset
    learned: Dataset
    validation: Dataset
    test: Dataset
    judged: Dataset
    remark: str = ""

    @classmethod
    def of(cls, data: Dataset | Splits, seed: int, evade: str) -> "Parts":
        """The parts.

        Raises:
            DataError: HF109 where they cannot be divided.
            ThreatError: HF309 for a direction that is none.
        """
        remark, val = "", None
        if isinstance(data, Splits) and len(data.train):
            train, test, val = data.train, data.part("test"), data.val
        else:
            whole = data.part("test") if isinstance(data, Splits) else data
            train, test = whole.divide(TRAINED, seed)
            remark = (
                f"The data come in one part: {len(train)} rows were learned from and {len(test)} are judged; what the "
                "given model had learned from may be among these."
            )
        there = val is not None and len(val) > 0
        learned, validation = (train, val) if there and val is not None else train.divide(HELD_OUT, seed)
        return cls(train, learned, validation, test, of_source(test, evade), remark)


def assumed(threat: str | Threat | Profile, data: Dataset | Splits) -> tuple[str | Threat, Dataset | Splits]:
    """A threat and the data; of a profile its threat, and the data under a schema that says what its attacker can do.

    Raises:
        ThreatError: HF311 for data that the profile does not know.
    """
    known = PROFILES.get(threat) if isinstance(threat, str) else threat
    if not isinstance(known, Profile):
        return threat, data  # type: ignore[return-value]
    return known.threat, profiled(data, known) if isinstance(data, Splits) else under_profile(data, known)


def misplaced(estimator: bool, epochs: int, evade: str, precision: str) -> None:
    """Refuse what means nothing for this kind of model.

    Raises:
        UsageError: HF834.
    """
    if estimator and epochs:
        raise UsageError(
            "HF834",
            "Epochs are passes of a network over its data",
            seen=f"epochs={epochs} for an estimator",
            fix="recipe='adversarial_rounds(rounds=3)'",
        )
    if estimator and precision != "auto":
        raise UsageError(
            "HF834",
            "A precision is chosen for the training of a network",
            seen=f"precision={precision!r} for an estimator",
            fix="leave it out",
        )
    if evade and not estimator:
        raise UsageError(
            "HF834",
            "One direction alone is hardened in tables",
            seen=f"evade={evade!r} for a network",
            fix="leave it out",
        )
