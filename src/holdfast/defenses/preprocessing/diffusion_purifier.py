"""Diffusion purification, Nie et al., "Diffusion Models for Adversarial Purification", ICML 2022, arXiv:2205.07460."""

import copy
import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.core.params import Count, Fraction, Natural, Positive, told
from holdfast.core.progress import BatchDone, Listener, RunDone, RunStarted, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Fitted
from holdfast.defenses.preprocessing._denoiser import taught
from holdfast.defenses.preprocessing._diffusion import Guess, Method, Schedule, denoised, kept, latest, noised, stops
from holdfast.defenses.preprocessing._pictures import shares, values
from holdfast.models.model import Model
from holdfast.models.stage import Gradient, Stage
from holdfast.threats.space import Box

LOOKED_AT = 2  # inputs that a network of the user's is tried on


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiffusionPurifier(Fitted):
    """Drown an input in noise up to a time of a diffusion process, then take the noise off in steps, then classify.

        z <- sqrt(a) v + sqrt(1 - a) N(0, 1),  v the input in -1 ... 1,  a the share of its variance left at `until`
        v' <- the reverse process from z, in `steps` steps, each with a network's guess of what is below the noise

    The noise covers a perturbation, and what the network puts in its place it has seen in clean data. It is random, and
    its gradient goes through all steps. Overestimated at first: Lee and Kim, "Robust Evaluation of Diffusion-Based
    Adversarial Purification", ICCV 2023, arXiv:2303.09051, went back through few long steps instead of an approximation
    and averaged over passes; Kang, Song and Li, "DiffAttack", NeurIPS 2023, arXiv:2311.16124, aimed at guesses between
    the steps as well.

    Cost: to fit, `updates` steps of a small network; then `steps` of its passes for each of the model's. Gradients
    through more than eight steps pass them twice, to save memory.

    Args:
        until: Where the forward process ends, as a share of it.
        steps: Of the reverse process, as many as there are times at most.
        method: "ddpm" draws fresh noise in each step of the reverse process, "ddim" none.
        schedule: "linear" or "cosine": how the noise grows. A `scheduler` has its own.
        surrogate: Where above 0, gradient attacks go back through so many steps in place of `steps`, from the same
            noise: the gradient is then declared straight-through.
        width: Channels of the network that is trained, or a quarter of its units for inputs that are no pictures.
        updates: Steps of its training.
        batch: Samples in each.
        rate: Learning rate at the start.
        average: Decay of the running average of its weights.
        unet: Used instead: a network like the `UNet2DModel` of diffusers that is called with noisy inputs in -1 ... 1
            and their time. A copy of it is kept, nothing is trained.
        scheduler: What it was trained with, like the `DDPMScheduler` of diffusers: its `alphas_cumprod` or `betas`, and
            its `config.prediction_type`, count.
    """

    until: Fraction = 0.2
    steps: Count = 5
    method: Method = "ddpm"
    schedule: Schedule = "linear"
    surrogate: Natural = 0
    width: Count = 16
    updates: Count = 1000
    batch: Count = 32
    rate: Positive = 2e-3
    average: Fraction = 0.995
    unet: Callable[..., Any] | None = dataclasses.field(default=None, repr=False)
    scheduler: Any | None = dataclasses.field(default=None, repr=False)

    def fit(self, model: Model, data: Dataset, seed: int = 0, on_event: Listener = silent) -> Stage:
        """The stage.

        Args:
            model: What it will stand in front of; not asked.
            data: Clean samples; their labels are not used.
            seed: Seeds every random number of the training; the global random state stays as it is.
            on_event: Told after every update; may raise `holdfast.Stop`.

        Raises:
            ModelError: HF220 without samples, HF248 where values are missing, HF251 where the training diverges, HF263
                where `unet` or `scheduler` cannot be used.
        """
        if not len(data):
            raise ModelError("HF220", "There are too few samples to learn from", seen=0, expected="1 or more")
        if not bool(torch.isfinite(data.x).all()):
            gaps = int((~torch.isfinite(data.x)).flatten(1).any(1).sum())
            raise ModelError(
                "HF248", "Noise cannot cover what is missing", seen=f"{gaps} of {len(data)} inputs with gaps"
            )
        if self.unet is not None or self.scheduler is not None:
            return self._given(data)
        left, began = kept(self.schedule), time.perf_counter()
        on_event(RunStarted("diffusion_purifier", "", self.updates, ("diffusion_purifier",)))
        net = taught(
            2 * shares(data.x, data.space) - 1,
            left,
            latest(self.until, len(left)),
            width=self.width,
            updates=self.updates,
            batch=self.batch,
            rate=self.rate,
            average=self.average,
            seed=seed,
            told=lambda done: on_event(BatchDone("diffusion_purifier", done, self.updates, 0, 0)),
        )
        on_event(RunDone("", True, time.perf_counter() - began))

        def velocity(z: Tensor, now: int) -> Tensor:
            found: Tensor = _asked(net, z, z.new_full((len(z),), now / len(left)))
            return found

        made = self._stage(told(self), _guess(velocity, "v_prediction", left), left, _digest(net, left))
        return dataclasses.replace(made, shape=tuple(data.x.shape[1:]))

    def _given(self, data: Dataset) -> Stage:
        """The stage around a network of the user's, after a look at what it returns."""
        left, kind = _schedule_of(self.scheduler)
        if not callable(self.unet):
            raise ModelError("HF263", "There is a scheduler and no network", seen=repr(self.unet), fix="unet=")
        net = copy.deepcopy(self.unet)
        net = net.eval().requires_grad_(False) if isinstance(net, nn.Module) else net

        def answer(z: Tensor, now: int) -> Tensor:
            found = _asked(net, z, now)
            return _fitting(getattr(found, "sample", found), z)

        name = getattr(self.unet, "__qualname__", type(self.unet).__qualname__)
        said = told(self)
        of = said[:-1] + f", unet={name})" if said.endswith(")") else f"{said}(unet={name})"
        guess = _guess(answer, kind, left)
        with torch.no_grad():
            z = 2 * shares(data.x[:LOOKED_AT], data.space) - 1
            try:
                seen = guess(z, latest(self.until, len(left)))
            except (TypeError, RuntimeError, ValueError, IndexError) as error:
                if isinstance(error, ModelError):
                    raise
                why = f"{type(error).__name__}: {error}"[:160]
                raise ModelError("HF263", "A denoiser cannot take these inputs and a time", seen=why) from error
            if not bool(torch.isfinite(seen).all()):
                raise ModelError("HF263", "A denoiser returns numbers that are not finite", expected="finite numbers")
        return self._stage(of, guess, left, _digest(net, left))

    def _stage(self, of: str, guess: Guess, left: Sequence[float], learned: bytes) -> "_Diffused":
        last = latest(self.until, len(left))
        back = stops(last, self.surrogate) if self.surrogate else []
        return _Diffused(
            of=of,
            guess=guess,
            left=tuple(left),
            at=tuple(stops(last, self.steps)),
            back=tuple(back),
            method=self.method,
            weights=learned,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Diffused(Stage):
    """A fitted diffusion purifier.

    Args:
        of: The purifier as text.
        guess: The clean inputs that a network expects behind noisy ones at a time.
        left: Share of the signal's variance at each time.
        at: The times that the reverse process steps from.
        back: Those that gradient attacks go back through; empty for the same.
        method: Of the reverse process.
        weights: A digest of what was learned.
        shape: Of the inputs that it learned from; None for a network of the user's.
    """

    of: str
    guess: Guess = dataclasses.field(repr=False)
    left: tuple[float, ...] = dataclasses.field(repr=False)
    at: tuple[int, ...]
    back: tuple[int, ...] = ()
    method: Method = "ddpm"
    weights: bytes = dataclasses.field(default=b"", repr=False)
    shape: tuple[int, ...] | None = None

    @property
    def gradient(self) -> Gradient:
        """Exact, but where a surrogate of fewer steps was asked for."""
        return "straight-through" if self.back else "exact"

    @property
    def random(self) -> bool:
        """Always: noise is what it works with."""
        return True

    def apply(self, x: Tensor, space: Box) -> Tensor:
        """The purified batch."""
        return self._purified(x, space, torch.randn_like(x), self.at)

    def twin(self, x: Tensor, space: Box) -> Tensor:
        """The batch purified in the surrogate's steps."""
        return self._purified(x, space, torch.randn_like(x), self.back or self.at)

    def passed(self, x: Tensor, space: Box) -> Tensor:
        """The value of `apply`, and the gradient of the surrogate from the same noise where there is one."""
        if not self.back:
            return self.apply(x, space)
        noise = torch.randn_like(x)
        with torch.no_grad():
            value = self._purified(x, space, noise, self.at)
        way = self._purified(x, space, noise, self.back)
        return value + (way - way.detach())

    def learned(self) -> bytes:
        """The weights, and the schedule."""
        return self.weights

    def __str__(self) -> str:
        return self.of

    def _purified(self, x: Tensor, space: Box, noise: Tensor, at: Sequence[int]) -> Tensor:
        z = noised(2 * shares(x, space) - 1, self.left[at[0]], noise)
        found = denoised(z, self.guess, self.left, at, self.method)
        return values((found / 2 + 0.5).clamp(0, 1), x, space)


def _asked(net: Any, z: Tensor, now: Any) -> Any:
    """A network's answer in the precision of `z`."""
    if not isinstance(net, nn.Module):
        return net(z, now)
    weights = {name: value.to(z) if value.is_floating_point() else value for name, value in net.state_dict().items()}
    return torch.func.functional_call(net, weights, (z, now))


def _guess(ask: Guess, kind: str, left: Sequence[float]) -> Guess:
    """The clean inputs, from whichever of the three equivalent things a network predicts."""

    def clean(z: Tensor, now: int) -> Tensor:
        found, a, b = ask(z, now), math.sqrt(left[now]), math.sqrt(1 - left[now])
        if kind == "sample":
            return found
        return (z - b * found) / a if kind == "epsilon" else a * z - b * found

    return clean


def _fitting(found: Any, z: Tensor) -> Tensor:
    if not isinstance(found, Tensor) or found.shape != z.shape:
        seen = tuple(found.shape) if isinstance(found, Tensor) else type(found).__qualname__
        raise ModelError("HF263", "A denoiser returns something else", seen=seen, expected=f"a tensor {tuple(z.shape)}")
    return found


def _schedule_of(scheduler: Any) -> tuple[tuple[float, ...], str]:
    """The share of the signal's variance at each time, and what the network predicts, as a scheduler tells them."""
    shares = getattr(scheduler, "alphas_cumprod", None)
    betas = getattr(scheduler, "betas", None)
    if shares is None and betas is None:
        raise ModelError(
            "HF263",
            "Nothing tells the noise that the denoiser was trained with",
            seen=repr(scheduler),
            expected="a scheduler with alphas_cumprod or betas",
            fix="scheduler=DDPMScheduler(...)",
        )
    found = torch.as_tensor(1 - torch.as_tensor(betas).double()).cumprod(0) if shares is None else shares
    left = torch.as_tensor(found).double().flatten().tolist()
    falls = bool(left) and all(1 > a > b > 0 for a, b in zip([1 - 1e-12, *left], [*left, 1e-300], strict=True))
    kind = getattr(getattr(scheduler, "config", None), "prediction_type", "epsilon")
    if not falls or kind not in ("epsilon", "sample", "v_prediction"):
        seen = f"prediction_type={kind!r}" if falls else f"shares of the signal from {left[:1]} to {left[-1:]}"
        raise ModelError(
            "HF263",
            "The scheduler is of another kind",
            seen=seen,
            expected="shares of the signal that fall between 1 and 0; epsilon, sample or v_prediction",
        )
    return tuple(left), kind


def _digest(net: Any, left: Sequence[float]) -> bytes:
    """Of all weights and the schedule, for a fingerprint."""
    found = hashlib.sha256(repr(tuple(left)).encode())
    for value in net.state_dict().values() if isinstance(net, nn.Module) else ():
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.digest()
