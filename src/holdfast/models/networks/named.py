"""Networks by the name that a model card writes."""

import dataclasses
from collections.abc import Callable, Mapping

from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.networks.cnn import Cnn
from holdfast.models.networks.mlp import Mlp
from holdfast.models.networks.resnet import Resnet
from holdfast.models.networks.vgg import Vgg


def _resnet18(shape: tuple[int, ...], classes: int, width: int = 16) -> nn.Module:
    return Resnet(shape, classes, width)


def _preact18(shape: tuple[int, ...], classes: int, width: int = 16) -> nn.Module:
    return Resnet(shape, classes, width, pre_activation=True)


_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "cnn": Cnn,
    "mlp": Mlp,
    "preact18": _preact18,
    "resnet18": _resnet18,
    "vgg11": Vgg,
}
NAMES = tuple(sorted(_BUILDERS))


@dataclasses.dataclass(frozen=True)
class Built:
    """What a network was built from; its copies know it too."""

    name: str
    shape: tuple[int, ...]
    classes: int
    options: Mapping[str, int]


def build(name: str, *, shape: tuple[int, ...], classes: int, **options: int) -> nn.Module:
    """A fresh network that maps `(batch, *shape)` to logits `(batch, classes)`; no normalization inside.

    Args:
        name: One of `NAMES`.
        shape: Of one input: `(channels, height, width)`; the MLP takes any shape.
        classes: Number of logits.
        options: `width`, and `depth` for the MLP; each network has its own defaults.

    Raises:
        ModelError: HF216 for an unknown name, HF202 for a shape, number or option the network cannot have.
    """
    if name not in _BUILDERS:
        raise ModelError(
            "HF216", "There is no network of this name", seen=repr(name), expected="one of " + ", ".join(NAMES)
        )
    shape = tuple(int(n) for n in shape)
    _check(name, shape, classes, options)
    net = _BUILDERS[name](shape, classes, **options)
    net.__dict__["built"] = Built(name, shape, classes, options)
    return net


def built(net: nn.Module) -> Built | None:
    """How a network was built; None for one that `build` has not made."""
    found = net.__dict__.get("built")
    return found if isinstance(found, Built) else None


def _check(name: str, shape: tuple[int, ...], classes: int, options: dict[str, int]) -> None:
    known = ("depth", "width") if name == "mlp" else ("width",)
    for option, value in options.items():
        if option not in known:
            raise ModelError("HF202", f"The network {name} has no option {option}", expected=" or ".join(known))
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
            raise ModelError(
                "HF202", f"The {option} of a network must be a whole number", seen=repr(value), expected="1 to 4096"
            )
    if name != "mlp" and len(shape) != 3:
        raise ModelError(
            "HF202",
            f"The network {name} takes images",
            seen=f"inputs of shape {shape}",
            expected="(channels, height, width)",
        )
    if not shape or min(shape) < 1 or not isinstance(classes, int) or classes < 1:
        raise ModelError(
            "HF202", "A network needs at least one input and one class", seen=f"shape {shape}, classes {classes}"
        )
