"""Single attacks on one batch: beside the plain loop, and beside another toolkit."""

import dataclasses
import math
import statistics

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.outcome import Outcome
from holdfast.attacks.run import run
from holdfast.evaluation.bench.peers import Peer
from holdfast.evaluation.bench.plain import TEXTBOOK, Plain, network, weights_asking
from holdfast.evaluation.bench.records import AttackRow, PassSeconds, PeerRow
from holdfast.evaluation.bench.timing import Clock, alternated, over
from holdfast.evaluation.suites import describe
from holdfast.models.model import Model
from holdfast.threats.threats import Threat

PASSES = 9  # of a single pass, which is short


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """What everything is measured on.

    Args:
        model: Settled, and lent out (`model.borrowed()`) as long as it is measured.
        threat: Under which attacks are held.
        x, y, ids: Samples that the model gets right, their labels and their names.
        seed: Of the attacks' random numbers.
        repeat: How often each side runs.
        clock: Seconds.
    """

    model: Model
    threat: Threat
    x: Tensor
    y: Tensor
    ids: Tensor
    seed: int
    repeat: int
    clock: Clock

    @property
    def plain(self) -> Plain:
        """The loop beside which attacks are measured."""
        return Plain(model=self.model, threat=self.threat, x=self.x, y=self.y)

    def attacked(self, attack: Attack, threat: Threat | None = None) -> Outcome:
        """What our attack does, every row to its end: no row leaves at its first success."""
        asked = threat or self.threat
        asked = asked.at(math.inf) if attack.minimal else asked
        return run(
            attack,
            self.model,
            self.x,
            self.y,
            asked,
            seed=self.seed,
            ids=self.ids,
            batch=len(self.x),
            perturb=not attack.minimal,
        )

    def judged(self, found: Tensor) -> "Judged":
        """What the model itself says to these inputs."""
        low, high = self.model.space.limits(self.x[:1])
        found = torch.minimum(torch.maximum(found.detach().to(self.x), low), high)  # peers leave the box by rounding
        wrong = self.model.predict(found) != self.y
        far = self.threat.at(math.inf).around(self.x, self.model.space).distance(found)
        within = self.threat.around(self.x, self.model.space).contains(found)
        return Judged(wrong & within, torch.where(wrong, far, torch.inf))


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """Which samples are broken under the threat, and how far each wrong answer is: `(n,)`."""

    broken: Tensor
    far: Tensor

    @property
    def held(self) -> float:
        """Share of the samples not broken."""
        return 1 - float(self.broken.double().mean())

    @property
    def distance(self) -> float | None:
        """The median; None where half have none."""
        found = statistics.median(self.far.tolist())
        return found if math.isfinite(found) else None


def found_by(attack: Attack, outcome: Outcome) -> Tensor:
    """The inputs by which an attack is judged: the nearest, or the strongest."""
    return outcome.adversarial if attack.minimal else outcome.strongest


def named(attack: Attack) -> str:
    """The attack as `--attack` takes it, its steps told in any case."""
    text, steps = describe(attack), getattr(attack, "steps", None)
    if steps is None or "steps=" in text:
        return text
    head, _, rest = text.partition("(")
    return f"{head}(steps={steps}" + (f", {rest}" if rest else ")")


def pass_seconds(subject: Subject) -> PassSeconds | None:
    """One forward and backward pass of all samples, with weights that ask for gradients and without."""
    if subject.model.module is None:
        return None

    def textbook() -> Tensor:
        with weights_asking(network(subject.model)):
            return subject.plain.slope(subject.x)

    textbook()  # the first pass pays for what libraries set up
    one, other = alternated(
        textbook, lambda _: subject.plain.slope(subject.x), max(subject.repeat, PASSES), subject.clock
    )
    return PassSeconds(textbook=one.median, frozen=other.median)


def beside_plain(subject: Subject, attack: Attack, one: PassSeconds | None) -> AttackRow:
    """An attack, and the plain loop with as many gradients; where it asks more without gradients, so does the loop."""

    def spent(outcome: Outcome) -> tuple[float, float]:
        return float(outcome.queries.double().mean()), float(outcome.gradients.double().mean())

    def loop(outcome: Outcome) -> Tensor:
        queries, gradients = spent(outcome)
        return subject.plain.run(round(gradients), max(round(queries) - round(gradients), 0))

    ours, plain = alternated(lambda: subject.attacked(attack), loop, subject.repeat, subject.clock)
    queries, gradients = spent(ours.value)
    judged = subject.judged(found_by(attack, ours.value))
    comparable = subject.threat.p in TEXTBOOK and subject.threat.bounded and gradients >= 1
    return AttackRow(
        attack=named(attack),
        minimal=attack.minimal,
        queries=queries,
        gradients=gradients,
        ours=ours.median,
        plain=plain.median,
        ratio=over(ours.median, plain.median),
        per_pass=None if one is None else over(ours.median / (gradients or queries or 1), one.frozen),
        held=judged.held,
        held_plain=subject.judged(plain.value).held if comparable else None,
        distance=judged.distance if attack.minimal else None,
        seconds=ours.seconds,
        seconds_plain=plain.seconds,
    )


def beside_peer(subject: Subject, attack: Attack, peer: Peer) -> PeerRow:
    """An attack beside another toolkit's.

    Where only labels are seen, steps of two kinds ask unlike numbers of questions: then the peer runs once to be
    counted, and ours may ask as many.
    """
    budget, threat = None, subject.threat
    if "labels" in attack.needs:
        budget = max(round(peer.counted() / len(subject.x)), 1)
        threat = dataclasses.replace(threat, queries=budget)
    ours, theirs = alternated(
        lambda: subject.attacked(attack, threat), lambda _: peer.run(), subject.repeat, subject.clock
    )
    one, other = subject.judged(found_by(attack, ours.value)), subject.judged(theirs.value)
    return PeerRow(
        attack=named(attack),
        peer=peer.name,
        queries=budget,
        ours=ours.median,
        theirs=theirs.median,
        ratio=over(ours.median, theirs.median),
        held=one.held,
        held_theirs=other.held,
        distance=one.distance if attack.minimal else None,
        distance_theirs=other.distance if attack.minimal else None,
        only_ours=tuple(subject.ids[one.broken & ~other.broken].tolist()),
        only_theirs=tuple(subject.ids[other.broken & ~one.broken].tolist()),
        seconds=ours.seconds,
        seconds_theirs=theirs.seconds,
    )
