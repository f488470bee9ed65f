# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from holdfast.defenses.detection.bayesian_uncertainty import BayesianUncertainty as BayesianUncertainty
from holdfast.defenses.detection.binary_detector import BinaryDetector as BinaryDetector
from holdfast.defenses.detection.feature_squeezing import FeatureSqueezing as FeatureSqueezing
from holdfast.defenses.detection.kernel_density import KernelDensity as KernelDensity
from holdfast.defenses.detection.local_dimensionality import LocalDimensionality as LocalDimensionality
from holdfast.defenses.detection.mag_net import MagNet as MagNet
from holdfast.defenses.detection.mahalanobis import Mahalanobis as Mahalanobis
from holdfast.defenses.detection.nearest_neighbors import NearestNeighbors as NearestNeighbors
from holdfast.defenses.detection.outlier_model import OutlierModel as OutlierModel
from holdfast.defenses.detection.reconstruction import Reconstruction as Reconstruction
from holdfast.defenses.distillation.defensive_distillation import DefensiveDistillation as DefensiveDistillation
from holdfast.defenses.distillation.robust_distillation import RobustDistillation as RobustDistillation
from holdfast.defenses.ensembles.adaptive_diversity import AdaptiveDiversity as AdaptiveDiversity
from holdfast.defenses.ensembles.bagging import Bagging as Bagging
from holdfast.defenses.ensembles.boosting import Boosting as Boosting
from holdfast.defenses.ensembles.stacking import Stacking as Stacking
from holdfast.defenses.ensembles.voting import Voting as Voting
from holdfast.defenses.preprocessing.bilateral_filter import BilateralFilter as BilateralFilter
from holdfast.defenses.preprocessing.bit_depth import BitDepth as BitDepth
from holdfast.defenses.preprocessing.diffusion_purifier import DiffusionPurifier as DiffusionPurifier
from holdfast.defenses.preprocessing.dither import Dither as Dither
from holdfast.defenses.preprocessing.gaussian_smoothing import GaussianSmoothing as GaussianSmoothing
from holdfast.defenses.preprocessing.jpeg import Jpeg as Jpeg
from holdfast.defenses.preprocessing.median_smoothing import MedianSmoothing as MedianSmoothing
from holdfast.defenses.preprocessing.non_local_means import NonLocalMeans as NonLocalMeans
from holdfast.defenses.preprocessing.pixel_deflection import PixelDeflection as PixelDeflection
from holdfast.defenses.preprocessing.purifier import Purifier as Purifier
from holdfast.defenses.preprocessing.rescale import Rescale as Rescale
from holdfast.defenses.preprocessing.resize_pad import ResizePad as ResizePad
from holdfast.defenses.preprocessing.thermometer import Thermometer as Thermometer
from holdfast.defenses.preprocessing.total_variation import TotalVariation as TotalVariation
from holdfast.defenses.regularization.aug_mix import AugMix as AugMix
from holdfast.defenses.regularization.cut_mix import CutMix as CutMix
from holdfast.defenses.regularization.dropout import Dropout as Dropout
from holdfast.defenses.regularization.early_stopping import EarlyStopping as EarlyStopping
from holdfast.defenses.regularization.group_dro import GroupDro as GroupDro
from holdfast.defenses.regularization.input_gradient import InputGradient as InputGradient
from holdfast.defenses.regularization.jacobian_regularization import JacobianRegularization as JacobianRegularization
from holdfast.defenses.regularization.l1_penalty import L1Penalty as L1Penalty
from holdfast.defenses.regularization.l2_penalty import L2Penalty as L2Penalty
from holdfast.defenses.regularization.label_smoothing import LabelSmoothing as LabelSmoothing
from holdfast.defenses.regularization.lipschitz_margin import LipschitzMargin as LipschitzMargin
from holdfast.defenses.regularization.mixup import Mixup as Mixup
from holdfast.defenses.regularization.parseval_networks import ParsevalNetworks as ParsevalNetworks
from holdfast.defenses.regularization.spectral_normalization import SpectralNormalization as SpectralNormalization
from holdfast.defenses.regularization.weight_decay import WeightDecay as WeightDecay
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds as AdversarialRounds
from holdfast.defenses.training.adversarial_training import AdversarialTraining as AdversarialTraining
from holdfast.defenses.training.averaged import Averaged as Averaged
from holdfast.defenses.training.curriculum_adversarial_training import (
    CurriculumAdversarialTraining as CurriculumAdversarialTraining,
)
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining as FastAdversarialTraining
from holdfast.defenses.training.free_adversarial_training import FreeAdversarialTraining as FreeAdversarialTraining
from holdfast.defenses.training.gaussian_augmentation import GaussianAugmentation as GaussianAugmentation
from holdfast.defenses.training.mart import Mart as Mart
from holdfast.defenses.training.multi_norm import MultiNorm as MultiNorm
from holdfast.defenses.training.robust_boosting import RobustBoosting as RobustBoosting
from holdfast.defenses.training.robust_splitting import RobustSplitting as RobustSplitting
from holdfast.defenses.training.robust_stumps import RobustStumps as RobustStumps
from holdfast.defenses.training.trades import Trades as Trades
from holdfast.defenses.training.wasserstein_robust import WassersteinRobust as WassersteinRobust
from holdfast.defenses.training.weight_perturbation import WeightPerturbation as WeightPerturbation
from holdfast.defenses.validation.camera_realism import CameraRealism as CameraRealism
from holdfast.defenses.validation.range_check import RangeCheck as RangeCheck

__all__ = [
    "AdaptiveDiversity",
    "AdversarialRounds",
    "AdversarialTraining",
    "AugMix",
    "Averaged",
    "Bagging",
    "BayesianUncertainty",
    "BilateralFilter",
    "BinaryDetector",
    "BitDepth",
    "Boosting",
    "CameraRealism",
    "CurriculumAdversarialTraining",
    "CutMix",
    "DefensiveDistillation",
    "DiffusionPurifier",
    "Dither",
    "Dropout",
    "EarlyStopping",
    "FastAdversarialTraining",
    "FeatureSqueezing",
    "FreeAdversarialTraining",
    "GaussianAugmentation",
    "GaussianSmoothing",
    "GroupDro",
    "InputGradient",
    "JacobianRegularization",
    "Jpeg",
    "KernelDensity",
    "L1Penalty",
    "L2Penalty",
    "LabelSmoothing",
    "LipschitzMargin",
    "LocalDimensionality",
    "MagNet",
    "Mahalanobis",
    "Mart",
    "MedianSmoothing",
    "Mixup",
    "MultiNorm",
    "NearestNeighbors",
    "NonLocalMeans",
    "OutlierModel",
    "ParsevalNetworks",
    "PixelDeflection",
    "Purifier",
    "RangeCheck",
    "Reconstruction",
    "Rescale",
    "ResizePad",
    "RobustBoosting",
    "RobustDistillation",
    "RobustSplitting",
    "RobustStumps",
    "SpectralNormalization",
    "Stacking",
    "Thermometer",
    "TotalVariation",
    "Trades",
    "Voting",
    "WassersteinRobust",
    "WeightDecay",
    "WeightPerturbation",
]
