# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from . import attacks as attacks
from . import data as data
from . import defenses as defenses
from . import learning as learning
from . import models as models
from . import threats as threats
from holdfast.api import audit as audit
from holdfast.api import compare as compare
from holdfast.api import compare_defenses as compare_defenses
from holdfast.api import compare_models as compare_models
from holdfast.api import corruptions as corruptions
from holdfast.api import gate as gate
from holdfast.api import harden as harden
from holdfast.api import open_run as open_run
from holdfast.attacks import crafted as crafted
from holdfast.attacks.run import run as run
from holdfast.attacks.transfer import transfer as transfer
from holdfast.attacks.trees.exact import exact_distance as exact_distance
from holdfast.core.errors import DataError as DataError
from holdfast.core.errors import HoldfastError as HoldfastError
from holdfast.core.errors import IntegrityError as IntegrityError
from holdfast.core.errors import MissingExtra as MissingExtra
from holdfast.core.errors import ModelError as ModelError
from holdfast.core.errors import OfflineError as OfflineError
from holdfast.core.errors import ParameterError as ParameterError
from holdfast.core.errors import ResourceError as ResourceError
from holdfast.core.errors import Stop as Stop
from holdfast.core.errors import ThreatError as ThreatError
from holdfast.core.errors import UsageError as UsageError
from holdfast.data.dataset import Dataset as Dataset
from holdfast.evaluation.detection import detection as detection
from holdfast.evaluation.diversity import diversity as diversity
from holdfast.evaluation.effect import effect as effect
from holdfast.evaluation.monitor import BatchMonitor as BatchMonitor
from holdfast.evaluation.spatial import spatial as spatial
from holdfast.learning.fit import Fit as Fit
from holdfast.learning.surrogate import Surrogate as Surrogate
from holdfast.learning.train import Train as Train
from holdfast.models.deciding import threshold_at as threshold_at
from holdfast.models.endpoint import endpoint as endpoint
from holdfast.models.files import load_model as load_model
from holdfast.models.model import Model as Model
from holdfast.models.wrap import wrap as wrap
from holdfast.report.run import Run as Run
from holdfast.threats.goals import Accepted as Accepted
from holdfast.threats.goals import Evade as Evade
from holdfast.threats.goals import Target as Target
from holdfast.threats.goals import Wrong as Wrong
from holdfast.threats.profiles.named import profile as profile
from holdfast.threats.tables.feature import Feature as Feature
from holdfast.threats.tables.schema import Schema as Schema
from holdfast.threats.tables.tabular import Tabular as Tabular
from holdfast.threats.tables.threat import Table as Table
from holdfast.threats.threats import L0 as L0
from holdfast.threats.threats import L1 as L1
from holdfast.threats.threats import L2 as L2
from holdfast.threats.threats import Linf as Linf

__version__: str
__all__ = [
    "Accepted",
    "BatchMonitor",
    "DataError",
    "Dataset",
    "Evade",
    "Feature",
    "Fit",
    "HoldfastError",
    "IntegrityError",
    "L0",
    "L1",
    "L2",
    "Linf",
    "MissingExtra",
    "Model",
    "ModelError",
    "OfflineError",
    "ParameterError",
    "ResourceError",
    "Run",
    "Schema",
    "Stop",
    "Surrogate",
    "Table",
    "Tabular",
    "Target",
    "ThreatError",
    "Train",
    "UsageError",
    "Wrong",
    "attacks",
    "audit",
    "compare",
    "compare_defenses",
    "compare_models",
    "corruptions",
    "crafted",
    "data",
    "defenses",
    "detection",
    "diversity",
    "effect",
    "endpoint",
    "exact_distance",
    "gate",
    "harden",
    "learning",
    "load_model",
    "models",
    "open_run",
    "profile",
    "run",
    "spatial",
    "threats",
    "threshold_at",
    "transfer",
    "wrap",
]
