"""How much of the gradient an attack got: exact zeros and non-finite numbers are the first sign of gradient masking."""

from collections.abc import Sequence

from holdfast.evaluation.summary import AttackFacts


def useless(attacks: Sequence[AttackFacts]) -> tuple[int, int]:
    """Gradients that were zero or not finite, and gradients asked in all."""
    return sum(a.zero_gradients + a.nonfinite_gradients for a in attacks), sum(a.gradients for a in attacks)
