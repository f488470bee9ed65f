"""Which trained defense hardens a model, and for how many epochs: asked for, or chosen by what a step costs here."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping

from holdfast.core.errors import HoldfastError, UsageError
from holdfast.core.lazy import snake
from holdfast.core.params import parameters
from holdfast.core.progress import Listener, Note, silent
from holdfast.data.dataset import Dataset
from holdfast.evaluation.defending.chain import catalog, chain
from holdfast.learning.inner import resting_on, training_of
from holdfast.learning.learner import Learner, few
from holdfast.learning.precision import Precision
from holdfast.learning.train import Train
from holdfast.threats.threats import Linf, Threat

AUTO = "auto"
FAMILIES = ("training", "regularization")  # folders of the catalog whose members start from a model and train it on
LONG = 30  # most epochs that are chosen
ENOUGH = 8  # epochs that a recipe needs to be worth choosing
SAFE = 0.85  # share of the budget that is planned; the rest is for what measuring missed
LOOK = 0.1  # share of the budget that measuring may take
RULE = (
    f"of the recipes of which {ENOUGH} epochs fit into {SAFE:.0%} of the budget, the one that spends most on an epoch; "
    f"where none fits so often, the one whose epoch is cheapest; as many epochs as fit, at most {LONG}"
)
BFLOAT16 = " It multiplies in bfloat16 as it trains, and is audited in the model's own precision."
UNPLANNED = {
    "curriculum_adversarial_training": "its epochs grow dearer as they go on",
    "multi_norm": "it withstands other threats beside the one asked for",
}
"""Recipes that "auto" does not choose, and why."""

UNFIT = {
    "adversarial_rounds": "several trainings, each on more data",
    "dropout": "a network with other layers while it learns",
    "spectral_normalization": "a network with other layers while it learns",
}
"""Trained defenses that are more than one training of the given network."""

Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """What a model is hardened by.

    Args:
        recipe: As text.
        epochs: Passes over the training data.
        budget: Seconds the training may take; 0 for no limit.
        epoch_seconds: Recipe -> seconds of an epoch, as measured; empty where nothing was.
        text: Why, in a sentence.
        precision: "float32", or "bfloat16" for the layers' products while it trains.
    """

    recipe: str
    epochs: int
    budget: float
    epoch_seconds: Mapping[str, float]
    text: str
    precision: Precision = "float32"


def plain(recipe: str | Learner) -> str:
    """A recipe as text, with underscores in its name where it was written with hyphens.

    Raises:
        UsageError: HF834 for what is neither a text nor a trained defense.
    """
    if isinstance(recipe, Learner) and type(recipe) is not Train:
        recipe = str(chain(recipe, Train(), Linf(1.0)))
    if not isinstance(recipe, str):
        known = ", ".join(recipes())
        raise UsageError("HF834", "This is no recipe", seen=f"{recipe!r:.80}", expected="a text", fix=f"one of {known}")
    head, bracket, rest = recipe.partition("(")
    return head.strip().replace("-", "_") + bracket + rest


def recipes() -> tuple[str, ...]:
    """Names of the catalog's trained defenses that train a given model on, at a threat."""
    found = []
    for name, kind in catalog().items():
        fields = {p.name: p for p in parameters(kind)}
        starts = isinstance(getattr(fields.get("of"), "default", None), Train)
        if issubclass(kind, Learner) and _single(kind) and starts and "threat" in fields:
            found.append(name)
    return tuple(found)


def _single(kind: type) -> bool:
    """Whether a defense is one training that changes no layer, so that its checkpoint is the model at every time."""
    family = kind.__module__.split(".")[2]
    return family in FAMILIES and snake(kind.__name__) not in UNFIT


def _trains_on(learner: Learner) -> bool:
    """Whether everything around the innermost training is such a defense."""
    found = learner
    while not isinstance(found, Train):
        inner = getattr(found, "of", None)
        if not isinstance(inner, Learner) or not _single(type(found)):
            return False
        found = inner
    return True


def automatic() -> tuple[str, ...]:
    """Those that the rule chooses from: made for one threat, and every epoch costs the same."""
    return tuple(name for name in recipes() if name not in UNPLANNED)


def learner_of(recipe: str, of: Train, threat: Threat) -> Learner:
    """The trained defense of a text, at this training and this threat.

    Raises:
        UsageError: HF830 and HF831 for a text that names no defense, HF834 where it does not train a given model on.
    """
    made = chain(recipe, of, threat)
    learner = made.learner
    if learner is None or made.front or not _trains_on(learner):
        raise UsageError(
            "HF834",
            f"'{made}' is no recipe that hardens a model",
            seen="parts in front of a model" if made.front else "a defense that does not train a given model on",
            expected=f"one of {', '.join(recipes())}, or auto",
            fix="holdfast compare-defenses tries any defense",
        )
    return learner


def chosen(
    recipe: str,
    of: Train,
    data: Dataset,
    threat: Threat,
    *,
    seconds: float,
    epochs: int = 0,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    on_event: Listener = silent,
) -> Choice:
    """The recipe and the epochs.

    Args:
        recipe: A text, or "auto" for the rule of this module.
        of: The training that recipes are put on, with the model to start from and the precision to keep.
        data: To learn from.
        threat: What the model shall withstand.
        seconds: Budget of the training.
        epochs: As many, whatever they cost; 0 for as many as fit.
        seed: Of the training.
        clock: Seconds; those of the wall, which the budget means, unless given.
        on_event: Told what was measured.
    """
    began, costs = clock(), dict[str, float]()
    told = BFLOAT16 if of.precision == "bfloat16" else ""
    kept = functools.partial(Choice, precision=of.precision)
    if recipe != AUTO and epochs:
        text = str(chain(recipe, of, threat))
        learner_of(recipe, of, threat)
        why = f"{text}, {_many(epochs)}, as asked.{told}"
        return kept(recipe=text, epochs=epochs, budget=0.0, epoch_seconds={}, text=why)
    for name in automatic() if recipe == AUTO else (recipe,):
        if costs and clock() - began > LOOK * seconds:
            on_event(Note(f"{name}: not measured, {LOOK:.0%} of the budget went into the recipes before it"))
            continue
        try:
            learner = learner_of(name, of, threat)
            costs[str(chain(name, of, threat))] = epoch_seconds(learner, data, seed, clock)
        except HoldfastError as error:
            if recipe != AUTO:
                raise
            on_event(Note(f"{name}: not tried, {error.line()}"))
    if not costs:
        raise UsageError("HF834", "No recipe of the catalog can train this model on", expected=", ".join(recipes()))
    plan = SAFE * max(seconds - (clock() - began), 0.0)
    best = pick(costs, plan)
    count = epochs or max(1, min(LONG, int(plan / costs[best]) if costs[best] > 0 else LONG))
    measured = ", ".join(f"{name} {each:.2g} s" for name, each in costs.items())
    why = f" Rule: {RULE}." if recipe == AUTO else ""
    text = f"{best}, {_many(count)}: an epoch takes {measured}; the budget is {seconds:.0f} s.{why}{told}"
    return kept(recipe=best, epochs=count, budget=seconds, epoch_seconds=costs, text=text)


def pick(costs: Mapping[str, float], plan: float) -> str:
    """The recipe, by the rule.

    Args:
        costs: Recipe -> seconds of an epoch.
        plan: Seconds that may be planned.
    """
    often = {name: each for name, each in costs.items() if ENOUGH * each <= plan}
    if often:
        return max(often, key=lambda name: (often[name], name))
    return min(costs, key=lambda name: (costs[name], name))


def epoch_seconds(learner: Learner, data: Dataset, seed: int = 0, clock: Clock = time.perf_counter) -> float:
    """Seconds of an epoch over all data: three batches less one, so that what happens once does not count."""
    of = training_of(learner)
    if of is None:
        raise UsageError("HF834", "There is no training to time", seen=type(learner).__name__)
    size = min(of.batch, len(data))
    quick = resting_on(learner, dataclasses.replace(of, epochs=1, batch=size, patience=0, checkpoint=""))

    def spent(batches: int) -> float:
        part = few(data, batches * size)
        began = clock()
        quick.fit(part, seed)
        return clock() - began

    spent(1)  # the first training pays for what libraries set up
    one, three = spent(1), spent(3)
    done = max(1, min(len(data), 3 * size) // size)
    batch = max((three - one) / (done - 1), 0.25 * three / done) if done > 1 else three
    return batch * (len(data) // size)


def _many(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"
