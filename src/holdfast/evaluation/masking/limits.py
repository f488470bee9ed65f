"""The constants of the battery: how much it asks, and what it tolerates.

`NEVER`, `SELDOM` and `SOMETIMES` are shares of samples that may show a sign on a model without masking; a check turns
its share into a count with `allowed`. They were set on 40 masked and 36 honest models (tests/evaluation/masking,
numbers below 40 and 36), 16 to 30 samples each. The largest counts on an honest model there: slope 3 of 16, black_box
2 of 20, doubling 2 of 28; no other check counted a single sample. On 60 and 48 further ones 6 masks were missed, and 3
honest models were suspect, all of them because Square found lower margins than cross-entropy's peak: since then
`doubled` climbs the margin as well. Deep networks with batch norms, which the first sets had not, turn so fast that
steps of 1/256 of each of 768 ranges were too long for their gradient: since then the steps of `slope` have a length
over all coordinates. All these models count as seen. What is missed on others: `make masking`.
"""

import math

SAMPLES = 64  # right samples that the battery looks at, at most
SHARE = 4  # at most one in so many of the right samples of the run ...
FEWEST = 16  # ... but as many as this where there are so many
MOST = 620  # forward passes a sample and threat at most, a backward pass counts as two; see `battery`
LEVEL = 0.01  # chance that a model at the tolerated share is called suspect by one check

NEVER = 0.01  # determinism, company: a sample that shows it at all is a surprise
SELDOM = 0.02  # gradients, direction, larger, reach, transfer, noise: no honest sample did
SOMETIMES = 0.05  # saturation, slope, doubling, black_box: honest samples do, a few

STEPS = 20  # of the gradient attack that is doubled
QUERIES = 200  # of the black-box attack
DRAWS = 20  # random points of the noise control
DIRECTIONS = 8  # random directions beside the gradient
COMPANY = 3  # strangers in the batch of the company check

MOVED = 1e-3  # share of the scores' spread by which an answer may move from pass to pass, or with its company
SATURATED = 87.0  # margin from which the other classes' probability is exactly 0 in 32 bits: no cross-entropy gradient
NEAR, FAR = (
    1 / 32,
    1 / 2,
)  # length (L2, in units of the box's ranges) of the steps on which a gradient is held to its word
COARSEST = 1 / 8  # no coordinate moves by more than this share of such a length
HONEST = (0.5, 2.0)  # what a short step may bring, as a multiple of what the gradient promised
HIDDEN = 10.0  # a longer step that brings more than so many times the promise: the gradient hides the slope
ASIDE = 0.75  # how far the promise may be off to a random side, in units of what such a step usually brings
CLEARER = 0.02  # a lower margin counts where it is lower by this share of the clean margin


def count(right: int) -> int:
    """How many of the samples that were right the battery looks at."""
    return min(SAMPLES, right, max(FEWEST, -(-right // SHARE)))


def allowed(n: int, tolerated: float) -> int:
    """The largest count that n samples show by chance where each shows it with the tolerated probability.

    The least a with P(Binomial(n, tolerated) > a) < LEVEL: the binomial allowance of Carlini et al. 2019.
    """
    tail = 1.0
    for a in range(n + 1):
        tail -= math.comb(n, a) * tolerated**a * (1 - tolerated) ** (n - a)
        if tail < LEVEL:
            return a
    return n
