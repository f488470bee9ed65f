"""What ways and starts side by side cost and save, beside one after the other: passes, processor seconds of a thread.

    HOLDFAST_DATA=... .venv/bin/python benchmarks/side_by_side.py                                       # undefended
    HOLDFAST_DATA=... .venv/bin/python benchmarks/side_by_side.py --model runs/frugal/usps-cnn.safetensors \
        --threats linf:0.15

Both kinds take turns. Without `--model` a small undefended network is trained first. Passes are rows sent forward and
rows sent backward; survivors cost the same either way, and a row that breaks on a later way has paid for the others.
The last two lines are the stages of `standard` and of `frugal`, one after the other on what is left.
"""

import argparse
import contextlib
import pathlib
import statistics
import time
from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor

import holdfast as hf
from holdfast import attacks
from holdfast.attacks import repeat
from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion import apgd, fab_t, local_search, square
from holdfast.attacks.first_of import FirstOf
from holdfast.attacks.outcome import Outcome
from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.attacks.side_by_side import Start
from holdfast.evaluation.suites import describe, resolve
from holdfast.learning.train import Train
from holdfast.models.files import load_model
from holdfast.threats.literals import parse

ATTACKS: tuple[Attack, ...] = (
    attacks.Apgd(loss="dlr", targets=9),
    attacks.FabT(),
    attacks.FabT(steps=60, hope=1.3),
    attacks.LocalSearch(),
    attacks.Apgd(restarts=5),
    attacks.Square(steps=500, restarts=5),
    attacks.Repeat(attacks.Pgd(), 10),
)

LAST = ("side by side", "ratio")


def in_turn(probe: Probe, order: Tensor, start: Start | None = None) -> Iterator[tuple[Probe, Tensor, Tensor]]:
    """All rows climb one way before the next one begins."""
    for way in order.T:
        yield probe, way, probe.x0 if start is None else start()


def starts_in_turn(probe: Probe, count: int) -> Iterator[tuple[int, Probe]]:
    """All rows take one start before the next one begins."""
    for turn in probe.restarts(count):
        yield turn, probe


def one_after_the_other() -> contextlib.ExitStack:
    """A context in which the attacks take their ways and starts so."""
    stack = contextlib.ExitStack()
    for module in (apgd, fab_t, local_search):
        stack.enter_context(mock.patch.object(module, "side_by_side", in_turn))
    for module in (apgd, fab_t, square, repeat):
        stack.enter_context(mock.patch.object(module, "starts", starts_in_turn))
    return stack


def passes(out: Outcome) -> int:
    """Rows sent forward and backward."""
    return int(out.queries.sum() + out.gradients.sum())


def lines(threat: str) -> list[tuple[str, Attack]]:
    """Single attacks, and the stages of suites as one attack, by name."""
    single = [(describe(attack), attack) for attack in ATTACKS]
    suites = [(name, FirstOf(resolve(name).serving(parse(threat)).attacks)) for name in ("standard", "frugal")]
    return [*single, *suites]


def main() -> None:
    """A line for each attack and threat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--data", default="usps")
    parser.add_argument("--threats", nargs="+", default=["linf:0.05", "l2:1"])
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = hf.data.load(options.data)
    part = data.test.sample(options.samples, 0)
    plain = Train(network="cnn", width=8, epochs=3, rate=0.05, smoothing=0.0)
    model = load_model(options.model) if options.model else plain.fit(data.train.sample(4_000, 0), 0)
    line = "{:70}  {:10}  {:>6}  {:>8}  {:>14}  {:>12}  {:>15}  {:>12}  {:>5}".format
    print(line("attack", "threat", "broken", "unbroken", "passes in turn", "side by side", "seconds in turn", *LAST))
    for threat in options.threats:
        for name, attack in lines(threat):
            found: dict[bool, Outcome] = {}
            spent: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(options.turns):
                for turn, context in ((True, one_after_the_other()), (False, contextlib.nullcontext())):
                    with context:
                        began = time.process_time()
                        found[turn] = run(attack, model, part.x, part.y, threat)
                        spent[turn].append(time.process_time() - began)
            if found[True].status != found[False].status:
                raise SystemExit(f"{name}: a status differs")
            seconds = [statistics.median(spent[turn]) for turn in (True, False)]
            counts = [found[True].status.count(word) for word in ("broken", "unbroken")]
            asked = [f"{passes(found[turn]):,}" for turn in (True, False)]
            spared = f"{seconds[1] / seconds[0]:.2f}"
            print(line(name, threat, *counts, *asked, *(f"{each:.1f}" for each in seconds), spared), flush=True)


if __name__ == "__main__":
    main()
