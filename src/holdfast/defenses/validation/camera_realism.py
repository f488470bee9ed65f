"""Traces of a camera, after Fan and de Queiroz, "Identification of bitmap compression history", IEEE TIP 2003."""

import dataclasses

from holdfast.core.errors import DataError
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Detector, Score
from holdfast.defenses.validation._traces import Traces
from holdfast.models.model import Model
from holdfast.threats.space import Image

LEAST = 5  # pixels of a side: fewer have no inside


@dataclasses.dataclass(frozen=True, kw_only=True)
class CameraRealism(Detector):
    """Reject pictures that no camera of the clean data would take.

    Seven statistics are asked: the steepest contrast between neighbors, total variation, the noise level, the noise of
    the quietest blocks, the share of saturated values, the borders of JPEG blocks, the detail of color beside that of
    brightness. Each has a usual range on clean pictures; too little is as unusual as too much. Ranks make them
    comparable:

        z_k = quantile of the normal distribution at the rank of statistic k among clean pictures
        score = max over k of |z_k|

    Ranks are interpolated, and go on as straight lines beyond the clean ones. The threshold is set for the score, so
    the stated rate of false alarms is that of all statistics together. The reason of a rejection is the statistic that
    is farthest out. Every statistic has its true gradient, so an attack that knows them can hold them down while it
    changes the class: statistics of inputs alone stop nobody who knows them (Carlini and Wagner, "Adversarial Examples
    Are Not Easily Detected", AISec 2017, arXiv:1705.07263). `validation/_statistics.py` has a source for each.

    Cost: seven filters over the picture, no pass through the model.

    Args:
        fpr: Share of clean inputs that may be rejected.
        held_out: Share of the data that sets the threshold.
    """

    def learn(self, model: Model, data: Dataset, seed: int) -> Score:
        """The quantiles of every statistic on clean pictures.

        Raises:
            DataError: HF134 where the data are no pictures, or too small ones.
        """
        if not isinstance(data.space, Image) or min(data.x.shape[2:]) < LEAST:
            raise DataError(
                "HF134",
                "A camera's traces need pictures",
                seen=f"samples of shape {tuple(data.x.shape[1:])}",
                expected=f"(1, 3 or 4 channels, height, width) of at least {LEAST} x {LEAST} pixels",
                fix="hf.defenses.RangeCheck() for tables",
            )
        return Traces.of(data)
