"""What the copy of a network saves that attacks search on, by its parts, and what torch.compile or bfloat16 would add.

    OMP_NUM_THREADS=1 HOLDFAST_DATA=... .venv/bin/python benchmarks/prepared.py             # a ResNet-18 of width 16
    OMP_NUM_THREADS=1 HOLDFAST_DATA=... .venv/bin/python benchmarks/prepared.py --network preact18 --width 8
    ... --compile                                # one row more: takes minutes, needs a C++ compiler
    ... --batches 10 40 90 360                   # instead: rows a second of gradients of so many rows at once

The first table is one gradient with respect to a batch of German road signs. The loop of a textbook calls
`loss.backward()`, which fills the gradients of the weights too; all others ask for the inputs' alone. `cosine` is that
of a way's gradient with the textbook's. The second is an attack (PGD-40) through the driver, making of the copy,
verification and all books included and no row stopped early, beside the textbook's loop of as many steps. Ways take
turns in one process; medians of processor seconds of one thread. The third says where the attack's seconds go, by
torch's profiler. The network is trained for a minute first, and kept.
"""

import argparse
import copy
import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy
from torch.profiler import ProfilerActivity, profile

import holdfast as hf
from holdfast.attacks.run import run
from holdfast.evaluation.bench.measure import bench
from holdfast.evaluation.bench.plain import Plain, weights_asking
from holdfast.evaluation.suites import resolve
from holdfast.learning.train import Train
from holdfast.models.files import load_model, save_model
from holdfast.models.folded import folded
from holdfast.models.model import Model
from holdfast.models.prepared import ChannelsLast, piece_of, prepared
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.report.bench import page
from holdfast.report.sheet import text
from holdfast.threats.literals import parse

THREAT = "linf:8/255"
KINDS = {  # by what torch calls its operations
    "convolutions": ("convolution", "conv2d"),
    "norms": ("batch_norm",),
    "activations": ("relu", "clamp_min", "threshold"),
}
Way = Callable[[], Tensor]


def main() -> None:
    """All three tables, or how a gradient grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=("resnet18", "preact18", "cnn", "vgg11"), default="resnet18")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--attack", default="pgd(steps=40)")
    parser.add_argument("--compile", action="store_true", help="the copy through torch.compile too")
    parser.add_argument("--batches", type=int, nargs="+", default=[], help="only how a gradient's cost grows with rows")
    parser.add_argument("--model", type=pathlib.Path, help="a model's file, instead of a network trained here")
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/prepared"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model) if options.model else network(options.network, options.width, options.runs)
    test = hf.data.load("gtsrb").test
    if options.batches:
        part = test.sample(max(options.batches), 0)
        growth(settle(model, part.x), part.x, options.batches, options.repeat)
        return
    part = test.sample(options.batch, 0)
    with model.borrowed():
        gradients(ways(model, part.x, part.y, options.compile), options.repeat)
    asked = {"threat": THREAT, "batch": options.batch, "repeat": 3, "others": "none"}
    print(text(page(bench(model, test, attacks=[options.attack], **asked))))
    settled = settle(model, part.x)
    with settled.borrowed():
        seconds(lambda: run(resolve(options.attack).attacks[0], settled, part.x, part.y, parse(THREAT), perturb=True))


def network(name: str, width: int, runs: pathlib.Path) -> Model:
    """A network that has learned a little, so that its gradients are those of a network."""
    file = runs / f"{name}-{width}.safetensors"
    if not file.exists():
        train = hf.data.load("gtsrb").train.sample(4_000, 0)
        model = Train(network=name, width=width, epochs=3, rate=0.1).fit(train, 0)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, file, {"network": name, "width": width, "shape": [3, 32, 32], "classes": 43})
    return load_model(file)


def ways(model: Model, x: Tensor, y: Tensor, compiling: bool) -> dict[str, Way]:
    """The ways to a batch's gradient, by name."""
    ask = source_of(model).ask
    made = folded(ask.net)
    if made is None:
        raise SystemExit("this network has no copy")
    copied = ChannelsLast(dataclasses.replace(ask, net=made.net))
    coarse = ChannelsLast(dataclasses.replace(ask, net=copy.deepcopy(made.net).to(torch.bfloat16)))
    plain = Plain(model=model, threat=parse(THREAT), x=x, y=y)
    piece = piece_of(x) or len(x)

    def textbook() -> Tensor:
        with weights_asking(ask.net):
            return plain.slope(x)

    def pieces() -> Tensor:
        pairs = zip(x.split(piece), y.split(piece), strict=True)
        return torch.cat([slope(copied, a, b) for a, b in pairs])

    found: dict[str, Way] = {
        "the loop of a textbook": textbook,
        "frozen weights": lambda: slope(ask, x, y),
        "copy: norms folded, channels last": lambda: slope(copied, x, y),
        f"the same in pieces of {piece}": pieces,
        "copy in bfloat16": lambda: slope(coarse, x, y),
    }
    if compiling:
        began = time.perf_counter()
        quick = ChannelsLast(dataclasses.replace(ask, net=torch.compile(made.net)))
        slope(quick, x, y)
        print(f"torch.compile took {time.perf_counter() - began:.0f} s for this one shape")
        found["copy through torch.compile"] = lambda: slope(quick, x, y)
    return found


def slope(ask: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The gradient of the summed cross-entropy with respect to the inputs."""
    leaf = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cross_entropy(ask(leaf).float(), y, reduction="sum"), leaf)
    return gradient


def gradients(found: dict[str, Way], repeat: int) -> None:
    """The first table."""
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for way in found.values():
        way()
    for _ in range(repeat):
        for name, way in found.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    first = next(iter(found))
    exact, base = found[first]().flatten(), statistics.median(seconds[first])
    table = Table("one gradient of a batch", "processor ms", "over the textbook's", "cosine")
    for name, way in found.items():
        own = statistics.median(seconds[name])
        near = float(cosine_similarity(exact, way().flatten(), dim=0))
        table.add_row(name, f"{own * 1e3:.1f}", f"{own / base:.3f}", f"{near:.4f}")
    Console(width=110).print(table)


def growth(model: Model, x: Tensor, batches: list[int], repeat: int) -> None:
    """Processor time of a gradient on the copy, as an attack asks for it, of the first rows; sizes take turns."""
    y = model.predict(x)
    with model.borrowed():
        swift = prepared(model, x).swift
        if swift is None:
            raise SystemExit("this network has no copy")
        spent: dict[int, list[float]] = {rows: [] for rows in batches}
        for turn in range(repeat + 1):
            for rows, own in spent.items():
                passes = max(1, max(batches) // rows)  # about as long for each size
                pieces = list(
                    zip(x[:rows].split(swift.piece or rows), y[:rows].split(swift.piece or rows), strict=True)
                )
                began = time.process_time()
                for _ in range(passes):
                    for a, b in pieces:
                        slope(swift.ask, a, b)
                if turn:  # the first warms up
                    own.append((time.process_time() - began) / passes / rows)
    table = Table("rows at once", "processor ms a row", "rows a second", f"over those with {batches[0]}")
    first = spent[batches[0]]
    for rows, own in spent.items():
        each = statistics.median(own)
        ratio = statistics.median(a / b for a, b in zip(first, own, strict=True))
        table.add_row(str(rows), f"{each * 1e3:.3f}", f"{1 / each:.0f}", f"{ratio:.2f}")
    Console(width=110).print(table)


def seconds(attack: Callable[[], object]) -> None:
    """The third table."""
    attack()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        began = time.perf_counter()  # the profiler's clock; what other processes take falls on all kinds alike
        attack()
        whole = time.perf_counter() - began
    shares = dict.fromkeys((*KINDS, "other tensor operations"), 0.0)
    for event in seen.key_averages():
        if event.key.startswith("aten::"):
            kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), None)
            shares[kind or "other tensor operations"] += event.self_cpu_time_total / 1e6
    shares["Python, autograd's own books and the profiler"] = whole - sum(shares.values())
    table = Table("where the attack's seconds go", "share")
    for kind, own in shares.items():
        table.add_row(kind, f"{own / whole:.0%}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
