"""What the recipes of adversarial training share: a plain training, a threat, and an attack on the validation part."""

import abc
import dataclasses
from typing import Any

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.capgd import Capgd
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import belongs, run
from holdfast.core.errors import ModelError
from holdfast.core.params import Count
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.learning.judging import Judged, Overfitting
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(Learner):
    """A plain training of which a recipe changes what each step sees or minimizes.

    Robust accuracy on held-out data peaks before training ends (Rice et al., ICML 2020, arXiv:2002.11569), so `of`
    should have a patience: after each epoch PGD (CAPGD on a table) attacks the validation part at the same threat, the
    epoch that withstands it best is kept, and three epochs in a row clearly below it are told (HF262).

    Args:
        of: The plain training.
        threat: What the model shall withstand; a radius is needed.
        validation_steps: Steps of the attack on the validation part.
        validation_samples: Samples of the validation part that are attacked, a seeded random subset.
    """

    of: Train = Train()
    threat: Threat = Linf(8 / 255)
    validation_steps: Count = 10
    validation_samples: Count = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        with_radius(self.threat)

    @abc.abstractmethod
    def changes(self, dataset: Dataset) -> dict[str, Any]:
        """The fields of `of` that the recipe sets, for these data."""

    def training(self, dataset: Dataset, seed: int) -> Train:
        """The plain training with what the recipe changes.

        Raises:
            ThreatError: HF307 for a ball around rows of a table, HF308 for a table threat on other data.
        """
        belongs(self.threat, self.of.space_for(dataset))
        judge = Withstands(threat=self.threat, steps=self.validation_steps, samples=self.validation_samples, seed=seed)
        watched = dataclasses.replace(self.of, judge=judge, alarms=(*self.of.alarms, Overfitting()))
        return dataclasses.replace(watched, **self.changes(dataset))

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model, as `Train.fit`.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told after every epoch; may raise `holdfast.Stop`, after which the checkpoint continues.
            validation: What to choose the epoch by, where `of` has a patience.
        """
        return self.training(dataset, seed).fit(dataset, seed, on_event, validation)


def with_radius(threat: Threat) -> None:
    """Refuse a threat without a radius.

    Raises:
        ModelError: HF260.
    """
    if not threat.bounded:
        raise ModelError(
            "HF260",
            "Adversarial training needs a radius",
            seen=threat.literal,
            expected="a threat with a finite radius",
            fix=f"threat={threat.norm}:RADIUS",
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Withstands:
    """Empirical robust accuracy on a seeded part of the validation data: what the epoch is chosen by.

    Args:
        threat: What the model shall withstand.
        others: What it shall withstand as well; a sample holds where it holds under each.
        steps: Steps of the attack.
        samples: Samples attacked at most.
        seed: Chooses them.
        easy: Whether a single step (FGSM) is asked too.
    """

    threat: Threat
    steps: int
    samples: int
    seed: int
    easy: bool = False
    others: tuple[Threat, ...] = ()

    def __call__(self, model: Model, validation: Dataset) -> Judged:
        """Share of the samples that the model gets right and PGD does not break."""
        part = validation.sample(min(self.samples, len(validation)), self.seed)
        score = self.held(Pgd(steps=self.steps, step=0.25), model, part)
        if not self.easy:
            return Judged(score, len(part))
        return Judged(score, len(part), self.held(Pgd(steps=1, step=1.0, random_start=False), model, part))

    def held(self, attack: Pgd, model: Model, part: Dataset) -> float:
        """Share of the samples of a part that the attack does not break under any of the threats.

        Rows of a table are attacked by CAPGD with as many steps, which asks about possible rows alone.
        """
        held = torch.ones(len(part), dtype=torch.bool)
        for threat in (self.threat, *self.others):
            climb: Attack = Capgd(steps=attack.steps, restarts=1) if isinstance(threat, Table) else attack
            out = run(climb, model, part.x, part.y, threat, seed=self.seed)
            held &= torch.tensor([status == "unbroken" for status in out.status])
        return float(held.double().mean())
