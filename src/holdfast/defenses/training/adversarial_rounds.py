"""Rounds of adversarial rows, Kantchelian, Tygar and Joseph, ICML 2016, arXiv:1509.07892."""

import dataclasses

import torch

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.hop_skip_jump import HopSkipJump
from holdfast.attacks.run import run
from holdfast.core.params import Count, Natural
from holdfast.core.progress import Listener, Note, silent
from holdfast.data.dataset import Dataset
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
    A model that shows nothing but decisions will do: the attack decides what it asks for.

    Cost: `rounds` + 1 times what the learner costs, on data that grow, and `rounds` attacks on `samples` rows.

    Args:
        of: Who learns; its checkpoint, where it has one, must be a folder, for its data change.
        threat: What the model shall withstand.
        rounds: Attacks, each followed by learning anew.
        attack: Any of the catalog that fits the threat and the model.
        samples: Original rows attacked in each round, a random part; all where there are fewer.
    """

    of: Learner = Train()
    threat: Threat = Linf(8 / 255)
    rounds: Natural = 3
    attack: Attack = HopSkipJump()
    samples: Count = 1_000

    def fit(self, dataset: Dataset, seed: int = 0, on_event: Listener = silent) -> Model:
        """A settled model, as the learner's; ends early where the attack breaks nothing any more.

        Args:
            dataset: What to learn from; it is left as it is.
            seed: Of the learner, the attack and the choice of rows; the global random state stays as it is.
            on_event: Told what the learner tells, and how many rows each round has added; may raise `holdfast.Stop`.

        Raises:
            ThreatError: HF303 or HF304 where the attack does not fit the threat or the model.
        """
        draw = torch.Generator().manual_seed(seed)
        whole, model = dataset, self.of.fit(dataset, seed, on_event)
        for k in range(self.rounds):
            rows = torch.randperm(len(dataset), generator=draw)[: self.samples].sort().values
            part = dataset.take(rows)
            out = run(self.attack, model, part.x, part.y, self.threat, seed=seed + k, ids=part.ids)
            won = out.success.nonzero()[:, 0]
            on_event(Note(f"round {k + 1} of {self.rounds}: {len(won)} of {len(rows)} rows broken and added"))
            if not len(won):
                break
            whole = enlarged(whole, rows[won], out.adversarial[won])
            model = self.of.fit(whole, seed, on_event)
        return model
