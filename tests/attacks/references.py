"""What the second implementations of the attacks share: a row that asks, losses, and geometry by bisection.

Everything here knows one row alone. Nothing calls the package's geometry, losses or goals; numbers come from the papers
and from the attacks' docstrings. Gradients are torch's, random numbers those of the row's own `Draw`.
"""

import itertools
import math

import numpy as np
import torch

from holdfast.attacks.probe import Probe
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw


class Row:
    """One sample of a batch, asked alone; `asked` keeps every point, `nearest` the nearest success.

    Args:
        net: The network.
        x0: The original, a numpy array without the batch.
        y: Its class.
        bounds: Lowest and highest value of each entry, arrays like `x0`.
        p: Norm in which `nearest` is measured.
        radius: Of the ball.
        recorded: What the attack under test asked: random starts are taken from there.
        draw: A stream for this row alone.
    """

    def __init__(self, net, x0, y, bounds, p, radius, recorded, draw):
        self.net, self.x0, self.y, self.p, self.radius, self.draw = net, x0, y, p, radius, draw
        self.low, self.high = bounds
        self.recorded, self.asked = recorded, []
        self.nearest, self.distance = x0, math.inf

    def slope(self, x, loss):
        """Gradient, loss and margin at `x`."""
        leaf = torch.tensor(x[None], requires_grad=True)
        z = self.net(leaf)[0]
        value = loss(z, self.y)
        (g,) = torch.autograd.grad(value, leaf, allow_unused=True)
        m = margin(z.detach(), self.y).item()
        self._keep(x, m)
        return np.zeros_like(x) if g is None else g[0].numpy(), value.item(), m

    def margin(self, x):
        """The margin at `x`."""
        m = margin(self.scores(x), self.y).item()
        self._keep(x, m)
        return m

    def scores(self, x):
        """The scores at `x`, not counted."""
        with torch.no_grad():
            return self.net(torch.tensor(x[None]))[0]

    def given(self):
        """The point the attack under test asked at this place of its list."""
        return self.recorded[len(self.asked)].copy()

    def ways(self):
        """The other classes, smallest margin at the original first."""
        z = self.scores(self.x0)
        return sorted((k for k in range(len(z)) if k != self.y), key=lambda k: (z[self.y] - z[k]).item())

    def project(self, x, radius=None):
        """Nearest point of ball and box."""
        return project(x, self.x0, self.low, self.high, self.radius if radius is None else radius, self.p)

    def _keep(self, x, m):
        self.asked.append(x.copy())
        if m < 0 and length(x - self.x0, self.p) < self.distance:
            self.nearest, self.distance = x.copy(), length(x - self.x0, self.p)


def recorder():
    """A Probe that records what every row is asked, and where it does: `(class, list of (probe, mask, points))`."""
    log = []

    class Recorder(Probe):
        owner = None  # of clones, the rows that they stand for

        def clones(self, rows, ways, *args):
            part = super().clones(rows, ways, *args)
            part.owner = (rows if self.owner is None else self.owner[rows]).repeat_interleave(ways)
            return part

        def slope(self, x, *args, only=None, **named):
            log.append((self, (self.alive if only is None else self.alive & only).clone(), x.detach().clone()))
            return super().slope(x, *args, only=only, **named)

        def margin(self, x, only=None):
            log.append((self, (self.alive if only is None else self.alive & only).clone(), x.detach().clone()))
            return super().margin(x, only=only)

    return Recorder, log


def asked_of(log, row):
    """The points a row was asked about, those of its clones one clone after the other."""
    points = []
    for part, entries in itertools.groupby(log, lambda entry: entry[0]):
        asked = list(entries)
        places = [row] if part.owner is None else (part.owner == row).nonzero()[:, 0].tolist()
        points += [x[k].numpy() for k in places for _, mask, x in asked if mask[k]]
    return points


def compare(attack, reference, threat, net, x, y, model, *, seed=3, tight=1e-9, **named):
    """Run both and see that they ask for the same points: the attack's outcome and the rows of the reference.

    Points may differ by `tight` times the row's largest move.
    """
    probe, log = recorder()
    out = run(attack, model, x, y, threat, seed=seed, probe=probe, **named)
    low, high = (b.numpy() for b in model.space.limits(x))
    name, rows = type(attack).__name__, []
    for i in range(len(x)):
        points = asked_of(log, i)
        draw = Draw(seed, name, [i], x[i : i + 1])
        row = Row(net, x[i].numpy(), int(y[i]), (low[i], high[i]), threat.p, threat.radius, points, draw)
        reference(row, attack)
        assert len(row.asked) == len(points) == int(out.queries[i]), f"row {i}: another number of questions"
        far = max(float(np.abs(a - row.x0).max()) for a in row.asked)
        for k, (ours, theirs) in enumerate(zip(points, row.asked, strict=True)):
            gap = float(np.abs(ours - theirs).max())
            assert gap <= tight * far + 1e-15, f"row {i}, question {k} of {len(points)}: {gap:.3g} apart"
        rows.append(row)
    return out, rows


# Losses of one row's scores `z`, true class `y`


def rest(z, *without):
    """The scores of all other classes."""
    return torch.stack([z[k] for k in range(len(z)) if k not in without])


def margin(z, y):
    """Carlini and Wagner's: negative where another class is ahead."""
    return z[y] - rest(z, y).max()


def log_odds(z, y):
    """log (1 - p_y) / p_y."""
    return torch.logsumexp(rest(z, y), 0) - z[y]


def log_odds_of(t):
    """log p_t / (1 - p_t)."""
    return lambda z, y: z[t] - torch.logsumexp(rest(z, t), 0)


def ratio(z, y):
    """Difference of logits ratio, Croce and Hein 2020, (6)."""
    s = z.sort(descending=True).values
    return -(z[y] - rest(z, y).max()) / (s[0] - s[2])


def ratio_of(t):
    """Its targeted form, (7)."""

    def loss(z, y):
        s = z.sort(descending=True).values
        return -(z[y] - z[t]) / (s[0] - (s[2] + s[3]) / 2)

    return loss


# Geometry of one row


def length(d, p):
    """Norm."""
    size = np.abs(d).ravel()
    if p == 0:
        return float(sum(1 for v in size if v > 0))
    if p == 1:
        return float(sum(size))
    return float(size.max()) if p == math.inf else math.sqrt(sum(v * v for v in size))


def normed(d, p=2):
    """Length 1, or zero."""
    n = length(d, p)
    return d / n if n > 0 else d


def turn(short, low, high):
    """Where `short` turns from true to false, by bisection to the last bit."""
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if short(middle) else (low, middle)


def room(step, x, low, high):
    """How far each entry may move along the sign of `step`."""
    return np.where(step > 0, high - x, x - low)


def project(x, x0, low, high, radius, p):
    """Nearest point of ball and box, one multiplier found by bisection."""
    if p == math.inf:
        return np.minimum(np.maximum(x, np.maximum(low, x0 - radius)), np.minimum(high, x0 + radius))
    d, cap = x - x0, room(x - x0, x0, low, high)
    size = np.abs(d)
    if p == 0:
        kept = np.minimum(size, cap)
        gain = (size**2 - (size - kept) ** 2).ravel()
        chosen = sorted(range(gain.size), key=lambda j: -gain[j])[: int(radius)]
        mask = np.isin(np.arange(gain.size), chosen).reshape(d.shape)
        return np.clip(x0 + np.sign(d) * np.where(mask, kept, 0), low, high)
    new = np.minimum(size, cap)
    if length(new, p) > radius:
        if p == 2:
            s = turn(lambda s: length(np.minimum(s * size, cap), 2) < radius, 0.0, 1.0)
            new = np.minimum(s * size, cap)
        else:
            t = turn(lambda t: np.minimum(np.maximum(size - t, 0), cap).sum() > radius, 0.0, float(size.max()))
            new = np.minimum(np.maximum(size - t, 0), cap)
    return np.clip(x0 + np.sign(d) * new, low, high)


def crossing(x, w, b, low, high, p):
    """Least displacement inside the box with <w, d> = b, or as near to that as the box allows."""
    sign = np.sign(w) * np.sign(b)
    size, cap, gap = np.abs(w), room(sign, x, low, high), abs(b)
    if p == 1:
        d = np.zeros(size.size)
        for j in sorted(range(size.size), key=lambda j: -size.ravel()[j]):
            if gap > 0 and size.ravel()[j] > 0:
                d[j] = min(gap / size.ravel()[j], cap.ravel()[j])
                gap -= d[j] * size.ravel()[j]
        return sign * d.reshape(x.shape)
    rate = np.where(size > 0, 1.0, 0.0) if p == math.inf else size
    if (size * np.where(size > 0, cap, 0)).sum() <= gap:
        return sign * np.where(size > 0, cap, 0)
    most = max(c / r for c, r in zip(cap.ravel(), rate.ravel(), strict=True) if r > 0)
    t = turn(lambda t: (size * np.minimum(t * rate, cap)).sum() < gap, 0.0, most)
    return sign * np.minimum(t * rate, cap)
