"""Second implementations of the attacks that seek the nearest success: one row, plain loops, from the papers."""

import math

import numpy as np
import torch

from attacks.references import crossing, length, margin, normed, rest


def minus_margin(z, y):
    """What Carlini and Wagner climb."""
    return -margin(z, y)


def ddn(row, attack):
    """Rony et al. 2019, Algorithm 1, in widths of the box."""
    x, x0 = row.x0, row.x0
    width = float((row.high - row.low).max())
    most = length(np.maximum(row.high - x0, x0 - row.low), 2)
    z = row.scores(x0)
    nearest, typical = abs(margin(z, row.y).item()), (rest(z, row.y) - z[row.y]).abs().mean().item()
    soft = min(10 / typical, 1e12) if typical > 0 else 1.0
    sharp = min(10 / nearest, 1e12) if nearest > 0 else soft
    radius = attack.norm * width

    for i in range(attack.steps):
        done = i / attack.steps
        factor = sharp if done >= 0.5 else math.exp((1 - 2 * done) * math.log(soft) + 2 * done * math.log(sharp))
        g, _, m = row.slope(x, lambda z, y, by=factor: torch.logsumexp(by * (rest(z, y) - z[y]), 0))
        if not g.any():
            g = row.draw.normal(*x.shape)[0].numpy()
        rate = attack.rate * (0.01 + (1 - 0.01) / 2 * (1 + math.cos(done * math.pi)))
        d = x - x0 + rate * width * normed(g)
        change = attack.change if done <= 0.51 else attack.change * (2.02 - 2 * done)
        radius = min(radius * (1 - change if m < 0 else 1 + change), most)
        x = np.clip(x0 + radius * normed(d), row.low, row.high)
    row.margin(x)


def carlini_wagner(row, attack):
    """Carlini and Wagner 2017, VI-A, with the bisection of their code; see the attack's deviations."""
    x0, span = row.x0, float((row.high - row.low).max())
    half = 1.1 * (row.high - row.low) / 2
    g, _, m = row.slope(x0, minus_margin)
    square, short = float((g * g).sum()), max(m + attack.confidence, 0.0)
    if square > 0:
        c = attack.constant * 2 * short / (square * span**2)
        reach = float(np.abs(short * g / square / half).max())
    else:
        c, reach = attack.constant, 1.0
    beyond = reach * attack.confidence / (short or 1.0)
    low, high = 0.0, None
    for _ in range(attack.searches):
        if adam(row, attack, c, min(max(reach, 1e-6), 1.0)):
            high = c
        else:
            low = c
        c = 10 * c if high is None else (low + high) / 2
        found = row.distance < math.inf
        reach = max(float(np.abs((row.nearest - x0) / half).max()), beyond) if found else 10 * reach


def adam(row, attack, c, reach):
    """Kingma and Ba 2015 over the argument of tanh; whether the goal was reached."""
    x0, span = row.x0, float((row.high - row.low).max())
    middle, half = (row.low + row.high) / 2, 1.1 * (row.high - row.low) / 2
    edge = 0.5 * math.log((1 + 1 / 1.1) / (1 - 1 / 1.1))
    v = np.clip(np.arctanh((x0 - middle) / half), -edge, edge)
    first, second = np.zeros_like(v), np.zeros_like(v)
    least, least_then, reached = math.inf, math.inf, False
    for i in range(attack.steps):
        t = np.tanh(v)
        x = np.clip(middle + half * t, row.low, row.high)
        g, _, m = row.slope(x, minus_margin)
        short, d = m + attack.confidence, (x - x0) / span
        reached = reached or short < 0
        least = min(least, float((d * d).sum()) + c * max(short, 0.0))
        if i % max(attack.steps // 5, 1) == 0:
            if not least < 0.9999 * least_then:
                break
            least_then = least
        slope = 2 * d * half / span * (1 - t * t)
        if short > 0:
            slope = slope - c * g * half * (1 - t * t)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        a, b = first / (1 - 0.9 ** (i + 1)), second / (1 - 0.999 ** (i + 1))
        rate = attack.step * reach * (1 - 0.99 * i / attack.steps)
        v = np.clip(v - rate * a / (np.sqrt(b) + 1e-8), -edge, edge)
    return reached


def fab_t(row, attack):
    """Croce and Hein 2020, Algorithm 1, one class after the other as in AutoAttack, false position at the end.

    Later starts are drawn with what is known after the first one, or after their own first class.
    """
    ways, name = row.ways()[: attack.targets], row.draw.names[0]
    for restart in range(attack.restarts):
        row.draw.restart(f"{name}/{restart}")
        if restart == 1:
            known = row.nearest, row.distance
        if restart:
            best, (row.nearest, row.distance) = (row.nearest, row.distance), known
        for some in (ways[:1], ways[1:]):
            for t, x in [(t, begin(row) if restart else row.x0) for t in some]:
                linearize(row, attack, t, x)
        draw_in(row, attack)
        if restart and best[1] < row.distance:
            row.nearest, row.distance = best


def begin(row):
    """Halfway to the nearest success or the radius, in a random direction; half the box where there is neither."""
    x0, shape = row.x0, row.x0.shape
    corners = row.p == math.inf
    noise = (2 * row.draw.uniform(*shape) - 1 if corners else row.draw.normal(*shape))[0].numpy()
    far = length(np.maximum(row.high - x0, x0 - row.low), row.p)
    reach = min(row.distance, row.radius, far) / 2
    return np.clip(x0 + reach * noise / length(noise, row.p), row.low, row.high)


def linearize(row, attack, t, x):
    """Steps toward class `t`."""
    x0, p, low, high = row.x0, row.p, row.low, row.high

    def ahead(z, y):
        return z[t] - z[y]

    for i in range(attack.steps):
        if (i or x is not x0) and row.margin(x) < 0:
            x = x0 + attack.back * (x - x0)
        g, f, _ = row.slope(x, ahead)
        d = crossing(x, g, -f, low, high, p)
        d0 = crossing(x0, g, float((g * (x - x0)).sum()) - f, low, high, p)
        near, far = max(length(d, p), 1e-8), max(length(d0, p), 1e-8)
        a = min(near / (near + far), attack.bias)
        x = np.clip((1 - a) * (x + attack.extra * d) + a * (x0 + attack.extra * d0), low, high)
    row.margin(x)


def draw_in(row, attack):
    """False position between the input and the nearest success, 0.99 of the way to each estimate."""
    if row.distance == math.inf:
        return
    x0, move = row.x0, row.nearest - row.x0
    near, far = 0.0, 1.0
    f_near, f_far = margin(row.scores(x0), row.y).item(), row.margin(row.nearest)
    for _ in range(attack.secants):
        promise = f_far / (f_far - f_near)
        if promise <= 1e-4:
            break
        t = far - 0.99 * promise * (far - near)
        f = row.margin(x0 + t * move)
        if f < 0:
            far, f_far = t, f
        else:
            near, f_near = t, f
