"""Square attack: its schedule, its windows, its first image, and the length it uses."""

import itertools

import pytest
import torch

from holdfast.attacks.evasion.square import Square, _pair, _shift, place, shrink, tiles, window
from holdfast.attacks.run import run
from holdfast.geometry.draw import Draw
from holdfast.threats.space import Box, space_of
from holdfast.threats.threats import L1, L2, Linf
from laws.oracles import corners, linear, torch_model, weights


@pytest.mark.parametrize("steps", [10_000, 5_000, 1_000])
def test_schedule(steps):
    factor = [shrink(i, steps) for i in range(steps)]
    drops = [i for i in range(1, steps) if factor[i] < factor[i - 1]]
    marks = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]
    assert drops == [next(i for i in range(steps) if i * 10_000 // steps > m) for m in marks]
    assert factor[0] == 1
    assert factor[-1] == 1 / 512
    if steps == 10_000:
        assert drops == [m + 1 for m in marks]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 8), (128, 188), (1, 20), (1, 1), (4, 8)])
@pytest.mark.parametrize("least", [1, 3])
def test_windows_fit_and_keep_their_area(height, width, least):
    for area in [0.8 * 0.5**k for k in range(10)]:
        h, w = window(area, height, width, least)
        assert 1 <= h <= height
        assert 1 <= w <= width
        side = max(round((area * height * width) ** 0.5), least)
        if height == width == 32:
            assert h == w == side + (least == 3 and side % 2 == 0)
        if least == 1 and side * side <= height * width:
            assert h * w == pytest.approx(side * side, rel=0.5)
    draw = Draw(0, "windows", list(range(50)))
    for size, part in itertools.product((1, 5), (1, 4, 5)):
        if part <= size:
            mask = place(draw, size, part)
            assert (mask.sum(1) == part).all()
            assert (mask.int().diff(dim=1) != 0).sum(1).max() <= 2
            assert len(mask.unique(dim=0)) == size - part + 1


def test_pyramids():
    """The paper's 5 x 5 window: two rows against three, highest in the middle of each half, length 1."""
    pair = _pair(5, 5)
    assert pair.norm().item() == pytest.approx(1)
    assert (pair[:2] > 0).all()
    assert (pair[2:] < 0).all()
    lower = -pair[2:] / pair[2:].norm()
    stairs = torch.tensor([1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9], dtype=torch.float64)
    expected = stairs[torch.tensor([[2, 1, 1, 1, 2], [2, 1, 0, 1, 2], [2, 1, 1, 1, 2]])]
    assert torch.allclose(lower, expected / expected.norm())


def test_tiles_cover_the_middle_of_the_image():
    d = tiles(Draw(0, "tiles", [0, 1]), 3, 32, 32)
    assert d.shape == (2, 3, 32, 32)
    assert torch.allclose(d.flatten(1).norm(dim=1), torch.ones(2))
    assert (d[:, :, 1:31, 1:31] != 0).all()
    assert (d[:, :, 0] == 0).all()
    assert tiles(Draw(0, "tiles", [0]), 1, 1, 1).abs().item() == 1


def points(attack, threat, x, bounds):
    """Everything the attack asks about a model that never errs."""
    seen, w = [], weights(2, *x.shape[1:]).to(x)

    def scores(z):
        seen.append(z.detach().clone())
        margin = (z.flatten(1) @ w.flatten(1).T)[:, :1]
        return torch.cat([margin + 1e6, torch.zeros_like(margin)], 1)

    space = Box(bounds) if x.dim() == 2 else space_of(x, bounds)
    run(attack, torch_model(scores, 2, space), x, torch.zeros(len(x), dtype=torch.long), threat)
    return torch.stack(seen[1:])


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 32, 8), (20,), (1, 1, 1)])
def test_linf_points_are_corners(shape):
    x = corners(4, *shape)
    d = (points(Square(steps=40), Linf(0.1), x, (-2.0, 2.0)) - x).abs()
    assert torch.allclose(d, torch.full_like(d, 0.1))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 32, 8), (20,), (1, 1, 1)])
@pytest.mark.parametrize("bounds", [(-9.0, 9.0), (0.0, 1.0)])
@pytest.mark.parametrize("p", [2.0, 1.0])
def test_l2_and_l1_points_use_the_full_length(shape, bounds, p):
    x = corners(4, *shape) if shape != (1, 1, 1) else torch.full((4, 1, 1, 1), 0.5, dtype=torch.float64)
    radius = 0.4 if shape == (1, 1, 1) else 0.7
    threat = L2(radius) if p == 2 else L1(radius)
    length = (points(Square(steps=60), threat, x, bounds) - x).flatten(2).norm(p, dim=2)
    assert torch.allclose(length, torch.full_like(length, radius))


def test_linf_begins_with_stripes_and_then_moves_a_window():
    x = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float64)
    seen = points(Square(steps=30), Linf(0.1), x, (0.0, 1.0))
    assert (seen[0].diff(dim=2) == 0).all()
    for before, after in itertools.pairwise(seen):
        changed = (after != before).any(1)
        rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
        assert (rows <= 16).all()
        assert (columns <= 16).all()


def test_it_finds_the_best_corner_of_a_line():
    x, w = corners(4, 24), weights(1, 24)
    model = linear(w, -(x[0] @ w[0]))
    y = model.labels(x)
    out = run(Square(steps=1000), model, x, y, Linf(0.1), perturb=True)
    sign = torch.where(y == 1, -1.0, 1.0)[:, None] * w.sign()
    best = (x + 0.1 * sign).clamp(0, 1)
    assert torch.allclose(out.strongest, best)


def test_with_hope_a_row_leaves_once_what_fell_is_small_beside_what_is_left():
    """On a line the margin falls by what is known: a row looks after 100 proposals and after 200."""
    x, w = corners(7, 24), weights(1, 24)
    model = linear(w, -(x[0] @ w[0]))  # the first input lies on the boundary
    x = x[1:]
    y = model.labels(x)
    full = run(Square(steps=700), model, x, y, Linf(1e-4), perturb=True)
    clean = run(Square(steps=1), model, x, y, Linf(0.0), perturb=True).margin
    assert (full.margin > 0).all()  # far from any success
    ratio = full.margin / (clean - full.margin)  # the line is climbed to its end within 100 proposals
    hopeful = run(Square(steps=700, hope=2 * float(ratio.max())), model, x, y, Linf(1e-4))
    assert (hopeful.queries == 201).all()  # nothing falls between the first look and the second
    middle = float(ratio.sort().values[2:4].mean())
    some = run(Square(steps=700, hope=middle), model, x, y, Linf(1e-4))
    assert (some.queries == torch.where(ratio <= middle, 201, 101)).all()
    assert len(set(some.queries.tolist())) == 2
    again = run(Square(steps=700, hope=1e-3, restarts=2), model, x, y, Linf(1e-4))
    assert (again.queries == 202).all()  # the second start is tried


def test_l1_moves_the_length_of_two_windows_into_one():
    """Far from the box: outside the two windows nothing changes, and the sum over each channel of both stays."""
    x = torch.full((6, 2, 9, 9), 0.5, dtype=torch.float64)
    before, one = 0.01 * tiles(Draw(1, "l1", list(range(6)), x), 2, 9, 9), torch.ones(6, 1, 1, 1, dtype=torch.float64)
    d = (_shift(Draw(0, "l1", list(range(6)), x), x + before, x, one, 3, 3, p=1.0) - x) / 1e4
    unused = (1 - before.abs().sum((1, 2, 3))) / 2
    assert torch.allclose(d.abs().sum((2, 3)), before.abs().sum((2, 3)) + unused[:, None])
    assert (~torch.isclose(d, before, atol=1e-12)).flatten(1).sum(1).max() <= 2 * 2 * 9
