"""Small attacks on the samples of the battery: each is one question, answered sample by sample."""

import dataclasses
import functools
import math
from collections.abc import Sequence

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.graph_search import GraphSearch
from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.attacks.first_of import FirstOf
from holdfast.attacks.run import run
from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.masking.limits import DRAWS, QUERIES, STEPS
from holdfast.evaluation.masking.reach import Reach
from holdfast.evaluation.rows import TrialRow
from holdfast.evaluation.work import Answers, Bench
from holdfast.threats.goals import Wrong
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True)
class Trial:
    """An attack that the battery runs under a threat.

    Args:
        name: `first`, `doubled`, `larger`, `reach`, `black_box` or `noise`.
        attack: What runs.
        factor: Multiple of the threat's radius; infinite for the whole box.
    """

    name: str
    attack: Attack
    factor: float = 1.0


@functools.cache
def gradient_attack(norm: str, steps: int) -> Attack:
    """Auto-PGD on cross-entropy; projected gradient descent where Auto-PGD is not written for the norm."""
    return Pgd(steps=steps, step=1.0, random_start=False) if norm == "l0" else Apgd(steps=steps)


@functools.cache
def doubled(norm: str) -> Attack:
    """Twice the steps from twice the starts.

    The second start climbs the margin, whose peak is not cross-entropy's: else any attack that asks for margins would
    seem to see more than the gradient does.
    """
    first = gradient_attack(norm, 2 * STEPS)
    second = Pgd(steps=2 * STEPS, step=1.0) if norm == "l0" else Apgd(steps=2 * STEPS, loss="dlr")
    return FirstOf((first, second))


def trials(threat: Threat, sees: Sequence[str]) -> dict[str, Trial]:
    """The trials that apply under a threat, by name, in the order they run.

    Args:
        threat: What the audit ran under.
        sees: Fields the attacker may ask: of `module`, `scores`, `labels`.
    """
    if isinstance(threat, Table):
        return _of_rows(threat, sees)
    found: list[Trial] = []
    ball, square = threat.bounded and threat.radius > 0, threat.norm in ("linf", "l2")
    if "module" in sees:
        first = gradient_attack(threat.norm, STEPS)
        if ball:
            found += [
                Trial("first", first),
                Trial("doubled", doubled(threat.norm)),
                Trial("larger", first, 2.0),
            ]
            found += [Trial("black_box", Square(steps=QUERIES))] if square else []
        found.append(Trial("reach", Reach(), math.inf))
    elif "scores" in sees and ball and square:
        found += [Trial("first", Square(steps=QUERIES)), Trial("larger", Square(steps=QUERIES), 2.0)]
    if found and ball:
        found.append(Trial("noise", Noise(samples=DRAWS)))
    return {trial.name: trial for trial in found}


def _of_rows(threat: Table, sees: Sequence[str]) -> dict[str, Trial]:
    """A short search and plain noise: between the rows of a table no gradient leads anywhere."""
    if not {"module", "scores"} & set(sees) or not threat.bounded or threat.radius == 0:
        return {}
    first = GraphSearch(steps=STEPS // 10, width=1, samples=QUERIES)
    noise = Trial("noise", Noise(samples=DRAWS))
    return {trial.name: trial for trial in (Trial("first", first), Trial("larger", first, 2.0), noise)}


def tried(bench: Bench, keys: Sequence[str], trial: Trial, threat: Threat) -> Answers:
    """One trial on some samples: whether it broke each, and the lowest margin it found.

    In the whole box any other class will do, accepted or not: a detector may well reject all that is far.
    """
    x, y = bench.take(keys)
    model = bench.model.seen_as(threat.knowledge)
    if math.isinf(trial.factor):
        low, high = model.space.limits(x[:1])
        within: Threat = Linf(float((high - low).max()))
    else:
        within = dataclasses.replace(threat.scaled(trial.factor), queries=None)
    goal = Wrong(y) if math.isinf(trial.factor) else y
    out = run(
        trial.attack, model, x, goal, within, seed=bench.seed, ids=[number_of(key) for key in keys], batch=bench.batch
    )
    rows = [
        TrialRow(
            key=key,
            status=out.status[i],
            margin=float(out.margin[i]) if math.isfinite(float(out.margin[i])) else None,
            reason="",
        )
        for i, key in enumerate(keys)
    ]
    return Answers(rows, {}, int(out.queries.sum() + out.checks.sum()) + len(keys))


def failed(key: str, why: str) -> TrialRow:
    """A sample that the model failed on."""
    return TrialRow(key=key, status="error", margin=None, reason=why)
