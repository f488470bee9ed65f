"""What changes a training beside libraries of other people: Keras, SciPy, scikit-learn and PyTorch's own functions."""

import dataclasses
import os
import tempfile
import types

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp(prefix="keras-"))  # else an import writes into the home folder

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import scipy.linalg  # noqa: E402
import scipy.stats  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.autograd.functional import jacobian  # noqa: E402
from torch.nn.functional import cross_entropy, one_hot  # noqa: E402

import holdfast as hf  # noqa: E402
from holdfast.core.progress import BatchDone, Note  # noqa: E402
from holdfast.data.dataset import Dataset  # noqa: E402
from holdfast.defenses.autoencoder import Autoencoder, given_back, learned  # noqa: E402
from holdfast.defenses.ensembles import bagging  # noqa: E402
from holdfast.defenses.ensembles.adaptive_diversity import _Diverse  # noqa: E402
from holdfast.defenses.regularization.cut_mix import CutMix  # noqa: E402
from holdfast.defenses.regularization.dropout import Dropout  # noqa: E402
from holdfast.defenses.regularization.early_stopping import EarlyStopping  # noqa: E402
from holdfast.defenses.regularization.input_gradient import _Flat  # noqa: E402
from holdfast.defenses.regularization.l1_penalty import L1Penalty  # noqa: E402
from holdfast.defenses.regularization.l2_penalty import L2Penalty  # noqa: E402
from holdfast.defenses.regularization.label_smoothing import LabelSmoothing  # noqa: E402
from holdfast.defenses.regularization.mixup import Mixup  # noqa: E402
from holdfast.defenses.regularization.weight_decay import WeightDecay  # noqa: E402
from holdfast.defenses.training.gaussian_augmentation import GaussianAugmentation  # noqa: E402
from holdfast.learning.learner import Learner  # noqa: E402
from holdfast.learning.objective import CrossEntropy, Step  # noqa: E402
from holdfast.learning.train import Train  # noqa: E402
from holdfast.models.source import source_of  # noqa: E402
from holdfast.threats.space import Box  # noqa: E402

keras = pytest.importorskip("keras")
TINY = Train(network="mlp", width=8, epochs=2, batch=16, rate=0.05, smoothing=0.0, weight_decay=0.0)


def toy(n=48):
    """Bright on the left, on the right, or in the middle."""
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.6
    for k in range(3):
        x[y == k, :, :, 2 * k : 2 * k + 3] += 0.4
    return Dataset(x, y)


def watched(learner, of=TINY):
    """What every step of a training had: weights, inputs, labels, the plain objective's scores, and the loss."""
    seen = []

    def see(wrapped):
        def objective(step):
            asked = []
            ask = dataclasses.replace(step, logits=lambda x: asked.append((x, step.logits(x))) or asked[-1][1])
            state = step.draw.get_state()
            loss = wrapped(ask)
            asked = [(x.detach(), scores.detach()) for x, scores in asked]
            weights = [p.detach().clone() for p in step.net.parameters() if p.dim() > 1]
            seen.append(types.SimpleNamespace(step=step, asked=asked, loss=loss.detach(), weights=weights, state=state))
            return loss

        return objective

    inner = Train.fit

    def fit(self, *given, **more):
        return inner(dataclasses.replace(self, objective=see(self.objective)), *given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Train, "fit", fit)
        dataclasses.replace(learner, of=of).fit(toy())
    return seen


def array(x):
    return x.detach().double().numpy()


# Penalties and labels, step by step of a whole training


@pytest.mark.parametrize(
    ("learner", "theirs"),
    [(L1Penalty(strength=0.01), ("L1", 0.01)), (L2Penalty(strength=0.02), ("L2", 0.01))],  # ours halves the squares
    ids=["l1", "l2"],
)
def test_penalties_are_the_regularizers_of_keras(learner, theirs):
    penalty = getattr(keras.regularizers, theirs[0])(theirs[1])
    for one in watched(learner):
        plain = cross_entropy(one.asked[0][1], one.step.y)
        wanted = sum(float(penalty(w)) for w in one.weights)
        assert wanted > 0.01
        assert float(one.loss - plain) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.9])
def test_smoothed_labels_cost_what_they_cost_in_keras(share):
    cost = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=share)
    seen = watched(LabelSmoothing(share=share))
    assert len(seen) == 6
    for one in seen:
        wanted = float(cost(one_hot(one.step.y, 3).float(), one.asked[0][1]))
        assert float(one.loss) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("learner", [Mixup(alpha=1.0), CutMix(alpha=1.0, chance=1.0)], ids=["mixup", "cutmix"])
def test_mixtures_are_those_of_keras_of_the_same_draws(learner):
    """Ours draws one share for a whole batch, Keras one for each row: it is given ours for every row."""
    layer = (keras.layers.MixUp if isinstance(learner, Mixup) else keras.layers.CutMix)(data_format="channels_first")
    cost = keras.losses.CategoricalCrossentropy(from_logits=True)
    seen = watched(learner)
    assert len(seen) == 6
    for one in seen:
        draw, x = torch.Generator(), one.step.x
        draw.set_state(one.state)
        if isinstance(learner, CutMix):
            torch.rand((), generator=draw, dtype=torch.float64)  # whether to cut
        gamma = torch._standard_gamma(torch.ones(1, 2, dtype=torch.float64), generator=draw)
        share = float(gamma[0, 0] / gamma.sum())
        given = {}
        if isinstance(learner, CutMix):
            side = (1 - share) ** 0.5
            ends = []
            for size in x.shape[2:]:
                middle, half = int(torch.rand((), generator=draw, dtype=torch.float64) * size), int(size * side) // 2
                ends = [max(0, middle - half), min(size, middle + half), *ends]  # Keras says x before y
            corners = [torch.full((len(x),), float(end)) for end in ends]
            given["batch_masks"], given["mix_weight"] = layer._generate_batch_mask(x.shape, corners)
        else:
            given["mix_weight"] = torch.full((len(x),), share)
        given["permutation_order"] = torch.randperm(len(x), generator=draw)
        mixed = layer.transform_images(x, given)
        ((asked, scores),) = one.asked
        torch.testing.assert_close(asked, mixed, rtol=0, atol=1e-6)
        labels = layer.transform_labels(one_hot(one.step.y, 3).float(), given)
        assert float(one.loss) == pytest.approx(float(cost(labels, scores)), rel=1e-5)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_dropout_drops_and_scales_as_keras_does(share):
    """Both are asked about ones: the same two values come out, and as many zeros, up to chance."""
    seen = []

    class Seen(nn.Linear):
        def forward(self, x):
            seen.append(x.detach()) if self.training else None
            return super().forward(x)

    class Ones(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :1] * 0 + torch.ones(500)

    def network(shape, classes):
        return nn.Sequential(Ones(), Seen(500, classes))

    Dropout(of=dataclasses.replace(TINY, network=network), share=share).fit(toy())
    ours = torch.cat(seen)
    theirs = keras.layers.Dropout(share, seed=0)(torch.ones(ours.shape), training=True)
    assert ours.unique().tolist() == pytest.approx(theirs.unique().tolist())
    counts = [int((one == 0).sum()) for one in (ours, theirs)]
    spread = (2 * ours.numel() * share * (1 - share)) ** 0.5
    assert abs(counts[0] - counts[1]) < 4 * spread < 0.02 * ours.numel()


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_early_stopping_stops_where_keras_does_and_takes_the_same_epoch(patience):
    of, ends = (
        dataclasses.replace(TINY, epochs=12, network=lambda s, c: nn.Sequential(nn.Flatten(), nn.Linear(64, c))),
        set(),
    )
    for seed in range(6):
        curve = (np.random.default_rng(seed).integers(1, 5, 12) + np.arange(12) // 2) / 10  # with ties
        scores, seen = iter(curve), []
        EarlyStopping(of=dataclasses.replace(of, judge=lambda *_, s=scores: next(s)), patience=patience).fit(
            toy(12), on_event=seen.append, validation=toy(6)
        )
        stop = keras.callbacks.EarlyStopping(monitor="score", mode="max", patience=patience, restore_best_weights=True)
        stop.set_model(types.SimpleNamespace(stop_training=False, get_weights=list, set_weights=lambda weights: None))
        stop.on_train_begin()
        for epoch, score in enumerate(curve):
            stop.on_epoch_end(epoch, {"score": score})
            if stop.model.stop_training:
                break
        done = [event.done for event in seen if isinstance(event, BatchDone)]
        assert done[-1] == epoch + 1
        noted = [event.text for event in seen if isinstance(event, Note)]
        assert bool(noted) == stop.model.stop_training
        assert all(f"epoch {stop.best_epoch + 1} was taken" in text for text in noted)
        ends.add(epoch)
    assert len(ends) > 1


# Where a training ends


@pytest.mark.parametrize(
    "learner", [WeightDecay(decay=0.05), L2Penalty(strength=0.05)], ids=lambda one: type(one).__name__
)
def test_a_linear_model_that_decays_ends_at_the_logistic_regression_of_scikit_learn(learner):
    from sklearn.linear_model import LogisticRegression

    data = toy(60)
    of = Train(
        network=lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes)),
        epochs=150,
        batch=60,
        rate=0.5,
        smoothing=0.0,
        weight_decay=0.0,
        average=0.0,
        normalize=False,
    )
    net = source_of(dataclasses.replace(learner, of=of).fit(data)).ask.net[1]
    x, y = array(data.x.flatten(1)), data.y.numpy()
    theirs, less = (LogisticRegression(C=1 / (decay * 60), tol=1e-8).fit(x, y).coef_ for decay in (0.05, 0.04))
    np.testing.assert_allclose(array(net.weight), theirs, rtol=0, atol=5e-3)
    assert np.abs(theirs - less).max() > 0.02


@pytest.mark.parametrize("classes", [3, 5])
def test_the_input_gradient_and_its_way_to_the_weights_are_pytorchs_jacobian(classes):
    """Row by row in a box of width 3; ours goes backward twice through the whole batch."""
    draw = torch.Generator().manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, classes))
    x, y = torch.rand(7, 6, generator=draw) * 3 - 1, torch.arange(7) % classes
    step = Step(net, net, x, x, y, 0.1, classes, 0.0, draw)
    ours = _Flat(0.7, Box((-1.0, 2.0)), lambda step: 0.0)(step)

    def cost(row, label):
        return cross_entropy(net(row[None]), label[None], label_smoothing=0.1)

    slopes = [jacobian(lambda row, k=k: cost(row, y[k]), row, create_graph=True) for k, row in enumerate(x)]
    theirs = 0.7 * (3 * torch.stack(slopes)).square().sum(1).mean()
    torch.testing.assert_close(ours, theirs)
    weights = list(net.parameters())
    for found, wanted in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True):
        assert wanted.abs().max() > 1e-3
        torch.testing.assert_close(found, wanted)


# Ensembles and noise


def test_bagging_is_that_of_scikit_learn_on_the_same_bags(monkeypatch):
    from sklearn.ensemble import BaggingClassifier
    from sklearn.naive_bayes import GaussianNB

    data = toy(90)
    x = array(data.x.flatten(1))
    flat = Dataset(torch.from_numpy(x), data.y)
    theirs = BaggingClassifier(GaussianNB(), n_estimators=4, random_state=0).fit(x, data.y.numpy())
    bags = iter(theirs.estimators_samples_)
    sizes = []
    monkeypatch.setattr(bagging, "bag", lambda d, draw, size: sizes.append(size) or d.take(next(bags)))
    model = hf.defenses.Bagging(of=hf.Fit(estimator=GaussianNB()), members=4).fit(flat, 0)
    fresh = torch.rand(50, 64, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    shown = model.scores(fresh).softmax(1)
    np.testing.assert_allclose(shown, theirs.predict_proba(fresh.numpy()), rtol=0, atol=1e-6)
    assert sizes == [90] * 4
    assert 0.01 < float(shown.max(1).values.min()) < 0.9, "members that agree would hide a wrong mean"


def test_diversity_is_scipys_entropy_and_determinant():
    nets = nn.ModuleList([nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(6, 5)])
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(9, 6, generator=draw), torch.arange(9) % 5
    step = types.SimpleNamespace(
        net=nets, harder=x, y=y, smoothing=0.0, logits=lambda z: [net(z) for net in nets], whole=lambda one, rows: one
    )
    loss = float(_Diverse(2.0, 0.5)(step).detach())
    p = np.stack([array(net(x).softmax(1)) for net in nets])
    wrong = np.stack([np.delete(p[:, i], int(y[i]), axis=1) for i in range(9)])
    unit = wrong / scipy.linalg.norm(wrong, axis=2, keepdims=True)
    volumes = [scipy.linalg.det(rows @ rows.T + 1e-6 * np.eye(3)) for rows in unit]
    costs = sum(scipy.stats.entropy(one_hot(y, 5).numpy(), one, axis=1).mean() for one in p)  # of one class: -log p
    vote = scipy.stats.entropy(p.mean(0), axis=1).mean()
    assert loss == pytest.approx(costs - 2.0 * vote - 0.5 * np.log(volumes).mean(), rel=1e-4)
    assert vote > 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given(Learner):
    """Keeps what it was given."""

    seen: list

    def fit(self, dataset, seed=0, on_event=lambda event: None):
        self.seen.append(dataset)


@pytest.mark.parametrize("sigma", [1.5, 8.0])
def test_noise_is_the_censored_normal_distribution_of_scipy(sigma):
    """Inside the box by the test of Kolmogorov and Smirnov, at its ends by the binomial distribution."""
    given = Given(seen=[])
    data = Dataset(torch.full((4000, 3), 4.0), torch.arange(4000) % 2, bounds=(0.0, 10.0))
    GaussianAugmentation(of=given, sigma=sigma).fit(data, 3)
    x = array(given.seen[0].x[4000:]).ravel()
    inside = x[(x > 0) & (x < 10)]
    low, high = (scipy.stats.norm.cdf(end, 4.0, sigma) for end in (0.0, 10.0))
    law = scipy.stats.truncnorm((0 - 4.0) / sigma, (10 - 4.0) / sigma, loc=4.0, scale=sigma)
    assert scipy.stats.kstest(inside, law.cdf).pvalue > 0.01
    assert scipy.stats.kstest(inside, scipy.stats.norm(4.0, 1.1 * sigma).cdf).pvalue < 1e-6
    for count, share in ((int((x == 0).sum()), low), (int((x == 10).sum()), 1 - high)):
        assert scipy.stats.binomtest(count, len(x), share).pvalue > 0.01


def test_the_plain_objective_is_not_changed_by_watching():
    """Else every comparison above could hold of nothing."""
    (first, *_) = watched(LabelSmoothing(share=0.0))
    assert isinstance(TINY.objective, CrossEntropy)
    assert float(first.loss) == pytest.approx(float(cross_entropy(first.asked[0][1], first.step.y)))


# Adversarial training and autoencoders


def test_mart_is_made_of_the_losses_of_keras():
    """Boosted cross-entropy is a categorical and a binary one; ours adds 1e-4 before the logarithm of the latter."""
    each, two = keras.losses.CategoricalCrossentropy(from_logits=True), keras.losses.BinaryCrossentropy(reduction=None)
    apart = keras.losses.KLDivergence(reduction=None)
    seen = watched(hf.defenses.Mart(threat=hf.Linf(0.1), weight=5.0, steps=2))
    assert len(seen) == 6
    for one in seen:
        (x, clean), (harder, hard) = one.asked
        assert not torch.equal(x, harder)
        labels, p, q = one_hot(one.step.y, 3).float(), clean.softmax(1), hard.softmax(1)
        rival = (q - 2 * labels).amax(1, keepdim=True)
        margin = two(torch.zeros_like(rival), rival).mean()
        doubt = 1 - (p * labels).sum(1)
        wanted = each(labels, hard) + margin + 5.0 * (apart(p, q) * doubt).mean()
        assert float(one.loss) == pytest.approx(float(wanted), abs=3e-4)
        assert float((apart(p, q) * doubt).mean()) > 1e-3


def test_an_autoencoder_learns_what_keras_learns_of_the_same_noise():
    """Same layers, first weights, batches, noise and rates: 30 steps of Adam by both end at the same network."""
    x, updates, rate = toy(40).x, 30, 0.01
    ours = learned(x, Box(), width=4, updates=updates, rate=rate, noise=0.3, seed=5, batch=16)
    torch.manual_seed(5)
    start = Autoencoder((1, 8, 8), 4)
    elu, like = keras.activations.elu, {"kernel_size": 3, "padding": "same"}
    theirs = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, activation=elu, **like),
            keras.layers.AveragePooling2D(2),
            keras.layers.Conv2D(4, activation=elu, **like),
            keras.layers.UpSampling2D(2, interpolation="nearest"),
            keras.layers.Conv2D(4, activation=elu, **like),
            keras.layers.Conv2D(1, activation="sigmoid", **like),
        ]
    )
    theirs.set_weights(
        [p.detach().numpy().transpose(2, 3, 1, 0) if p.dim() > 1 else p.detach() for p in start.parameters()]
    )
    falls = keras.optimizers.schedules.CosineDecay(rate, updates)
    theirs.compile(keras.optimizers.Adam(falls, epsilon=1e-12), "mse")
    draw = torch.Generator().manual_seed(5)
    for step in range(updates):
        if step % 3 == 0:
            order = torch.randperm(40, generator=draw)
        clean = x[order[step % 3 * 16 :][:16]]
        strength = 0.3 * torch.rand(len(clean), generator=draw)[:, None, None, None]
        rough = (clean + strength * torch.randn(clean.shape, generator=draw)).clamp(0, 1)
        theirs.train_on_batch(rough.movedim(1, 3).numpy(), clean.movedim(1, 3).numpy())
    fresh = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(9))
    shown = theirs(fresh.movedim(1, 3)).detach().movedim(3, 1)
    torch.testing.assert_close(given_back(ours, fresh, Box()), shown, rtol=0, atol=5e-4)
    assert (given_back(start, fresh, Box()) - shown).abs().max() > 0.05
