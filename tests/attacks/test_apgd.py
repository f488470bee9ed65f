"""Auto-PGD: its checkpoints, when it halves its step, where its losses are defined."""

import pytest
import torch

from holdfast.attacks import losses
from holdfast.attacks.evasion.apgd import Apgd, _alike
from holdfast.attacks.halving import checkpoints
from holdfast.attacks.run import run
from holdfast.threats.goals import Answer, Wrong
from holdfast.threats.space import Box
from holdfast.threats.threats import L1, Linf
from laws.oracles import linear, setting, torch_model, weights


def test_checkpoints_are_those_of_the_paper():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert list(checkpoints(1)) == [1]
    assert max(checkpoints(20)) <= 20


def lengths(slope, steps=100, **parameters):
    """Lengths of the moves along a line whose score for the other class has the given slope, from asked points."""
    asked = []

    def scores(z):
        asked.append(z.detach().clone())
        return torch.cat([torch.zeros_like(z), slope(z) - 1e3], 1)

    model = torch_model(scores, 2, Box((-1e3, 1e3)))
    x = torch.zeros(1, 1, dtype=torch.float64)
    run(Apgd(steps=steps, momentum=1e-9, **parameters), model, x, torch.tensor([0]), Linf(100.0))
    points = torch.cat(asked[1:])[:, 0]  # without the pass over the original
    return points.diff().abs()


def test_a_step_that_keeps_overshooting_halves_at_every_checkpoint():
    """On -|z| a step of 2 radii jumps between the ends of the ball, and a halved one from the best point onward."""
    moves = lengths(lambda z: -z.abs() * 1e-3)
    after = [float(moves[i + 1]) for i in checkpoints(100) if i < 99]
    assert after == pytest.approx([100 / 2**k for k in range(len(after))], rel=1e-6)


def test_three_quarters_of_the_moves_must_raise_the_loss():
    """100 steps, first phase of 22 moves: 17 rises keep the step, 16 halve it; 99 keep it to the end."""
    for rises, kept in ((99, True), (17, True), (16, False)):
        calls = []

        class Counted(torch.autograd.Function):
            @staticmethod
            def forward(ctx, z, calls=calls, rises=rises):
                calls.append(1)
                # the first call looks at the original, the second at the start; then `rises` moves up, the rest down
                k = len(calls) - 2
                return torch.full_like(z, float(k if k <= rises else 2 * rises - k))

            @staticmethod
            def backward(ctx, g, calls=calls):
                return g if len(calls) % 2 else -g

        moves = lengths(Counted.apply)
        assert (moves[23] > 150) == kept
        assert (moves[-1] > 150) == (rises == 99)


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_losses_are_finite_on_ties_and_for_few_classes(classes):
    z = torch.zeros(3, classes, requires_grad=True)
    margins = Wrong(torch.tensor([0, 1, 1])).margins(
        linear(weights(classes, 2)).answer(torch.zeros(3, 2))._replace(scores=z)
    )
    way = torch.zeros(3, dtype=torch.long)
    for loss in (losses.dlr, losses.dlr_of(way), losses.log_odds, losses.log_odds_of(way), losses.margin_of(way)):
        value = loss(margins, z)
        (g,) = torch.autograd.grad(value.sum(), z, retain_graph=True)
        assert torch.isfinite(value).all()
        assert torch.isfinite(g).all()


def test_log_odds_is_cross_entropy_with_another_scale():
    """Same direction, same order: for one class against the rest and for one way against staying and the others."""
    z = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    y, rows = torch.tensor([0, 1, 2, 3, 0]), torch.arange(5)
    margins = Wrong(y).margins(Answer(z))
    p = z.softmax(1)
    assert torch.allclose(losses.log_odds(margins, z), ((1 - p[rows, y]) / p[rows, y]).log())
    other = (y == 0).long()  # the class that way 0 leads to
    odds = losses.log_odds_of(torch.zeros(5, dtype=torch.long))(margins, z)
    assert torch.allclose(odds, (p[rows, other] / (1 - p[rows, other])).log())


def test_targets_are_taken_in_the_order_of_their_margins():
    """The first alone, the others side by side; under a query budget, which clones would share, one after the other."""
    model, x, y = setting(classes=4)
    x, y = x[:1], y[:1]
    order = Wrong(y).margins(model.answer(x))[0, :, 0].argsort().tolist()

    def ascents(threat):
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(losses, "dlr_of", lambda way: seen.append(way.tolist()) or losses.margin_of(way))
            run(Apgd(loss="dlr", targets=3, steps=5), model, x, y, threat)
        return seen

    assert ascents(Linf(1e-6)) == [order[:1], order[1:]]
    assert ascents(Linf(1e-6, queries=100)) == [[k] for k in order]


def test_l1_ends_in_the_ball_with_few_coordinates_moved():
    model, x, y = setting(shape=(60,))
    out = run(Apgd(), model, x, y, L1(1.5), perturb=True)
    moved = ((out.strongest - x).abs() > 1e-9).sum(1)
    assert ((out.strongest - x).abs().sum(1) <= 1.5 * (1 + 1e-6)).all()
    assert moved.double().mean() < 10


def test_cost():
    model, x, y = setting(classes=4)
    out = run(Apgd(loss="dlr", targets=2, steps=7, restarts=2), model, x, y, Linf(1e-6))
    assert (out.gradients == 7 * 2 * 2).all()
    assert (out.queries == 8 * 2 * 2).all()


def test_a_sparse_step_moves_the_steepest_coordinates_alike():
    g = torch.tensor([[4.0, -3.0, 2.0, 1.0, 0.5]])
    for kept, moved in ((0.1, 1), (1.0, 1), (2.4, 3), (9.0, 5)):
        step = _alike(g, torch.tensor([kept]))
        expected = torch.tensor([[1.0, -1.0, 1.0, 1.0, 1.0]]) * (torch.arange(5) < moved) / moved
        assert torch.allclose(step, expected)


def test_the_ratios_by_hand():
    """Five classes, the first is true: (5 - 4) over 5 - 2 untargeted, over 5 - (2 + 1) / 2 toward the second class."""
    scores = torch.tensor([[5.0, 4.0, 2.0, 1.0, -3.0]])
    margins = Wrong(torch.tensor([0])).margins(Answer(scores))
    assert losses.dlr(margins, scores).item() == pytest.approx(-1 / 3)
    assert losses.dlr_of(torch.tensor([0]))(margins, scores).item() == pytest.approx(-1 / 3.5)
    assert losses.dlr_of(torch.tensor([3]))(margins, scores).item() == pytest.approx(-8 / 3.5)
    assert losses.margin_of(torch.tensor([2]))(margins, scores).item() == pytest.approx(-4)
