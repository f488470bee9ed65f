"""Rounds of adversarial rows, Kantchelian, Tygar and Joseph, ICML 2016, arXiv:1509.07892."""

import dataclasses
import functools
import time

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.core.errors import DataError, some
from holdfast.core.params import Count, Natural
from holdfast.core.progress import BatchDone, Event, Listener, StageDone, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._broken import broken
from holdfast.defenses.training._rounds import Rounds
from holdfast.defenses.training._rows import enlarged
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.threats.threats import Linf, Threat


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialRounds(Learner):
    """Attack the model, add what broke it to the data under its true label, learn anew; for any learner, trees too.

        `rounds` times:   data <- data + {(x', y) : the attack on the current model has broken (x, y) by x'}

    Rows come from a real attack on the real model, verified by it and inside the threat; rows of earlier rounds stay.
    Trees under Linf are searched exactly (`hf.exact_distance`), so that no row that can be broken is missed, and each
    witness goes on to where the margin is lower. Tables are searched by GraphSearch, networks and linear models by Pgd,
    anything else by HopSkipJump, unless `attack` says otherwise.

    Trees learned anew have cuts elsewhere, which the next search finds: on breast cancer under Linf 0.05 six rounds
    changed the exact robust accuracy of a forest and of boosting by -5 and +12 points (`benchmarks/robust_trees.py`).
    Robust splitting reaches more (arXiv:1902.10660).

    Cost: `rounds` + 1 times what the learner costs, on data that grow, and `rounds` attacks on `samples` rows.

    Deviations: the paper adds rows before each next tree of one boosting, we learn the whole model anew.

    Args:
        of: Who learns; its checkpoint, where it has one, must be a folder, for its data change.
        threat: What the model shall withstand.
        rounds: Attacks, each followed by learning anew.
        attack: Any of the catalog that fits the threat and the model; chosen by the model unless given.
        samples: Original rows attacked in each round, a random part; all where there are fewer.
        source: The class that somebody wants to hide, by name or number: only its rows are attacked. All unless given.
        checkpoint: A folder that keeps what each round found: fitted again with the same data and seed, finished rounds
            are read, and one model is learned instead of one a round. Of `of` that holds as far as it repeats itself.
    """

    of: Learner = Train()
    threat: Threat = Linf(8 / 255)
    rounds: Natural = 3
    attack: Attack | None = None
    samples: Count = 1_000
    source: str = ""
    checkpoint: str = dataclasses.field(default="", repr=False)

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model, as the learner's; ends early where the attack breaks nothing any more.

        Args:
            dataset: What to learn from; it is left as it is.
            seed: Of the learner, the attack and the choice of rows; the global random state stays as it is.
            on_event: Told what the learner tells, how far each round is, and how many rows it has added; may raise
                `holdfast.Stop`.

        Raises:
            ThreatError: HF303, HF304, HF307 or HF308 where the attack, the threat and the model do not fit each other.
            DataError: HF154 for a source that is no class of the data.
            IntegrityError: HF418 for a round in `checkpoint` that cannot be read.
        """
        attacked = self._attacked(dataset)
        draw = torch.Generator().manual_seed(seed)
        kept = Rounds.of(self, dataset, seed)
        whole, model = dataset, None
        for k in range(self.rounds):
            rows = attacked[torch.randperm(len(attacked), generator=draw)[: self.samples].sort().values]
            found, began = kept.read(k), time.monotonic()
            reused = 0 if found is None else len(rows)
            if found is None:
                model = model or self.of.fit(whole, seed, on_event)
                tell = functools.partial(_renamed, on_event, f"round {k + 1}")
                won, x = broken(model, dataset.take(rows), self.threat, self.attack, seed + k, tell)
                found = rows[won], x
                kept.write(k, *found)
            on_event(StageDone(f"round {k + 1}", len(rows), len(found[0]), time.monotonic() - began, reused))
            if not len(found[0]):
                break
            whole, model = enlarged(whole, *found), None
        return model or self.of.fit(whole, seed, on_event)

    def added(self, dataset: Dataset, seed: int, k: int) -> int | None:
        """Rows that round `k`, from 0, broke and added; None where `checkpoint` does not keep it."""
        found = Rounds.of(self, dataset, seed).read(k)
        return None if found is None else len(found[0])

    def _attacked(self, dataset: Dataset) -> Tensor:
        """Positions of the rows that are attacked."""
        if not self.source:
            return torch.arange(len(dataset))
        known = {**{str(i): i for i in range(dataset.n_classes)}, **{c: i for i, c in enumerate(dataset.classes)}}
        if self.source not in known:
            raise DataError(
                "HF154",
                "The class that shall not be hidden is none of the data",
                seen=repr(self.source),
                expected=some(dataset.classes),
            )
        return (dataset.y == known[self.source]).nonzero()[:, 0]


def _renamed(on_event: Listener, name: str, event: Event) -> None:
    """An attack's progress under the name of its round; the end is told once the round is kept."""
    if not isinstance(event, BatchDone):
        on_event(event)
    elif event.done < event.total:
        on_event(dataclasses.replace(event, stage=name))
