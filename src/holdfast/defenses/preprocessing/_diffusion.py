"""A diffusion process: how noise is added, and how it is taken off again in steps.

Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv:2006.11239; steps over several
times at once: Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021, arXiv:2010.02502.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

Schedule = Literal["linear", "cosine"]
Method = Literal["ddpm", "ddim"]
Guess = Callable[[Tensor, int], Tensor]  # noisy inputs and their time -> the clean inputs that it expects
TIMES = 1000  # of the forward process
LONG = 8  # steps that a backward pass keeps in memory; of more it keeps what goes in and computes them again


def kept(schedule: Schedule) -> tuple[float, ...]:
    """The share of the signal's variance that is left at each of the 1000 times, from nearly 1 down.

    Args:
        schedule: "linear": noise variances from 1e-4 to 0.02 (Ho et al.); "cosine": the share is a squared cosine
            (Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021, arXiv:2102.09672).
    """
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, TIMES, dtype=torch.float64)
    else:
        shares = torch.linspace(0, 1, TIMES + 1, dtype=torch.float64).add(0.008).mul(math.pi / 2 / 1.008).cos().square()
        betas = (1 - shares[1:] / shares[:-1]).clamp(max=0.999)
    return tuple((1 - betas).cumprod(0).tolist())


def latest(until: float, times: int) -> int:
    """The time that is a share of the whole process: 0 for the first one."""
    return max(1, min(times, round(until * times))) - 1


def stops(last: int, steps: int) -> list[int]:
    """The times from which the steps start, evenly apart, the latest first; no more than there are."""
    steps = min(steps, last + 1)
    return [round((last + 1) * (1 - step / steps)) - 1 for step in range(steps)]


def noised(v: Tensor, share: float, noise: Tensor) -> Tensor:
    """The forward process in one go: mean sqrt(share) v, variance 1 - share."""
    return math.sqrt(share) * v + math.sqrt(1 - share) * noise


def denoised(z: Tensor, guess: Guess, left: Sequence[float], at: Sequence[int], method: Method) -> Tensor:
    """The reverse process from the time `at[0]` to clean inputs; draws from torch's global numbers for "ddpm".

        v <- guess(z, t),  n <- (z - sqrt(a) v) / sqrt(1 - a)
        z <- sqrt(b) v + sqrt(1 - b - s^2) n + s N(0, 1),  s^2 = (1 - b) / (1 - a) (1 - a / b) or 0 for "ddim"

    with a and b the shares at this and the next time; after the last time b = 1, so that the last guess is the answer.

    Args:
        z: Noisy inputs `(batch, ...)`, between -1 and 1 before the noise.
        guess: The clean inputs that are expected.
        left: Share of the signal's variance at each time.
        at: The times to step from, falling.
        method: "ddpm" draws fresh noise in each step, "ddim" none.
    """
    keep = len(at) <= LONG or not torch.is_grad_enabled()
    for now, then in zip(at, [*at[1:], None], strict=True):
        a, b = left[now], 1.0 if then is None else left[then]
        variance = (1 - b) / (1 - a) * (1 - a / b) if method == "ddpm" else 0.0
        fresh = math.sqrt(variance) * torch.randn_like(z) if variance else torch.zeros_like(z)
        rest = math.sqrt(max(1 - b - variance, 0.0))
        z = _step(z, guess, now, a, b, rest, fresh) if keep else _again(z, guess, now, a, b, rest, fresh)
    return z


def _step(z: Tensor, guess: Guess, now: int, a: float, b: float, rest: float, fresh: Tensor) -> Tensor:
    clean = guess(z, now)
    noise = (z - math.sqrt(a) * clean) / math.sqrt(1 - a)
    return math.sqrt(b) * clean + rest * noise + fresh


def _again(*given: object) -> Tensor:
    found: Tensor = checkpoint(_step, *given, use_reentrant=False, preserve_rng_state=False)
    return found
