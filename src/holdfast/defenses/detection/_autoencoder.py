"""A small network that learns to give back clean inputs."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from holdfast.geometry.rows import expand
from holdfast.threats.space import Box

BATCH = 64


class Autoencoder(nn.Module):
    """Convolutions around one halving for pictures, two layers around a narrow one for everything else.

    Values between the bounds go in and come out; inside they lie in [0, 1], where a sigmoid keeps them.

    Args:
        shape: Of one input.
        width: Channels, or units of the narrow layer.
        low, high: Bounds, `(1, ...)`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, shape: tuple[int, ...], width: int, low: Tensor, high: Tensor):
        super().__init__()
        self.register_buffer("low", low)
        self.register_buffer("high", high)
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

    def forward(self, x: Tensor) -> Tensor:
        """The input again, as far as it is like those that were learned: `(batch, ...)`."""
        low, high = self.low.to(x), self.high.to(x)
        inside = (x - low) / (high - low)
        if self.picture:
            code = interpolate(self.encode(inside), size=x.shape[2:], mode="nearest")
            out = self.decode(code)
        else:
            out = self.decode(self.encode(inside.flatten(1))).reshape(x.shape)
        back: Tensor = low + (high - low) * torch.sigmoid(out)
        return back


def learned(x: Tensor, space: Box, width: int, epochs: int, rate: float, noise: float, seed: int) -> Autoencoder:
    """An autoencoder of these inputs, float32, fixed, in evaluation mode; the global random state stays as it is.

    Adam on the mean squared error between a clean input and what becomes of it with noise of random strength, each of
    `epochs` passes in a new order, with a rate that falls along a cosine.

    Args:
        x: Clean inputs `(n, ...)`.
        space: Their bounds.
        width: Of the network.
        epochs: Passes over the data.
        rate: Of Adam, at the start.
        noise: Highest deviation of the noise, as a share of the box.
        seed: Of weights, orders and noise.
    """
    x = x.detach().float()
    low, high = space.limits(x[:1])
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng([]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        net = Autoencoder(tuple(x.shape[1:]), width, low[:1].clone(), high[:1].clone())
        adam = torch.optim.Adam(net.parameters(), rate)
        steps = epochs * math.ceil(len(x) / BATCH)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x), generator=draw), BATCH):
                clean = x[rows]
                strength = expand(noise * torch.rand(len(rows), generator=draw), clean)
                rough = clean + strength * (high - low) * torch.randn(clean.shape, generator=draw)
                adam.zero_grad(set_to_none=True)
                loss = ((net(rough.clamp(low, high)) - clean) / (high - low)).square().mean()
                loss.backward()
                adam.step()
                fall.step()
    return net.eval().requires_grad_(False)


def _conv(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, padding=1), nn.ELU()]
