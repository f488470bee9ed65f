"""What the learners of robust trees have in common: a ball of Linf, two classes, a classifier that can be read."""

import abc
import dataclasses
from typing import Any

from holdfast.attacks.run import belongs
from holdfast.core.errors import ThreatError
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.learner import Learner
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustTrees(Learner):
    """Trees of two classes against a ball of Linf; its other fields are the classifier's.

    Args:
        threat: What it shall withstand, a ball of Linf.
    """

    threat: Threat = Linf(8 / 255)

    @abc.abstractmethod
    def classifier(self, **settings: Any) -> Any:
        """The one of `holdfast.learning`, unfitted, with its radius, its seed and the fields of the learner."""

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model whose trees can be read.

        Args:
            dataset: Two classes of numbers; it is left as it is.
            seed: Of everything that is drawn; the global random state stays as it is.
            on_event: Not told anything.

        Raises:
            ThreatError: HF316 for other threats than a ball of Linf, HF307 where the data have a schema.
            DataError: HF155 for other than two classes.
        """
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "threat"}
        made = self.classifier(radius=ball(self.threat, dataset), seed=seed, **own)
        made.fit(dataset.x.double().flatten(1).numpy(), dataset.y.numpy())
        return settle(wrap(made, dataset.bounds), dataset.x)


def ball(threat: Threat, dataset: Dataset) -> float:
    """The radius of a ball of Linf around samples of two classes.

    Raises:
        ThreatError: HF316 for another threat, HF307 where the data have a schema.
        DataError: HF155 for data of other than two classes, also where only two of them have samples.
    """
    from holdfast.learning.robust_trees import not_two

    belongs(threat, dataset.space)
    if not isinstance(threat, Linf) or not threat.bounded:
        raise ThreatError(
            "HF316",
            "Splits are hardened against a ball of Linf alone",
            seen=threat.literal,
            expected="linf:RADIUS, with a radius",
            fix="AdversarialRounds serves any threat that an attack serves",
        )
    if dataset.n_classes != 2:
        raise not_two(dataset.n_classes)
    return float(threat.radius)
