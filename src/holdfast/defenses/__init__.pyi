# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.preprocessing.dither import Dither as Dither
from holdfast.defenses.preprocessing.gaussian_smoothing import GaussianSmoothing as GaussianSmoothing
from holdfast.defenses.preprocessing.jpeg import Jpeg as Jpeg
from holdfast.defenses.preprocessing.median_smoothing import MedianSmoothing as MedianSmoothing
from holdfast.defenses.preprocessing.non_local_means import NonLocalMeans as NonLocalMeans
from holdfast.defenses.preprocessing.purifier import Purifier as Purifier
from holdfast.defenses.preprocessing.rescale import Rescale as Rescale
from holdfast.defenses.preprocessing.resize_pad import ResizePad as ResizePad
from holdfast.defenses.preprocessing.total_variation import TotalVariation as TotalVariation
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining

__all__ = [
    "AdversarialTraining",
    "BitDepth",
    "Dither",
    "GaussianSmoothing",
    "Jpeg",
    "MedianSmoothing",
    "NonLocalMeans",
    "Purifier",
    "Rescale",
    "ResizePad",
    "TotalVariation",
]
