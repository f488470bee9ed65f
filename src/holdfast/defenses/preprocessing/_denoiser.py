"""A small network that learns to take Gaussian noise of any strength off clean inputs, and its training."""

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle, silu

from holdfast.core.errors import ModelError
from holdfast.geometry.rows import expand

WAVES = 16  # sines and cosines each that tell a network the time
SIDE = 4  # pictures are made this much longer and wider at most, so that they can be halved twice
HEATING = 10  # the running average of the weights forgets its first steps so fast


class Denoiser(nn.Module):
    """A U-Net of two scales for pictures, three residual layers for everything else; both are told the time.

    Pictures are rearranged first: four neighbors become channels, so that the finer scale is half as long and wide.

    Args:
        shape: Of one input.
        width: Channels of the finer scale, half those of the coarser one; a quarter of the units for other inputs.
    """

    def __init__(self, shape: tuple[int, ...], width: int):
        super().__init__()
        self.picture = len(shape) == 3 and min(shape[1:]) > 1
        told = 4 * width
        self.time = nn.Sequential(nn.Linear(2 * WAVES, told), nn.SiLU(), nn.Linear(told, told), nn.SiLU())
        enter: nn.Conv2d | nn.Linear
        leave: nn.Conv2d | nn.Linear
        if self.picture:
            enter = nn.Conv2d(4 * shape[0], width, 3, padding=1)
            self.down = _Block(width, told)
            self.shrink = nn.Conv2d(width, 2 * width, 2, stride=2)
            self.middle = nn.ModuleList([_Block(2 * width, told), _Block(2 * width, told)])
            self.grow = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
            self.up = _Block(width, told)
            leave = nn.Conv2d(width, 4 * shape[0], 3, padding=1)
        else:
            size = math.prod(shape)
            enter = nn.Linear(size, told)
            self.middle = nn.ModuleList([_Layer(told, told) for _ in range(3)])
            leave = nn.Linear(told, size)
        self.enter, self.leave = enter, leave
        for numbers in leave.parameters():  # the first answer is zero everywhere
            nn.init.zeros_(numbers)

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """The velocity `(batch, ...)`.

        Args:
            z: Noisy inputs.
            time: Of each row, as a share of the whole forward process: `(batch,)`.
        """
        waves = time[:, None] * 2.0 ** torch.arange(WAVES, device=z.device).to(z).mul(0.5) * math.pi
        told = self.time(torch.cat([waves.sin(), waves.cos()], 1))
        if not self.picture:
            h = self.enter(z.flatten(1))
            for layer in self.middle:
                h = layer(h, told)
            flat: Tensor = self.leave(silu(h)).reshape(z.shape)
            return flat
        height, width = z.shape[2:]
        around = pad(z, (0, -width % SIDE, 0, -height % SIDE), mode="replicate")
        fine = self.down(self.enter(pixel_unshuffle(around, 2)), told)
        coarse = self.shrink(fine)
        for block in self.middle:
            coarse = block(coarse, told)
        fine = self.up(fine + self.grow(coarse), told)
        return pixel_shuffle(self.leave(silu(fine)), 2)[:, :, :height, :width]


class _Block(nn.Module):
    """A residual pair of convolutions whose middle is scaled and shifted by what the time says."""

    def __init__(self, width: int, told: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm = nn.GroupNorm(math.gcd(8, width), width)
        self.said = nn.Linear(told, 2 * width)

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.said(told)[:, :, None, None].chunk(2, 1)
        out: Tensor = h + self.second(silu(self.norm(self.first(silu(h))) * (1 + scale) + shift))
        return out


class _Layer(nn.Module):
    """The same with two linear layers."""

    def __init__(self, width: int, told: int):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.said = nn.Linear(told, 2 * width)

    def forward(self, h: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.said(told).chunk(2, 1)
        out: Tensor = h + self.second(silu(self.norm(self.first(silu(h))) * (1 + scale) + shift))
        return out


def taught(
    v: Tensor,
    kept: Sequence[float],
    last: int,
    *,
    width: int,
    updates: int,
    batch: int,
    rate: float,
    average: float,
    seed: int,
    told: Callable[[int], None] = lambda done: None,
) -> Denoiser:
    """A denoiser of these inputs, float32, fixed, in evaluation mode; the global random state stays as it is.

        minimize mean |net(a v + b n, t) - (a n - b v)|^2,   n ~ N(0, 1),  a^2 = kept[t],  b^2 = 1 - kept[t]

    The velocity a n - b v (Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", ICLR
    2022, arXiv:2202.00512) has one size at all times; its error is that of the noise divided by a, and no time blows it
    up. Adam with a rate that falls along a cosine; the network returned has the running average of the weights.

    Args:
        v: Clean inputs `(n, ...)`, between -1 and 1.
        kept: Share of the signal's variance that is left at each time.
        last: Latest time to learn.
        width: Of the network.
        updates: Steps of Adam.
        batch: Samples in a step.
        rate: Of Adam, at the start.
        average: Decay of the running average; it forgets faster at the start.
        seed: Of weights, choices, times and noise.
        told: Called with the number of steps done, after each.

    Raises:
        ModelError: HF251 where the loss is not finite.
    """
    draw, v = torch.Generator().manual_seed(seed), v.detach().float()
    shares = torch.tensor(kept, dtype=torch.float64)
    with torch.random.fork_rng([]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        net = Denoiser(tuple(v.shape[1:]), width)
        mean = copy.deepcopy(net)
        adam = torch.optim.Adam(net.parameters(), rate)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, updates)
        for done in range(updates):
            clean = v[torch.randint(len(v), (batch,), generator=draw)]
            spot = (torch.arange(batch) + torch.rand(batch, generator=draw)) / batch
            at = (spot * (last + 1)).long().clamp(max=last)
            a, b = (expand(share.sqrt().float(), clean) for share in (shares[at], 1 - shares[at]))
            noise = torch.randn(clean.shape, generator=draw)
            loss = (net(a * clean + b * noise, at / len(kept)) - (a * noise - b * clean)).square().mean()
            if not bool(torch.isfinite(loss)):
                raise _diverged(done + 1, float(loss.detach()), rate)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            fall.step()
            _follow(mean, net, min(average, (done + 1) / (done + HEATING)))
            told(done + 1)
    return mean.eval().requires_grad_(False)


def _diverged(step: int, loss: float, rate: float) -> ModelError:
    what = f"The denoiser diverged in step {step}"
    return ModelError("HF251", what, seen=f"loss {loss}", fix=f"rate={rate / 10:g}")


@torch.no_grad()
def _follow(mean: nn.Module, net: nn.Module, decay: float) -> None:
    for old, new in zip(mean.parameters(), net.parameters(), strict=True):
        old.lerp_(new, 1 - decay)
