"""The equal average of epochs' weights, against the weights themselves."""

import dataclasses

import pytest
import torch
from torch import nn

import holdfast as hf
from cases.training import FOREST, PLAIN, hints
from holdfast.core.errors import ModelError, Stop
from holdfast.core.progress import BatchDone
from holdfast.data import Dataset
from holdfast.defenses.training.adversarial_training import AdversarialTraining
from holdfast.defenses.training.averaged import Averaged
from holdfast.defenses.training.trades import Trades
from holdfast.defenses.training.weight_perturbation import WeightPerturbation
from holdfast.evaluation.defending.chain import chain
from holdfast.evaluation.defending.recipe import learner_of
from holdfast.learning.inner import resting_on, training_of
from holdfast.learning.norms import estimate
from holdfast.learning.schedule import one_cycle, scheduled
from holdfast.learning.train import Train, _mixed
from holdfast.models.source import source_of


@dataclasses.dataclass(frozen=True)
class Normed:
    """A network with a batch norm and a dropout."""

    def __call__(self, shape, classes):
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, classes))


def weights(model):
    return source_of(model).ask.net.state_dict()


def watched(learner, path):
    """The model of a learner, and the network's weights after each epoch."""
    seen = []

    def listen(event):
        if isinstance(event, BatchDone) and event.stage == "train":
            seen.append(torch.load(path, weights_only=True)["net"])

    training = dataclasses.replace(training_of(learner), checkpoint=path)
    return resting_on(learner, training).fit(hints(), 0, listen), seen


def test_it_is_the_mean_of_the_weights_after_the_later_epochs(tmp_path):
    of = dataclasses.replace(PLAIN, epochs=7)
    model, seen = watched(Averaged(of=of, start=0.4), str(tmp_path / "s.pt"))
    assert len(seen) == 7
    for name, value in weights(model).items():
        mean = torch.stack([one[name].double() for one in seen[3:]]).mean(0)  # 0.4 of 7: the first three pass
        torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(value, seen[-1][name], atol=1e-4)


def test_batch_norms_have_the_statistics_of_the_average(tmp_path):
    of = dataclasses.replace(PLAIN, network=Normed(), epochs=4, batch=30)
    model, seen = watched(Averaged(of=of, start=0.5), str(tmp_path / "s.pt"))
    data, ask = hints(), source_of(model).ask
    order = torch.randperm(100, generator=torch.Generator().manual_seed(_mixed(0, -5)))[:90]
    x = (data.x - torch.tensor(ask.mean)) / torch.tensor(ask.std)
    hidden = [ask.net[0](x[rows]).detach().double() for rows in torch.split(order, 30)]
    norm = ask.net[1]
    torch.testing.assert_close(norm.running_mean.double(), sum(h.mean(0) for h in hidden) / 3, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), sum(h.var(0) for h in hidden) / 3, rtol=1e-5, atol=1e-6)
    assert norm.momentum == 0.1
    assert not ask.net.training
    assert not torch.allclose(norm.running_mean, seen[-1]["1.running_mean"], atol=1e-4)


def test_statistics_are_those_of_torchs_own_averaging():
    from torch.optim.swa_utils import update_bn

    torch.manual_seed(0)
    mine = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    theirs = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    theirs.load_state_dict(mine.state_dict())
    batches = [torch.rand(8, 1, 4, 4) for _ in range(3)]
    estimate(mine, mine, batches)
    update_bn(batches, theirs)
    for a, b in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b)
    assert not mine[1].training


@pytest.mark.parametrize(("epochs", "start"), [(1, 0.5), (2, 0.6), (10, 0.95)])
def test_at_least_the_last_epoch_counts(epochs, start, tmp_path):
    of = Train(network="mlp", width=4, epochs=epochs, batch=16, checkpoint=str(tmp_path / "a.pt"))
    Averaged(of=of, start=start).fit(Dataset(torch.rand(32, 4), torch.arange(32) % 2))
    assert torch.load(tmp_path / "a.pt", weights_only=True)["averaged"] == 1


def test_the_rate_comes_down_to_its_tail_and_stays():
    rates = [scheduled(k, 100, 0.2, 0.6, 0.25) for k in range(100)]
    assert rates[60:] == [0.05] * 40
    assert max(rates) == pytest.approx(0.2, rel=1e-2)
    assert rates[59] == pytest.approx(0.05, rel=1e-2)
    assert max(abs(a - b) for a, b in zip(rates, rates[1:], strict=False)) < 0.02
    assert all(scheduled(k, 100, 0.2, 0.6, 0.0) == one_cycle(k, 100, 0.2) for k in range(100))
    assert all(scheduled(k, 100, 0.2, 1.0, 0.3) == one_cycle(k, 100, 0.2) for k in range(100))


def test_an_average_that_is_judged_is_the_one_that_comes_back(tmp_path):
    """With a patience the best epoch's average comes back, whichever average it is."""
    path, scores, averages = str(tmp_path / "s.pt"), iter([0.1, 0.2, 0.3, 0.9, 0.5]), []

    def judge(model, part):
        averages.append({k: v.clone() for k, v in weights(model).items()})
        return next(scores)

    of = dataclasses.replace(PLAIN, epochs=5, patience=5, judge=judge, checkpoint=path)
    model = Averaged(of=of, start=0.4).fit(hints(), 0)
    assert all(torch.equal(v, averages[3][k]) for k, v in weights(model).items())


def test_an_interruption_among_the_averaged_epochs_changes_nothing(tmp_path):
    of = dataclasses.replace(PLAIN, network=Normed(), epochs=5, batch=30)
    kept = Averaged(of=dataclasses.replace(of, checkpoint=str(tmp_path / "s.pt")), start=0.3)

    def stop(event):
        if isinstance(event, BatchDone) and event.done == 3:
            raise Stop

    with pytest.raises(Stop):
        kept.fit(hints(), 0, stop)
    resumed, whole = weights(kept.fit(hints(), 0)), weights(Averaged(of=of, start=0.3).fit(hints(), 0))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_what_has_no_weights_is_refused():
    with pytest.raises(ModelError, match="HF253"):
        Averaged(of=FOREST).fit(hints())


# The training that a learner rests on


def test_the_innermost_training_is_found_and_exchanged():
    deep = Averaged(of=WeightPerturbation(of=Trades(of=PLAIN, beta=2.0), radius=0.1))
    assert training_of(deep) == PLAIN
    other = resting_on(deep, Train(epochs=2))
    assert other == Averaged(of=WeightPerturbation(of=Trades(of=Train(epochs=2), beta=2.0), radius=0.1))
    assert training_of(FOREST) is None
    assert resting_on(FOREST, PLAIN) is FOREST


@pytest.mark.parametrize(
    "text",
    [
        "averaged",
        "averaged(of=trades, start=0.25)",
        "averaged(of='trades(beta=3.0)')",
        """averaged(of="weight_perturbation(of='mart(steps=2)')")""",
    ],
)
def test_recipes_around_recipes_are_read_told_and_harden(text):
    of = Train(epochs=3, batch=7)
    made = chain(text, of, hf.Linf(0.1))
    assert str(made) == text
    learner = learner_of(text, of, hf.Linf(0.1))
    assert learner == made.learner
    assert training_of(learner) == of
    inner = learner
    while not isinstance(inner.of, Train):
        inner = inner.of
    assert inner.threat == hf.Linf(0.1)
    assert isinstance(Averaged().of, AdversarialTraining)
