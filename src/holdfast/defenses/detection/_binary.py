"""A small network that learns to tell two sets of inputs apart."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

BATCH = 32  # of each set in a step


class Binary(nn.Module):
    """Three convolutions around one halving and a mean for pictures, two hidden layers for everything else.

    Smooth units, so that its slope is that of its finite differences. Inputs are centered and scaled by numbers that
    were read off the first set.

    Args:
        shape: Of one input.
        width: Channels of the first convolution, a quarter of the units of a hidden layer.
        center: Taken off each input, `(1, ...)`.
        scale: What the rest is divided by, `(1, ...)`.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], width: int, center: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.picture = len(shape) == 3 and min(shape[1:]) > 1
        if self.picture:
            self.layers = nn.Sequential(
                *(nn.Conv2d(shape[0], width, 3, padding=1), nn.ELU()),
                *(nn.Conv2d(width, width, 3, padding=1), nn.ELU(), nn.AvgPool2d(2, ceil_mode=True)),
                *(nn.Conv2d(width, 2 * width, 3, padding=1), nn.ELU()),
            )
            self.head = nn.Linear(2 * width, 1)
        else:
            units = 4 * width
            self.layers = nn.Sequential(nn.Linear(math.prod(shape), units), nn.ELU(), nn.Linear(units, units), nn.ELU())
            self.head = nn.Linear(units, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The log odds that an input is of the second set: `(batch,)`."""
        z = (x.to(self.center) - self.center) / self.scale
        seen = self.layers(z).mean((2, 3)) if self.picture else self.layers(z.flatten(1))
        odds: Tensor = self.head(seen)[:, 0]
        return odds


def learned(clean: Tensor, attacked: Tensor, width: int, epochs: int, rate: float, seed: int) -> Binary:
    """The network that tells them apart, float32, fixed, in evaluation mode; the global random state stays as it is.

    Adam on the cross-entropy, as many of one set as of the other in every step, with a rate that falls along a cosine;
    an epoch is a pass over the smaller set.

    Args:
        clean: `(n, ...)`.
        attacked: `(m, ...)`.
        width: Of the network.
        epochs: Passes over the smaller set.
        rate: Of Adam, at the start.
        seed: Of weights and orders.
    """
    clean, attacked = clean.detach().float(), attacked.detach().float()
    over = [0] if clean.dim() < 4 else [0, *range(2, clean.dim())]
    center, scale = clean.mean(over, keepdim=True), clean.std(over, correction=0, keepdim=True)
    scale = torch.where(scale > 1e-6 * scale.max().clamp(min=1e-12), scale, 1.0)
    draw = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng([]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        net = Binary(tuple(clean.shape[1:]), width, center, scale)
        adam = torch.optim.Adam(net.parameters(), rate)
        count = min(len(clean), len(attacked))
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs * math.ceil(count / BATCH))
        for _ in range(epochs):
            orders = [torch.randperm(len(part), generator=draw)[:count] for part in (clean, attacked)]
            for ours, theirs in zip(*(torch.split(order, BATCH) for order in orders), strict=True):
                adam.zero_grad(set_to_none=True)
                loss = softplus(net(clean[ours])).mean() + softplus(-net(attacked[theirs])).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
                fall.step()
    return net.eval().requires_grad_(False)
