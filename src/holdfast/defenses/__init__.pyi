# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.detection.feature_squeezing import FeatureSqueezing as FeatureSqueezing
from holdfast.defenses.detection.kernel_density import KernelDensity as KernelDensity
from holdfast.defenses.detection.local_dimensionality import LocalDimensionality as LocalDimensionality
from holdfast.defenses.detection.mahalanobis import Mahalanobis as Mahalanobis
from holdfast.defenses.detection.nearest_neighbors import NearestNeighbors as NearestNeighbors
from holdfast.defenses.detection.outlier_model import OutlierModel as OutlierModel
from holdfast.defenses.detection.reconstruction import Reconstruction as Reconstruction
from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining

__all__ = [
    "AdversarialTraining",
    "BitDepth",
    "FeatureSqueezing",
    "KernelDensity",
    "LocalDimensionality",
    "Mahalanobis",
    "NearestNeighbors",
    "OutlierModel",
    "Reconstruction",
]
