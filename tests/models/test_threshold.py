"""A class decided at a threshold: everything that is asked of a model speaks of that decision."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

import holdfast as hf
from holdfast.attacks import Capgd, CarliniWagner, DeepFool, GraphSearch, HopSkipJump, LeafTuple, Pgd
from holdfast.core.errors import ModelError
from holdfast.defenses import BitDepth
from holdfast.models.deciding import at_threshold
from holdfast.models.direction import toward
from holdfast.models.prepared import prepared
from holdfast.models.settle import fingerprint, settle
from holdfast.models.threshold import Threshold, threshold_of


def rows(n=400, d=2, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.random((n, d)).round(2)
    return x, (x @ np.linspace(1, -0.7, d) + 0.3 * draw.normal(size=n) > 0.1).astype(int)


def boosted(name):
    if name == "xgboost":
        return pytest.importorskip("xgboost").XGBClassifier(n_estimators=6, max_depth=3, n_jobs=1)
    if name == "catboost":
        return pytest.importorskip("catboost").CatBoostClassifier(
            iterations=6, depth=3, learning_rate=0.5, verbose=False, thread_count=1, allow_writing_files=False
        )
    more = {"objective": "binary", "sigmoid": 2.0} if name == "lightgbm, steep" else {}
    return pytest.importorskip("lightgbm").LGBMClassifier(
        n_estimators=6, num_leaves=6, learning_rate=0.5, verbose=-1, n_jobs=1, **more
    )


KINDS = {
    "forest": RandomForestClassifier(10, max_leaf_nodes=8, random_state=0),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=6, learning_rate=0.5, random_state=0),
    "exponential": GradientBoostingClassifier(n_estimators=6, learning_rate=0.5, loss="exponential", random_state=0),
    "histogram": HistGradientBoostingClassifier(max_iter=6, learning_rate=0.5, random_state=0),
    "adaboost": AdaBoostClassifier(n_estimators=6, random_state=0),
    "logistic": LogisticRegression(),
    "bayes": GaussianNB(),
    "huber": SGDClassifier(loss="modified_huber", random_state=0),
    "platt": SVC(probability=True, random_state=0),
    **dict.fromkeys(("xgboost", "lightgbm", "lightgbm, steep", "catboost")),
}
ENSEMBLES = [name for name in KINDS if name not in ("logistic", "bayes", "huber", "platt")]


def fitted(name):
    x, y = rows()
    kind = boosted(name) if KINDS[name] is None else KINDS[name]
    return kind.fit(x, y)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("told", "column"), [(0.2, 1), ("0:0.7", 0)])
@pytest.mark.parametrize("name", KINDS)
def test_decisions_are_those_of_the_librarys_own_probabilities(name, told, column):
    made = fitted(name)
    x = np.concatenate([rows()[0], rows(seed=1)[0]])
    model = settle(hf.wrap(made, (0, 1), threshold=told), torch.from_numpy(x))
    chance = made.predict_proba(x)[:, column]
    at = model.threshold.at
    flagged = chance >= at
    clear = np.abs(chance - at) > 1e-6
    assert 0.02 < flagged.mean() < 0.98
    exact = name in ("forest", "tree")
    said = model.predict(torch.from_numpy(x)).numpy()
    assert ((said == column) == flagged)[clear | exact].all()
    assert (model.labels(torch.from_numpy(x)).numpy() == said).all()
    assert (model.seen_as("labels").predict(torch.from_numpy(x)).numpy() == said).all()
    assert any("is decided where its probability is at least" in note for note in model.notes)
    assert f"class {column} from {at} on" in repr(model)


def test_votes_of_ten_trees_that_reach_a_threshold_are_flagged_and_trees_say_so_too():
    made = RandomForestClassifier(10, random_state=0).fit(*rows())
    x = rows(seed=1)[0]
    chance = made.predict_proba(x)[:, 1]
    assert (chance == 0.2).sum() >= 3
    for told, flagged in ((0.2, chance >= 0.2), ("0:0.8", made.predict_proba(x)[:, 0] < 0.8)):
        model = settle(hf.wrap(made, (0, 1), threshold=told), torch.from_numpy(x))
        assert (model.predict(torch.from_numpy(x)).numpy() == flagged).all()
        assert ((model.trees().sums(x)[:, 0] > 0) == flagged).all()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("told", [0.2, "0:0.7"])
@pytest.mark.parametrize("name", ENSEMBLES)
def test_exact_distances_agree_with_brute_force_and_walks_come_near(name, told):
    made = fitted(name)
    model = hf.wrap(made, (0, 1), threshold=told)
    x = torch.from_numpy(rows(n=4, seed=3)[0])
    model = settle(model, torch.from_numpy(rows()[0]))
    y = model.predict(x)
    found = hf.exact_distance(model, x, y)
    least = brute(model, x, y)
    assert torch.isfinite(least).any()
    torch.testing.assert_close(found.distance, least, rtol=0, atol=1e-6)
    there = torch.isfinite(found.distance)
    assert (model.predict(found.witness)[there] != y[there]).all()
    out = hf.run(LeafTuple(restarts=3), model, x, y, "linf:inf")
    assert (out.distance("linf") >= found.distance - 1e-12).all()
    assert (out.success == there).all()


def brute(model, x, y):
    """The Linf distance to the nearest box of the grid of all thresholds with another decision."""
    trees = model.trees()
    last, first = trees.cuts("float64")
    ends = []
    for feature in range(x.shape[1]):
        here = trees.feature == feature
        ends.append(np.unique(np.concatenate([[0.0], first[here], last[here], [1.0]]).clip(0, 1)))
    found = []
    for row, label in zip(x.numpy(), y.tolist(), strict=True):
        points = [np.unique(np.append(side, row[k])) for k, side in enumerate(ends)]
        grid = np.array(list(itertools.product(*points)))
        wrong = model.predict(torch.from_numpy(grid), 4096).numpy() != label
        found.append(np.abs(grid[wrong] - row).max(1).min() if wrong.any() else np.inf)
    return torch.tensor(found, dtype=torch.float64)


HOPS = [HopSkipJump(steps=8)]
PLANE = np.array([1.5, -1.0, 0.5]), -0.25


def plane(column, torch_net):
    """A linear model, and the log-odds of its class 1."""
    w, b = PLANE
    if torch_net:
        net = nn.Linear(3, 2).double()
        with torch.no_grad():
            net.weight.copy_(torch.tensor(np.stack([-w / 2, w / 2])))
            net.bias.copy_(torch.tensor([-b / 2, b / 2]))
        return net
    made = LogisticRegression().fit(*rows(d=3))
    made.coef_, made.intercept_ = w[None].copy(), np.array([b])
    return made


@pytest.mark.parametrize("torch_net", [False, True])
@pytest.mark.parametrize(("at", "column"), [(0.2, 1), (0.7, 1), (0.7, 0)])
def test_nearest_points_of_a_linear_model_lie_on_the_shifted_plane(at, column, torch_net):
    w, b = PLANE
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3)))
    model = hf.wrap(plane(column, torch_net), (-20, 20), threshold=f"{column}:{at}")
    settled = settle(model, x)
    odds = np.log(at / (1 - at)) * (1 if column == 1 else -1)
    lead = x.numpy() @ w + b - odds
    y = torch.from_numpy((lead > 0).astype(int))
    assert torch.equal(settled.predict(x), y)
    margin = settled.answer(x).scores
    torch.testing.assert_close((margin[:, 1] - margin[:, 0]).double(), torch.from_numpy(lead), rtol=1e-9, atol=1e-9)
    for norm, dual, attacks in (
        ("l2", np.linalg.norm(w), (DeepFool(), CarliniWagner(steps=60), *HOPS[: torch_net and at == 0.2])),
        ("linf", np.abs(w).sum(), (DeepFool(),)),
    ):
        true = torch.from_numpy(np.abs(lead) / dual)
        for attack in attacks:
            out = hf.run(attack, settled, x, y, f"{norm}:inf")
            assert out.success.all(), attack
            assert (out.distance(norm) >= true - 1e-9).all(), attack
            assert (out.distance(norm) <= 1.1 * true + 1e-4).all(), attack
    for scale, breaks in ((0.98, False), (1.02, True)):
        radius = torch.from_numpy(np.abs(lead) / np.abs(w).sum()) * scale
        for i in range(4):
            out = hf.run(Pgd(steps=3, step=1.0), settled, x[[i]], y[[i]], f"linf:{float(radius[i])}")
            assert bool(out.success.all()) is breaks


def test_a_threshold_of_a_half_is_the_argmax_and_other_thresholds_have_other_fingerprints():
    x, y = rows()
    made = LogisticRegression().fit(x, y)
    x = torch.from_numpy(x)
    plain, half, fifth = (settle(hf.wrap(made, (0, 1), threshold=t), x) for t in (None, 0.5, 0.2))
    assert torch.equal(plain.predict(x), half.predict(x))
    assert (fifth.predict(x) >= plain.predict(x)).all()
    assert len({fingerprint(m, (2,), torch.float64) for m in (plain, half, fifth)}) == 3
    again = settle(at_threshold(fifth, 0.5), x)
    assert torch.equal(again.predict(x), half.predict(x))
    assert sum("probability is at least" in note for note in again.notes) == 1


def test_one_class_of_three_is_decided_and_the_rest_as_before():
    x = torch.from_numpy(rows(d=3)[0])
    net = nn.Linear(3, 3, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[2.0, 0.0, 1.0], [0.0, 2.0, 0.5], [1.0, 1.0, 0.0]]))
        chance = net(x).softmax(1)
    model = settle(hf.wrap(net, (0, 1), threshold="2:0.25"), x)
    rest = chance[:, :2].argmax(1)
    want = torch.where(chance[:, 2] >= 0.25, 2, rest)
    assert len(want.unique()) == 3
    assert torch.equal(model.predict(x), want)
    assert torch.equal(toward(model, [0]).predict(x), (want == 0).long())
    forest = RandomForestClassifier(3, random_state=0).fit(x.numpy(), want.numpy())
    with pytest.raises(ModelError, match="HF271"):
        hf.exact_distance(hf.wrap(forest, (0, 1), threshold="2:0.25"), x, want)


def test_stages_ensembles_swift_copies_and_lists_keep_it():
    x = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    with torch.no_grad():
        chance = net(x).softmax(1)[:, 1]
    at = float(chance.quantile(0.3))
    want = (chance >= at).long()
    model = settle(hf.wrap(net, threshold=at), x)
    assert torch.equal(model.predict(x), want)
    swift = prepared(model, x)
    assert swift.swift is not None
    assert torch.equal(swift.searched(x).scores.argmax(1), want)
    both = prepared(settle(hf.wrap([net, net], threshold=at), x), x)
    assert both.swift is not None
    assert (both.predict(x) == want).float().mean() >= 0.95  # the mean of two equal ones is rounded
    behind = settle(at_threshold(hf.wrap(net) | BitDepth(bits=8), at), x)
    assert behind.threshold == Threshold(at)
    exact = settle(hf.wrap(net, threshold=at) | BitDepth(bits=8), x)
    assert torch.equal(behind.predict(x), exact.predict(x))


def test_a_function_of_one_column_of_probabilities_is_cut_to_the_last_bit():
    model = hf.wrap(lambda x: x[:, 0], output="probabilities", threshold=0.1 + 0.2)
    x = torch.tensor([[0.3, 0.0], [0.1 + 0.2, 0.0], [np.nextafter(0.3, 1), 0.0], [0.2, 0.0]], dtype=torch.float64)
    assert settle(model, x).predict(x).tolist() == [0, 1, 1, 0]
    other = hf.wrap(lambda x: x[:, 0], output="probabilities", threshold="0:0.75")
    x = torch.tensor([[0.25, 0.0], [0.26, 0.0]], dtype=torch.float64)
    assert settle(other, x).predict(x).tolist() == [0, 1]


def test_a_search_over_the_rows_of_a_table_crosses_the_threshold():
    schema = hf.Schema(
        features=(hf.Feature("a", low=0, high=1), hf.Feature("b", low=0, high=1)),
        classes=("fraud", "legitimate"),
    )
    x, y = rows()
    made = fitted("forest")
    model = hf.wrap(made, schema, threshold="fraud:0.3")
    assert model.threshold == Threshold(0.3, 0)
    x = torch.from_numpy(x)
    flagged = torch.from_numpy(made.predict_proba(x.numpy())[:, 0] >= 0.3)
    out = hf.run(GraphSearch(width=1), model, x[:40], (~flagged[:40]).long(), "table:features=1")
    won = out.success
    assert won.any()
    assert ((made.predict_proba(out.adversarial.numpy())[:, 0] >= 0.3)[won] != flagged[:40][won].numpy()).all()
    assert schema.validate(out.adversarial, x[:40]).valid.all()


@pytest.mark.parametrize(("fpr", "class_"), [(0.0, 1), (0.02, 1), (0.1, 0)])
@pytest.mark.parametrize("name", ["forest", "logistic", "xgboost"])
def test_a_threshold_for_a_rate_of_false_alarms_is_the_lowest(name, fpr, class_):
    made, (x, y) = fitted(name), rows(seed=7)
    model = hf.wrap(made, (0, 1))
    found = hf.threshold_at(model, x, y, fpr, class_)
    chance = made.predict_proba(x)[y != class_, class_].astype(np.float64)
    alarms = (chance >= found.at).mean()
    assert alarms <= fpr
    lower = np.max(chance[chance < found.at])
    assert (chance >= lower).mean() > fpr
    said = settle(hf.wrap(made, (0, 1), threshold=found), torch.from_numpy(x)).predict(torch.from_numpy(x)).numpy()
    assert ((said == class_)[y != class_]).mean() == alarms


@pytest.mark.parametrize("told", ["a:0.2", "0.2:a", 0, 1.0, -0.1, float("nan"), True, None, "1:", "7:0.2"])
def test_what_is_no_threshold_is_one_line(told):
    x = torch.from_numpy(rows()[0])
    with pytest.raises(ModelError, match="HF282"):
        settle(at_threshold(hf.wrap(LogisticRegression().fit(*rows()), (0, 1)), told), x)


@pytest.mark.parametrize("kind", [LinearSVC(), RidgeClassifier(), SVC()])
def test_classifiers_without_probabilities_are_refused(kind):
    with pytest.raises(ModelError, match="HF282 .*tells no probabilities"):
        hf.wrap(kind.fit(*rows()), (0, 1), threshold=0.2)


def test_labels_and_models_put_together_by_hand_are_refused():
    x = torch.from_numpy(rows()[0])
    with pytest.raises(ModelError, match="HF282"):
        settle(hf.wrap(lambda x: (x[:, 0] > 0.5).astype(int), classes=2, threshold=0.2), x)
    by_hand = dataclasses.replace(hf.wrap(LogisticRegression().fit(*rows()), (0, 1)), labels=None)
    with pytest.raises(ModelError, match="HF282"):
        hf.wrap(by_hand, threshold=0.2)
    with pytest.raises(ModelError, match="HF282"):
        hf.threshold_at(hf.wrap(LogisticRegression().fit(*rows()), (0, 1)), x, torch.ones(len(x)).long(), 0.1)


def test_thresholds_are_read():
    assert threshold_of("0.25") == Threshold(0.25, 1)
    assert threshold_of("a:b:0.25", ("a:b", "c")) == Threshold(0.25, 0)
    assert threshold_of(" 0 : 0.25", ("x", "y")) == Threshold(0.25, 0)
    assert threshold_of(Threshold(0.5, 3)) == Threshold(0.5, 3)


def test_gradients_of_a_tables_levels_speak_of_the_threshold_too():
    """The twin of a pipeline behind an encoder, with a gradient for each level."""
    pytest.importorskip("pandas")
    schema = hf.Schema(
        (hf.Feature("a", low=-2, high=2), hf.Feature("job", "categorical", levels=("cook", "nurse", "pilot"))),
        classes=("no", "yes"),
    )
    draw, space = np.random.default_rng(0), hf.Tabular(schema)
    x = torch.from_numpy(np.stack([draw.uniform(-2, 2, 200), draw.integers(0, 3, 200).astype(float)], 1))
    y = (x[:, 0] + (x[:, 1] == 1) > 0.3).long()
    encoder = make_column_transformer((OneHotEncoder(), ["job"]), remainder="passthrough")
    made = make_pipeline(encoder, LogisticRegression()).fit(space.frame(x), y.numpy())
    model = settle(hf.wrap(made, schema, threshold=0.15), x)
    assert model.wide is not None
    flagged = torch.from_numpy(made.predict_proba(space.frame(x))[:, 1] >= 0.15).long()
    assert torch.equal(model.predict(x), flagged)
    assert torch.equal(model.wide.ask(model.wide.of.wide(x)).argmax(1), flagged)
    out = hf.run(Capgd(), model, x[:30], flagged[:30], "table:l1=1")
    won = out.success
    assert won.any()
    after = made.predict_proba(space.frame(out.adversarial))[:, 1] >= 0.15
    assert (after[won] != flagged[:30].bool()[won].numpy()).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_probabilities_that_equal_the_threshold_are_flagged_whatever_their_logarithms_round_to(column, dtype):
    chance = torch.rand(400, generator=torch.Generator().manual_seed(0), dtype=dtype).clamp(0.01, 0.99)
    rest = (1 - chance) / 2
    for own, other in zip(chance, rest, strict=True):
        p = other.repeat(3)
        p[column] = own
        for at, flagged in ((float(own), True), (float(torch.nextafter(own, torch.ones_like(own))), False)):
            scores = p.log()[None].requires_grad_()
            cut = Threshold(at, column).cut(scores, own[None])
            assert (int(cut.argmax(1)) == column) is flagged, (float(own), at)
            (slope,) = torch.autograd.grad(cut[0, column], scores)
            assert float(slope[0, column]) == 1.0


def test_a_tree_whose_leaf_says_the_threshold_is_flagged_there():
    x, y = rows()
    made = DecisionTreeClassifier(max_depth=4, random_state=0).fit(x, y)
    for column, at in itertools.product((0, 1), np.unique(made.predict_proba(x))):
        if 0 < at < 1:
            model = settle(hf.wrap(made, threshold=Threshold(float(at), column)), torch.from_numpy(x))
            want = torch.from_numpy(made.predict_proba(x)[:, column] >= at)
            assert torch.equal(model.predict(torch.from_numpy(x)) == column, want), (column, at)


def test_numbers_are_classes_and_names_that_are_numbers_are_names():
    x, y = rows()
    named = hf.wrap(LogisticRegression().fit(x, np.array([1, 7])[y]), (0, 1))
    assert hf.threshold_at(named, x, y, 0.1, 1).column == 1, "a number is a class, though the name of another is 1"
    assert hf.threshold_at(named, x, y, 0.1, "1").column == 0
    for column in (0, 1):
        assert threshold_of(Threshold(0.3, column).text(("1", "0")), ("1", "0")) == Threshold(0.3, column)
        assert threshold_of(Threshold(0.3, column).text()) == Threshold(0.3, column)


def test_an_ensemble_whose_members_have_thresholds_gets_none():
    net = nn.Linear(2, 2)
    member = hf.wrap(net, threshold=0.7)
    with pytest.raises(ModelError, match="HF282 .*own"):
        hf.wrap([member, member], threshold=0.2)
    with pytest.raises(ModelError, match="HF282 .*own"):
        at_threshold(hf.wrap([member, hf.wrap(net)]) | BitDepth(bits=8), 0.2)


def test_a_long_list_of_classes_says_that_it_was_cut():
    with pytest.raises(ModelError, match=r"class5, .* and \d+ more"):
        threshold_of("fraud:0.2", [f"class{i}" for i in range(60)])
