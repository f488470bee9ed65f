"""CPU time of a PGD-7 training step beside the plain loop of the same network: 7 + 1 forward and backward passes.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training.py --network resnet18 --batch 64

Process time of one thread, the three ways in turn in one process, medians; the first round is left out. The inputs are
noise, for time does not depend on them. `uncopied` is our step where the attack asks the learning network itself.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from holdfast.data import Dataset
from holdfast.defenses.training._worst import Worst
from holdfast.learning import train
from holdfast.models.networks import build
from holdfast.threats.threats import Linf

STEPS, CLASSES, SHAPE = 7, 10, (3, 32, 32)


def ours(name: str, width: int, data: Dataset, precision: Any, copied: bool) -> Callable[[], None]:
    """A whole step of `Train`, with or without the copy."""
    worst = Worst(threat=Linf(8 / 255), space=data.space, steps=STEPS, step=0.25)
    how = train.Train(network=name, width=width, batch=len(data), perturb=worst, precision=precision)
    work = train._Work(how, data, 0, (0.5,) * 3, (0.2,) * 3)
    state = train.begin(build(name, shape=SHAPE, classes=CLASSES, width=width).train(), 0.01, 0.9, 5e-4)
    work.copy = work._copied(state.net) if copied else None
    if copied and work.copy is None:
        raise SystemExit(f"{name} has no copy")
    return lambda: work._step(state, data.x, data.y, torch.Generator().manual_seed(0), 5)


def plain(name: str, width: int, data: Dataset) -> Callable[[], None]:
    """The loop everybody writes first, with the network in training mode."""
    net = build(name, shape=SHAPE, classes=CLASSES, width=width).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)

    def step() -> None:
        for _ in range(STEPS + 1):
            optimizer.zero_grad()
            cross_entropy(net(data.x), data.y).backward()
        optimizer.step()

    return step


def main() -> None:
    """Print milliseconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--precision", default="float32", help="float32 for equal precision, auto as the machine allows"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = Dataset(torch.rand(given.batch, *SHAPE), torch.arange(given.batch) % CLASSES)
    setting = (given.network, given.width, data)
    ways = {
        "plain": plain(*setting),
        "ours": ours(*setting, given.precision, True),
        "uncopied": ours(*setting, given.precision, False),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.repeat + 1):
        for name, step in ways.items():
            began = time.process_time()
            step()
            took[name].append(time.process_time() - began)
    middle = {name: statistics.median(times[1:]) for name, times in took.items()}
    for name, seconds in middle.items():
        low, high = min(took[name][1:]), max(took[name][1:])
        ratio = seconds / middle["plain"]
        print(f"{name:10}{1000 * seconds:8.0f} ms ({1000 * low:.0f} to {1000 * high:.0f})  {ratio:.2f} of plain")


if __name__ == "__main__":
    main()
