"""The one-cycle learning rate, and one that stays up at its end.

Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
arXiv:1708.07120; the constant rate of averaged weights: Izmailov et al., UAI 2018, arXiv:1803.05407.
"""

import math

WARM, START, END = 0.25, 1 / 25, 1e-4  # share of the steps that rise; first and last rate as a share of the highest


def one_cycle(step: int, steps: int, rate: float) -> float:
    """The rate of step 0, 1, ... steps - 1: half a cosine up to `rate`, half a cosine down."""
    at = (step + 0.5) / steps
    if at < WARM:
        return rate * _between(START, 1.0, at / WARM)
    return rate * _between(1.0, END, (at - WARM) / (1 - WARM))


def scheduled(step: int, steps: int, rate: float, start: float, tail: float) -> float:
    """The cycle; with a tail it comes down to `tail * rate` at the share `start` of the steps, and stays there."""
    at = (step + 0.5) / steps
    if not tail or start >= 1:
        return one_cycle(step, steps, rate)
    warm = min(WARM, start / 2)
    if at >= start:
        return rate * tail
    return rate * (_between(START, 1.0, at / warm) if at < warm else _between(1.0, tail, (at - warm) / (start - warm)))


def _between(first: float, last: float, at: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * at)) / 2
