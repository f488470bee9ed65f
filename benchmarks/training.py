"""A PGD-7 training step beside the plain loop of the same network: its processor time, and what comes of both loops.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/training.py --network resnet18 --batch 64
    OMP_NUM_THREADS=1 HOLDFAST_DATA=... .venv/bin/python benchmarks/training.py --network cnn --accuracy

Without `--accuracy`: process time of one thread, the ways in turn in one process, medians; the first round is left out.
The inputs are noise, for time does not depend on them. The plain loop has 7 + 1 forward and backward passes of the
network in training mode; `uncopied` is our step where the attack asks the learning network itself.

With it: three whole trainings for each seed, ours, the plain loop, and the plain loop whose attacks ask the network in
evaluation mode (`steady`), which is what our copy answers, from the same weights (of a network trained on clean data),
in the same order, with the same random starts, rates, decay and average. All are audited on the same test samples with
the suite `quick`. Differences are paired over samples and seeds, the answers to one sample being one group; `in
seconds` is the ratio of the process times of the same trainings. Models and runs are kept in the folder: the same
command continues.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import cross_entropy

import holdfast as hf
from holdfast.data import Dataset
from holdfast.defenses.training._worst import Worst, drawn
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.evaluation.comparable import read
from holdfast.evaluation.paired import over_groups
from holdfast.learning import train
from holdfast.learning.processes import processes
from holdfast.learning.schedule import one_cycle
from holdfast.learning.state import begin
from holdfast.models.files import load_model, save_model
from holdfast.models.networks import build
from holdfast.models.torch_module import Normalized
from holdfast.threats.literals import parse
from holdfast.threats.threats import Linf, Threat

STEPS, STEP, CLASSES, SHAPE = 7, 0.25, 10, (3, 32, 32)
THREATS = {"gtsrb": "linf:8/255", "mnist": "linf:0.2"}


def ours(name: str, width: int, data: Dataset, precision: Any, copied: bool) -> Callable[[], None]:
    """A whole step of `Train`, with or without the copy."""
    worst = Worst(threat=Linf(8 / 255), space=data.space, steps=STEPS, step=STEP)
    how = train.Train(network=name, width=width, batch=len(data), perturb=worst, precision=precision)
    work = train._Work(how, data, 0, (0.5,) * 3, (0.2,) * 3, processes("cpu"))
    state = begin(build(name, shape=SHAPE, classes=CLASSES, width=width).train(), 0.01, 0.9, 5e-4)
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


def timed(given: argparse.Namespace) -> None:
    """Print milliseconds and ratios."""
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


def looped(of: train.Train, data: Dataset, seed: int, threat: Threat, steady: bool) -> hf.Model:
    """Adversarial training as everybody writes it first: the learning network, in training mode, in every pass.

    With `steady` attacks ask it in evaluation mode: norms by their running statistics, which attacks then do not move.
    """
    work = train._Work(of, data, seed, *of.scaling(data), processes("cpu"))  # wraps the result, nothing else
    state = begin(of._network(data).train(), of.rate, of.momentum, of.weight_decay)
    ask, per_epoch = Normalized(state.net, work.mean, work.std), len(data) // of.batch
    for epoch in range(of.epochs):
        draw = torch.Generator().manual_seed(train._mixed(seed, epoch))
        order = torch.randperm(len(data), generator=draw)[: per_epoch * of.batch]
        for k, rows in enumerate(order.split(of.batch)):
            x0, y, at = data.x[rows], data.y[rows], epoch * per_epoch + k
            x = threat.around(x0, data.space).sample(drawn(x0, draw))
            state.net.train(not steady)
            for _ in range(STEPS):
                x.requires_grad_()
                state.optimizer.zero_grad()
                cross_entropy(ask(x), y).backward()
                moved = x.detach() + STEP * threat.radius * x.grad.sign()
                x = torch.minimum(torch.maximum(moved, x0 - threat.radius), x0 + threat.radius).clamp(0, 1)
            state.net.train()
            for group in state.optimizer.param_groups:
                group["lr"] = one_cycle(at, of.epochs * per_epoch, of.rate)
            state.optimizer.zero_grad()
            cross_entropy(ask(x), y, label_smoothing=of.smoothing).backward()
            state.optimizer.step()
            state.follow(of.average, at)
    return work.model(state.average)


def kept(given: argparse.Namespace, name: str, data: Dataset, make: Callable[[], hf.Model]) -> tuple[hf.Model, float]:
    """The model of this name, made where it is not there, and its seconds."""
    file = given.folder / f"{name}.safetensors"
    if not file.exists():
        began = time.process_time()
        model = make()
        file.with_suffix(".json").write_text(json.dumps(time.process_time() - began))
        shape = list(data.x.shape[1:])
        save_model(
            model, file, {"network": given.network, "width": given.width, "shape": shape, "classes": data.n_classes}
        )
    return load_model(file), float(json.loads(file.with_suffix(".json").read_text()))


def compared(given: argparse.Namespace) -> None:
    """Train and audit with every seed; print what both withstand and the paired differences."""
    found, threat = hf.data.load(given.data), parse(THREATS[given.data])
    data, test = found.train.sample(given.images, 0), found.test.sample(given.test, 0)
    given.folder.mkdir(parents=True, exist_ok=True)
    said = json.dumps({key: value for key, value in vars(given).items() if key not in ("folder", "seeds", "repeat")})
    if (note := given.folder / "setting.json").exists() and note.read_text() != said:
        raise SystemExit(f"{given.folder} belongs to another setting: {note.read_text()}")
    note.write_text(said)
    warm = train.Train(network=given.network, width=given.width, epochs=given.warm, rate=0.1, smoothing=0.0)
    seconds: dict[str, list[float]] = {"plain": [], "steady": [], "ours": []}
    held: dict[tuple[str, str], list[bool]] = {(way, what): [] for way in seconds for what in ("clean", "robust")}
    for seed in range(given.seeds):
        start, _ = kept(given, f"start-{seed}", found.train, lambda s=seed: warm.fit(found.train, s))
        of = dataclasses.replace(warm, start=start, epochs=given.epochs, batch=given.batch, rate=given.rate)
        of = dataclasses.replace(of, average=0.99, precision=given.precision)
        recipe = AdversarialTraining(of=of, threat=threat, steps=STEPS, step=STEP)
        make = {
            "plain": lambda o=of, s=seed: looped(o, data, s, threat, steady=False),
            "steady": lambda o=of, s=seed: looped(o, data, s, threat, steady=True),
            "ours": lambda r=recipe, s=seed: r.fit(data, s),
        }
        for way in list(make) if seed % 2 else list(make)[::-1]:
            model, took = kept(given, f"{way}-{seed}", data, make[way])
            run = hf.audit(model, test, threat=threat, suite="quick", out=given.folder / f"audit-{way}-{seed}")
            seen = read(run.folder)
            keys = sorted(seen.ids, key=seen.ids.__getitem__)
            seconds[way].append(took)
            held[way, "clean"] += [seen.clean[key] for key in keys]
            held[way, "robust"] += [seen.held[threat.literal][key] for key in keys]
            print(
                f"seed {seed}  {way:6s} {took:5.0f} s   clean {run.clean_accuracy.point:6.1%}   "
                f"robust {run.empirical_robust_accuracy.point:6.1%}",
                flush=True,
            )
    image = list(range(len(test))) * given.seeds
    print(f"{given.data}, {threat.literal}, {len(data)} to learn from, {len(test)} test samples, {given.seeds} seeds")
    for what in ("clean", "robust"):
        for way in ("plain", "steady"):
            first, second = held[way, what], held["ours", what]
            shares = f"{way} {statistics.mean(first):6.1%}   ours {statistics.mean(second):6.1%}"
            print(f"{what:7s} {shares}   ours less {way} {over_groups(first, second, image)}")
    print(f"in seconds ours takes {sum(seconds['ours']) / sum(seconds['plain']):.2f} of plain")


def main() -> None:
    """Time or accuracy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--precision", default="float32", help="float32 for equal precision, auto as the machine allows"
    )
    parser.add_argument("--accuracy", action="store_true", help="train whole networks and audit them")
    parser.add_argument("--data", choices=list(THREATS), default="gtsrb")
    parser.add_argument("--images", type=int, default=2_000, help="of the training part")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--warm", type=int, default=6, help="epochs on clean data, all of them, that both start from")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--test", type=int, default=300, help="samples of the test part")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/training-accuracy"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    (compared if given.accuracy else timed)(given)


if __name__ == "__main__":
    main()
