"""Why a model does worse on the data than its owner expects: the usual mistakes, tried one by one."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from holdfast.models.model import Model
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized

ROWS = 512  # samples looked at
GAIN = 0.1  # accuracy that a correction must win to be worth a word
_SCALES = (
    ("ImageNet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ("CIFAR-10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ("[-1, 1]", (0.5,), (0.5,)),
    ("MNIST", (0.1307,), (0.3081,)),
)


@dataclasses.dataclass(frozen=True)
class _Trial:
    """A correction: the accuracy it gives, and what it would mean."""

    accuracy: float
    text: str


def likely_causes(model: Model, x: Tensor, y: Tensor) -> tuple[str, ...]:
    """The mistakes whose correction raises the accuracy by at least 10 points, the best first; often none.

    Tries shifted and permuted labels, swapped channels and axes, inverted images, other ranges, missing and doubled
    normalization, and training mode, on the first 512 samples. Costs about 20 passes over them.

    Args:
        model: A settled model.
        x: Inputs `(n, ...)`.
        y: Their labels `(n,)`.
    """
    x, y = x[:ROWS], y[:ROWS]
    if not len(x):
        return ()
    said = model.predict(x)
    trials = [*_labels(said, y, model.classes or int(y.max()) + 1), *_inputs(model, x, y), *_modes(model, x, y)]
    return _better(trials, _accuracy(said, y))


def likely_labels(said: Tensor, y: Tensor, classes: int) -> tuple[str, ...]:
    """Those of the mistakes that stand in the labels, from answers that are there already: `(n,)` and `(n,)`."""
    return _better(list(_labels(said, y, classes)), _accuracy(said, y))


def _better(trials: Sequence[_Trial], base: float) -> tuple[str, ...]:
    """The trials that gain enough, in words."""
    good = sorted((trial for trial in trials if trial.accuracy >= base + GAIN), key=lambda trial: -trial.accuracy)
    return tuple(f"{trial.text}: accuracy {base:.1%} -> {trial.accuracy:.1%}" for trial in good)


def _accuracy(said: Tensor, y: Tensor) -> float:
    return float((said == y).double().mean())


def _labels(said: Tensor, y: Tensor, classes: int) -> Iterator[_Trial]:
    """Labels from another number on, or in another order: half of the samples find it, the rest judge it."""
    yield _Trial(_accuracy(said, y - 1), "the data's labels seem to start at 1 where the model's start at 0")
    yield _Trial(_accuracy(said, y + 1), "the model's labels seem to start at 1 where the data's start at 0")
    half = torch.arange(len(y)) % 2 == 0
    order = _best_order(said[half], y[half], classes)
    mapped = order[said]
    changed = [f"{i} is {j}" for i, j in enumerate(order.tolist()) if i != j]
    yield _Trial(
        _accuracy(mapped[~half], y[~half]) if bool((~half).any()) else 0.0,
        f"the classes seem to be in another order (the model's {', '.join(changed[:5])}"
        f"{', ...' if len(changed) > 5 else ''})",
    )


def _best_order(said: Tensor, y: Tensor, classes: int) -> Tensor:
    """Model class -> data class, one to one, with the most agreements."""
    from scipy.optimize import linear_sum_assignment

    size = max(classes, int(y.max()) + 1, int(said.max()) + 1)
    counts = np.zeros((size, size))
    np.add.at(counts, (said.cpu().numpy(), y.cpu().numpy()), 1)
    rows, columns = linear_sum_assignment(counts + 1e-3 * np.eye(size), maximize=True)
    order = torch.zeros(size, dtype=torch.int64)
    order[torch.from_numpy(rows)] = torch.from_numpy(columns)
    return order.to(y.device)


def _inputs(model: Model, x: Tensor, y: Tensor) -> Iterator[_Trial]:
    low, high = model.space.limits(x)
    corrections: list[tuple[str, Callable[[Tensor], Tensor]]] = [
        ("the model seems to expect values 255 times as large (bounds 0 to 255)", lambda x: x * 255),
        ("the model seems to expect values in [0, 1], the data are 255 times as large", lambda x: x / 255),
        ("the images seem to be inverted (black for white)", lambda x: low + high - x),
    ]
    if x.dim() == 4:
        if x.shape[1] == 3:
            corrections.append(("the channels seem to be swapped (BGR for RGB)", lambda x: x.flip(1)))
        if x.shape[2] == x.shape[3]:
            corrections.append(("height and width seem to be swapped", lambda x: x.transpose(2, 3).contiguous()))
    for name, mean, std in _scales(x):
        corrections.append(
            (f"the model seems to expect normalized inputs ({name}): wrap(net, mean=..., std=...)", _scaled(mean, std))
        )
        corrections.append(
            (f"the inputs seem to be normalized twice, or already ({name}): pass raw inputs", _unscaled(mean, std))
        )
    inside = _inside(model)
    if inside is not None and (inside.mean is not None or inside.std is not None):
        mean, std = inside.mean or (0.0,), inside.std or (1.0,)
        corrections.append(
            ("the model seems to normalize its inputs itself: leave mean= and std= away", _unscaled(mean, std))
        )
    for text, correct in corrections:
        yield _Trial(_accuracy(model.predict(correct(x)), y), text)


def _scales(x: Tensor) -> Iterator[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    for name, mean, std in _SCALES:
        if x.dim() == 4 and len(mean) in (1, x.shape[1]):
            yield name, mean, std


def _scaled(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    return lambda x: (x - _channels(mean, x)) / _channels(std, x)


def _unscaled(mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    return lambda x: x * _channels(std, x) + _channels(mean, x)


def _channels(values: tuple[float, ...], x: Tensor) -> Tensor:
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(1, -1, *[1] * (x.dim() - 2))


def _modes(model: Model, x: Tensor, y: Tensor) -> Iterator[_Trial]:
    """Training mode: a network whose running statistics were never learned does better on those of the batch."""
    inside = _inside(model)
    if inside is None:
        return
    with model.borrowed(), torch.no_grad():
        inside.net.train()
        scores = model.answer(x).scores
    yield _Trial(
        _accuracy(scores.argmax(1), y),
        "the network does better in training mode: its batch-norm statistics seem not to belong to its weights",
    )


def _inside(model: Model) -> Normalized | None:
    source = source_of(model)
    return source.ask if source is not None and isinstance(source.ask, Normalized) else None
