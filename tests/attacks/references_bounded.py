"""Second implementations of the attacks that climb inside a ball: one row, plain loops, from the papers."""

import math

import numpy as np

from attacks.references import length, log_odds, log_odds_of, normed, ratio, ratio_of, room


def pgd(row, attack):
    """Madry et al. 2018; with momentum Dong et al. 2018, whose gradients have L1 length 1."""
    x = row.given() if attack.random_start else row.x0
    m = np.zeros_like(x)
    for _ in range(attack.steps):
        g, _, _ = row.slope(x, log_odds)
        m = attack.momentum * m + normed(g, 1)
        x = row.project(x + attack.step * steepest(m, x, row))
    row.margin(x)


def steepest(g, x, row):
    """The displacement of the ball's length along which <g, .> rises most, entries at their bound left out."""
    r, flat = row.radius, g.ravel()
    if row.p == math.inf:
        return r * np.sign(g)
    cap = room(g, x, row.low, row.high)
    if row.p == 2:
        return r * normed(np.where(cap > 0, g, 0))
    d, spent = np.zeros(g.size), 0.0
    if row.p == 1:
        for j in sorted(range(g.size), key=lambda j: -abs(flat[j])):
            d[j] = min(r - spent, cap.ravel()[j])
            spent += d[j]
    else:
        for j in sorted(range(g.size), key=lambda j: -abs(flat[j]) * cap.ravel()[j])[: int(r)]:
            d[j] = cap.ravel()[j]
    return np.sign(g) * d.reshape(g.shape)


def apgd(row, attack):
    """Croce and Hein 2020, Algorithm 1; in L1 Croce and Hein 2021, Algorithm 1 with balls of 3, 2 and 1 radii."""
    whole, single = (log_odds, log_odds_of) if attack.loss == "ce" else (ratio, ratio_of)
    aims = [single(t) for t in row.ways()[: attack.targets]] if attack.targets else [whole]
    for _ in range(attack.restarts):
        for aim in aims:
            (ascent_l1 if row.p == 1 else ascent)(row, attack, aim)


def judged(steps):
    """Moves after which progress is judged, by the counter of the reference code, with the phase's length."""
    k, least, less = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1), max(int(0.03 * steps), 1)
    counter, marks = 0, {}
    for i in range(steps):
        counter += 1
        if counter == k:
            marks[i + 1] = k
            k, counter = max(k - less, least), 0
    return marks


def ascent(row, attack, aim):
    """Each move is judged by the loss at its end, so one that reaches checkpoint w is judged before move w + 1."""
    marks, step, x = judged(attack.steps), 2 * row.radius, row.given()
    losses, best, best_then, halved_then = [], None, -math.inf, True
    before = x
    for i in range(attack.steps):
        g, loss, _ = row.slope(x, aim)
        losses.append(loss)
        if best is None or loss > best[0]:
            best = (loss, x, g)
        if i in marks:
            k = marks[i]
            rises = sum(1 for j in range(i - k + 1, i + 1) if losses[j] > losses[j - 1])
            stalled = not halved_then and best[0] == best_then
            halved_then = rises <= attack.rising * k or stalled
            best_then = best[0]
            if halved_then:
                step, (_, x, g) = step / 2, best
        z = row.project(x + step * (np.sign(g) if row.p == math.inf else normed(g)))
        if i == 0:
            x, before = z, x
        else:
            alpha = 1 - attack.momentum
            x, before = row.project(x + alpha * (z - x) + (1 - alpha) * (x - before)), x
    row.margin(x)


def ascent_l1(row, attack, aim):
    """Sparse steps: 0.2 of the entries at first; then 1/1.5 of those that the best point has changed."""
    n, x0, best = row.x0.size, row.x0, None
    counts = [int(0.3 * attack.steps), int(0.3 * attack.steps)]
    counts.append(attack.steps - sum(counts))
    for count, factor in zip(counts, (3, 2, 1), strict=True):
        radius = factor * row.radius
        if not count:
            continue
        if best is None:
            x, share = row.given(), 0.2 * n
        else:
            x = row.project(best[1], radius)
            share = length(x - x0, 0) / 1.5
        step, entries, best = radius, length(x - x0, 0), None
        for i in range(count):
            g, loss, _ = row.slope(x, aim)
            if best is None or loss > best[0]:
                best = (loss, x, g)
            if i > 0:
                now = length(best[1] - x0, 0)
                if now < 0.95 * entries:
                    step, (_, x, g) = radius, best
                else:
                    step = min(max(step / 1.5, radius / 10), radius)
                entries, share = now, now / 1.5
            x = row.project(x + step * alike(g, x, share, row), radius)
    row.margin(x)


def alike(g, x, share, row):
    """Length 1 on the steepest entries, as many as `share` rounded up, the same for each; not on those at a bound."""
    free = room(g, x, row.low, row.high) > 1e-6 * (row.high - row.low)
    flat = np.where(free, g, 0).ravel()
    kept = min(max(math.ceil(share), 1), flat.size)
    least = sorted(np.abs(flat), reverse=True)[kept - 1]
    return normed(np.where(np.abs(flat) >= least, np.sign(flat), 0), 1).reshape(g.shape)
