"""Every attack that torchattacks, Foolbox or ART has too: seconds over theirs at equal steps, and strength beside it.

    make bench-env
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/ratios.py --model runs/frugal/gtsrb-preact18.safetensors
    ... benchmarks/ratios.py --only FMN

One network (adversarially trained on German road signs), one thread, processor seconds; a peer's and ours in turn in
one process, A B A B, medians. Gradients are asked on `--count` photographs, scores and decisions on the first `--few`
of them, what takes a peer seconds a photograph on the first `--least`. Both sides get the same steps; where only
decisions are seen ours may ask as many questions as the peer did. Nothing stops at a first success, except attacks on
scores, where both sides do. Peers get the network with frozen weights, as ours do. A peer five times as slow runs once.

*Passes* are what one sample cost, the larger of forward and backward passes: ours; each peer's. *Found* is how many are
broken under the threat, or the median distance, and how many were found where it is not all: ours; each peer's. A ratio
with `w` does not count, ours is weaker there (by more than one sample, or 2 % of the distance); one with `f` is over a
peer that made less than nine tenths of our passes. The aim is 0.7 of the fastest peer, 1.1 below 20 passes.
"""

import argparse
import dataclasses
import json
import logging
import math
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import TypeVar

import torch
from ratio_peers import TABLE, Entry
from torch import Tensor

import holdfast as hf
from holdfast.attacks.outcome import Outcome
from holdfast.attacks.run import run
from holdfast.evaluation.bench.peers import TITLES, Peer, Victim, peer_of, toolkits, victim
from holdfast.evaluation.bench.plain import Plain
from holdfast.evaluation.bench.timing import Timed, alternated, over
from holdfast.models.files import load_model
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.threats.goals import Target
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

A = TypeVar("A")
B = TypeVar("B")
HERE = pathlib.Path(__file__).parent
AIM, FEW_AIM, FEW = 0.7, 1.1, 20  # of the fastest peer's seconds; with fewer passes than FEW; what few passes are
SLOW = 5.0  # times ours from which on a peer runs once
FEWER = 0.9  # share of our passes below which a peer has not made the same steps
TURN, SHIFT = 10.0, 1.0  # degrees, pixels
NEARER = 1.02  # medians of distances within this factor are equal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strength:
    """What an attack found: `found` of `samples` broken, or points at all, at this median distance (None without)."""

    samples: int
    found: int
    distance: float | None = None

    def below(self, other: "Strength") -> bool:
        """Whether it is weaker, by more than one sample or 2 % of the median distance."""
        if self.found < other.found - 1:
            return True
        if other.distance is None or not math.isfinite(other.distance):
            return False
        return self.distance is not None and self.distance > NEARER * other.distance

    def __str__(self) -> str:
        if self.distance is None:
            return f"{self.found}"
        told = "none" if math.isinf(self.distance) else f"{self.distance:.3g}"
        return told if self.found == self.samples else f"{told} ({self.found})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
    """An attack beside one peer's.

    Args:
        ratio: Our processor seconds over the peer's.
        passes, passes_theirs: Of a sample, the larger of forward and backward passes.
        ours, theirs: What both found.
    """

    ratio: float
    passes: float
    passes_theirs: float
    ours: Strength
    theirs: Strength

    @property
    def weaker(self) -> bool:
        """Whether ours is the weaker one, so that its time proves nothing."""
        return self.ours.below(self.theirs)

    @property
    def fewer(self) -> bool:
        """Whether the peer made fewer passes, so that its time is that of less work."""
        return self.passes_theirs < FEWER * self.passes

    def __str__(self) -> str:
        return f"{self.ratio:.2f}" + " w" * self.weaker + " f" * self.fewer


def verdict(rows: Sequence[Beside]) -> str:
    """Against the fastest of the peers beside which ours is not weaker, and among those that did as much."""
    counted = [row for row in rows if not row.weaker]
    if not counted:
        return "weaker" if rows else "no peer"
    aim = FEW_AIM if max(row.passes for row in counted) < FEW else AIM
    worst = max(row.ratio for row in counted)
    if worst <= aim:
        return f"met, {worst:.2f}" + (", but weaker than one" if len(counted) < len(rows) else "")
    equal = [row.ratio for row in counted if not row.fewer]
    if equal and max(equal) <= aim:
        return f"missed, {worst:.2f}; met at equal passes, {max(equal):.2f}"
    return f"missed, {worst:.2f}" + ("; of a peer that makes fewer passes" if not equal else "")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """Who is attacked under one threat: a settled model, and samples that it gets right."""

    model: Model
    threat: Threat
    x: Tensor
    y: Tensor
    target: Tensor | None
    repeat: int

    def attacked(self, entry: Entry, queries: int | None) -> Outcome:
        """What our attack does: gradients take every row to the end, scores end a row that is broken."""
        threat = self.threat.at(math.inf) if entry.attack.minimal else self.threat
        threat = threat if queries is None else dataclasses.replace(threat, queries=queries)
        goal = self.y if self.target is None else Target(self.target)
        whole = not entry.attack.minimal and "module" in entry.attack.needs
        return run(entry.attack, self.model, self.x, goal, threat, batch=len(self.x), perturb=whole)

    def strength(self, found: Tensor, minimal: bool) -> Strength:
        """As the model itself says; peers leave the box by rounding."""
        found = found.detach().to(self.x).clamp(0, 1)
        answers = self.model.predict(found)
        reached = answers != self.y if self.target is None else answers == self.target
        if not minimal:
            inside = self.threat.around(self.x, self.model.space).contains(found)
            return Strength(samples=len(found), found=int((reached & inside).sum()))
        far = self.threat.at(math.inf).around(self.x, self.model.space).distance(found)
        far = torch.where(reached, far, torch.inf)
        return Strength(samples=len(found), found=int(reached.sum()), distance=float(far.median()))

    def plain(self, entry: Entry) -> float:
        """Our seconds over those of the loop of a textbook with as many passes."""

        def loop(one: Outcome) -> Tensor:
            queries, gradients = _mean(one.queries), _mean(one.gradients)
            loop = Plain(model=self.model, threat=self.threat, x=self.x, y=self.y)
            return loop.run(round(gradients), max(round(queries - gradients), 0))

        once = max(self.repeat // 2, 1)
        mine, other = alternated(lambda: self.attacked(entry, None), loop, once, time.process_time)
        return over(mine.median, other.median)


def beside(subject: Subject, entry: Entry, peer: Peer, seen: Victim) -> Beside:
    """Both in turn, the peer first: ours may ask as many questions as it did where only decisions are seen."""
    asked: list[tuple[int, int]] = []

    def theirs() -> Tensor:
        before = seen.net.rows, seen.net.gradients
        found = peer.run()
        asked.append((seen.net.rows - before[0], seen.net.gradients - before[1]))
        return found

    def ours(_: Tensor) -> Outcome:
        questions = max(round(asked[-1][0] / len(subject.x)), 1)
        return subject.attacked(entry, questions if entry.equal_questions else None)

    other, mine = turns(theirs, ours, subject.repeat)
    found = mine.value.adversarial if not _whole(entry) else mine.value.strongest
    return Beside(
        ratio=over(mine.median, other.median),
        passes=max(_mean(mine.value.queries), _mean(mine.value.gradients)),
        passes_theirs=max(asked[-1]) / len(subject.x),
        ours=subject.strength(found, entry.attack.minimal),
        theirs=subject.strength(other.value, entry.attack.minimal),
    )


def turns(theirs: Callable[[], A], ours: Callable[[A], B], repeat: int) -> tuple[Timed[A], Timed[B]]:
    """Both in turn `repeat` times; once where the peer is slow beyond doubt."""
    first = alternated(theirs, ours, 1, time.process_time)
    if repeat == 1 or first[0].median > SLOW * first[1].median:
        return first
    more = alternated(theirs, ours, repeat - 1, time.process_time)
    return (
        Timed(more[0].value, first[0].seconds + more[0].seconds),
        Timed(more[1].value, first[1].seconds + more[1].seconds),
    )


def turned(subject: Subject) -> str:
    """The row of turns and shifts on one grid; ours leaves a sample once it is broken, Foolbox does not."""
    import foolbox

    seen, count, side = victim(subject.model, subject.threat, subject.x, subject.y, 0), [], subject.x.shape[-1]
    if seen is None:
        raise SystemExit("peers want a torch module of logits")
    model, data = hf.wrap(seen.net, bounds=(0, 1)), hf.Dataset(subject.x, subject.y, classes=range(seen.classes))
    reach = SHIFT * side / (side - 1)  # Foolbox's pixels
    grid = {"num_translations": 3, "num_rotations": 11}
    attack = foolbox.attacks.SpatialAttack(max_translation=reach, max_rotation=TURN, **grid)

    def asking(way: Callable[[], Tensor]) -> Tensor:
        before = seen.net.rows
        found = way()
        count.append((seen.net.rows - before) / len(subject.x))
        return found

    def theirs() -> Tensor:
        return attack(foolbox.PyTorchModel(seen.net, bounds=(0, 1)), subject.x, subject.y)[2]

    def ours() -> Tensor:
        how = {"rotate": TURN, "translate": SHIFT / side, "angles": 11, "shifts": 3, "looks": 1}
        return hf.spatial(model, data, **how).broken

    other, mine = turns(lambda: asking(theirs), lambda _: asking(ours), subject.repeat)
    found = [Strength(samples=len(subject.x), found=int(side.value.sum())) for side in (mine, other)]
    row = Beside(
        ratio=over(mine.median, other.median),
        passes=count[1],
        passes_theirs=count[0],
        ours=found[0],
        theirs=found[1],
    )
    return line("turns and shifts, 99", f"{TURN:g} degrees, {SHIFT:g} pixels", "–", {"foolbox": row}, [])


def _whole(entry: Entry) -> bool:
    return not entry.attack.minimal and "module" in entry.attack.needs


def _mean(counts: Tensor) -> float:
    return float(counts.double().mean())


def line(name: str, threat: str, plain: str, found: dict[str, Beside], refused: Sequence[str]) -> str:
    """One row of the table: `found` is by toolkit."""
    rows = list(found.values())
    cells = [str(found[key]) if key in found else "–" for key in TITLES]
    first = rows[0] if rows else None
    passes = "–" if first is None else f"{first.passes:.0f}; " + ", ".join(f"{row.passes_theirs:.0f}" for row in rows)
    strength = "–" if first is None else f"{first.ours}; " + ", ".join(str(row.theirs) for row in rows)
    end = verdict(rows) + "".join(f"; {text}" for text in refused)
    return f"| {name} | {threat} | {passes} | {plain} | {' | '.join(cells)} | {strength} | {end} |"


def measured(entry: Entry, subject: Subject) -> str:
    """The row of one attack."""
    found: dict[str, Beside] = {}
    refused: list[str] = []
    seen = victim(subject.model, subject.threat, subject.x, subject.y, 0)
    if seen is None:
        raise SystemExit("peers want a torch module of logits")
    for key, module in toolkits("auto").items():
        if key in entry.without:
            continue
        try:
            made = entry.peers.get(key)
            peer = made(module, entry.attack, seen) if made else peer_of(key, module, entry.attack, seen)
            if peer is not None:
                _warm(entry, key, module, subject)
                found[key] = beside(subject, entry, peer, seen)
        except Exception as error:  # noqa: BLE001 - a foreign package may refuse in any way
            refused.append(
                f"{TITLES[key]} ended with {type(error).__name__}: {(str(error).splitlines() or [''])[0][:80]}"
            )
    plain = f"{subject.plain(entry):.2f}" if "module" in entry.attack.needs else "–"
    return line(entry.name, subject.threat.literal, plain, found, refused)


def _warm(entry: Entry, key: str, module: object, subject: Subject) -> None:
    """Two samples once, for what a toolkit compiles or imports at first use."""
    seen = victim(subject.model, subject.threat, subject.x[:2], subject.y[:2], 0)
    made = entry.peers.get(key)
    peer = made(module, entry.attack, seen) if made else peer_of(key, module, entry.attack, seen)
    if entry.warm and peer is not None:
        peer.run()


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("runs/frugal/gtsrb-preact18.safetensors"))
    parser.add_argument("--count", type=int, default=32, help="photographs whose gradients are asked")
    parser.add_argument("--few", type=int, default=8, help="photographs whose scores and decisions are asked")
    parser.add_argument("--least", type=int, default=2, help="photographs for ways that take seconds for one")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[""], help="rows whose name has one of these texts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    signs = photographs(options.model, options.count)
    digits = right(load_model("digits-mlp"), hf.data.load("digits").test, options.count)
    print(f"{len(signs[1])} photographs ({options.few}, {options.least}), medians of {options.repeat}, 1 thread\n")
    print("| attack | threat | passes: ours; theirs | over the textbook | " + " | ".join(TITLES.values()), end="")
    print(" | found: ours; theirs | aim |\n" + "|---" * 9 + "|", flush=True)
    counts = {"few": options.few, "least": options.least}
    for entry in TABLE:
        if any(text.lower() in entry.name.lower() for text in options.only):
            model, part = digits if entry.samples == "digits" else signs
            part = part.take(torch.arange(min(counts.get(entry.samples, len(part)), len(part))))
            target = (part.y + 1) % int(model.classes or 0) if entry.aimed else None
            some = {"x": part.x, "y": part.y, "target": target, "repeat": options.repeat}
            with model.borrowed(), redirect_stdout(sys.stderr):
                row = measured(entry, Subject(model=model, threat=parse(entry.threat), **some))
            print(row, flush=True)
    if any(text.lower() in "turns and shifts" for text in options.only):
        model, part = signs
        some = {"x": part.x, "y": part.y, "target": None, "repeat": options.repeat}
        with model.borrowed(), redirect_stdout(sys.stderr):
            row = turned(Subject(model=model, threat=parse("linf:inf"), **some))
        print(row, flush=True)


def photographs(file: pathlib.Path, count: int) -> tuple[Model, hf.Dataset]:
    """The network, and photographs of the fixed list that it gets right."""
    rows = torch.tensor(json.loads((HERE / "gtsrb_500.json").read_text()))
    return right(load_model(file), hf.data.load("gtsrb").test.take(rows), count)


def right(model: Model, part: hf.Dataset, count: int) -> tuple[Model, hf.Dataset]:
    """The model, settled, and the first samples that it gets right."""
    model = settle(model, part.x)
    return model, part.take((model.predict(part.x) == part.y).nonzero()[:count, 0])


if __name__ == "__main__":
    main()
