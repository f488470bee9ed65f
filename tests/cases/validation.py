"""Validators: an instance with ordinary numbers, as in the list of detectors."""

import dataclasses

from holdfast.defenses.fitting import Detector
from holdfast.defenses.validation.camera_realism import CameraRealism
from holdfast.defenses.validation.range_check import RangeCheck


@dataclasses.dataclass(frozen=True)
class Case:
    """A validator.

    Args:
        detector: An instance with ordinary parameters.
        step: Of finite differences, as a share of the box.
        blind: Whether it looks only at answers.
    """

    detector: Detector
    step: float = 1e-5
    blind: bool = False

    def __str__(self) -> str:
        return str(self.detector)


VALIDATION = [Case(CameraRealism()), Case(RangeCheck())]
