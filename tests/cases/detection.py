"""Detectors: an instance with small numbers; what learns from the same synthetic pictures in every law."""

import dataclasses

from pyod.models.copod import COPOD
from pyod.models.knn import KNN
from pyod.models.pca import PCA
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

from cases.validation import VALIDATION
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.defenses.detection.bayesian_uncertainty import BayesianUncertainty
from holdfast.defenses.detection.binary_detector import BinaryDetector
from holdfast.defenses.detection.feature_squeezing import FeatureSqueezing
from holdfast.defenses.detection.kernel_density import KernelDensity
from holdfast.defenses.detection.local_dimensionality import LocalDimensionality
from holdfast.defenses.detection.mahalanobis import Mahalanobis
from holdfast.defenses.detection.nearest_neighbors import NearestNeighbors
from holdfast.defenses.detection.outlier_model import OutlierModel
from holdfast.defenses.detection.reconstruction import Reconstruction
from holdfast.defenses.fitting import Detector
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.threats.threats import Linf


@dataclasses.dataclass(frozen=True)
class Case:
    """A detector.

    Args:
        detector: An instance with ordinary parameters.
        step: Of finite differences, as a share of the box; longer for what computes in float32.
        blind: Whether it promises nothing far from all data: answers may be sure of themselves there, and who
            learns from attacks has not seen what lies elsewhere.
    """

    detector: Detector
    step: float = 1e-5
    blind: bool = False

    def __str__(self) -> str:
        return str(self.detector).split("(")[0] + (
            f"-{type(self.detector.estimator).__name__}" if isinstance(self.detector, OutlierModel) else self.kind
        )

    @property
    def kind(self) -> str:
        """What tells rows of one class apart."""
        return "-" + "".join(str(getattr(self.detector, name, "")) for name in ("by", "layer", "p", "share"))


SHOWN = {"attack": Pgd(steps=4, step=0.5), "threat": Linf(0.2), "width": 4, "epochs": 3}

DETECTION = [
    Case(Reconstruction(updates=8, width=4), step=1e-3),
    Case(Reconstruction(updates=8, width=4, p=2), step=1e-3),
    Case(Reconstruction(updates=8, width=4, by="divergence"), step=1e-3, blind=True),
    Case(FeatureSqueezing(squeezers=(BitDepth(bits=1), BitDepth(bits=2))), blind=True),
    Case(Mahalanobis()),
    Case(Mahalanobis(layer="inputs", shrinkage=0.1)),
    Case(LocalDimensionality(samples=200)),
    Case(LocalDimensionality(samples=200, layer="scores")),
    Case(BayesianUncertainty(passes=10), blind=True),
    Case(BayesianUncertainty(passes=10, share=0.3), blind=True),
    Case(BinaryDetector(**SHOWN), step=1e-3, blind=True),
    Case(BinaryDetector(**SHOWN, layer="features"), step=1e-3, blind=True),
    Case(KernelDensity(samples=200)),
    Case(KernelDensity(samples=200, layer="inputs", bandwidth=0.5)),
    Case(NearestNeighbors(samples=200, neighbors=9)),
    Case(OutlierModel(estimator=IsolationForest(n_estimators=20))),
    Case(OutlierModel(estimator=LocalOutlierFactor(novelty=True), layer="inputs")),
    Case(OutlierModel(estimator=OneClassSVM())),
    Case(OutlierModel(estimator=EllipticEnvelope(), layer="scores"), blind=True),
    Case(OutlierModel(estimator=KNN())),
    Case(OutlierModel(estimator=PCA(), layer="inputs")),
    Case(OutlierModel(estimator=COPOD())),
    *VALIDATION,
]
