"""What each of several processes does in `test_processes.py`: trains, stops, fails; it writes what it saw to a file."""

import dataclasses
import functools
import json
import pathlib
import sys
import time

import torch
from torch import nn

from holdfast.core.errors import HoldfastError, Stop
from holdfast.core.progress import BatchDone
from holdfast.data import Dataset
from holdfast.defenses import (
    AdaptiveDiversity,
    AdversarialTraining,
    InputGradient,
    LipschitzMargin,
    Trades,
    WeightPerturbation,
)
from holdfast.defenses.training._worst import slope
from holdfast.learning.objective import CrossEntropy
from holdfast.learning.processes import processes
from holdfast.learning.train import Train
from holdfast.threats.threats import L2, Linf

OF = Train(network="mlp", width=16, epochs=2, batch=33, rate=0.05, average=0.9)
NORMS = dataclasses.replace(OF, network="cnn", width=4, epochs=4, batch=32)


def toy(n=132, seed=0):
    """Three classes of pictures, each bright in another place."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 6, 6, generator=draw) * 0.7
    for label in range(3):
        x[y == label, :, :, 2 * label : 2 * label + 2] += 0.3
    return Dataset(x, y)


def trainings(device):
    """Learners whose result on two processes must be that on one, by name."""
    of = dataclasses.replace(OF, device=device)
    attack = AdversarialTraining(of=of, threat=Linf(0.1), steps=3)
    return {
        "plain": of,
        "attack": attack,
        "trades": Trades(of=of, threat=L2(0.5), steps=3),
        "weights": WeightPerturbation(of=attack),
        "penalty": InputGradient(of=of),
        "members": AdaptiveDiversity(of=dataclasses.replace(of, epochs=1), members=2),
    }


def judged(device):
    """An adversarial training of a network with batch norms that is judged after each epoch."""
    of = dataclasses.replace(NORMS, device=device, patience=4)
    return AdversarialTraining(of=of, threat=Linf(0.05), steps=2, validation_steps=5)


def numbers(model):
    """All scores of a model on the data."""
    with torch.no_grad():
        return model.answer(toy().x).scores.double()


def held(learner):
    """How many of the validation samples hold after each epoch."""
    found = []
    learner.fit(
        toy(), on_event=lambda e: found.append(e.held) if isinstance(e, BatchDone) else None, validation=toy(120, 5)
    )
    return found


def outcome(work):
    """How a piece of work ended."""
    try:
        work()
    except (HoldfastError, Stop, KeyboardInterrupt, ValueError) as error:
        return error.code if isinstance(error, HoldfastError) else type(error).__name__
    return "finished"


class Halting:
    """A listener that stops the training after its first epoch, and counts."""

    def __init__(self):
        self.told = 0

    def __call__(self, event):
        self.told += 1
        if isinstance(event, BatchDone):
            raise Stop


@dataclasses.dataclass(frozen=True)
class Leaning:
    """A loss that is another one in each process."""

    rank: int = dataclasses.field(compare=False)

    def __call__(self, step):
        return CrossEntropy()(step) + 0.1 * self.rank * sum(p.square().sum() for p in step.net.parameters())


def failing(model, part):
    """A judge that gives up."""
    raise ValueError("no judgment")


@dataclasses.dataclass
class Interrupted:
    """Ctrl-C in one process, in the middle of a step."""

    rank: int = dataclasses.field(compare=False)
    asked: int = dataclasses.field(default=0, compare=False)

    def __call__(self, logits, x, y, draw):
        self.asked += 1
        if self.rank == 1 and self.asked == 3:
            raise KeyboardInterrupt
        return (x + 0.1 * slope(logits, x, lambda scores: scores.sum())).clamp(0, 1)


def learned(team, seen):
    """Scores of every training's model on the data; all processes must have the same."""
    models = {}
    for name, learner in trainings("accelerate").items():
        began = time.process_time()
        models[name] = numbers(learner.fit(toy()))
        seen["spent"][name] = time.process_time() - began
    seen["sums"] = {name: found.sum().item().hex() for name, found in models.items()}
    seen["held"] = held(judged("accelerate"))
    LipschitzMargin(of=dataclasses.replace(NORMS, epochs=1, device="accelerate")).fit(toy())  # HF259 where they part
    torch.manual_seed(5)
    team.seed(1)
    models["dropout"] = team.shared(nn.Dropout(0.5))(torch.ones(8, 50))
    seen["common"] = torch.rand(1).item()
    return models


def stopped(seen, folder):
    """A training that is stopped after its first epoch, and continued."""
    kept = dataclasses.replace(NORMS, device="accelerate", epochs=2, checkpoint=str(folder / "state.pt"))
    halting = Halting()
    seen["stopped"], seen["told"] = outcome(lambda: kept.fit(toy(), on_event=halting)), halting.told
    whole = dataclasses.replace(kept, checkpoint="").fit(toy())
    seen["resumed"] = torch.equal(numbers(kept.fit(toy())), numbers(whole))


def refused(team, seen):
    """What must not go on; after the last of these the processes cannot reach each other any more."""
    of = dataclasses.replace(OF, device="accelerate")
    changes = {
        "few": {"batch": 3},
        "failed": {"patience": 1, "judge": failing},
        "parted": {"objective": Leaning(team.rank)},
        "interrupted": {"perturb": Interrupted(team.rank)},
        "after": {},
    }
    seen["strangers"] = outcome(lambda: of.fit(toy(), seed=team.rank))
    for name, change in changes.items():
        seen[name] = outcome(functools.partial(dataclasses.replace(of, **change).fit, toy()))


def main(folder):
    """Go through everything; nobody may wait for a process that has gone."""
    team = processes("accelerate")
    seen = {"count": team.count, "spent": {}}
    models = learned(team, seen)
    stopped(seen, folder)
    refused(team, seen)
    if team.rank == 0:
        torch.save(models, folder / "models.pt")
    (folder / f"{team.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
