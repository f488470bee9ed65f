"""A substitute that learns the model's decisions, to carry adversarial inputs over.

Idea: a model that hides its gradient still decides like one that does not. Inputs made on a substitute that was taught
the model's decisions must not break what the model's own gradient could not.
Cost: no query to teach it (the audit has the decisions), 1 forward pass a sample; the substitute itself takes a second.
Source: Papernot et al., AsiaCCS 2017, arXiv:1602.02697; Athalye, Carlini, Wagner, ICML 2018, arXiv:1802.00420.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from holdfast.attacks.run import aim, run
from holdfast.evaluation.manifest import number_of
from holdfast.evaluation.masking.limits import STEPS
from holdfast.evaluation.masking.trials import gradient_attack
from holdfast.evaluation.rows import TrialRow
from holdfast.evaluation.work import Answers, Bench
from holdfast.geometry.adam import Adam
from holdfast.models.model import Model
from holdfast.threats.goals import overall
from holdfast.threats.threats import Threat

PUPILS = 512  # samples it is taught on, at most
WIDTH, EPOCHS, RATE = 64, 100, 0.01
LARGEST = 10_000  # numbers in an input, from which it is not taught


def transferred(
    bench: Bench, keys: Sequence[str], threat: Threat, lessons: Sequence[str], decisions: Sequence[int]
) -> Answers:
    """The model's margin at the substitute's strongest points.

    Args:
        bench: Model and samples.
        keys: Samples to break.
        threat: Within what.
        lessons: Samples the substitute is taught on.
        decisions: What the model decides on them.
    """
    x, y = bench.take(keys)
    taught = substitute(bench, lessons, decisions)
    out = run(
        gradient_attack(threat.norm, STEPS),
        taught,
        x,
        y,
        threat.at(threat.radius),
        seed=bench.seed,
        ids=[number_of(key) for key in keys],
        batch=bench.batch,
        perturb=True,
    )
    with bench.model.borrowed():
        margins = torch.cat(
            [
                _margins(bench.model, points, labels)
                for points, labels in zip(
                    torch.split(out.strongest, bench.batch), torch.split(y, bench.batch), strict=True
                )
            ]
        )
    rows = [
        TrialRow(
            key=key,
            status="broken" if m < -bench.model.noise else "unbroken",
            margin=m,
            reason="",
        )
        for key, m in zip(keys, margins.tolist(), strict=True)
    ]
    return Answers(rows, {}, len(keys))


def _margins(model: Model, x: Tensor, y: Tensor) -> Tensor:
    """Of what an attack must reach, which includes to be accepted: `(batch,)`, float64."""
    with torch.no_grad():
        return overall(aim(model, y).margins(model.answer(x))).double()


def substitute(bench: Bench, lessons: Sequence[str], decisions: Sequence[int]) -> Model:
    """One hidden layer, taught in the box's own units; the same weights from the same lessons."""
    x, _ = bench.take(lessons)
    y, classes = torch.tensor(decisions), bench.model.classes or max(decisions) + 1
    low, high = (end[:1].double() for end in bench.model.space.limits(x))

    def scaled(batch: Tensor) -> Tensor:
        return ((batch.double() - low) / (high - low) * 2 - 1).flatten(1)

    draw = torch.Generator().manual_seed(bench.seed)
    n, inputs = len(x), scaled(x)
    sizes = ((inputs.shape[1], WIDTH), (WIDTH, classes))
    weights = [torch.randn(*size, generator=draw, dtype=torch.float64) / size[0] ** 0.5 for size in sizes]
    weights = [w.requires_grad_() for w in (*weights, *(torch.zeros(b, dtype=torch.float64) for _, b in sizes))]

    def scores(batch: Tensor) -> Tensor:
        first, second, bias, last = weights
        out: Tensor = torch.relu(scaled(batch) @ first + bias) @ second + last
        return out

    moves = [Adam(w) for w in weights]  # torch's own would load its compiler, two seconds
    for _ in range(EPOCHS):
        noisy = x + (0.05 * torch.randn(n, *x.shape[1:], generator=draw, dtype=torch.float64) * (high - low)).to(x)
        with torch.enable_grad():
            slopes = torch.autograd.grad(torch.nn.functional.cross_entropy(scores(noisy), y), weights)
        with torch.no_grad():
            for w, move, slope in zip(weights, moves, slopes, strict=True):
                w -= RATE * move.direction(slope)
    for w in weights:
        w.requires_grad_(False)
    return Model(bench.model.space, classes, scores=scores, module=scores, name="substitute")
