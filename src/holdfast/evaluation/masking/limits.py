"""The constants of the battery: how much it asks, and what it tolerates.

The tolerated shares are shares of samples that may show a sign on an honest model. A check turns them into a count with
`allowed`. How they were set, and what they miss on models that had no say in it: `make masking`, docs/how-to/masking.
"""

import math

SAMPLES = 64  # right samples that the battery looks at, at most
SHARE = 4  # at most one in so many of the right samples of the run ...
FEWEST = 16  # ... but as many as this where there are so many
LEVEL = 0.01  # chance that a model at the tolerated share is called suspect by one check

STEPS = 20  # of the gradient attack that is doubled
QUERIES = 200  # of the black-box attack
DRAWS = 20  # random points of the noise control
DIRECTIONS = 8  # random directions beside the gradient
COMPANY = 3  # strangers in the batch of the company check

MOVED = 1e-3  # share of the scores' spread by which an answer may move from pass to pass, or with its company
SATURATED = 87.0  # margin from which the other classes' probability is exactly 0 in 32 bits: no cross-entropy gradient
NEAR, FAR = 1 / 256, 1 / 16  # of each coordinate's range: the steps on which a gradient is held to its word
HONEST = (0.5, 2.0)  # what a short step may bring, as a multiple of what the gradient promised
HIDDEN = 10.0  # a longer step that brings more than so many times the promise: the gradient hides the slope
ASIDE = 0.5  # how far the promise may be off to a random side, in units of what such a step usually brings
CLEARER = 0.02  # a lower margin counts where it is lower by this share of the clean margin


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
