"""Shares of a batch: several threads that each compute their rows find what one computes of the whole, to any order."""

import concurrent.futures
import copy
import dataclasses
import threading

import pytest
import torch
from torch import nn

from holdfast.learning.objective import At
from holdfast.learning.shares import gather, lend, sizes, split


@dataclasses.dataclass(frozen=True, eq=False)
class Threads:
    """One of several threads that speak over a blackboard."""

    rank: int
    count: int
    board: list
    meet: threading.Barrier

    def collect(self, own):
        self.board[self.rank] = own.detach().clone()
        self.meet.wait(30)
        found = list(self.board)
        self.meet.wait(30)
        return found

    def added(self, own):
        return torch.stack(self.collect(own)).sum(0)


def together(count, work):
    """What `work(group)` returns in each of the threads."""
    board, meet = [None] * count, threading.Barrier(count)
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda rank: work(Threads(rank, count, board, meet)), range(count)))


def net_of():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()


def shared(group, net):
    """The network's scores of a whole batch, of which each thread computes its rows."""

    def logits(x):
        held = dict(net.named_parameters())
        own = At(net, net, dict(zip(held, lend(group, list(held.values())), strict=True)))
        return gather(group, own(split(group, x)), len(x))

    return logits


def plain(net, logits, x, weight):
    """A loss of scores and of the weights themselves, and its gradients."""
    leaf = x.clone().requires_grad_()
    loss = (weight * logits(leaf).log_softmax(1)).sum() + sum(p.abs().sum() for p in net.parameters())
    return torch.autograd.grad(loss, [leaf, *net.parameters()])


def double(net, logits, x, weight):
    """A loss with a gradient inside, asked twice at other inputs, as penalties and perturbed weights do."""
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((weight * logits(leaf)).sum(), leaf, create_graph=True)
    inner = torch.autograd.grad(logits(x).logsumexp(1).sum(), [*net.parameters()], create_graph=True)
    loss = slope.square().sum() + logits(x + slope).square().mean() + sum(g.square().sum() for g in inner)
    return torch.autograd.grad(loss, [leaf, *net.parameters()])


@pytest.mark.parametrize(("rows", "count", "found"), [(8, 2, [4, 4]), (7, 3, [3, 2, 2]), (1, 2, [1, 0])])
def test_sizes_are_even(rows, count, found):
    assert sizes(rows, count) == found


@pytest.mark.parametrize("what", [plain, double])
@pytest.mark.parametrize(("rows", "count"), [(6, 1), (6, 2), (7, 2), (8, 3)])
def test_every_thread_finds_the_gradients_of_the_whole(what, rows, count):
    draw = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, 5, generator=draw, dtype=torch.float64)
    weight = torch.randn(rows, 3, generator=draw, dtype=torch.float64)
    net = net_of()
    wanted = what(net, net, x, weight)
    nets = [copy.deepcopy(net) for _ in range(count)]
    answers = together(count, lambda group: what(nets[group.rank], shared(group, nets[group.rank]), x, weight))
    for found in answers:
        assert all(torch.equal(one, other) for one, other in zip(found, answers[0], strict=True))
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_tensors_of_several_types_travel_in_one_message_each():
    held = [torch.ones(2, 3, requires_grad=True), torch.ones(4, dtype=torch.float64, requires_grad=True)]

    def work(group):
        own = lend(group, held)
        return torch.autograd.grad((group.rank + 1) * own[0].sum() + own[1].double().square().sum(), held)

    for first, second in together(2, work):
        assert torch.equal(first, torch.full((2, 3), 3.0))
        assert torch.equal(second, torch.full((4,), 4.0, dtype=torch.float64))
        assert second.dtype == torch.float64


def test_a_network_that_changes_its_input_does_not_reach_the_batch():
    x = torch.ones(4, 2)
    together(2, lambda group: split(group, x).mul_(5))
    assert torch.equal(x, torch.ones(4, 2))
