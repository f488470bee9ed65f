"""Train: learns, repeats, resumes bit for bit, leaves the process alone."""

import dataclasses
import functools
import random

import numpy as np
import pytest
import torch
from torch import nn

from holdfast.core.errors import ModelError, ParameterError, Stop
from holdfast.core.progress import BatchDone, Note, RunDone, RunStarted
from holdfast.data import Dataset, load
from holdfast.learning.learner import few
from holdfast.learning.schedule import one_cycle
from holdfast.learning.train import Train
from holdfast.models.source import source_of

TINY = Train(network="cnn", width=4, epochs=4, batch=16, augment="shift+light", average=0.9)


def toy(n=96, seed=0):
    """Bright on the left or on the right."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.rand(n, 1, 6, 6, generator=draw) * 0.6
    x[y == 1, :, :, :3] += 0.4
    x[y == 0, :, :, 3:] += 0.4
    return Dataset(x, y)


def weights(model):
    return source_of(model).ask.net.state_dict()


def same(first, second):
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def stop_after(epoch):
    def listen(event):
        if isinstance(event, BatchDone) and event.done == epoch:
            raise Stop

    return listen


def test_it_learns():
    data = toy()
    model = dataclasses.replace(TINY, epochs=12).fit(data)
    fresh = toy(seed=9)
    assert (model.predict(fresh.x) == fresh.y).double().mean() > 0.95
    assert model.classes == 2
    assert "normalize" in model.stages[0]
    assert not source_of(model).ask.net.training


def test_the_seed_decides_and_the_process_stays_as_it_is():
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, again, other = (TINY.fit(toy(), seed=s) for s in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


class Dropping(nn.Module):
    """A network that draws random numbers of its own."""

    def __init__(self, shape, classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, classes)
        )

    def forward(self, x):
        return self.layers(x)


def jitter(ask, x, y, draw):
    """A perturbation that uses the gradient and the generator."""
    leaf = (x + 0.01 * torch.randn(x.shape, generator=draw)).requires_grad_()
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(ask(leaf), y, reduction="sum"), leaf)
    return (leaf + 0.02 * g.sign()).clamp(0, 1)


@pytest.mark.parametrize("stop", [1, 3])
@pytest.mark.parametrize("change", [{}, {"network": Dropping, "width": 0, "perturb": jitter}, {"patience": 3}])
def test_an_interrupted_training_resumes_bit_for_bit(stop, change, tmp_path):
    how = dataclasses.replace(TINY, **change)
    whole = how.fit(toy(), seed=3)
    kept = dataclasses.replace(how, checkpoint=str(tmp_path / "state.pt"))
    with pytest.raises(Stop):
        kept.fit(toy(), seed=3, on_event=stop_after(stop))
    torch.rand(7)  # what happens between the two does not matter
    resumed = kept.fit(toy(), seed=3)
    assert same(whole, resumed)
    assert same(whole, kept.fit(toy(), seed=3))  # a finished one is not trained again


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    kept = dataclasses.replace(TINY, epochs=1, checkpoint=str(tmp_path / "state.pt"))
    kept.fit(toy())
    for how, data, seed in ((kept, toy(), 1), (dataclasses.replace(kept, rate=0.2), toy(), 0), (kept, toy(seed=1), 0)):
        with pytest.raises(ModelError, match="HF219"):
            how.fit(data, seed=seed)
    (tmp_path / "state.pt").write_bytes(b"torn")
    with pytest.raises(ModelError, match="HF212"):
        kept.fit(toy())


def test_events():
    seen = []
    TINY.fit(toy(), on_event=seen.append)
    assert isinstance(seen[0], RunStarted)
    assert [e.done for e in seen if isinstance(e, BatchDone)] == [1, 2, 3, 4]
    assert isinstance(seen[-1], RunDone)


def test_patience_stops_and_returns_the_best_weights():
    scores, seen, models = iter([0.5, 0.9, 0.7, 0.8, 0.9]), [], []

    def judge(model, part):
        models.append(model)
        return next(scores)

    how = dataclasses.replace(TINY, epochs=10, patience=2, judge=judge)
    model = how.fit(toy(), on_event=seen.append)
    assert len(models) == 4
    assert same(model, models[1])
    assert not same(model, models[3])
    assert any(isinstance(e, Note) and "epoch 2" in e.text for e in seen)


def test_validation_part_may_be_given():
    lengths = []
    how = dataclasses.replace(TINY, patience=5, judge=lambda model, part: lengths.append(len(part)) or 0.5)
    how.fit(toy(), validation=toy(10))
    assert set(lengths) == {10}
    lengths.clear()
    how.fit(toy())
    assert set(lengths) == {10}  # a tenth of 96, rounded to whole groups


def test_perturbed_steps_see_a_frozen_network_and_change_the_result():
    modes = []

    def watch(ask, x, y, draw):
        modes.append(ask(x).requires_grad)
        return

    plain = TINY.fit(toy())
    watched = dataclasses.replace(TINY, perturb=watch).fit(toy())
    assert not any(modes)
    assert same(plain, watched)
    assert not same(plain, dataclasses.replace(TINY, perturb=jitter).fit(toy()))


def test_norms_and_biases_do_not_decay():
    how = dataclasses.replace(TINY, weight_decay=0.5, rate=1e-9, epochs=1, average=0.0)
    from holdfast.learning.state import begin

    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    groups = begin(net, how.rate, how.momentum, how.weight_decay).optimizer.param_groups
    assert [g["weight_decay"] for g in groups] == [0.5, 0.0]
    assert [len(g["params"]) for g in groups] == [1, 3]


def test_start_continues_from_a_model_and_leaves_it_alone():
    base = TINY.fit(toy())
    before = {k: v.clone() for k, v in weights(base).items()}
    tuned = dataclasses.replace(TINY, start=base, epochs=1, rate=1e-8, average=0.0, augment="").fit(toy(seed=4))
    assert all(torch.equal(before[k], v) for k, v in weights(base).items())
    learned = {k: v for k, v in weights(tuned).items() if "num" not in k and "running" not in k}
    assert all(torch.allclose(before[k], v, atol=1e-5) for k, v in learned.items())
    assert source_of(tuned).ask.mean == source_of(base).ask.mean


def test_bfloat16_learns_too():
    data = toy()
    narrow = dataclasses.replace(TINY, epochs=10, precision="bfloat16")
    model = narrow.fit(data)
    assert (model.predict(data.x) == data.y).double().mean() > 0.9
    assert model.scores(data.x).dtype == torch.float32
    assert same(model, narrow.fit(data)), "to the same bits"
    assert not same(model, dataclasses.replace(narrow, precision="float32").fit(data))


def test_one_class_teaches_nothing_and_is_refused():
    data = toy()
    one = data.take((data.y == 1).nonzero()[:, 0])
    with pytest.raises(ModelError, match="^HF220 .*one class"):
        Train(network="mlp", epochs=1).fit(one)
    assert len(few(one, 3)) == 3


def test_a_training_that_is_only_timed_sees_two_classes_of_sorted_data():
    data = toy()
    ordered = data.take(data.y.argsort(stable=True))
    part = few(ordered, 4)
    assert len(part) == 4
    assert len(part.y.unique()) == 2
    assert torch.equal(part.x[:3], ordered.x[:3])
    Train(network="mlp", epochs=1, batch=4).fit(part)


def test_a_diverged_training_says_so():
    with pytest.raises(ModelError, match="HF218"):
        dataclasses.replace(TINY, network="mlp", width=16, rate=1e12, augment="", epochs=8).fit(toy())


def test_a_function_augments():
    seen = []
    dataclasses.replace(TINY, epochs=1, augment=lambda x, draw: seen.append(len(x)) or x).fit(toy())
    assert seen == [16] * 6


def test_refusals():
    with pytest.raises(ParameterError, match="epochs"):
        Train(epochs=0)
    with pytest.raises(ModelError, match="HF220"):
        TINY.fit(toy(1))
    with pytest.raises(ModelError, match="HF220"):
        dataclasses.replace(TINY, augment="flip").fit(toy())


def test_tables_are_learned():
    data = load("wine")
    model = Train(network="mlp", width=16, epochs=30, batch=16, rate=0.05).fit(data.train)
    assert (model.predict(data.test.x) == data.test.y).double().mean() > 0.9


def test_one_cycle_rises_and_falls():
    rates = [one_cycle(k, 100, 0.5) for k in range(100)]
    top = max(range(100), key=rates.__getitem__)
    assert abs(rates[top] - 0.5) < 1e-3
    assert top in (24, 25)
    assert rates[0] < 0.03
    assert rates[-1] < 1e-3
    assert all(a < b for a, b in zip(rates[:24], rates[1:25], strict=True))
    assert all(a > b for a, b in zip(rates[25:], rates[26:], strict=False))


class Recording(nn.Module):
    """Keeps what it draws while it learns."""

    def __init__(self, shape, classes, seen):
        super().__init__()
        self.layer, self.seen = nn.Linear(36, classes), seen

    def forward(self, x):
        if self.training:
            self.seen.append(float(torch.rand(())))
        return self.layer(x.flatten(1))

    def __deepcopy__(self, memo):
        twin = Recording((), self.layer.out_features, [])
        twin.load_state_dict(self.state_dict())
        return twin


def test_layers_that_draw_get_new_numbers_in_every_epoch():
    seen = []
    how = dataclasses.replace(
        TINY, epochs=3, augment="", network=lambda shape, classes: Recording(shape, classes, seen)
    )
    how.fit(toy())
    assert len(seen) == 18
    assert len(set(seen)) == 18


def test_functions_of_the_same_name_are_different_settings():
    data = Dataset(torch.rand(20, 4), torch.arange(20) % 2)

    def made(kind):
        return lambda shape, classes: nn.Sequential(nn.Linear(4, 3), kind(), nn.Linear(3, classes))

    def of(kind, shape, classes):
        return made(kind)(shape, classes)

    class Noise:
        def __init__(self, size):
            self.size = size

        def __call__(self, x, draw):
            return x + self.size

    networks = [made(nn.ReLU), made(nn.Tanh), functools.partial(of, nn.ReLU), functools.partial(of, nn.Tanh)]
    kinds = [Train(network=one) for one in networks] + [Train(augment=Noise(size)) for size in (0.1, 0.2)]
    assert len({one._identity(data, 0) for one in kinds}) == 6
    assert Train(network=made(nn.ReLU))._identity(data, 0) == kinds[0]._identity(data, 0)
