"""Learning a teacher's answers: soft labels and their loss, a robust student, and the gradient that only vanished."""

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

import holdfast as hf
from holdfast.core.errors import ModelError, Stop
from holdfast.core.progress import BatchDone, RunDone
from holdfast.data import Dataset
from holdfast.defenses.distillation._towards import Leaving, divergence, soft, taught
from holdfast.defenses.distillation.defensive_distillation import DefensiveDistillation, _Soft, grown
from holdfast.defenses.distillation.robust_distillation import RobustDistillation, _Following
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.learning.objective import Step
from holdfast.learning.train import Train
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.models.wrap import wrap

PLAIN = Train(network="mlp", width=32, epochs=6, batch=64, rate=0.1, smoothing=0.0, average=0.9, weight_decay=0.0)
NEAR = hf.Linf(0.1)


@pytest.fixture(scope="module")
def digits():
    found = hf.data.load("digits")
    return found.train.take(torch.arange(800)), found.test.take(torch.arange(150))


@pytest.fixture(scope="module")
def plain(digits):
    return PLAIN.fit(digits[0])


@pytest.fixture(scope="module")
def robust(digits):
    return AdversarialTraining(of=PLAIN, threat=NEAR, steps=2, step=0.7).fit(digits[0])


@pytest.fixture(scope="module")
def distilled(digits):
    return DefensiveDistillation(of=dataclasses.replace(PLAIN, epochs=20), temperature=100.0).fit(digits[0])


def accuracy(model, data):
    return float((model.predict(data.x) == data.y).double().mean())


def unbroken(model, data, attack):
    return hf.run(attack, model, data.x, data.y, NEAR).status.count("unbroken") / len(data)


def linear(seed, classes=3):
    net = nn.Linear(4, classes)
    draw = torch.Generator().manual_seed(seed)
    for p in net.parameters():
        p.data = 3 * torch.randn(p.shape, generator=draw)
    return net


def step_of(net, x, harder, y):
    return Step(net, net, x, harder, y, 0.0, 3, 0.0, torch.Generator())


def setting():
    x = torch.rand(9, 4, generator=torch.Generator().manual_seed(0))
    teacher = hf.wrap(linear(1), (0, 1), output="logits")
    return taught(teacher, Dataset(x, torch.arange(9) % 3), 0, lambda e: None), linear(2), x, torch.arange(9) % 3


# Losses


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_divergence_is_that_of_torch(temperature):
    teacher, net, x, _ = setting()
    labels = soft(teacher, x, temperature)
    torch.testing.assert_close(labels, (source_of(teacher).ask.net(x) / temperature).softmax(1))
    wanted = kl_div((net(x) / temperature).log_softmax(1), labels, reduction="none").sum(1)
    torch.testing.assert_close(divergence(net(x), labels, temperature), wanted)
    hard = torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(divergence(net(x[:1]), hard), cross_entropy(net(x[:1]), torch.tensor([0]))[None])


def test_teacher_and_student_learn_at_the_temperature():
    teacher, net, x, y = setting()
    step = step_of(net, x, x, y)
    with torch.no_grad():
        hot = copy.deepcopy(net).requires_grad_()
        for p in hot.parameters():
            p.mul_(20)
    labels = (20 * source_of(teacher).ask.net(x) / 20).softmax(1).detach()
    wanted = torch.autograd.grad(cross_entropy(hot(x) / 20, labels), hot.weight)[0]
    (found,) = torch.autograd.grad(_Soft(teacher)(step), net.weight)
    torch.testing.assert_close(found / 20, wanted)


def test_the_last_layer_and_so_the_logits_grow_and_every_decision_stays(digits, plain):
    x = digits[1].x
    before, scores = plain.predict(x), plain.scores(x)
    again = PLAIN.fit(digits[0])
    found = grown(again, 20.0, x[:1])
    torch.testing.assert_close(found.scores(x), 20 * scores, rtol=1e-4, atol=1e-4)
    assert torch.equal(found.predict(x), before)
    assert found.parameters() != plain.parameters()
    assert found.noise == 20 * plain.noise


class Shortcut(nn.Module):
    """Its last linear layer makes only a part of its outputs."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x):
        return self.one(x.flatten(1)) + self.other(x.flatten(1))


def test_a_network_whose_logits_do_not_grow_is_refused_before_the_second_training(digits):
    seen = []
    of = dataclasses.replace(PLAIN, network=lambda shape, classes: Shortcut(), epochs=1)
    with pytest.raises(ModelError, match="HF256"):
        DefensiveDistillation(of=of).fit(digits[0], on_event=seen.append)
    assert [type(e).__name__ for e in seen].count("RunStarted") == 1


def test_a_network_without_a_last_linear_layer_is_refused(digits):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Unflatten(1, (12, 1)), nn.Conv1d(12, 10, 1))
    whole = nn.Sequential(net, nn.Flatten())
    start = settle(wrap(whole, (0, 1), output="logits"), digits[0].x)
    with pytest.raises(ModelError, match="HF256"):
        DefensiveDistillation(of=dataclasses.replace(PLAIN, start=start, epochs=1)).fit(digits[0])


def test_a_robust_student_follows_what_the_teacher_says_of_the_sample_itself():
    teacher, net, x, y = setting()
    harder = (x + 0.1).clamp(0, 1)
    labels = soft(teacher, x)
    near, here = (kl_div(net(z).log_softmax(1), labels, reduction="batchmean") for z in (harder, x))
    torch.testing.assert_close(_Following(0.8, teacher)(step_of(net, x, harder, y)), 0.8 * near + 0.2 * here)


@pytest.mark.parametrize("threat", [hf.Linf(0.1), hf.L2(0.3), hf.L1(0.5)], ids=str)
def test_harder_inputs_lie_inside_and_lead_away_from_the_teacher(threat):
    teacher, net, x, y = setting()
    data = Dataset(x, y)
    leaving = Leaving(teacher, threat, data.space, steps=5, step=0.4)
    first, again = (leaving(net, x, y, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first, again)
    assert threat.around(x, data.space).contains(first).all()
    before, after = (divergence(net(z), soft(teacher, x)) for z in (x, first))
    assert (after > before).all()


# Students


def test_a_robust_teacher_makes_a_robust_student(digits, plain, robust):
    train, test = digits
    small = dataclasses.replace(PLAIN, width=16, epochs=8)
    student = RobustDistillation(teacher=robust, of=small, threat=NEAR, steps=2, step=0.7).fit(train)
    assert accuracy(student, test) > 0.85
    attack = hf.attacks.Pgd(steps=20)
    assert unbroken(student, test, attack) >= unbroken(plain, test, attack) + 0.1


def test_the_teacher_may_be_a_learner_and_stays_as_it_is(digits, plain):
    train = digits[0].take(torch.arange(128))
    how = dataclasses.replace(PLAIN, epochs=1)
    made = RobustDistillation(teacher=how, of=how, threat=NEAR, steps=1)
    given = dataclasses.replace(made, teacher=how.fit(train, 3))
    first, second = (source_of(one.fit(train, 3)).ask.net.state_dict() for one in (made, given))
    assert all(torch.equal(first[k], second[k]) for k in first)
    before, net = plain.parameters(), source_of(plain).ask.net.train()
    dataclasses.replace(made, teacher=plain).fit(train)
    assert plain.parameters() == before
    assert net.training
    net.eval()


def test_a_teacher_of_other_classes_or_without_scores_is_refused(digits):
    x = torch.rand(20, 4)
    data = Dataset(x, torch.arange(20) % 3)
    other = hf.wrap(linear(0, classes=4), (0, 1), output="logits")
    silent = hf.wrap(lambda z: (z[:, 0] > 0.5).astype("int64"), (0, 1), output="labels", classes=3)
    for teacher in (other, silent):
        with pytest.raises(ModelError, match="HF266"):
            RobustDistillation(teacher=teacher, of=PLAIN).fit(data)


def test_a_checkpoint_belongs_to_its_teacher(digits, tmp_path):
    train = digits[0].take(torch.arange(128))
    of = dataclasses.replace(PLAIN, epochs=1)
    kept = dataclasses.replace(of, checkpoint=str(tmp_path / "state.pt"))
    one, other = of.fit(train, 0), of.fit(train, 1)
    made = RobustDistillation(teacher=one, of=kept, threat=NEAR, steps=1)
    made.fit(train)
    made.fit(train)
    with pytest.raises(ModelError, match="HF219"):
        dataclasses.replace(made, teacher=other).fit(train)


# Defensive distillation: two trainings, one interruption


def told_until(kind, count, heard):
    """A listener that stops at the event of a kind that is the `count`th."""

    def listen(event):
        heard.append(event)
        if isinstance(event, kind) and sum(isinstance(e, kind) for e in heard) == count:
            raise Stop

    return listen


def learned(model):
    return source_of(model).ask.net.state_dict()


@pytest.mark.parametrize("kept", ["state.pt", ""], ids=["file", "folder"])
@pytest.mark.parametrize(
    ("kind", "count", "left"),
    [(BatchDone, 1, 5), (BatchDone, 3, 3), (RunDone, 1, 3), (BatchDone, 4, 2), (BatchDone, 6, 0), (RunDone, 2, 0)],
    ids=["teacher", "teacher's last epoch", "between", "student", "student's last epoch", "end"],
)
@pytest.mark.parametrize("patience", [0, 3])
def test_a_distillation_that_was_interrupted_goes_on_to_the_same_bits(kept, kind, count, left, patience, tmp_path):
    rows, how = torch.arange(96), dataclasses.replace(PLAIN, width=8, epochs=3, batch=32, patience=patience)
    data = hf.data.load("digits").train.take(rows)
    whole = learned(DefensiveDistillation(of=how).fit(data, 5))
    made = DefensiveDistillation(of=dataclasses.replace(how, checkpoint=str(tmp_path / kept)))
    with pytest.raises(Stop):
        made.fit(data, 5, told_until(kind, count, []))
    torch.rand(7)  # what happens between the two does not matter
    for epochs in (left, 0):  # a finished one is not trained again, and its last layer does not grow twice
        heard = []
        found = learned(made.fit(data, 5, heard.append))
        assert sum(isinstance(event, BatchDone) for event in heard) == epochs
        assert found.keys() == whole.keys()
        assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_a_teacher_whose_checkpoint_is_lost_is_trained_again_and_its_student_goes_on(tmp_path):
    data = hf.data.load("digits").train.take(torch.arange(96))
    how = dataclasses.replace(PLAIN, width=8, epochs=2, batch=32, checkpoint=str(tmp_path / "state.pt"))
    made, heard = DefensiveDistillation(of=how), []
    with pytest.raises(Stop):
        made.fit(data, 5, told_until(BatchDone, 3, []))
    (tmp_path / "state.pt.teacher").unlink()
    found = learned(made.fit(data, 5, heard.append))
    assert sum(isinstance(event, BatchDone) for event in heard) == 3
    whole = learned(dataclasses.replace(made, of=dataclasses.replace(how, checkpoint="")).fit(data, 5))
    assert all(torch.equal(found[name], whole[name]) for name in whole)


# Defensive distillation: what it hides, and that hiding is all it does


def slope(model, x, y):
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(cross_entropy(model.module(leaf), y, reduction="sum"), leaf)
    return found


def descended(model, x, y, steps=20):
    """PGD as it was written against it: the sign of the cross-entropy's gradient."""
    z = x
    for _ in range(steps):
        z = (x + (z + 0.02 * slope(model, z, y).sign() - x).clamp(-0.1, 0.1)).clamp(0, 1)
    return z


def test_distillation_keeps_the_accuracy_and_grows_the_logits(digits, plain, distilled):
    assert accuracy(distilled, digits[1]) > accuracy(plain, digits[1]) - 0.05
    large, usual = (float(m.scores(digits[1].x).abs().max()) for m in (distilled, plain))
    assert large > 20 * usual


def test_the_gradient_of_the_cross_entropy_vanishes_and_attacks_on_the_margin_do_not_care(digits, plain, distilled):
    _, test = digits
    gone, there = ((slope(m, test.x, test.y).flatten(1).abs().amax(1) == 0).double().mean() for m in (distilled, plain))
    assert gone > 0.75
    assert there < 0.05
    naive = float((distilled.predict(descended(distilled, test.x, test.y)) == test.y).double().mean())
    assert naive > 0.75
    honest = unbroken(distilled, test, hf.attacks.Pgd(steps=20))
    usual = unbroken(plain, test, hf.attacks.Pgd(steps=20))
    assert honest < naive - 0.25
    ratio = unbroken(distilled, test, hf.attacks.Apgd(steps=20, loss="dlr", targets=9))
    print(naive, honest, usual, ratio, gone)
    assert ratio < usual + 0.1
