"""GradAlign: the term against a loop over rows, where it is nothing, and that it reaches the weights."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import holdfast as hf
from cases.training import PLAIN, hints
from holdfast.data.dataset import Dataset
from holdfast.defenses.training._worst import drawn
from holdfast.defenses.training.fast_adversarial_training import FastAdversarialTraining
from holdfast.learning.objective import CrossEntropy, Step
from holdfast.threats.space import Box

THREAT = hf.Linf(0.3)


def objective(weight=1.5):
    x = torch.rand(9, 4)
    recipe = FastAdversarialTraining(of=PLAIN, threat=THREAT, alignment=weight)
    return recipe.changes(Dataset(x, torch.arange(9) % 3))["objective"]


def step_of(net, x, y, seed=2, classes=3):
    return Step(net, net, x, (x + 0.05).clamp(0, 1), y, 0.0, classes, 0.5, torch.Generator().manual_seed(seed))


def bent(seed=3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Linear(7, 3))


def cosines(net, x, y, seed=2):
    """Of the gradients at each row and at its random neighbor, one row after the other."""
    other = THREAT.around(x, Box()).sample(drawn(x, torch.Generator().manual_seed(seed)))
    found = []
    for k in range(len(x)):
        slopes = []
        for point in (x[k], other[k]):
            leaf = point.clone().requires_grad_()
            slopes.append(torch.autograd.grad(cross_entropy(net(leaf[None]), y[k][None]), leaf)[0].double())
        a, b = slopes
        found.append(float(a @ b / (a.norm() * b.norm())))
    return found


def test_the_term_is_one_less_the_mean_cosine_of_two_gradients():
    net, x, y = bent(), torch.rand(9, 4), torch.arange(9) % 3
    step, each = step_of(net, x, y), cosines(net, x, y)
    added = float((objective()(step) - CrossEntropy()(step_of(net, x, y))).detach())
    assert added == pytest.approx(1.5 * (1 - sum(each) / 9), rel=1e-4)
    assert min(each) < 0.99


def test_the_loss_of_a_linear_model_with_two_classes_turns_nowhere():
    torch.manual_seed(0)
    net, x, y = nn.Linear(4, 2), torch.rand(9, 4), torch.arange(9) % 2
    term = objective()(step_of(net, x, y, classes=2)) - CrossEntropy()(step_of(net, x, y, classes=2))
    assert float(term.detach()) == pytest.approx(0.0, abs=1e-5)


def test_it_reaches_the_weights_through_both_gradients():
    """Against finite differences in one weight after the other."""
    net, x, y = bent(), torch.rand(9, 4), torch.arange(9) % 3
    weight = net[0].weight
    alone = dataclasses.replace(objective(), of=lambda step: torch.zeros(()))
    (found,) = torch.autograd.grad(alone(step_of(net, x, y)), weight)
    for place in ((0, 0), (3, 2), (6, 1)):
        ends = []
        for side in (1, -1):
            moved = bent().double()
            with torch.no_grad():
                moved[0].weight[place] += side * 1e-4
            ends.append(_term(moved, x, y))
        assert float(found[place]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=2e-2, abs=1e-4)


def _term(net, x, y):
    """The term in double precision, at the neighbors that a step in single precision draws."""
    other = THREAT.around(x, Box()).sample(drawn(x, torch.Generator().manual_seed(2))).double()
    slopes = []
    for point in (x.double(), other):
        leaf = point.clone().requires_grad_()
        slopes.append(torch.autograd.grad(cross_entropy(net(leaf), y, reduction="sum"), leaf)[0])
    return 1.5 * float((1 - torch.nn.functional.cosine_similarity(*slopes, dim=1)).mean())


def test_rows_without_a_gradient_do_not_count_and_give_no_nan():
    net, x, y = bent(), torch.rand(9, 4), torch.arange(9) % 3
    with torch.no_grad():
        net[2].weight.zero_()
    loss = objective()(step_of(net, x, y))
    (slope,) = torch.autograd.grad(loss, net[0].weight)
    assert float(loss.detach()) == pytest.approx(float(CrossEntropy()(step_of(net, x, y)).detach()))
    assert torch.isfinite(slope).all()


def test_without_it_the_objective_of_the_training_stays():
    made = FastAdversarialTraining(of=PLAIN, threat=THREAT)
    assert "objective" not in made.changes(hints())
    assert dataclasses.replace(made, alignment=0.5).training(hints(), 0).objective.of == PLAIN.objective
