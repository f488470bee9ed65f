"""Random tables with columns of names, and random boosters that split them: answers, distances and leaf tuples."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

import holdfast as hf
from attacks.test_exact_rows import CLOSE, MEASURES, every_row
from holdfast.attacks import LeafTuple
from holdfast.models.settle import settle

pandas = pytest.importorskip("pandas")
WORDS = ("pilot", "nurse", "clerk", "baker", "cook", "judge", "thief")


def schema_of(draw, library):
    """Two columns of names and two of numbers in any order; and how many of each column's words are in training."""
    classes, features, known = int(draw.choice([2, 3])), [], {}
    for name in ("job", "side"):
        size = int(draw.integers(2, 6))
        words = draw.permutation(WORDS)[:size] if name == "job" else draw.permutation(np.arange(-2, 7))[:size]
        missing = library != "catboost" and bool(draw.random() < 0.5)
        told = {"levels": tuple(map(str, words)), "missing": missing, "scale": float(draw.choice([0.5, 1.0]))}
        features.append(hf.Feature(name, "categorical", **told))
        known[name] = size - (library != "xgboost" and size > 2 and bool(draw.random() < 0.4))
    features.append(hf.Feature("n", "integer", low=0, high=3, missing=bool(draw.random() < 0.3), scale=2.0))
    features.append(hf.Feature("r", low=-1, high=1, step=0.5, direction=str(draw.choice(["both", "up"]))))
    rule = f'n <= 2 or side != "{features[1].levels[0]}"'
    rules = (rule,) if draw.random() < 0.4 else ()
    return hf.Schema(tuple(features[i] for i in draw.permutation(4)), rules, classes=tuple("abc"[:classes])), known


def typed(schema, known, x, library):
    """Raw rows as the library takes them, with the categories that were there in training."""
    frame = hf.Tabular(schema).frame(x)
    for name, count in known.items():
        levels = schema.by_name[name].levels
        if name == "side":
            levels = tuple(map(int, levels))
        j = list(schema.by_name).index(name)
        words = [None if np.isnan(code) else levels[int(code)] for code in x[:, j].tolist()]
        told = library in ("xgboost", "lightgbm")
        frame[name] = pandas.Categorical(words, categories=sorted(levels[:count]) if told else None)
        if library == "catboost":
            frame[name] = list(map(str, words))
    return frame


def learner(draw, library):
    seed, trees = int(draw.integers(1000)), int(draw.integers(2, 7))
    if library == "xgboost":
        return pytest.importorskip("xgboost").XGBClassifier(
            n_estimators=trees, max_depth=3, enable_categorical=True, max_cat_to_onehot=int(draw.choice([1, 3, 9])),
            max_cat_threshold=int(draw.choice([1, 64])), learning_rate=0.5, n_jobs=1, random_state=seed,
        )  # fmt: skip
    if library == "lightgbm":
        return pytest.importorskip("lightgbm").LGBMClassifier(
            n_estimators=trees, min_child_samples=2, min_data_per_group=2, cat_smooth=1, n_jobs=1, verbose=-1,
            max_cat_to_onehot=int(draw.choice([1, 9])), zero_as_missing=bool(draw.random() < 0.3), random_state=seed,
        )  # fmt: skip
    if library == "catboost":
        return pytest.importorskip("catboost").CatBoostClassifier(
            iterations=trees, depth=3, one_hot_max_size=9, learning_rate=0.5, verbose=False, thread_count=1,
            allow_writing_files=False, random_seed=seed, cat_features=["job", "side"],
            grow_policy=str(draw.choice(["SymmetricTree", "Lossguide"])),
        )  # fmt: skip
    return HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=8, categorical_features="from_dtype", min_samples_leaf=2, random_state=seed
    )


def fitted(draw, schema, known, every, library):
    """A booster on rows whose words are all known, and labels that hang on every column."""
    place = list(schema.by_name)
    strange = torch.stack([every[:, place.index(name)] >= count for name, count in known.items()]).any(0)
    x = every[~strange][draw.integers(int((~strange).sum()), size=200)]
    weight = torch.from_numpy(draw.normal(size=(4, 16)))
    signal = sum(w[(x[:, j].nan_to_num(6) * 2 + 2).long()] for j, w in enumerate(weight))
    y = (signal.argsort().argsort() * len(schema.classes) // len(x)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return learner(draw, library).fit(typed(schema, known, x, library), y)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "catboost", "histogram"])
def test_answers_and_distances_beside_the_library_on_all_possible_rows(library, seed):
    draw = np.random.default_rng([seed, len(library)])
    schema, known = schema_of(draw, library)
    every = every_row(schema)
    made = fitted(draw, schema, known, every, library)
    binary = len(schema.classes) == 2 and bool(draw.random() < 0.5)
    model = settle(hf.wrap(made, schema, **({"threshold": "b:0.35"} if binary else {})), every[:50])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = made.predict_proba(typed(schema, known, every, library))
    said, sure = model.predict(every), np.abs(want[:, 1] - 0.35) > 1e-6
    if binary:
        assert (said.numpy() == (want[:, 1] > 0.35))[sure].all()
    else:
        assert np.abs(model.answer(every).scores.softmax(1).double().numpy() - want).max() <= 1e-6
        assert np.abs(model.trees().scores(every.numpy()) - want).max() <= 1e-6
    x = every[draw.integers(len(every), size=2)]
    label = model.predict(x)
    for norm, measure in MEASURES.items():
        found = hf.exact_distance(model, x, label, norm=norm)
        out = hf.run(LeafTuple(), model, x, label, f"table:{measure}=inf")
        reached = schema.ruler.distance(out.adversarial, x, measure)
        for i, row in enumerate(x):
            may = every[said != label[i]]
            may = may[schema.validate(may, row.expand(len(may), -1)).valid]
            far = schema.ruler.distance(may, row.expand(len(may), -1), measure)
            least = float(far.min()) if len(far) else np.inf
            assert (float(found.distance[i]), bool(found.proven[i])) == (pytest.approx(least, rel=CLOSE), True), norm
            assert not out.success[i] or float(reached[i]) >= least * (1 - CLOSE), norm
