"""Recipes that harden an estimator of tables: which suit it, and what learner each of them is."""

import dataclasses
import re
from typing import Any

from torch import Tensor

from holdfast.core.errors import UsageError
from holdfast.data.dataset import Dataset
from holdfast.defenses.training.adversarial_rounds import AdversarialRounds
from holdfast.evaluation.defending.chain import chain
from holdfast.evaluation.defending.recipe import plain
from holdfast.learning.fit import Fit
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.deciding import at_threshold
from holdfast.models.estimators import is_fitted, learnable, trees_in
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.threshold import Threshold
from holdfast.threats.threats import Linf, Threat

ROUNDS, SPLITTING, STUMPS = "adversarial_rounds", "robust_splitting", "robust_stumps"
BOOSTING = "robust_boosting"
RECIPES = (ROUNDS, SPLITTING, STUMPS, BOOSTING)
BOOSTED = ("XGB", "LGBM", "CatBoost", "Boost", "Booster", "RobustStumps")  # parts of names of what adds trees up
NUMBER_OF_ROUNDS = r"\brounds\s*=\s*\d+"
DEPTH, SHALLOW, MANY = 8, 4, 100  # of voting and of boosted trees that say no depth; most that are taken over


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """The estimator that is hardened.

    Args:
        given: As it was given, fitted or not.
        anew: What learns like it.
        remark: On settings that are not known; empty where all are.
        threshold: Where it decides a class; None where the highest score decides.
    """

    given: Any
    anew: Any
    remark: str = ""
    threshold: Threshold | None = None

    @classmethod
    def of(cls, given: Any, threshold: Threshold | None = None) -> "Subject":
        """The subject of an estimator, a Pipeline or a Booster."""
        return cls(given, *learnable(given), threshold=threshold)

    @property
    def name(self) -> str:
        """Of its class; of a Pipeline that of its last step."""
        return type(self.given.steps[-1][1] if getattr(self.given, "steps", None) else self.given).__name__

    @property
    def fitted(self) -> bool:
        """Whether it has learned."""
        return is_fitted(self.given)

    @property
    def learner(self) -> Fit:
        """It, learning as it does."""
        return Fit(estimator=self.anew, threshold=self.threshold)

    def deciding(self, made: Model, x: Tensor) -> Model:
        """What a recipe made, settled, deciding as the given model does."""
        if self.threshold is None or made.threshold == self.threshold:
            return made
        return settle(at_threshold(made, self.threshold), x)


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """What the model shall withstand, and from whom.

    Args:
        threat: With a radius.
        source: The class that somebody wants to hide; empty for all.
        evade: The direction, `fraud:legitimate`; empty for all.
    """

    threat: Threat
    source: str = ""
    evade: str = ""


def unfit(recipe: str, subject: Subject, data: Dataset, threat: Threat) -> str:
    """Why a recipe of this module does not suit, in a few words; empty where it does."""
    if recipe == ROUNDS:
        return ""
    if not trees_in(subject.given):
        return f"it makes trees, and {subject.name} is no ensemble of trees alone"
    if data.schema is not None or not isinstance(threat, Linf) or not threat.bounded:
        return f"it withstands a ball of Linf on numbers alone, not {threat.literal}"
    if data.n_classes != 2:
        return f"it tells two classes apart, and the data have {data.n_classes}"
    return ""


def fitting(subject: Subject, data: Dataset, threat: Threat) -> tuple[str, ...]:
    """Names of the recipes that suit."""
    return tuple(name for name in RECIPES if not unfit(name, subject, data, threat))


def own(recipe: str, subject: Subject) -> str:
    """A recipe's text with the sizes of the estimator; rounds as they are."""
    if recipe == SPLITTING:
        trees = 1 if type(subject.anew).__name__.endswith("TreeClassifier") else _many(subject.anew)
        return f"{SPLITTING}(trees={trees}, depth={_number(subject.anew, ('max_depth', 'depth'), DEPTH)})"
    if recipe == BOOSTING:
        deep = _number(subject.anew, ("max_depth", "depth"), SHALLOW)
        return f"{BOOSTING}(trees={_many(subject.anew)}, depth={deep})"
    return f"{STUMPS}(stumps={_many(subject.anew)})" if recipe == STUMPS else recipe


def kin(subject: Subject) -> str:
    """The recipe of the estimator's own kind: stumps where trees are added up, splits where they vote."""
    return STUMPS if any(word in type(subject.given).__name__ for word in BOOSTED) else SPLITTING


def learner_of(recipe: str, subject: Subject, data: Dataset, asked: Asked, checkpoint: str = "") -> tuple[Learner, str]:
    """The learner of a recipe's text at this estimator and threat, and the text in full.

    Args:
        recipe: `adversarial_rounds(rounds=3)`, say.
        subject: The estimator.
        data: What is learned from.
        asked: The threat.
        checkpoint: A folder that keeps rounds.

    Raises:
        UsageError: HF831 for a text that cannot be read, HF834 for one that does not suit the estimator.
    """
    text = plain(recipe)
    text = own(text, subject)
    try:
        made = chain(text, Train(), asked.threat)
    except UsageError as error:
        if error.code != "HF830":
            raise
        raise _misfit(text, "no defense of that name", subject, data, asked.threat) from error
    learner, name = made.learner, text.partition("(")[0]
    if learner is None or made.front or name not in RECIPES:
        why = "parts in front of a model" if made.front else "a recipe for torch networks"
    elif getattr(learner, "threat", None) != asked.threat or getattr(learner, "of", Train()) != Train():
        why = "a threat or a learner of its own"
    else:
        why = unfit(name, subject, data, asked.threat)
    if learner is None or why:
        raise _misfit(str(made), why, subject, data, asked.threat)
    if isinstance(learner, AdversarialRounds):
        source = learner.source or asked.source
        learner = dataclasses.replace(learner, of=subject.learner, source=source, checkpoint=checkpoint)
    return learner, str(made)


def fewer(recipe: str, rounds: int) -> str:
    """The text of the same rounds, as many as this."""
    if re.search(NUMBER_OF_ROUNDS, recipe):
        return re.sub(NUMBER_OF_ROUNDS, f"rounds={rounds}", recipe)
    name, _, rest = recipe.partition("(")
    more = rest.rstrip(") ")
    return f"{name}(rounds={rounds}{', ' if more else ''}{more})"


def _misfit(text: str, seen: str, subject: Subject, data: Dataset, threat: Threat) -> UsageError:
    return UsageError(
        "HF834",
        f"'{text}' is no recipe that hardens {subject.name}",
        seen=seen,
        expected=f"one of {', '.join(fitting(subject, data, threat))}, or auto",
    )


def _many(estimator: Any) -> int:
    """Trees of an ensemble, or rounds of boosting; at most 100, a third of a hundred where it does not say."""
    return min(_number(estimator, ("n_estimators", "max_iter", "iterations", "trees", "stumps"), 30), MANY)


def _number(estimator: Any, names: tuple[str, ...], default: int) -> int:
    """The first of these settings that is a number from 1 up."""
    known = estimator.get_params()
    found = [known[name] for name in names if isinstance(known.get(name), int) and known[name] > 0]
    return int(found[0]) if found else default
