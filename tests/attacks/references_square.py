"""A second implementation of the Square attack: one image, plain loops, after the authors' code."""

import math

import numpy as np

from attacks.references import turn

HALVED_AFTER = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def square(row, attack):
    """Andriushchenko et al. 2020, Algorithm 1."""
    image = row.x0.reshape((1,) * (3 - row.x0.ndim) + row.x0.shape)
    channels, height, width = image.shape
    low, high = row.low.reshape(image.shape), row.high.reshape(image.shape)
    name, corners = row.draw.names[0], row.p == math.inf
    for restart in range(attack.restarts):
        row.draw.restart(f"{name}/{restart}")
        if corners:
            signs = row.draw.signs(channels, 1, width)[0].numpy()
            x = np.clip(image + row.radius * signs, low, high)
        else:
            x = stretched(first_image(row.draw, channels, height, width), image, low, high, row.radius, row.p)
        best = row.margin(x.reshape(row.x0.shape))
        for i in range(attack.steps):
            h, w = sides(attack.area * factor(i, attack.steps), height, width, corners)
            if corners:
                top, left = corner(row.draw, height, h), corner(row.draw, width, w)
                signs = row.draw.signs(channels, 1, 1)[0].numpy()
                trial = x.copy()
                for c in range(channels):
                    part = np.s_[c, top : top + h, left : left + w]
                    trial[part] = np.clip(image[part] + row.radius * signs[c], low[part], high[part])
            else:
                d = moved(row.draw, x - image, row.radius, h, w, row.p)
                trial = stretched(d, image, low, high, row.radius, row.p)
            margin = row.margin(trial.reshape(row.x0.shape))
            if margin < best:
                x, best = trial, margin


def moved(draw, d, radius, h, w, p):
    """Algorithm 3: the length of two windows into the first one, on top of fresh pyramids; in L1 lengths are sums."""

    def length(v):
        return (np.abs(v) ** p).sum() ** (1 / p)

    channels, height, width = d.shape
    (r1, c1), (r2, c2) = ((corner(draw, height, h), corner(draw, width, w)) for _ in range(2))
    one, two = np.s_[r1 : r1 + h, c1 : c1 + w], np.s_[r2 : r2 + h, c2 : c2 + w]
    unused = max(radius**p - length(d) ** p, 0.0) / channels
    fresh = pair(draw, h, w) * draw.signs(channels, 1, 1)[0].numpy()
    new = d.copy()
    for c in range(channels):
        both = np.zeros((height, width), dtype=bool)
        both[one] = both[two] = True
        own = d[c][one]
        size, start = length(own), fresh[c] / length(fresh[c])
        push = start + (own / size if size > 0 else own)
        if np.abs(push).max() <= 1e-6:
            push = start
        new[c][two] = 0
        new[c][one] = push / length(push) * (length(d[c][both]) ** p + unused) ** (1 / p)
    return new


def stretched(d, x0, low, high, radius, p):
    """Scaled until it has the whole length inside the box."""
    size, cap = np.abs(d), np.where(d > 0, high - x0, x0 - low)
    if p == 1:
        size = np.where(size > 1e-12 * size.max(), size, 0)  # rounding, which no factor may blow up

    def short(s):
        return (np.minimum(s * size, cap) ** p).sum() < radius**p

    s = turn(short, 0.0, 1e4 * radius / math.sqrt((d * d).sum()))
    return np.clip(x0 + np.sign(d) * np.minimum(s * size, cap), low, high)


def corner(draw, size, part):
    """Where a window begins."""
    return int(draw.integers(size - part + 1)[0])


def factor(step, steps):
    """The authors' `p_selection`, in steps of 10,000."""
    at = int(step / steps * 10_000)
    halvings = 0
    for mark in HALVED_AFTER:
        if at > mark:
            halvings += 1
    return 2.0**-halvings


def sides(area, height, width, corners):
    """A square of that share of the image, for L2 odd and at least 3; where it does not fit a rectangle of its area."""
    s = max(round(math.sqrt(area * height * width)), 1 if corners else 3)
    if not corners and s % 2 == 0:
        s += 1
    if s > height:
        return height, min(round(s * s / height), width)
    if s > width:
        return min(round(s * s / width), height), width
    return s, s


def pyramid(h, w):
    """The authors' `pseudo_gaussian_pert_rectangles`."""
    delta = np.zeros((h, w))
    row, column = h // 2, w // 2
    for k in range(max(h // 2 + 1, w // 2 + 1)):
        delta[max(row, 0) : min(row + 2 * k + 1, h), max(column, 0) : min(column + 2 * k + 1, w)] += 1 / (k + 1) ** 2
        row, column = row - 1, column - 1
    return delta / math.sqrt((delta * delta).sum()) if delta.size else delta


def pair(draw, h, w):
    """Two pyramids of opposite sign, one above the other or side by side: `(h, w)`, length 1."""
    upright = float(draw.uniform(1, 1, 1, 1, 1)) < 0.5
    return halves(h, w) if upright else halves(w, h).T


def halves(h, w):
    """The authors' `meta_pseudo_gaussian_pert`, before it is turned."""
    delta = np.zeros((h, w))
    delta[: h // 2] = pyramid(h // 2, w)
    delta[h // 2 :] = -pyramid(h - h // 2, w)
    return delta / math.sqrt((delta * delta).sum())


def first_image(draw, channels, height, width):
    """5 x 5 pairs in the middle of the image, as many as there is room for."""
    h, w = max(height // 5, 1), max(width // 5, 1)
    down, across = min(5, height), min(5, width)
    upright = draw.uniform(1, down, across, 1, 1)[0, 0].numpy() < 0.5
    signs = draw.signs(channels, down, across)[0].numpy()
    d = np.zeros((channels, height, width))
    top, left = (height - 5 * h) // 2 if height >= 5 else 0, (width - 5 * w) // 2 if width >= 5 else 0
    for i in range(down):
        for j in range(across):
            tile = halves(h, w) if upright[i, j] else halves(w, h).T
            for c in range(channels):
                d[c, top + i * h : top + (i + 1) * h, left + j * w : left + (j + 1) * w] = signs[c, i, j] * tile
    return d
