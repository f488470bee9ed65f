"""Torch modules: normalization inside, softmax endings cut open, any floating type."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.models.borrow import borrowed
from holdfast.models.features import features_of
from holdfast.models.model import Model
from holdfast.models.outputs import Output
from holdfast.models.source import Source
from holdfast.threats.space import Box

Numbers = float | Sequence[float] | None
_ENDINGS = (nn.Softmax, nn.LogSoftmax, nn.Sigmoid, nn.LogSigmoid)


def from_torch(
    net: nn.Module,
    space: Box,
    *,
    output: Output | None = None,
    mean: Numbers = None,
    std: Numbers = None,
    classes: int | None = None,
    name: str | None = None,
    before: nn.Module | None = None,
) -> Model:
    """Wrap a module that maps `(batch, ...)` to logits, log-probabilities, probabilities or labels.

    Args:
        net: The module; its own file, weights and modes stay as they are.
        space: What an input is.
        output: What it returns; None to see it on the first batch.
        mean: Taken off the input, one number or one per channel.
        std: The rest is divided by it.
        classes: Number of classes, where known.
        name: What reports call it.
        before: What is done to inputs first, in float32 at least, whatever type the module has.

    Raises:
        ModelError: HF204 for output="logits" where the module ends in a softmax, HF206 for an impossible mean or std.
    """
    notes: tuple[str, ...] = ()
    opened, ending = cut_open(net)
    if ending and output == "logits":
        raise ModelError(
            "HF204",
            f"The module ends in {ending}, so its outputs are no logits",
            seen='output="logits"',
            fix="leave output= away, or wrap the module without its last layer",
        )
    if ending and output != "labels":
        notes, output = (f"the {ending} at the end was cut open: scores are what goes into it",), "logits"
    ask = Normalized(opened if output != "labels" else net, numbers_of(mean, "mean"), numbers_of(std, "std"), before)
    stages = () if mean is None and std is None else (f"normalize(mean={shown(mean, 0)}, std={shown(std, 1)})",)
    source = Source(ask=ask, slope=None if output == "labels" else ask, output=output, classes=classes)
    return source.model(
        Model(
            space=space,
            name=name or type(net).__name__,
            adapter="torch",
            notes=notes,
            stages=stages,
            parameters=functools.partial(digest_of, net),
            borrowed=functools.partial(borrowed, net),
            features=None if output == "labels" else features_of(ask.net, ask),
        )
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Normalized:
    """`net((before(x) - mean) / std)` in the module's own floating type and on its device."""

    net: nn.Module
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    before: nn.Module | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Raw outputs."""
        dtype, device = _home(self.net, x)
        inside = x.to(device=device, dtype=torch.promote_types(dtype, torch.float32))
        if self.before is not None:
            inside = self.before(inside)
        if self.mean is not None:
            inside = inside - _spread(self.mean, inside, "mean")
        if self.std is not None:
            inside = inside / _spread(self.std, inside, "std")
        raw = self.net(inside.to(dtype))
        return raw.to(x.device) if isinstance(raw, Tensor) else raw


def cut_open(net: nn.Module) -> tuple[nn.Module, str]:
    """The module without the softmax or sigmoid it ends in, and that layer's name, empty where nothing was cut.

    Only plain `nn.Sequential` chains can be cut; the given module is not changed, its layers are shared.
    """
    if type(net).forward is not nn.Sequential.forward or not len(net) or _watched(net):  # type: ignore[arg-type]
        return net, ""
    *rest, last = net.children()
    if isinstance(last, _ENDINGS) and not _watched(last) and getattr(last, "dim", 1) in (1, -1) and rest:
        return nn.Sequential(*rest).train(net.training), type(last).__name__
    inner, ending = cut_open(last)
    return (nn.Sequential(*rest, inner).train(net.training), ending) if ending else (net, "")


def digest_of(net: nn.Module) -> bytes:
    """BLAKE2b of names, types, shapes and bytes of all parameters and buffers that are saved."""
    made = hashlib.blake2b(digest_size=16)
    for name, value in sorted(net.state_dict().items()):
        if not isinstance(value, Tensor):
            made.update(f"{name} {value!r}".encode())
            continue
        made.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        made.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return made.digest()


def _watched(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _home(net: nn.Module, x: Tensor) -> tuple[torch.dtype, torch.device]:
    for value in itertools.chain(net.parameters(), net.buffers()):
        if value.is_floating_point():
            return value.dtype, value.device
    return (x.dtype if x.is_floating_point() else torch.float32), x.device


def numbers_of(values: Numbers, what: str) -> tuple[float, ...] | None:
    """A mean or a deviation as numbers.

    Raises:
        ModelError: HF206 for what cannot be one.
    """
    if values is None:
        return None
    found = torch.as_tensor(values, dtype=torch.float64).reshape(-1)
    if not len(found) or not bool(torch.isfinite(found).all()) or (what == "std" and bool((found <= 0).any())):
        raise ModelError(
            "HF206",
            f"The {what} of wrap cannot be used",
            seen=values,
            expected="finite numbers" + (" above 0" if what == "std" else ""),
        )
    return tuple(found.tolist())


def _spread(values: tuple[float, ...], x: Tensor, what: str) -> Tensor:
    """One number for all, or one per channel (feature): `(1, channels, 1, ...)`."""
    if len(values) not in (1, x.shape[1]):
        raise ModelError(
            "HF206",
            f"The {what} of wrap does not fit the inputs",
            seen=f"{len(values)} numbers",
            expected=f"1 or {x.shape[1]}, for inputs of shape {tuple(x.shape[1:])}",
        )
    return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(1, -1, *[1] * (x.dim() - 2))


def shown(values: Numbers, default: float) -> str:
    """A mean or a deviation as reports say it."""
    numbers = (default,) if values is None else torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
    return f"{numbers[0]:.4g}" if len(numbers) == 1 else "[" + ", ".join(f"{v:.4g}" for v in numbers) + "]"
