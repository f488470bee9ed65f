"""Lend a model out and take it back as it was: modes, gradients, buffers, random numbers, threads."""

import contextlib
import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextlib.contextmanager
def borrowed(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode, parameters that ask for no gradient, autocast and inference mode off; then everything as before.

    Also after an exception or an interrupt. Costs a copy of the buffers, and of the gradients where there are any.
    """
    process, kept = _Process.seen(), [_Kept.seen(module) for module in modules]
    try:
        with torch.inference_mode(False), torch.enable_grad(), _no_autocast():
            for module in modules:
                module.eval()
                module.requires_grad_(False)
            yield
    finally:
        for one in kept:
            one.restore()
        process.restore()


@contextlib.contextmanager
def _no_autocast() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@dataclasses.dataclass(frozen=True, eq=False)
class _Kept:
    """A module's state, the objects themselves and copies of what can change inside them."""

    module: nn.Module
    modes: list[tuple[nn.Module, bool]]
    asks: list[tuple[nn.Parameter, bool]]
    grads: list[tuple[nn.Parameter, Tensor | None, Tensor | None]]
    buffers: list[tuple[nn.Module, dict[str, tuple[Tensor | None, Tensor | None]]]]

    @classmethod
    def seen(cls, module: nn.Module) -> "_Kept":
        parameters = list(module.parameters())
        return cls(
            module,
            [(m, m.training) for m in module.modules()],
            [(p, p.requires_grad) for p in parameters],
            [(p, p.grad, _copy(p.grad)) for p in parameters],
            [(m, {name: (b, _copy(b)) for name, b in m._buffers.items()}) for m in module.modules()],
        )

    @torch.no_grad()
    def restore(self) -> None:
        for module, mode in self.modes:
            module.training = mode
        for parameter, asks in self.asks:
            parameter.requires_grad_(asks)
        for parameter, grad, copy in self.grads:
            parameter.grad = _same(grad, copy)
        for module, buffers in self.buffers:
            for name in set(module._buffers) - set(buffers):
                del module._buffers[name]
            for name, (buffer, copy) in buffers.items():
                module._buffers[name] = _same(buffer, copy)


@dataclasses.dataclass(frozen=True, eq=False)
class _Process:
    """What belongs to the whole process."""

    torch_random: Tensor
    cuda_random: list[Tensor]
    numpy_random: Any
    python_random: Any
    threads: int
    gradient: bool
    autocast: dict[str, tuple[bool, torch.dtype]]

    @classmethod
    def seen(cls) -> "_Process":
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        autocast = {d: (torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")}
        return cls(
            torch.get_rng_state(),
            cuda,
            np.random.get_state(),
            random.getstate(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            autocast,
        )

    def restore(self) -> None:
        torch.set_rng_state(self.torch_random)
        if self.cuda_random:
            torch.cuda.set_rng_state_all(self.cuda_random)
        np.random.set_state(self.numpy_random)
        random.setstate(self.python_random)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if torch.is_grad_enabled() != self.gradient:
            torch.set_grad_enabled(self.gradient)
        for device, (enabled, dtype) in self.autocast.items():
            if (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)) != (enabled, dtype):
                torch.set_autocast_enabled(device, enabled)
                torch.set_autocast_dtype(device, dtype)


def _copy(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.detach().clone()


def _same(value: Tensor | None, copy: Tensor | None) -> Tensor | None:
    """The object itself, with the content of its copy."""
    if value is not None and copy is not None and not torch.equal(value, copy):
        value.copy_(copy)
    return value
