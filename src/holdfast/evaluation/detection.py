"""What a detector is worth: against attacks that do not know it, against harmless change, and against one that does."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.local_search import LocalSearch
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.attacks.run import run
from holdfast.core.errors import DataError, ThreatError
from holdfast.core.params import told
from holdfast.core.progress import Listener, silent
from holdfast.data.corruptions.corrupt import corrupt
from holdfast.data.dataset import Dataset
from holdfast.evaluation import clusters
from holdfast.evaluation.metrics.detection import Auroc, at_rate, auroc, caught
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.work import decided
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.stage import Stage
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

UNSEEN = (Pgd(steps=40), Apgd(steps=50), Square(steps=500))
JOINT = (
    Pgd(steps=50, step=0.02, random_start=False),  # straight on from the sample: where suspicion has no slope
    Pgd(steps=100, step=0.05),
    Apgd(steps=100, loss="dlr", targets=3),  # the worst demand, whatever the size of margins
    LocalSearch(),
    Square(steps=1000),
)
MILD = ("gaussian_noise", "brightness", "jpeg_compression")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unseen:
    """One attack on the model without the detector, and what the detector says of its successes.

    Args:
        attack: Its name and parameters.
        broken: Share of the right samples that it breaks.
        area: The area under the curve against the clean samples, None where it breaks nothing.
        rejected: Share of its successes that the detector rejects.
        at: The same at thresholds that these shares of the clean samples exceed.
    """

    attack: str
    broken: Rate
    area: Auroc | None
    rejected: Rate | None
    at: Mapping[float, Rate]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Detection:
    """What `detection` measured. An oblivious figure alone says nothing about an attacker who knows the detector.

    Args:
        detector: The stage.
        threat: Of the attacks.
        clean: Right answers of the model without the detector.
        accepted: Right answers on clean samples of the model behind the detector, which accepts them; what it reforms
            counts as reformed.
        rejected: Share of clean samples, and of each harmless change of them, that the detector rejects.
        undefended: Samples that stay right under the oblivious attacks on the model without the detector.
        unseen: Each of these attacks.
        joint: Samples answered right and accepted, for which no attack on model and detector together finds an input
            that is accepted and answered wrong.
        fooled: Samples for which such an input was found, or that are one.
    """

    detector: str
    threat: str
    clean: Rate
    accepted: Rate
    rejected: Mapping[str, Rate]
    undefended: Rate
    unseen: tuple[Unseen, ...]
    joint: Rate
    fooled: Rate

    def __str__(self) -> str:
        lines = [f"{self.detector} under {self.threat}: right and accepted {self.accepted}"]
        lines += [f"  rejected, {name}: {share}" for name, share in self.rejected.items()]
        lines += [
            f"  {one.attack}: breaks {one.broken}, area {one.area}, rejected {one.rejected}" for one in self.unseen
        ]
        lines += [f"  robust without it {self.undefended}, with it under the joint attack {self.joint}"]
        return "\n".join(lines)


def detection(
    model: Model,
    stage: Stage,
    data: Dataset,
    threat: Threat | str,
    *,
    unseen: Sequence[Attack] = UNSEEN,
    joint: Sequence[Attack] = JOINT,
    harmless: Mapping[str, Dataset] | None = None,
    rates: Sequence[float] = (0.01, 0.05),
    seed: int = 0,
    batch: int = 256,
    on_event: Listener = silent,
) -> Detection:
    """Judge a fitted detector on samples that neither it nor the model has learned from.

    Oblivious attacks break the model alone and go to the end, for their strongest points; the detector has seen none of
    them. The joint attacks want `Wrong(y) & Accepted()` of the model behind the detector. Attacks that cannot ask the
    model are left out.

    Cost: that of all attacks.

    Args:
        model: Without the detector.
        stage: What `Detector.fit` returned.
        data: Clean test samples.
        threat: How far attackers may go.
        unseen: Attacks on the model alone.
        joint: Attacks on model and detector, each on what the ones before it left.
        harmless: Name -> changed samples, or samples of another source, that a detector should let pass; common
            corruptions of severity 3 where it is None and the samples are pictures.
        rates: Shares of the clean samples for the thresholds at which attacks are also counted.
        seed: Seeds every random number.
        batch: Rows asked at once.
        on_event: Told about progress.

    Raises:
        ThreatError: HF306 for a stage that rejects nothing.
        DataError: HF120 where there are no samples.
    """
    threat = parse(threat)
    model, look = _ready(model, stage, data, batch)
    right = decided(model, data.x, batch) == data.y
    shown = {"clean": data, **(_mild(data, seed) if harmless is None else harmless)}
    attacked = [_oblivious(model, look, a, right, threat, rates, seed) for a in _able(model, unseen, threat)]
    stands = right & ~torch.stack([torch.zeros_like(right), *(broken for _, broken in attacked)]).any(0)
    accepted = decided(look.model, data.x, batch) == data.y
    fooled = _fooled(look, _able(look.model, joint, threat), threat, seed, on_event)
    return Detection(
        detector=str(stage),
        threat=threat.literal,
        clean=look.share(right, "samples"),
        accepted=look.share(accepted, "samples"),
        rejected={name: look.rejected(part) for name, part in shown.items()},
        undefended=look.share(stands, "samples"),
        unseen=tuple(one for one, _ in attacked),
        joint=look.share(accepted & ~fooled, "samples"),
        fooled=look.share(fooled, "samples"),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Look:
    """The guarded model's suspicions of the samples.

    Args:
        model: Behind the detector.
        data: Clean samples.
        batch: Rows asked at once.
    """

    model: Model
    data: Dataset
    batch: int

    def suspicion(self, x: Tensor) -> Tensor:
        """`(n,)` float64 on the CPU."""
        with self.model.borrowed(), torch.no_grad():
            answers = [self.model.answer(rows).suspicion for rows in torch.split(x, self.batch)]
        return torch.cat([found.double().cpu() for found in answers if found is not None])

    @functools.cached_property
    def clean(self) -> Tensor:
        """Of the clean samples, `(n,)`."""
        return self.suspicion(self.data.x)

    @property
    def groups(self) -> list[int]:
        """The group of each sample."""
        return clusters.of(self.data)

    def share(self, held: Tensor, words: str) -> Rate:
        """Of all samples."""
        return clusters.share(held.tolist(), self.groups, words)

    def rejected(self, part: Dataset) -> Rate:
        """Share of samples that are suspicious."""
        return caught(self.suspicion(part.x), 0.0, clusters.of(part), "samples")


def _ready(model: Model, stage: Stage, data: Dataset, batch: int) -> tuple[Model, _Look]:
    """The settled model, and the one behind the detector."""
    if not len(data):
        raise DataError("HF120", "There are no samples to judge", seen="0 samples", expected="at least 1")
    model = settle(model, data.x)
    guarded = settle(model | stage, data.x)
    if guarded.suspicion is None:
        raise ThreatError(
            "HF306",
            "There is no detector to judge",
            seen=f"the stage '{stage}', which rejects nothing",
            fix="Mahalanobis().fit(model, clean)",
        )
    return model, _Look(guarded, data, batch)


def _able(model: Model, attacks: Sequence[Attack], threat: Threat) -> tuple[Attack, ...]:
    """The attacks that can ask the model, and are written for the threat."""
    seen = model.seen_as(threat.knowledge)
    return tuple(a for a in attacks if a.serves(threat) and all(getattr(seen, f) is not None for f in a.needs))


def _mild(data: Dataset, seed: int) -> dict[str, Dataset]:
    """Common corruptions of pictures."""
    if data.x.dim() != 4 or data.x.shape[1] not in (1, 3):
        return {}
    return {name: corrupt(data, name, 3, seed) for name in MILD}


def _oblivious(
    model: Model, look: _Look, attack: Attack, right: Tensor, threat: Threat, rates: Sequence[float], seed: int
) -> tuple[Unseen, Tensor]:
    """What one attack on the model alone does and how suspicious it looks, and which samples it breaks."""
    data, rows = look.data, right.nonzero()[:, 0]
    broken = torch.zeros(len(data), dtype=torch.bool)
    points = data.x[:0]
    if len(rows):
        x, y = data.x[rows], data.y[rows]
        out = run(attack, model, x, y, threat, seed=seed, ids=rows, perturb=True, batch=look.batch)
        broken[rows] = out.success
        points = out.strongest[out.success]
    hit = broken.nonzero()[:, 0]
    groups = [look.groups[i] for i in rows.tolist()]
    own = [look.groups[i] for i in hit.tolist()]
    scores = look.suspicion(points) if len(points) else torch.zeros(0)
    found = Unseen(
        attack=told(attack),
        broken=clusters.share(broken[rows].tolist(), groups, "samples that were right"),
        area=auroc(scores, look.clean, hit.tolist()) if len(hit) else None,
        rejected=caught(scores, 0.0, own) if len(hit) else None,
        at={rate: caught(scores, at_rate(look.clean, rate), own) for rate in rates} if len(hit) else {},
    )
    return found, broken


def _fooled(look: _Look, attacks: Sequence[Attack], threat: Threat, seed: int, on_event: Listener) -> Tensor:
    """For which samples an accepted wrong answer was found, each attack on what is left: `(n,)`."""
    data, fooled = look.data, torch.zeros(len(look.data), dtype=torch.bool)
    for attack in attacks:
        rows = (~fooled).nonzero()[:, 0]
        if not len(rows):
            break
        out = run(
            attack,
            look.model,
            data.x[rows],
            data.y[rows],
            threat,
            seed=seed,
            ids=rows,
            batch=look.batch,
            on_event=on_event,
        )
        fooled[rows] = torch.tensor([status in ("broken", "wrong") for status in out.status])
    return fooled
