"""Weights of groups against a literal loop and closed forms."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from cases.training import PLAIN
from holdfast.core.errors import ModelError
from holdfast.core.progress import Note
from holdfast.data.dataset import Dataset
from holdfast.defenses.regularization.group_dro import MEMORY, GroupDro, _Weighed, _Worst, accuracies
from holdfast.learning.objective import Step


def uneven(n=240, seed=0):
    """Two classes told by the first feature, but for one sample of twenty by the second one, against the first."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    rare = torch.arange(n) % 40 < 2
    side = 2.0 * y - 1
    x = 0.5 + 0.05 * torch.randn(n, 2, generator=draw)
    x[:, 0] += torch.where(rare, -0.15 * side, 0.15 * side)
    x[:, 1] += torch.where(rare, 0.12 * side, 0.0 * side)
    return Dataset(x.clamp(0, 1), y, groups=torch.where(rare, 70, 10))


def step_of(net, x, y, memory, groups=None):
    return Step(net, net, x, x, y, 0.1, 3, 0.0, torch.Generator(), memory, groups=groups)


@pytest.mark.parametrize("by", ["classes", "groups"])
def test_it_is_its_loop(by):
    torch.manual_seed(1)
    net, memory = nn.Linear(4, 3), {}
    extra = (0.5, 0.0, 0.25)
    objective = _Weighed(by, 0.4, extra)
    q = np.ones(3) / 3
    for k in range(4):
        draw = torch.Generator().manual_seed(k)
        x, y = torch.rand(9, 4, generator=draw), torch.tensor([0, 0, 1, 2, 2, 0, 1, 0, 1])
        groups = torch.tensor([2, 2, 2, 0, 0, 2, 0, 0, 0])  # the batch lacks one
        found = objective(step_of(net, x, y, memory, groups))
        logits = net(x).detach().double().numpy()
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        label = 0.9 * np.eye(3)[y.numpy()] + 0.1 / 3
        losses, member = -(label * logs).sum(1), (y if by == "classes" else groups).numpy()
        mean = [losses[member == g].mean() if (member == g).any() else 0.0 for g in range(3)]
        for g in range(3):
            q[g] *= np.exp(0.4 * (mean[g] + extra[g])) if (member == g).any() else 1.0
        q /= q.sum()
        assert float(found.detach()) == pytest.approx(float((q * mean).sum()), rel=1e-5)
        np.testing.assert_allclose(memory[MEMORY].exp().numpy(), q, rtol=1e-5)


def test_the_weights_are_no_way_to_lower_the_loss():
    """The gradient is that of the weighted sum, the weights taken as they are."""
    net = nn.Linear(4, 3)
    x, y, memory = torch.rand(9, 4), torch.arange(9) % 3, {}
    (found,) = torch.autograd.grad(_Weighed("classes", 5.0, (0.0,) * 3)(step_of(net, x, y, memory)), net.weight)
    q = memory[MEMORY].exp().float()
    rows = nn.functional.cross_entropy(net(x), y, reduction="none", label_smoothing=0.1)
    (wanted,) = torch.autograd.grad(sum(q[g] * rows[y == g].mean() for g in range(3)), net.weight)
    torch.testing.assert_close(found, wanted)


def test_constant_losses_weigh_as_their_exponential():
    """After k steps q is the softmax of step * k * loss."""
    scores = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    net, memory = nn.Linear(1, 2), {}
    for _ in range(6):
        step = Step(net, lambda x: scores, scores, scores, torch.tensor([0, 1]), 0.0, 2, 0.0, torch.Generator(), memory)
        _Weighed("classes", 0.3, (0.0, 0.0))(step)
    losses = torch.tensor([np.log(2), np.log(1 + np.exp(2))])
    torch.testing.assert_close(memory[MEMORY].exp(), (0.3 * 6 * losses).softmax(0), check_dtype=False)


@dataclasses.dataclass(frozen=True)
class Straight:
    """A linear model, which cannot be right about everybody."""

    def __call__(self, shape, classes):
        return nn.Linear(2, classes)


OF = dataclasses.replace(PLAIN, network=Straight(), epochs=20)


def test_the_worst_group_is_better_than_without_it():
    data, fresh = uneven(), uneven(2400, seed=5)
    plain = accuracies(OF.fit(data), fresh, "groups")
    made = accuracies(GroupDro(of=OF, by="groups", step=0.2).fit(data), fresh, "groups")
    assert list(plain) == list(made) == [10, 70]
    assert [n for _, n in plain.values()] == [2280, 120]
    assert made[70][0] > plain[70][0] + 0.3
    assert min(made.values())[0] > min(plain.values())[0] + 0.3


def test_the_worst_group_is_told_and_chosen_by():
    data, fresh, notes = uneven(), uneven(240, seed=5), []
    of = dataclasses.replace(OF, epochs=6, patience=6, rate=0.3)
    learner = GroupDro(of=of, by="groups", step=0.2)
    model = learner.fit(data, 0, lambda event: notes.append(event.text) if isinstance(event, Note) else None, fresh)
    shares = accuracies(model, fresh, "groups")
    low = min(shares, key=lambda group: shares[group][0])
    assert notes[-1] == f"worst of 2: group {low}, {shares[low][0]:.1%} of {shares[low][1]} validation samples right"
    judged = _Worst("groups")(model, fresh)
    assert (judged.score, judged.samples) == shares[low]
    right = model.predict(fresh.x) == fresh.y
    assert _Worst("classes")(model, fresh).score == min(float(right[fresh.y == k].double().mean()) for k in range(2))


def test_small_groups_get_their_adjustment_and_a_checkpoint_knows_all():
    data, seen = uneven(), []
    of = dataclasses.replace(PLAIN, epochs=1)

    class Seen(Exception):
        """The training was reached."""

    def reached(how, *_):
        seen.append((how.objective.extra, how._identity(data, 0)))
        raise Seen

    own = GroupDro(of=of, by="groups", adjustment=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(of), "fit", reached)
        for one in (own, dataclasses.replace(own, step=0.5), dataclasses.replace(own, by="classes")):
            with pytest.raises(Seen):
                one.fit(data)
    assert seen[0][0] == pytest.approx((2 / 228**0.5, 2 / 12**0.5))
    assert seen[2][0] == pytest.approx((2 / 120**0.5,) * 2)
    assert len({identity for _, identity in seen}) == 3


def test_data_without_groups_are_refused():
    data = Dataset(torch.rand(20, 3), torch.arange(20) % 2)
    with pytest.raises(ModelError, match="HF254"):
        GroupDro(of=PLAIN, by="groups").fit(data)
