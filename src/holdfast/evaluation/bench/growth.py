"""How the cost of a sample and a pass grows: with samples at once, with the side of a picture, with the classes."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from holdfast.attacks.attack import Attack
from holdfast.core.errors import HoldfastError
from holdfast.evaluation.bench.records import GrowthRow
from holdfast.evaluation.bench.rows import Subject
from holdfast.evaluation.bench.timing import alternated, over
from holdfast.models.model import Model
from holdfast.models.networks.named import build
from holdfast.models.settle import settle
from holdfast.models.torch_module import from_torch

BATCHES = (1, 8, 64, 256)
FACTORS = (0.5, 1.0, 2.0)  # of the side
CLASSES = (3, 10, 43, 200)
STEPS = 10  # at most: a pass costs the same in a longer search
WIDTH = 16  # of our own network
SHAPE = (1, 28, 28)  # of its inputs where the data are no pictures
By = Literal["batch", "side", "classes"]


def shortened(attack: Attack) -> Attack:
    """The attack with at most `STEPS` steps."""
    steps = getattr(attack, "steps", 0)
    return dataclasses.replace(attack, **{"steps": STEPS}) if steps > STEPS else attack


def sizes(subject: Subject) -> Iterator[tuple[By, int, Subject | str]]:
    """What grows, how large it is, and the subject of that size or the reason why there is none.

    Fewer samples than asked for are repeated: what they are does not change what a pass costs.
    """
    for count in BATCHES:
        rows = torch.arange(count) % len(subject.x)
        ids = torch.arange(count)
        yield "batch", count, dataclasses.replace(subject, x=subject.x[rows], y=subject.y[rows], ids=ids)
    if subject.x.dim() != 4:
        yield "side", 0, "the samples are no pictures"
    else:
        for factor in FACTORS:
            side = max(round(factor * subject.x.shape[2]), 1)
            yield "side", side, _resized(subject, factor)
    for count in CLASSES:
        yield "classes", count, _classes(subject, count)


def grown(by: By, value: int, subject: Subject, attack: Attack) -> GrowthRow:
    """The cost of one sample and pass at one size, beside the plain loop's."""
    steps = max(int(getattr(attack, "steps", STEPS)), 1)

    def loop(found: object) -> Tensor:
        return subject.plain.run(steps if subject.model.module is not None else 0, 0)

    ours, plain = alternated(lambda: subject.attacked(attack), loop, subject.repeat, subject.clock)
    passes = max(float(torch.maximum(ours.value.queries, ours.value.gradients).double().mean()), 1.0)
    one, other = ours.median / passes / len(subject.x), plain.median / steps / len(subject.x)
    return GrowthRow(by=by, value=value, ours=one, plain=other, ratio=over(one, other))


def _resized(subject: Subject, factor: float) -> Subject | str:
    """The same pictures at another size, labeled by the model's own word; or why it takes none."""
    if factor == 1:
        return subject
    height, width = (max(round(factor * n), 1) for n in subject.x.shape[2:])
    x = nn.functional.interpolate(subject.x, (height, width), mode="bilinear", antialias=factor < 1)
    low, high = subject.model.space.limits(x[:1])
    try:
        return _labeled(subject, subject.model, torch.minimum(torch.maximum(x, low), high))
    except Exception as error:  # a user's network may refuse a size in any way
        return f"the model takes no pictures of {height} x {width} ({type(error).__name__})"


def _classes(subject: Subject, count: int) -> Subject | str:
    """A small untrained network of our own with so many classes, and the samples labeled by its own word."""
    x, space = subject.x, subject.model.space
    if x.dim() != 4:
        x = torch.rand(len(x), *SHAPE, generator=torch.Generator().manual_seed(subject.seed))
        space = type(space)()
    with torch.random.fork_rng():
        torch.manual_seed(subject.seed)
        net = build("cnn", shape=tuple(x.shape[1:]), classes=count, width=WIDTH).to(x.dtype)
    try:
        return _labeled(subject, from_torch(net, space, output="logits", classes=count), x)
    except HoldfastError as error:
        return error.what


def _labeled(subject: Subject, model: Model, x: Tensor) -> Subject:
    settled = settle(model, x)
    return dataclasses.replace(subject, model=settled, x=x, y=settled.predict(x, len(x)))
