"""Transformations: an instance that bites, one that is switched off where there is one, and the inputs."""

import dataclasses

from holdfast.defenses.preprocessing.bilateral_filter import BilateralFilter
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.defenses.preprocessing.dither import Dither
from holdfast.defenses.preprocessing.gaussian_smoothing import GaussianSmoothing
from holdfast.defenses.preprocessing.jpeg import Jpeg
from holdfast.defenses.preprocessing.median_smoothing import MedianSmoothing
from holdfast.defenses.preprocessing.non_local_means import NonLocalMeans
from holdfast.defenses.preprocessing.pixel_deflection import PixelDeflection
from holdfast.defenses.preprocessing.rescale import Rescale
from holdfast.defenses.preprocessing.resize_pad import ResizePad
from holdfast.defenses.preprocessing.total_variation import TotalVariation
from holdfast.models.stage import Stage


@dataclasses.dataclass(frozen=True)
class Case:
    """A stage.

    Args:
        stage: An instance with ordinary parameters.
        off: An instance that changes nothing, None where no parameters do that.
        shape: Of one input it is tested on.
    """

    stage: Stage
    off: Stage | None = None
    shape: tuple[int, ...] = (3, 16, 12)

    def __str__(self) -> str:
        return str(self.stage)


PREPROCESSING = [
    Case(BitDepth(bits=4)),
    Case(BitDepth(bits=1), shape=(7,)),
    Case(Rescale(factor=0.5, shift=0.1), off=Rescale()),
    Case(Rescale(factor=-1.5, shift=1.2), shape=(7,)),
    Case(Jpeg(quality=75)),
    Case(Jpeg(quality=30, subsampling="4:2:2"), shape=(3, 9, 13)),
    Case(Jpeg(quality=90), shape=(1, 10, 7)),
    Case(Dither(bits=2)),
    Case(Dither(bits=1, method="ordered", side=8), shape=(1, 9, 7)),
    Case(MedianSmoothing(size=2), off=MedianSmoothing(size=1)),
    Case(MedianSmoothing(size=3), shape=(1, 9, 7)),
    Case(GaussianSmoothing(sigma=0.8), off=GaussianSmoothing(sigma=0)),
    Case(NonLocalMeans(search=5, strength=60.0), off=NonLocalMeans(search=1)),
    Case(BilateralFilter(), off=BilateralFilter(size=1)),
    Case(BilateralFilter(size=3, sigma=0.8, tone=0.6), shape=(1, 9, 7)),
    Case(TotalVariation(steps=10)),
    Case(TotalVariation(drop=0.0, weight=0.1, steps=20), off=TotalVariation(drop=0.0, weight=0.0), shape=(1, 9, 7)),
    Case(PixelDeflection(), off=PixelDeflection(share=0.0, sigma=0.0)),
    Case(PixelDeflection(share=0.0, sigma=0.1), shape=(1, 9, 7)),
    Case(ResizePad(), off=ResizePad(smallest=1.0)),
    Case(ResizePad(smallest=0.9, method="nearest", fill=0.5), shape=(1, 9, 7)),
]
