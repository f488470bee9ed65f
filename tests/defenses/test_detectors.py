"""Detectors beside a second computation of the same score, and under an attacker who knows them."""

import dataclasses

import numpy as np
import pytest
import torch
from pyod.models.cof import COF
from pyod.models.copod import COPOD
from pyod.models.knn import KNN
from scipy.spatial.distance import jensenshannon
from sklearn.covariance import EmpiricalCovariance
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import KernelDensity as SklearnDensity
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neighbors import NearestNeighbors as NearestNeighbor

import holdfast as hf
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.evasion.square import Square
from holdfast.core.errors import DataError, ModelError, ParameterError
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection.feature_squeezing import FeatureSqueezing
from holdfast.defenses.detection.kernel_density import KernelDensity
from holdfast.defenses.detection.local_dimensionality import LocalDimensionality
from holdfast.defenses.detection.mahalanobis import Mahalanobis
from holdfast.defenses.detection.nearest_neighbors import NearestNeighbors
from holdfast.defenses.detection.outlier_model import OutlierModel
from holdfast.defenses.detection.reconstruction import Reconstruction
from holdfast.defenses.fitting import Flag, lead, spread
from holdfast.defenses.preprocessing.bit_depth import BitDepth
from holdfast.models.settle import settle
from laws.oracles import torch_model


def made(apart, noise):
    """A linear network on points of three classes, the part that detectors learn from, and others."""
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(360) % 3
    centers = torch.tensor([[0.5 - apart] * 5, [0.5] * 5, [0.5 + apart] * 5], dtype=torch.float64)
    x = (centers[y] + noise * torch.randn(360, 5, generator=draw, dtype=torch.float64)).clamp(0, 1)
    w = torch.randn(4, 5, generator=draw, dtype=torch.float64)
    data = Dataset(x, y)
    head = centers @ w.T
    model = torch_model(lambda x: (x @ w.T.to(x)) @ head.T.to(x) - head.square().sum(1).to(x) / 2, 3)
    model = settle(dataclasses.replace(model, features=lambda x: x @ w.T.to(x)), x)
    learned, _ = data.divide(0.5, 0)
    return model, data, learned, x[:20] + 0.01


@pytest.fixture(scope="module")
def setting():
    """Classes that overlap a little."""
    return made(apart=0.2, noise=0.1)


def scores(detector, setting):
    model, data, _, x = setting
    return detector.fit(model, data, 0).score(x)


def test_mahalanobis_is_the_distance_of_the_empirical_covariance(setting):
    model, _, learned, x = setting
    z, y = model.features(learned.x).numpy(), learned.y.numpy()
    means = np.stack([z[y == c].mean(0) for c in range(3)])
    covariance = EmpiricalCovariance(assume_centered=True).fit(z - means[y]).covariance_
    tied = 0.8 * covariance + 0.2 * np.trace(covariance) / 4 * np.eye(4)
    gap = model.features(x).numpy()[:, None] - means
    expected = np.einsum("ncd,de,nce->nc", gap, np.linalg.inv(tied), gap).min(1)
    np.testing.assert_allclose(scores(Mahalanobis(shrinkage=0.2), setting), expected, rtol=1e-9)


def test_local_dimensionality_is_the_likeliest_dimension(setting):
    model, _, learned, x = setting
    kept = learned.sample(100, 0).x
    expected = []
    for row in x:
        near = np.sort(np.linalg.norm((model.features(kept) - model.features(row[None])).numpy(), axis=1))[:7]
        expected.append(-1 / np.mean([np.log(r / near[-1]) for r in near]))
    np.testing.assert_allclose(
        scores(LocalDimensionality(neighbors=7, samples=100), setting), np.array(expected), rtol=1e-6
    )


def test_local_dimensionality_finds_the_dimension_of_a_cube():
    """Points of a cube of d dimensions have the local dimension d inside, up to boundary and sampling."""
    found = []
    for d in (2, 6):
        x = torch.rand(4000, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64)
        data = Dataset(x, torch.arange(4000) % 2)
        model = settle(torch_model(lambda x: torch.stack([x[:, 0], 1 - x[:, 0]], 1), 2), x)
        stage = LocalDimensionality(layer="inputs", samples=2000, neighbors=40).fit(model, data, 0)
        found.append(float(stage.score(0.4 + 0.2 * x[:100]).mean()))
    assert found[0] == pytest.approx(2, rel=0.15)
    assert found[1] == pytest.approx(6, rel=0.25)


def test_kernel_density_is_that_of_scikit_learn_in_the_decided_class(setting):
    model, _, learned, x = setting
    z, y = model.features(learned.x).numpy(), learned.y.numpy()
    width, decisions = 0.3, model.predict(x).numpy()
    expected = []
    for row, c in zip(model.features(x).numpy(), decisions, strict=True):
        one = SklearnDensity(bandwidth=width / np.sqrt(2)).fit(z[y == c])
        expected.append(-one.score_samples(row[None])[0] - 2 * np.log(np.pi * width**2))  # it normalizes
    np.testing.assert_allclose(scores(KernelDensity(bandwidth=width), setting), np.array(expected), rtol=1e-6)


def test_the_bandwidth_is_the_likeliest_of_those_tried(setting):
    """On many points of a normal distribution it is near the rule of thumb, far from the ends of the range."""
    draw = torch.Generator().manual_seed(1)
    x = (0.5 + 0.1 * torch.randn(1200, 2, generator=draw, dtype=torch.float64)).clamp(0, 1)
    model = settle(torch_model(lambda x: torch.stack([x[:, 0], x[:, 0] - 9], 1), 2), x)
    data = Dataset(x, torch.arange(1200) % 2)
    fit = KernelDensity(layer="inputs").fit(model, data, 0)
    own, _ = data.divide(0.5, 0)
    own = own.x[own.y == 0]
    tried = torch.logspace(-3, 0, 60, dtype=torch.float64)
    far = torch.cdist(own, own).square().fill_diagonal_(torch.inf)
    likely = [float(torch.logsumexp(-far / w**2, 1).mean() - 2 * w.log()) for w in tried]
    best = float(tried[int(np.argmax(likely))])
    spot = torch.full((1, 2), 0.9, dtype=torch.float64)
    near, wide = (KernelDensity(layer="inputs", bandwidth=best * f).fit(model, data, 0).score(spot) for f in (0.6, 1.6))
    assert float(wide) < float(fit.score(spot)) < float(near)


def test_nearest_neighbors_count_as_scikit_learn_does(setting):
    model, _, learned, x = setting
    z, y = model.features(learned.x).numpy(), learned.y.numpy()
    votes = KNeighborsClassifier(9).fit(z, y).predict_proba(model.features(x).numpy()) * 9
    conform = votes[np.arange(len(x)), model.predict(x).numpy()]
    found = scores(NearestNeighbors(neighbors=9), setting)
    np.testing.assert_allclose(found.floor(), 9 - conform.round())
    assert len(found.unique()) > len(found.floor().unique()) + 5, "most ties are broken"


def test_feature_squeezing_is_the_largest_change(setting):
    model, _, _, x = setting
    plain = torch.softmax(model.scores(x), 1)
    changes = [(plain - torch.softmax(model.scores((x * n).round() / n), 1)).abs().sum(1) for n in (1, 3)]
    found = scores(FeatureSqueezing(squeezers=(BitDepth(bits=1), BitDepth(bits=2))), setting)
    torch.testing.assert_close(found, torch.maximum(*changes))


class Half(torch.nn.Module):
    """Gives back what lies halfway to the middle."""

    def forward(self, x):
        return 0.5 * x + 0.25


@pytest.mark.parametrize("p", [1, 2])
def test_reconstruction_by_a_module_of_ones_own_has_its_gradient_and_by_a_function_half_of_it(setting, p):
    model, data, _, x = setting
    expected = (0.5 * x - 0.25).abs().pow(p).mean(1)
    stage = Reconstruction(reconstruct=Half(), p=p).fit(model, data, 0)
    torch.testing.assert_close(stage.score(x), expected)
    assert stage.slope == "exact"
    other = Reconstruction(reconstruct=lambda x: 0.5 * x + 0.25, p=p).fit(model, data, 0)
    torch.testing.assert_close(other.score(x), expected)
    assert other.slope == "straight-through", "its slope holds the reconstruction still"
    assert str(other) == str(stage), "an address in memory is no name"


def test_divergence_is_jensen_and_shannons(setting):
    model, data, _, x = setting
    stage = Reconstruction(reconstruct=Half(), by="divergence", temperature=2.0).fit(model, data, 0)
    p, q = (torch.softmax(model.scores(rows) / 2.0, 1) for rows in (x, 0.5 * x + 0.25))
    m = (p + q) / 2
    expected = ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)) / 2
    torch.testing.assert_close(stage.score(x), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(stage.score(x), jensenshannon(p, q, axis=1) ** 2, rtol=1e-6, atol=1e-9)


def test_an_autoencoder_learns_what_is_usual():
    """Digits are given back better than digits upside down in tone, and better than before learning."""
    digits = hf.data.load("digits")
    model = settle(torch_model(lambda x: x.flatten(1)[:, :10], 10), digits.train.x)
    data = digits.train.sample(600, 0)
    errors = [Reconstruction(updates=e, width=8).fit(model, data, 0).score(digits.test.x).mean() for e in (5, 60)]
    assert errors[1] < 0.7 * errors[0]
    stage = Reconstruction(updates=60).fit(model, data, 0)
    upside = stage.suspicion(1 - digits.test.x, digits.test.space) > 0
    assert upside.double().mean() > 0.9
    table = Dataset(data.x.flatten(1), data.y)
    flat = settle(torch_model(lambda x: x[:, :10], 10), table.x)
    narrow = Reconstruction(updates=60, width=8).fit(flat, table, 0)
    assert (narrow.suspicion(1 - digits.test.x.flatten(1), flat.space) > 0).double().mean() > 0.9


class Upward:
    """An outlier model that counts as PyOD does."""

    def __init__(self, says=1):
        self.says = says

    def fit(self, x):
        self.center = x.mean(0)
        self.decision_scores_ = self.decision_function(x)
        self.threshold_ = np.quantile(self.decision_scores_, 0.9)
        return self

    def decision_function(self, x):
        return np.linalg.norm(x - self.center, axis=1)

    def predict(self, x):
        return np.where(self.decision_function(x) > self.threshold_, self.says, 0)


def test_outlier_models_of_both_signs_count_upward(setting):
    model, data, learned, x = setting
    up = OutlierModel(estimator=Upward(), layer="inputs").fit(model, data, 0)
    center = learned.x.mean(0)
    torch.testing.assert_close(up.score(x), (x - center).norm(dim=1))
    given = LocalOutlierFactor(novelty=True)
    down = OutlierModel(estimator=given, layer="inputs").fit(model, data, 0)
    own = LocalOutlierFactor(novelty=True).fit(learned.x.numpy())
    np.testing.assert_allclose(down.score(x), -own.decision_function(x.numpy()))
    assert not hasattr(given, "offset_"), "the estimator given stays unfitted"
    seeded = OutlierModel(estimator=IsolationForest(n_estimators=5)).fit(model, data, 4)
    forest = IsolationForest(n_estimators=5, random_state=4)
    part, _ = data.divide(0.5, 4)
    forest.fit(model.features(part.x).numpy())
    np.testing.assert_allclose(seeded.score(x), -forest.decision_function(model.features(x).numpy()))


def test_a_model_of_pyod_scores_as_its_own_library_does(setting):
    """Its k nearest neighbors are those of scikit-learn, and what it calls outliers have the higher suspicion."""
    model, _, learned, x = setting
    far = torch.cat([x, torch.tensor([[0.0, 1, 0, 1, 0]], dtype=x.dtype)])
    stage = OutlierModel(estimator=KNN(n_neighbors=7), layer="inputs").fit(*setting[:2], 0)
    own = KNN(n_neighbors=7).fit(learned.x.numpy())
    np.testing.assert_allclose(stage.score(far), own.decision_function(far.numpy()))
    near = NearestNeighbor(n_neighbors=7).fit(learned.x.numpy()).kneighbors(far.numpy())[0][:, -1]
    np.testing.assert_allclose(stage.score(far), near)
    assert stage.suspicion(far, model.space).argmax() == len(x)
    assert stage.suspicion(far, model.space)[-1] > 0


def test_a_model_of_pyod_whose_rows_move_each_other_is_asked_about_each_alone(setting):
    _, _, learned, x = setting
    stage = OutlierModel(estimator=COPOD(), layer="inputs").fit(*setting[:2], 0)
    own = COPOD().fit(learned.x.numpy())
    alone = [own.decision_function(row[None])[0] for row in x.numpy()]
    assert np.abs(own.decision_function(x.numpy()) - alone).max() > 0.01, "else there is nothing to mend"
    np.testing.assert_allclose(stage.score(x), alone)


class Shy(Upward):
    """As PyOD's SOS: divides by what the other rows are."""

    def decision_function(self, x):
        return super().decision_function(x) if len(x) > 1 else np.full(1, np.nan)


@pytest.mark.parametrize("estimator", [COF(n_neighbors=9), Shy()], ids=["raises", "nan"])
def test_a_model_that_has_no_score_for_a_row_alone_is_refused(setting, estimator):
    model, data, _, _ = setting
    with pytest.raises(ModelError, match=r"^HF257 .* single row") as caught:
        OutlierModel(estimator=estimator, layer="inputs").fit(model, data.take(slice(0, 40)), 0)
    assert "\n" not in str(caught.value)


class Liar(Upward):
    """Its decisions contradict its scores."""

    def predict(self, x):
        return np.where(self.decision_function(x) % 0.02 > 0.01, 1, 0)


@pytest.mark.parametrize(
    ("make", "error", "code"),
    [
        (lambda m, d: OutlierModel(estimator=object()), ModelError, "HF257"),
        (lambda m, d: OutlierModel(estimator=LocalOutlierFactor()), ModelError, "HF257"),
        (lambda m, d: OutlierModel(estimator=Liar()).fit(m, d), ModelError, "HF257"),
        (lambda m, d: OutlierModel(estimator=Upward(says=7)).fit(m, d), ModelError, "HF257"),
        (lambda m, d: Mahalanobis().fit(dataclasses.replace(m, features=None), d), ModelError, "HF256"),
        (lambda m, d: FeatureSqueezing(squeezers=()), ParameterError, "HF001"),
        (lambda m, d: FeatureSqueezing(squeezers=(3,)), ParameterError, "HF001"),
        (lambda m, d: Reconstruction(reconstruct=lambda x: x[:, :2]).fit(m, d), DataError, "HF138"),
        (lambda m, d: NearestNeighbors(neighbors=500).fit(m, d), DataError, "HF139"),
        (lambda m, d: LocalDimensionality(neighbors=500).fit(m, d), DataError, "HF139"),
        (lambda m, d: KernelDensity().fit(m, Dataset(d.x, d.y % 2)), DataError, "HF139"),
        (lambda m, d: Mahalanobis(fpr=0.001).fit(m, d), DataError, "HF130"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(setting, make, error, code):
    model, data, _, _ = setting
    with pytest.raises(error, match=code) as caught:
        make(model, data)
    assert "\n" not in str(caught.value)


def test_the_unit_weighs_suspicion_like_a_margin(setting):
    model, data, _, _ = setting
    stage = Mahalanobis().fit(model, data, 0)
    _, held = data.divide(0.5, 0)
    found = stage.suspicion(held.x, model.space)
    top = model.scores(held.x).topk(2, 1).values
    assert spread(found) == pytest.approx(float((top[:, 0] - top[:, 1]).median()))
    assert lead(model, held.x) == pytest.approx(spread(found))
    assert spread(torch.zeros(9, dtype=torch.float64)) == 1.0


def test_an_attack_that_knows_the_detector_gets_past_it():
    """The oblivious one goes as far as it may and is caught; the other stops in the next class. Without a slope too."""
    model, data, _, _ = made(apart=0.1, noise=0.02)
    x, y = data.x[:40], data.y[:40]
    right = model.predict(x) == y
    for detector, attack in (
        (Mahalanobis(layer="inputs"), Apgd(steps=100, loss="dlr", targets=2)),
        (OutlierModel(estimator=Upward(), layer="inputs"), Pgd(steps=50, step=0.02, random_start=False)),
    ):
        stage = detector.fit(model, data, 0)
        plain = hf.run(Pgd(), model, x, y, "linf:0.3", perturb=True)
        caught = (stage.suspicion(plain.strongest, model.space) > 0)[plain.success]
        assert plain.success[right].all()
        assert caught.double().mean() > 0.9
        out = hf.run(attack, model | stage, x, y, "linf:0.3")
        assert out.success[right].double().mean() > 0.9
        answer = settle(model | stage, x).answer(out.adversarial[out.success])
        assert (answer.suspicion <= 0).all()
        assert (answer.scores.argmax(1) != y[out.success]).all()


def test_without_a_slope_score_attacks_get_past_a_detector_of_pictures():
    """A picture is wrong when its left half is bright, and rejected when its right half is: Square finds the way."""
    x = torch.full((10, 1, 4, 4), 0.4, dtype=torch.float64)
    model = settle(torch_model(lambda x: (x[..., :2].mean((1, 2, 3))[:, None] - 0.5) * torch.tensor([-1, 1]), 2), x)
    stage = Flag(
        threshold=0.45, of="bright", slope="none", score=lambda x: x[..., 2:].mean((1, 2, 3)).detach(), unit=1e-3
    )
    y = model.predict(x)
    plain = hf.run(Square(steps=200), model, x, y, "linf:0.3")
    assert plain.success.all()
    assert hf.run(Square(steps=200), model | stage, x, y, "linf:0.3").success.all()
    assert not hf.run(Square(steps=200), model | stage, x, y, "linf:0.05").success.any()
