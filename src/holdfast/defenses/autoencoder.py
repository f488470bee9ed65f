"""A small network that learns to give back clean inputs: what purifies an input, and what measures its strangeness."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from holdfast.core.errors import ModelError
from holdfast.geometry.rows import expand
from holdfast.threats.space import Box

TOLD = 20  # steps between two reports of a training


class Autoencoder(nn.Module):
    """Convolutions around one halving for pictures, two layers around a narrow one for everything else.

    Args:
        shape: Of one input.
        width: Channels, or units of the narrow layer.
    """

    def __init__(self, shape: tuple[int, ...], width: int):
        super().__init__()
        self.picture = len(shape) == 3 and min(shape[1:]) > 1
        if self.picture:
            self.encode = nn.Sequential(
                nn.Conv2d(shape[0], width, 3, padding=1), nn.ELU(), nn.AvgPool2d(2, ceil_mode=True), *_conv(width)
            )
            self.decode = nn.Sequential(*_conv(width), nn.Conv2d(width, shape[0], 3, padding=1))
        else:
            size, middle = math.prod(shape), max(2 * width, 16)
            self.encode = nn.Sequential(nn.Linear(size, middle), nn.ELU(), nn.Linear(middle, width), nn.ELU())
            self.decode = nn.Sequential(nn.Linear(width, middle), nn.ELU(), nn.Linear(middle, size))

    def forward(self, u: Tensor) -> Tensor:
        """The input again, as far as it is like those that were learned: shares of the box, `(batch, ...)`."""
        if self.picture:
            out = self.decode(interpolate(self.encode(u), size=u.shape[2:], mode="nearest"))
        else:
            out = self.decode(self.encode(u.flatten(1))).reshape(u.shape)
        return torch.sigmoid(out)


def learned(
    x: Tensor,
    space: Box,
    *,
    width: int,
    updates: int,
    rate: float,
    noise: float,
    seed: int,
    batch: int = 64,
    told: Callable[[int], None] = lambda done: None,
) -> Autoencoder:
    """An autoencoder of these inputs, float32, fixed, in evaluation mode; the global random state stays as it is.

    Adam on the mean squared error between a clean input and what becomes of it with noise of random strength, with a
    rate that falls along a cosine. Each pass over the data has a new order.

    Args:
        x: Clean inputs `(n, ...)`.
        space: Their bounds.
        width: Of the network.
        updates: Training steps of `batch` samples.
        rate: Of Adam, at the start.
        noise: Highest deviation of the noise, as a share of the box.
        seed: Of weights, orders and noise.
        batch: Samples in a step.
        told: Called with the number of steps done, now and then.

    Raises:
        ModelError: HF251 where the loss is not finite.
    """
    low, high = space.limits(x)
    u = ((x - low) / (high - low)).detach().float()
    draw, per = torch.Generator().manual_seed(seed), math.ceil(len(u) / batch)
    with torch.random.fork_rng([]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        net = Autoencoder(tuple(u.shape[1:]), width)
        adam = torch.optim.Adam(net.parameters(), rate)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, updates)
        for step in range(updates):
            if step % per == 0:
                order = torch.randperm(len(u), generator=draw)
            clean = u[order[step % per * batch :][:batch]]
            strength = expand(noise * torch.rand(len(clean), generator=draw), clean)
            rough = (clean + strength * torch.randn(clean.shape, generator=draw)).clamp(0, 1)
            loss = (net(rough) - clean).square().mean()
            if not bool(torch.isfinite(loss)):
                raise ModelError(
                    "HF251",
                    f"The autoencoder diverged in step {step + 1}",
                    seen=f"loss {float(loss.detach())}",
                    fix=f"rate={rate / 10:g}",
                )
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            fall.step()
            if (step + 1) % TOLD == 0 or step + 1 == updates:
                told(step + 1)
    return net.eval().requires_grad_(False)


def given_back(net: nn.Module, x: Tensor, space: Box) -> Tensor:
    """What an autoencoder makes of a batch, in its own units and precision: `(batch, ...)` inside the bounds."""
    low, high = space.limits(x)
    weights = {name: value.to(x) for name, value in net.state_dict().items()}
    share: Tensor = torch.func.functional_call(net, weights, ((x - low) / (high - low),))
    return low + share * (high - low)


def weights_of(net: nn.Module) -> bytes:
    """All weights as bytes, for a fingerprint."""
    return b"".join(value.numpy().tobytes() for value in net.state_dict().values())


def _conv(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, padding=1), nn.ELU()]
