"""scikit-learn behind `wrap`: exact twins, scores, labels, class names."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier

import holdfast as hf
from holdfast.core.errors import ModelError
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.models.twin import Twin, deciding_twin, twin_of
from holdfast.models.twin_heads import Linear, Pairs
from holdfast.models.wrap import wrap


def data(classes, n=120, features=4, seed=0):
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centers = draw.normal(size=(classes, features))
    return centers[y] + 0.7 * draw.normal(size=(n, features)), y


STAGES = [
    (),
    (StandardScaler(),),
    (MinMaxScaler(feature_range=(-1, 2), clip=True),),
    (StandardScaler(with_mean=False), MinMaxScaler(), StandardScaler(with_std=False)),
]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("stages", STAGES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_b11_twin_gradients_are_finite_differences_of_the_estimator(classes, stages, weighted):
    x, y = data(classes)
    weight = {"logisticregression__sample_weight": np.linspace(0.5, 2, len(y))} if weighted else {}
    estimator = make_pipeline(*stages, LogisticRegression(max_iter=500)).fit(x, y, **weight)
    model = settle(wrap(estimator, (-9, 9)), torch.from_numpy(x))
    assert "twin" in model.adapter
    points = 0.9 * x[:20] + 0.1 * x.mean(0)  # off the edges of what a clipping scaler has seen
    leaf = torch.from_numpy(points).requires_grad_()
    label = torch.from_numpy(y[:20])[:, None]
    (g,) = torch.autograd.grad(model.module(leaf).log_softmax(1).gather(1, label).sum(), leaf)
    step = 1e-6
    for j in range(x.shape[1]):
        shift = np.eye(x.shape[1])[j] * step
        up, down = (np.log(estimator.predict_proba(points + s * shift))[np.arange(20), y[:20]] for s in (1, -1))
        assert np.allclose((up - down) / (2 * step), g[:, j].numpy(), atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_b10_gradient_flows_through_every_stage_and_stops_where_one_clips(classes):
    x, y = data(classes)
    estimator = make_pipeline(StandardScaler(), MinMaxScaler(clip=True), LogisticRegression()).fit(x, y)
    model = wrap(estimator, (-99, 99))
    leaf = torch.full((1, 4), 50.0, dtype=torch.float64, requires_grad=True)  # far beyond what the scaler saw
    (g,) = torch.autograd.grad(model.module(leaf)[:, 1].sum(), leaf)
    assert torch.equal(g, torch.zeros_like(g))
    loose = wrap(make_pipeline(StandardScaler(), MinMaxScaler(clip=False), LogisticRegression()).fit(x, y), (-99, 99))
    (g,) = torch.autograd.grad(loose.module(leaf)[:, 1].sum(), leaf)
    assert (g != 0).all()


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_twin_scores_are_the_estimators_probabilities_and_its_decisions(classes):
    x, y = data(classes)
    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=100)).fit(x, y)
    model = settle(wrap(estimator), torch.from_numpy(x))
    assert np.allclose(model.scores(torch.from_numpy(x)).softmax(1).numpy(), estimator.predict_proba(x), atol=1e-12)
    assert np.array_equal(model.labels(torch.from_numpy(x)).numpy(), estimator.predict(x))
    assert torch.equal(model.scores(torch.from_numpy(x)), model.module(torch.from_numpy(x)))
    far = model.scores(torch.from_numpy(1000 * x))  # no saturation, unlike predict_proba
    assert torch.isfinite(far).all()
    assert (far.amax(1) > 100).any()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_liblinear_has_an_exact_twin_for_two_classes():
    x, y = data(2)
    model = wrap(LogisticRegression(solver="liblinear").fit(x, y))
    assert "twin" in model.adapter


def test_one_against_the_rest_is_normalized_like_the_estimator():
    x, y = data(3)
    fits = [LogisticRegression().fit(x, y == k) for k in range(3)]
    weight = torch.from_numpy(np.concatenate([f.coef_ for f in fits])).T
    twin = Twin((), Linear(weight, torch.from_numpy(np.concatenate([f.intercept_ for f in fits]))), "rest")
    p = np.stack([f.predict_proba(x)[:, 1] for f in fits], 1)
    assert np.allclose(twin(torch.from_numpy(x)).softmax(1).numpy(), p / p.sum(1, keepdims=True), atol=1e-12)


def test_a_twin_that_does_not_repeat_the_probabilities_is_refused():
    x, y = data(3)

    class Sharper(LogisticRegression):
        def predict_proba(self, x):
            p = super().predict_proba(x) ** 2
            return p / p.sum(1, keepdims=True)

    assert twin_of(LogisticRegression().fit(x, y)) is not None
    assert twin_of(Sharper().fit(x, y)) is None
    model = settle(
        wrap(make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression()).fit(x, y)),
        torch.from_numpy(x),
    )
    assert model.module is None
    assert model.scores is not None


PROBABLE = [
    *(MLPClassifier((5, 4), activation=bend, max_iter=40, random_state=0) for bend in ("relu", "tanh", "logistic")),
    MLPClassifier((6,), activation="identity", max_iter=40, random_state=0),
    GaussianNB(),
    LinearDiscriminantAnalysis(),
    SGDClassifier(loss="log_loss", random_state=0),
    VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    make_pipeline(RobustScaler(), PCA(3, whiten=True), GaussianNB()),
    make_pipeline(MaxAbsScaler(), PCA(2), LogisticRegression()),
]
DECIDING = [
    LinearSVC(random_state=0),
    RidgeClassifier(),
    SGDClassifier(random_state=0),
    Perceptron(random_state=0),
    *(SVC(kernel=kernel) for kernel in ("rbf", "linear", "poly", "sigmoid")),
    SVC(gamma="auto", C=10, break_ties=True),
    SVC(decision_function_shape="ovo"),
    NuSVC(nu=0.3),
    make_pipeline(StandardScaler(with_std=False), RobustScaler(with_centering=False), SVC()),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("estimator", PROBABLE + DECIDING, ids=str)
def test_twins_repeat_the_estimator_and_their_gradients_are_its_finite_differences(estimator, classes):
    x, y = data(classes)
    estimator.fit(x, y)
    near, far = 0.9 * x[:12] + 0.1 * x.mean(0), np.random.default_rng(1).normal(size=(3000, 4)) * 3
    model = settle(wrap(estimator, (-99, 99)), torch.from_numpy(x))
    assert "twin" in model.adapter
    for points in (near, far):
        assert np.array_equal(model.scores(torch.from_numpy(points)).argmax(1).numpy(), estimator.predict(points))

    def shown(rows):
        if hasattr(estimator, "predict_proba"):
            return np.log(estimator.predict_proba(rows))
        said = estimator.decision_function(rows)
        return np.stack([0 * said, said], 1) if said.ndim == 1 else said

    leaf = torch.from_numpy(near).requires_grad_()
    found = model.module(leaf)
    found = found.log_softmax(1) if hasattr(estimator, "predict_proba") else found
    if isinstance(getattr(source_of(model).ask, "head", None), Pairs):
        return  # votes do not differ by little: the next tests
    assert np.allclose(found.detach().numpy(), shown(near), atol=1e-8)
    (g,) = torch.autograd.grad(found[:, -1].sum(), leaf)
    for j, shift in enumerate(np.eye(4) * 1e-6):
        slope = (shown(near + shift)[:, -1] - shown(near - shift)[:, -1]) / 2e-6
        assert np.allclose(slope, g[:, j].numpy(), atol=1e-5)


@pytest.mark.parametrize("kernel", ["rbf", "poly"])
def test_pairs_of_a_vote_have_the_slopes_of_its_decisions_and_ties_go_the_way_of_libsvm(kernel):
    x, y = data(4)
    estimator = SVC(kernel=kernel, decision_function_shape="ovo").fit(x, y)
    twin = deciding_twin(estimator)
    points = np.random.default_rng(1).normal(size=(3000, 4)) * 2
    assert np.allclose(twin.head.of(torch.from_numpy(points)).numpy(), estimator.decision_function(points), atol=1e-8)
    leaf = torch.from_numpy(points[:5]).requires_grad_()
    (g,) = torch.autograd.grad(twin.head.of(leaf)[:, 4].sum(), leaf)
    for j, shift in enumerate(np.eye(4) * 1e-6):
        up, down = (estimator.decision_function(points[:5] + s * shift)[:, 4] for s in (1, -1))
        assert np.allclose((up - down) / 2e-6, g[:, j].numpy(), atol=1e-5)
    loose = dataclasses.replace(twin.head, first=False)(torch.from_numpy(points)).argmax(1).numpy()
    assert (loose != estimator.predict(points)).any(), "there are ties that the order of the classes decides"
    assert np.array_equal(twin(torch.from_numpy(points)).argmax(1).numpy(), estimator.predict(points))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("classes", [2, 3])
def test_gradients_fool_a_support_vector_machine_and_a_network(classes):
    digits = load_digits()
    kept = digits.target < classes
    x, y = digits.data[kept] / 16, digits.target[kept]
    for estimator in (SVC(), MLPClassifier((16,), max_iter=300, random_state=0)):
        estimator.fit(x[:200], y[:200])
        rows, labels = torch.from_numpy(x[200:260]), torch.from_numpy(y[200:260])
        out = hf.run(hf.attacks.Pgd(steps=20), settle(wrap(estimator), rows), rows, labels, "linf:0.35")
        assert out.status.count("broken") > 40
        broken = [i for i, status in enumerate(out.status) if status == "broken"]
        assert (estimator.predict(out.adversarial[broken].numpy()) != labels[broken].numpy()).all()


def test_kernels_without_a_formula_have_no_twin():
    x, y = data(3)
    assert deciding_twin(SVC(kernel=lambda a, b: a @ b.T).fit(x, y)) is None


def sparse(estimator, x, y):
    return estimator.fit(scipy.sparse.csr_matrix(x), y)


@pytest.mark.parametrize(
    ("kind", "fit", "twin"),
    [
        (SVC(), sparse, True),
        (SVC(kernel="linear", decision_function_shape="ovo"), sparse, True),
        (SGDClassifier(penalty="l1", random_state=0), lambda e, x, y: e.fit(x, y).sparsify(), True),
        (make_pipeline("passthrough", LogisticRegression()), None, True),
        (make_pipeline(StandardScaler(), "passthrough", None, SVC()), None, True),
        (VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft", weights=np.array([1, 3])),
         None, True),
        (SVC(kernel=lambda a, b: a @ b.T), None, False),
        (SVC(kernel=lambda a, b: a @ b.T, break_ties=True), None, False),
        (FixedThresholdClassifier(LogisticRegression(), threshold=0.52), None, False),
        (make_pipeline(make_pipeline(StandardScaler(), SVC(kernel=lambda a, b: a @ b.T))), None, False),
        (GridSearchCV(SVC(kernel=lambda a, b: a @ b.T), {"C": [0.1, 1.0]}, cv=2), None, False),
    ],
    ids=range(11),
)  # fmt: skip
def test_odd_estimators_decide_as_the_library_does_on_many_rows(kind, fit, twin):
    x, y = data(2 if isinstance(kind, FixedThresholdClassifier) else 3)
    estimator = fit(kind, x, y) if fit else kind.fit(x, y)
    draw = np.random.default_rng(1)
    rows = np.concatenate([draw.normal(size=(5000, 4)) * 3, draw.integers(-2, 3, (3000, 4)), draw.random((2000, 4))])
    model = settle(wrap(estimator, (-20, 20)), torch.from_numpy(rows[:32]))
    assert ("twin" in model.adapter) == twin
    answer = model.predict(torch.from_numpy(rows)).numpy()
    assert np.array_equal(estimator.classes_[answer], estimator.predict(rows))


OTHERS = [
    RandomForestClassifier(5, random_state=0),
    DecisionTreeClassifier(),
    KNeighborsClassifier(3),
    HistGradientBoostingClassifier(max_iter=3),
    BaggingClassifier(DecisionTreeClassifier(), 3, random_state=0),
    VotingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier(5))], voting="soft"),
    VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB()), ("c", DecisionTreeClassifier())]),
]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("estimator", OTHERS, ids=lambda e: type(e).__name__)
def test_every_other_estimator_answers_with_its_own_decisions(estimator, classes):
    x, y = data(classes)
    estimator.fit(x, y)
    model = settle(wrap(estimator, (-9, 9)), torch.from_numpy(x))
    assert model.classes == classes
    assert model.module is None
    assert np.array_equal(model.labels(torch.from_numpy(x)).numpy(), estimator.predict(x))
    hard = isinstance(estimator, VotingClassifier) and estimator.voting == "hard"
    assert (model.scores is None) == hard
    if not hard:
        scores = model.scores(torch.from_numpy(x))
        assert scores.shape == (len(x), classes)
        assert torch.equal(scores.gather(1, model.labels(torch.from_numpy(x))[:, None])[:, 0], scores.amax(1))


def test_scores_that_contradict_the_decision_are_not_used():
    x, y = data(3)

    class Contrary(GaussianNB):
        def predict_proba(self, x):
            return super().predict_proba(x)[:, ::-1]

    estimator = Contrary()
    estimator.fit(x, y)
    model = settle(wrap(estimator), torch.from_numpy(x))
    assert model.scores is None
    assert any("scores were not used" in note for note in model.notes)
    assert model.labels(torch.from_numpy(x)).tolist() == estimator.predict(x).tolist()


@pytest.mark.parametrize("names", [np.array(["cat", "ant", "bee"]), np.array([10, 5, 7])])
@pytest.mark.parametrize("kind", [LogisticRegression, GaussianNB])
def test_class_names_become_indices(names, kind):
    x, y = data(3)
    estimator = kind().fit(x, names[y])
    model = settle(wrap(estimator), torch.from_numpy(x))
    said = model.labels(torch.from_numpy(x)).numpy()
    assert np.array_equal(estimator.classes_[said], estimator.predict(x))
    assert any("classes_" in note for note in model.notes)


def test_images_are_flattened_and_float32_is_welcome():
    x, y = data(3)
    model = settle(wrap(LogisticRegression().fit(x, y)), torch.from_numpy(x).float().reshape(-1, 1, 2, 2))
    images = torch.from_numpy(x).float().reshape(-1, 1, 2, 2).requires_grad_()
    (g,) = torch.autograd.grad(model.module(images)[:, 0].sum(), images)
    assert g.shape == images.shape
    assert g.dtype == torch.float32


def test_frames_with_names_do_not_warn():
    pandas = pytest.importorskip("pandas")
    x, y = data(2)
    estimator = GaussianNB().fit(pandas.DataFrame(x, columns=list("abcd")), y)
    assert settle(wrap(estimator), torch.from_numpy(x)).classes == 2


def test_b12_the_estimator_gets_an_array_of_its_own():
    x, y = data(2)

    class Scribbler(GaussianNB):
        def predict_proba(self, x):
            p = super().predict_proba(x)
            x[:] = 0
            return p

    tensor = torch.from_numpy(x.copy())
    model = settle(wrap(Scribbler().fit(x, y)), tensor)
    model.scores(tensor)
    assert np.array_equal(tensor.numpy(), x)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        LinearRegression(),
        make_pipeline(StandardScaler()),
        StandardScaler(),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=str,
)
def test_what_cannot_decide_is_refused(estimator):
    with pytest.raises(ModelError, match="HF208"):
        wrap(estimator)


def test_several_labels_at_once_are_refused():
    x, y = data(2)
    with pytest.raises(ModelError, match="HF208"):
        wrap(MultiOutputClassifier(GaussianNB()).fit(x, np.stack([y, 1 - y], 1)))


def test_output_is_not_for_estimators():
    x, y = data(2)
    with pytest.raises(ModelError, match="HF207"):
        wrap(GaussianNB().fit(x, y), output="logits")


def test_the_digest_sees_the_fit():
    x, y = data(3)
    first, again, other = (wrap(GaussianNB().fit(x[k:], y[k:])) for k in (0, 0, 1))
    assert first.parameters() == again.parameters()
    assert first.parameters() != other.parameters()
    assert source_of(first) is not None
    bent = [wrap(sparse(SVC(), x * k, y)) for k in (1, 1, 1.01)]
    assert bent[0].parameters() == bent[1].parameters()
    assert bent[0].parameters() != bent[2].parameters()
