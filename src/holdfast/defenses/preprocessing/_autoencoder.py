"""Small autoencoders: values between 0 and 1 go through a narrow place and come back."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from holdfast.core.errors import ModelError
from holdfast.learning.schedule import one_cycle


class Autoencoder(nn.Module):
    """Pictures lose three quarters of their pixels on the way, other inputs pass `width` units.

    Args:
        shape: Of one input.
        width: Channels of the hidden layers, or units of the narrow one.
    """

    def __init__(self, shape: tuple[int, ...], width: int):
        super().__init__()
        self.pictures = len(shape) == 3
        size = math.prod(shape)
        sizes = (
            [shape[0], width, width, width, shape[0]] if self.pictures else [size, 4 * width, width, 4 * width, size]
        )

        def layer(k: int) -> nn.Module:
            a, b = sizes[k], sizes[k + 1]
            return nn.Conv2d(a, b, 3, padding=1) if self.pictures else nn.Linear(a, b)

        self.into, self.narrow, self.out, self.last = layer(0), layer(1), layer(2), layer(3)

    def forward(self, u: Tensor) -> Tensor:
        """`(batch, *shape)` -> the same shape, between 0 and 1."""
        if not self.pictures:
            h = self.narrow(self.into(u.flatten(1)).relu()).relu()
            return torch.sigmoid(self.last(self.out(h).relu())).reshape(u.shape)
        h = avg_pool2d(self.into(u).relu(), 2, ceil_mode=True)
        h = self.out(self.narrow(h).relu()).relu()
        return torch.sigmoid(self.last(interpolate(h, size=u.shape[2:], mode="bilinear", align_corners=False)))


def taught(
    net: nn.Module,
    u: Tensor,
    noise: float,
    epochs: int,
    batch: int,
    rate: float,
    draw: Generator,
    told: Callable[[int], None],
) -> None:
    """Teach a network to take Gaussian noise off clean inputs: Adam on the mean square, one cycle of the rate.

    Args:
        net: Changed in place.
        u: Clean inputs between 0 and 1, `(n, ...)`.
        noise: Deviation of what is added.
        epochs: Passes over the data.
        batch: Samples in a step.
        rate: Highest learning rate.
        draw: Random numbers.
        told: Called with the number of epochs done.

    Raises:
        ModelError: HF251 where the loss is not finite.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    starts = range(0, len(u), batch)
    for epoch in range(epochs):
        order = torch.randperm(len(u), generator=draw)
        for k, start in enumerate(starts):
            clean = u[order[start : start + batch]]
            noisy = (clean + noise * torch.randn(clean.shape, generator=draw).to(clean)).clamp(0, 1)
            for group in optimizer.param_groups:
                group["lr"] = one_cycle(epoch * len(starts) + k, epochs * len(starts), rate)
            loss = (net(noisy) - clean).square().mean()
            if not bool(torch.isfinite(loss)):
                raise ModelError(
                    "HF251",
                    f"The autoencoder diverged in epoch {epoch + 1}",
                    seen=f"loss {float(loss.detach())}",
                    fix=f"rate={rate / 10:g}",
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        told(epoch + 1)
