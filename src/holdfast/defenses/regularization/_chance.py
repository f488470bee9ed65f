"""What augmentations draw, from an explicit generator, and what they need of their inputs."""

import torch
from torch import Generator, Tensor

from holdfast.core.errors import ModelError


def uniform(draw: Generator) -> float:
    """A number in [0, 1)."""
    return float(torch.rand((), generator=draw, dtype=torch.float64))


def beta(alpha: float, draw: Generator) -> float:
    """A number from Beta(alpha, alpha)."""
    return float(dirichlet(alpha, 1, 2, draw)[0, 0])


def dirichlet(alpha: float, n: int, parts: int, draw: Generator) -> Tensor:
    """Shares that add to 1, `(n, parts)`, from the Dirichlet distribution: Gamma variables by their sum."""
    found = torch._standard_gamma(torch.full((n, parts), alpha, dtype=torch.float64), generator=draw)
    found = found.clamp(min=torch.finfo(torch.float64).tiny)
    return found / found.sum(1, keepdim=True)


def pictures(x: Tensor, who: str) -> None:
    """Refuse inputs that are no pictures.

    Raises:
        ModelError: HF264.
    """
    if x.dim() != 4:
        raise ModelError(
            "HF264",
            f"{who} works on pictures",
            seen=f"inputs of shape {tuple(x.shape[1:])}",
            expected="(channels, height, width)",
        )
