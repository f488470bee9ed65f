"""What an audit will do, and what it is likely to cost."""

import dataclasses
import fractions
import math
import time
from collections.abc import Sequence

from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.core.records import canonical, config
from holdfast.evaluation.earlier import Earlier
from holdfast.evaluation.masking import limits
from holdfast.evaluation.parts import Question
from holdfast.evaluation.suites import Suite, describe
from holdfast.models.model import Model
from holdfast.models.spending import remembers
from holdfast.threats.threats import Threat

CURVE = (
    1 / 2,
    1 / 4,
    1 / 8,
    3 / 4,
)  # of the radius: the curve's points, in the order that halves what is left to search
CLEAN = Question("clean", "", "", 0)
BACKWARD = 2.0  # a backward pass costs about two forward passes


@dataclasses.dataclass(frozen=True)
class Stage:
    """An attack under a threat.

    Args:
        threat, attack: What runs.
        samples: Samples it will try at most.
        forwards: Forward passes it will take at most; a backward pass counts as two.
        seconds: The same in time on this machine.
    """

    threat: Threat
    attack: Attack
    samples: int
    forwards: int
    seconds: float

    @property
    def name(self) -> str:
        """`pgd linf:8/255`."""
        return f"{describe(self.attack)} {self.threat.literal}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """All of it: an upper bound, for what one stage breaks the next need not try.

    Args:
        suite: Its name.
        samples: Samples that will be looked at.
        stages: In order.
        forwards, seconds: Over all stages.
        disk: Bytes the folder may take.
    """

    suite: str
    samples: int
    stages: tuple[Stage, ...]
    forwards: int
    seconds: float
    disk: int

    def lines(self) -> list[str]:
        """The plan for people, a line a stage."""
        head = f"suite {self.suite}: {self.samples} samples, at most {self.seconds:.0f} s and {self.disk / 1e6:.1f} MB"
        return [
            head,
            *(
                f"{s.name}: at most {s.samples} samples, {s.forwards} forward passes, {s.seconds:.0f} s"
                for s in self.stages
            ),
        ]


def question(threat: Threat, attack: Attack, seed: int) -> Question:
    """What a search answers."""
    return Question("search", threat.literal, canonical(config(attack)), seed)


def control_question(threat: Threat, seed: int) -> Question:
    """What the noise control answers."""
    return Question("control", threat.literal, "noise", seed)


def passes(attack: Attack) -> int:
    """Forward passes a search of one sample takes at most, as its parameters tell; a backward pass counts as two."""
    return math.ceil(attack.passes() * (1 + BACKWARD if "module" in attack.needs else 1.0)) + 4


def families(threats: Sequence[Threat]) -> list[Threat]:
    """The threats in working order: those of one norm and knowledge by growing radius, so that the larger inherits."""
    unique = list({threat.literal: threat for threat in threats}.values())
    firsts = [family(t) for t in unique]
    return sorted(unique, key=lambda t: (firsts.index(family(t)), t.radius))


def family(threat: Threat) -> str:
    """What must agree for a success at one radius to be one at every larger radius: all but the radius."""
    return threat.at(1).literal


def smaller(threat: Threat, threats: Sequence[Threat]) -> list[Threat]:
    """The threats whose successes are successes of this one, nearest radius last; none where the radius is infinite."""
    return [t for t in families(threats) if family(t) == family(threat) and t.radius < threat.radius < math.inf]


def radii(threat: Threat, threats: Sequence[Threat]) -> list[float]:
    """Where the curve of a threat is searched, in this order, without the radii that are threats of their own."""
    if not threat.bounded or threat.radius == 0:
        return []
    found = [_plain(threat.radius * share) for share in CURVE]
    if threat.whole:
        found = [float(math.floor(radius)) for radius in found]
    own = {t.radius for t in smaller(threat, threats)}
    return [radius for radius in dict.fromkeys(found) if 0 < radius < threat.radius and radius not in own]


def _plain(radius: float) -> float:
    """The fraction with a denominator up to 1,000 that is meant: 3/40 instead of 0.07500000000000001."""
    near = fractions.Fraction(radius).limit_denominator(1000)
    value = near.numerator / near.denominator
    return value if math.isclose(value, radius, rel_tol=1e-12) else radius


def estimate(
    suite: Suite,
    threats: Sequence[Threat],
    samples: int,
    second: float,
    sample_bytes: int,
    earlier: Earlier | None = None,
) -> Plan:
    """The cost from above, the masking battery included, from the measured seconds of one forward pass of a sample."""
    stages = []
    for threat in families(threats):
        if earlier is not None and threat.bounded:
            tried = len(earlier.found[threat.literal])
            forwards = tried * passes(earlier.stage)
            stages.append(Stage(threat, earlier.stage, tried, forwards, forwards * second))
        for attack in suite.serving(threat).attacks:
            forwards = samples * passes(attack)
            stages.append(Stage(threat, attack, samples, forwards, forwards * second))
    curve = sum(samples * len(radii(t, threats)) * passes(suite.curve_of(t)) for t in threats)
    forwards = sum(s.forwards for s in stages) + curve + limits.count(samples) * limits.MOST * len(threats)
    return Plan(
        suite.name,
        samples,
        tuple(stages),
        forwards,
        forwards * second,
        samples * (sample_bytes * (len(threats) + 1) + 400),
    )


def seconds_of_a_pass(model: Model, few: Tensor) -> float:
    """For one sample, the second time that they are asked.

    Where answers are remembered it is asked once: a second time would be no pass.
    """
    second = 0.0
    for _ in range(2 - remembers(model)):
        began = time.perf_counter()
        model.predict(few)
        second = (time.perf_counter() - began) / len(few)
    return second
