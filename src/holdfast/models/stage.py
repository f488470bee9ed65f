"""Stages: what happens to an input before a model sees it, and how an attack gets through.

A stage says what its gradient is worth and whether it draws random numbers. From that follows how a guarded model is
attacked: straight-through stages are passed backward through their twin (BPDA, Athalye et al., ICML 2018,
arXiv:1802.00420), random ones are averaged over. `checked` holds a stage to what it says.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.params import check, told
from holdfast.core.records import digest
from holdfast.models.model import Guarded, Model
from holdfast.threats.space import Box

Gradient = Literal["exact", "straight-through", "none"]
STEP = 2e-5  # of the box's width: how far finite differences step
STEPS = (5e-7, STEP, 1e-3, 1e-2)  # for suspicion, which may have kinks everywhere, or be computed in half precision
FAR = 0.1  # the same, so far that a staircase shows its steps
OFF = 0.05  # share of a directional derivative that it may differ from its finite difference
ROWS = 8  # inputs that declarations are checked on
TIES = 0.02  # of the box's width: how far they are moved at random, since equal neighbors are kinks of order statistics
DIRECTIONS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """Something in front of a model: it changes an input, or finds it suspicious, or both.

    `gradient` says what autograd through `apply` is worth: "exact" (its true derivative nearly everywhere),
    "straight-through" (nothing; go back through `twin`), "none" (there is no way back, attacks must do without).
    `random` says whether two passes over the same input differ. `slope` says of `suspicion` what `gradient` says of
    `apply`: a joint attack follows it down.
    """

    def __post_init__(self) -> None:
        check(self)

    @property
    def gradient(self) -> Gradient:
        """What a gradient through `apply` is worth."""
        return "exact"

    @property
    def random(self) -> bool:
        """Whether two passes over the same input differ."""
        return False

    @property
    def slope(self) -> Gradient:
        """What a gradient through `suspicion` is worth: "none" for one that is constant piece by piece."""
        return "exact"

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the inputs that it was fitted to, without the batch; None where any will do."""
        return None

    def meets(self, x: Tensor) -> None:
        """Refuse inputs of another shape than those it was fitted to.

        Raises:
            ModelError: HF279.
        """
        if self.shape is not None and tuple(x.shape[1:]) != self.shape:
            raise ModelError(
                "HF279",
                f"The stage '{self}' was fitted to inputs of another shape",
                seen=f"inputs of shape {tuple(x.shape[1:])}",
                expected=self.shape,
                fix="fit it again, to clean data of this model",
            )

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """What the model behind sees, as deployed: `(batch, ...)` inside the bounds of `space` again."""
        return x

    def twin(self, x: Tensor, space: Box) -> Tensor:
        """A differentiable stand-in of the same output shape, for straight-through stages: the identity unless said."""
        return x

    def suspicion(self, x: Tensor, space: Box) -> Tensor | None:
        """`(batch,)`, positive values are rejected; None for a stage that rejects nothing."""
        return None

    def reasons(self, x: Tensor, space: Box) -> list[str]:
        """Why each row is rejected, a few words; empty where it is not."""
        found = self.suspicion(x, space)
        flags = [False] * len(x) if found is None else (found > 0).tolist()
        return [f"suspicious to {self}" if flag else "" for flag in flags]

    @property
    def mends(self) -> bool:
        """Whether `mended` knows what passes."""
        return False

    def mended(self, x: Tensor, space: Box) -> Tensor:
        """An input near `x` that raises no suspicion here, where the stage's rules say so; else `x` itself.

        Attacks ask at such points: who knows the rules keeps to them.
        """
        return x

    def learned(self) -> bytes:
        """A digest of numbers that were learned and stand in no field, for the fingerprint."""
        return b""

    def attacks(self, threat: Any) -> Sequence[Any]:
        """Attacks that critics of this very defense have published, to run beside the suite's."""
        return ()

    def guard(self, model: Model) -> Model:
        """The model behind this stage, which meets the input first.

        Raises:
            ModelError: HF240 for something that is no wrapped model.
        """
        from holdfast.models.settle import wrapped

        return guarded(wrapped(model), self)

    def passed(self, x: Tensor, space: Box) -> Tensor:
        """The value of `apply`, differentiable as declared: what gradient attacks follow."""
        if self.gradient == "exact":
            return self.apply(x, space)
        value = self.apply(x.detach(), space)
        if self.gradient == "none":
            return value
        through: Tensor = _StraightThrough.apply(self.twin(x, space), value)  # type: ignore[no-untyped-call]
        return through

    def __str__(self) -> str:
        return told(self)


def guarded(model: Model, stage: Stage) -> Model:
    """`model` behind `stage`. Costs nothing; `settle` checks what the stage declares."""
    behind, space = Guarded(model, stage), model.space

    def after(ask: Callable[[Tensor], Tensor] | None, passing: bool = False) -> Callable[[Tensor], Tensor] | None:
        if ask is None:
            return None
        return lambda x: ask(stage.passed(x, space) if passing else stage.apply(x, space))

    def suspicion(x: Tensor) -> Tensor:
        own = stage.suspicion(x, space)
        inner = None if model.suspicion is None else model.suspicion(stage.passed(x, space))
        return worst(own, inner, x)

    def mended(x: Tensor) -> Tensor:
        own = stage.mended(x, space)
        return own if deeper is None else deeper(own)

    deeper = model.mended if type(stage).apply is Stage.apply else None
    suspects = model.suspicion is not None or type(stage).suspicion is not Stage.suspicion
    return dataclasses.replace(
        model,
        labels=after(model.labels),
        scores=after(model.scores),
        module=None if stage.gradient == "none" else after(model.module, passing=True),
        features=after(model.features, passing=True),
        suspicion=suspicion if suspects else None,
        mended=mended if stage.mends or deeper is not None else None,
        stages=(str(stage), *model.stages),
        parameters=lambda: digest([_own(model), str(stage), stage.learned().hex()]).encode(),
        random=model.random or stage.random,
        guarded=behind,
        swift=None,
        trees=None,
        wide=None,
    )


def worst(one: Tensor | None, other: Tensor | None, x: Tensor) -> Tensor:
    """The higher suspicion of two detectors, `(batch,)`; far below zero where neither exists."""
    if one is None or other is None:
        found = one if one is not None else other
        return torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device) if found is None else found
    return torch.maximum(one, other.to(one.dtype))


def checked(stage: Stage, x: Tensor, space: Box) -> None:
    """Hold a stage to what it declares, on a few inputs moved inside the box so that both sides of a step exist.

    Costs two passes for the randomness, and 2 + 4 x 4 for finite differences in random directions; as many again and
    24 more of its suspicion. A random stage is differentiated with torch's numbers held still; where it draws
    others, its gradients are not checked.

    Raises:
        ModelError: HF250 where passes differ though it says they do not, or the other way round; where its gradient or
            that of its suspicion is not its finite difference though it says "exact"; where its twin gives no gradient
            or another shape, or a suspicion that is passed straight through gives none.
    """
    x = x[:ROWS].detach().double()
    low, high = space.limits(x)
    apart = TIES * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(ROWS), dtype=x.dtype) - 1).to(x)
    width = high - low
    inside = low + width * (0.02 + 0.96 * (x - low) / torch.where(width > 0, width, 1) + apart)
    suspects = type(stage).suspicion is not Stage.suspicion
    with torch.no_grad():
        first, second = stage.apply(inside, space), stage.apply(inside, space)
        wavers = first.shape != second.shape or not torch.equal(first, second)
        wavers = wavers or (
            suspects and not torch.equal(_squashed(stage, inside, space), _squashed(stage, inside, space))
        )
    if wavers != stage.random:
        said = "draws random numbers" if stage.random else "draws none"
        raise _lie(stage, "two passes differ" if wavers else "two passes are equal", f"it says that it {said}")
    if stage.gradient == "straight-through":
        _check_twin(stage, inside, space, first)
    elif stage.gradient == "exact":
        _check_slope(stage, _still(stage.apply, space), inside, space, (STEP,), "")
    if suspects and stage.slope == "exact":
        ask = _still(lambda rows, box: _squashed(stage, rows, box), space)
        _check_slope(stage, ask, inside, space, STEPS, " of its suspicion")
    elif suspects and stage.slope == "straight-through":
        _check_way(stage, inside, space)


def why(model: Model, x: Tensor) -> list[str]:
    """Why each row is rejected by the stages before a model, the first stage that flags it; empty where it is not."""
    if model.guarded is None:
        return [""] * len(x)
    stage, base = model.guarded.stage, model.guarded.base
    with model.borrowed(), torch.no_grad():
        own = stage.reasons(x, model.space)
        inner = why(base, stage.apply(x, model.space)) if not all(own) else own
    return [a or b for a, b in zip(own, inner, strict=True)]


def _own(model: Model) -> str:
    return model.name if model.parameters is None else model.parameters().hex()


def _check_twin(stage: Stage, x: Tensor, space: Box, value: Tensor) -> None:
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        out = stage.twin(leaf, space)
    if out.shape != value.shape:
        raise _lie(stage, f"a twin of shape {tuple(out.shape)}", f"{tuple(value.shape)}, the shape of what it applies")
    if not out.requires_grad:
        raise _lie(stage, "a twin without a gradient", "a differentiable twin, or the gradient none")
    (slope,) = torch.autograd.grad(out.sum(), leaf)
    if not bool(torch.isfinite(slope).all()):
        raise _lie(stage, "a twin whose gradient is not finite", "finite numbers")


def _check_way(stage: Stage, x: Tensor, space: Box) -> None:
    """A suspicion that is passed straight through has a finite gradient."""
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        out = _squashed(stage, leaf, space)
    if not out.requires_grad:
        raise _lie(stage, "a suspicion without a gradient", "a differentiable one, or the slope none")
    (slope,) = torch.autograd.grad(out.sum(), leaf)
    if not bool(torch.isfinite(slope).all()):
        raise _lie(stage, "a suspicion whose gradient is not finite", "finite numbers")


def _check_slope(
    stage: Stage, ask: Callable[[Tensor], Tensor], x: Tensor, space: Box, steps: Sequence[float], of: str
) -> None:
    """Central differences of a random projection, along random directions; most rows and directions must agree.

    A kink between the two points spoils one difference, so single strays are forgiven. A difference of one of the
    `steps` must agree; what still draws random numbers is not checked.
    """
    if not torch.equal(ask(x), ask(x)):
        return
    draw = torch.Generator().manual_seed(DIRECTIONS)
    low, high = space.limits(x)
    with torch.no_grad():
        weights = torch.randn(ask(x).shape[1:], generator=draw, dtype=torch.float64).to(x)
    slope = _slope(ask, x, weights)
    agreed, moved, promised = 0, 0.0, 0.0
    for _ in range(DIRECTIONS):
        away = torch.randn(x.shape, generator=draw, dtype=torch.float64).to(x).sign() * (high - low)
        said, length = (slope * away).flatten(1).sum(1), (slope.abs() * (high - low)).flatten(1).norm(dim=1)
        near = [_difference(ask, x, space, weights, away, step) for step in steps]
        far = _difference(ask, x, space, weights, away, FAR)
        right = [(seen - said).abs() <= OFF * (length + seen.abs()) + 1e-9 for seen in near]
        agreed += int(torch.stack(right).any(0).sum())
        moved, promised = moved + float(far.abs().sum()), promised + float(said.abs().sum())
        if promised < OFF * moved:  # a flat place of an honest function, or a staircase: that is flat out there as well
            ends = [(x + s * FAR * away).clamp(low, high) for s in (1, -1)]
            promised += sum(float((_slope(ask, end, weights) * away).flatten(1).sum(1).abs().sum()) for end in ends)
    asked = DIRECTIONS * len(x)
    if 2 * agreed < asked:
        seen = f"{agreed} of {asked} finite differences{of} agree with its gradient"
        raise _lie(stage, seen, f"the exact gradient{of}")
    if promised < OFF * moved:
        raise _lie(stage, f"finite differences{of} over longer steps where its gradient is zero", f"the exact one{of}")


def _slope(ask: Callable[[Tensor], Tensor], x: Tensor, weights: Tensor) -> Tensor:
    """The gradient of a projection, row by row; zero where there is none: `(batch, ...)`."""
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        value = (ask(leaf) * weights).sum()
    return torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros_like(leaf)


def _difference(
    ask: Callable[[Tensor], Tensor], x: Tensor, space: Box, weights: Tensor, away: Tensor, step: float
) -> Tensor:
    """Central, of a projection, inside the box: `(batch,)`."""
    low, high = space.limits(x)
    with torch.no_grad():
        ends = [ask((x + s * step * away).clamp(low, high)) * weights for s in (1, -1)]
    return (ends[0] - ends[1]).reshape(len(x), -1).sum(1) / (2 * step)


def _still(ask: Callable[[Tensor, Box], Tensor], space: Box) -> Callable[[Tensor], Tensor]:
    """The same function with the same random numbers at every call."""

    def asked(x: Tensor) -> Tensor:
        with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
            torch.manual_seed(DIRECTIONS)
            return ask(x, space)

    return asked


def _squashed(stage: Stage, x: Tensor, space: Box) -> Tensor:
    """Its suspicion's inverse hyperbolic sine `(batch,)`, so that no huge one hides the others; 0 where infinite."""
    found = stage.suspicion(x, space)
    found = x.new_zeros(len(x)) if found is None else found.double().asinh()
    return torch.where(found.isfinite(), found, 0.0)


def _lie(stage: Stage, seen: str, expected: str) -> ModelError:
    return ModelError(
        "HF250",
        f"The stage '{stage}' is not what it declares",
        seen=seen,
        expected=expected,
        fix="correct its gradient, slope or random property: attacks trust them",
    )


class _StraightThrough(torch.autograd.Function):
    """The value of one tensor, the gradient of another of the same shape."""

    @staticmethod
    def forward(ctx: Any, twin: Tensor, value: Tensor) -> Tensor:
        if twin.shape != value.shape:
            raise ModelError("HF250", "A stage's twin has another shape", seen=twin.shape, expected=value.shape)
        return value.to(twin.dtype).clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None
