"""What the child of `core.trial` does with model files of other libraries: open, look through, ask about one row.

A library checks the form of its files, seldom their sense: a tree whose node is its own child, or that points outside
its list, is loaded by all of them, and hangs or crashes when it is asked. So the nodes are looked through here.
"""

import json
import math
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.models.onnx.files import parsed, unreadable
from holdfast.models.onnx.session import refused, started

Facts = Iterator[tuple[str, tuple[int, ...], str, int]]
WIDEST = 1 << 22
"""Numbers in a row, and classes times these."""

ROBUST = (
    "holdfast.learning.robust_boosting.RobustBoostingClassifier",
    "holdfast.learning.robust_forest.RobustForestClassifier",
    "holdfast.learning.robust_stumps.RobustStumpsClassifier",
)
TREES = "holdfast.models.trees.form.Trees"
LOOKED_THROUGH = ("sklearn.tree._tree.Tree", *ROBUST, TREES)
"""Types that skops leaves to its user, for their numbers and not for code: here the numbers are looked through."""

PACKED = 100
"""How many times larger the parts of an archive may be than the archive."""

PLAIN = (str, bytes, int, float, type(None), np.generic)
"""What nothing is in."""

SIDES = (32, 224, 1)
"""Sizes that are tried where an ONNX file leaves one free."""


def onnx(path: str) -> Facts:
    """An ONNX model: its graph is allowed, onnxruntime starts it, and it answers about a few rows.

    A loop that never ends is met here, under the child's limits, as far as a row of zeros and a drawn one go into it.

    Raises:
        ModelError: HF212, HF275 or HF276.
    """
    file = pathlib.Path(path)
    session = started(parsed(file).SerializeToString(), 1, f"'{file.name}'")
    free = any(not isinstance(size, int) for one in session.get_inputs() for size in one.shape[1:])
    for side in SIDES if free else (1,):
        try:
            for rows in _rows(session, side):
                session.run(None, rows)
        except Exception as error:  # the library's own kinds
            if not free:  # else the size may be wrong
                raise refused(f"'{file.name}'", error) from error
    yield "outputs", (len(session.get_outputs()),), "onnx", file.stat().st_size


def xgboost(path: str) -> Facts:
    """An XGBoost model, binary or as JSON: sizes agree with the lists, nodes with each other.

    Raises:
        ModelError: HF212 or HF277.
    """
    file = pathlib.Path(path)
    library = need("xgboost", "boosting")
    if file.suffix == ".json":
        _learner(file, _json(file, file.read_bytes()))
    try:
        booster = library.Booster(model_file=str(file))
    except (library.core.XGBoostError, UnicodeDecodeError) as error:  # its message quotes the file
        raise unreadable(file, f"no XGBoost model ({_first(error)})") from error
    features = _learner(file, _json(file, bytes(booster.save_raw("json"))))
    booster.inplace_predict(np.zeros((1, features), np.float32), predict_type="margin", validate_features=False)
    yield "features", (features,), "xgboost", file.stat().st_size


def lightgbm(path: str) -> Facts:
    """A LightGBM model: every list has the length that it says, nodes agree with each other, nothing is cut off.

    Raises:
        ModelError: HF212 or HF277.
    """
    from holdfast.models.lightgbm_text import looked_through

    file = pathlib.Path(path)
    features = looked_through(file)
    library = need("lightgbm", "boosting")
    try:
        booster = library.Booster(model_file=str(file))
    except library.basic.LightGBMError as error:
        raise unreadable(file, f"no LightGBM model ({_first(error)})") from error
    booster.predict(np.zeros((1, features)), num_threads=1)
    yield "features", (features,), "lightgbm", file.stat().st_size


def catboost(path: str) -> Facts:
    """A CatBoost model: it answers about a row, says how it was trained, and writes its trees, as `wrap` asks of it.

    Raises:
        ModelError: HF212.
    """
    file = pathlib.Path(path)
    library = need("catboost", "catboost")
    if file.read_bytes()[:4] != b"CBM1":
        raise unreadable(file, "no CatBoost model: it does not begin with CBM1")
    try:
        model = library.CatBoostClassifier().load_model(str(file), format="cbm")
        if not model.is_fitted():  # what was damaged is where its trees begin
            raise unreadable(file, "no CatBoost model: it holds no trees")
        features = len(model.feature_names_)
        if features > WIDEST:
            raise unsound(file, f"{features} numbers in a row")
        if not len(model.get_cat_feature_indices()):
            model.predict(np.zeros((1, features)), prediction_type="RawFormulaVal", thread_count=1)
        str(model.get_all_params()["loss_function"]), len(model.classes_)
        model.save_model(os.devnull, format="json")  # it does not check splits until it writes them: see `trees`
    except ModelError:
        raise
    except (library.CatBoostError, KeyError, TypeError, ValueError) as error:  # settings are text in the file
        raise unreadable(file, f"no CatBoost model ({type(error).__name__}: {_first(error)})") from error
    yield "features", (features,), "catboost", file.stat().st_size


def skops(path: str) -> Facts:
    """A skops archive: no bomb, no types that may run code, trees that are trees.

    Raises:
        ModelError: HF212, HF213 for types that skops does not trust, HF277.
    """
    file = pathlib.Path(path)
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise unreadable(file, f"no archive ({_first(error)})") from error
    if size > PACKED * file.stat().st_size:
        raise unreadable(file, f"{size} bytes packed into {file.stat().st_size}")
    io = need("skops.io", "skops")
    try:
        strange = sorted(set(io.get_untrusted_types(file=file)) - set(LOOKED_THROUGH))
        if strange:
            raise ModelError("HF213", f"'{file.name}' holds types that may run code: {', '.join(strange)[:120]}")
        found = io.load(file, trusted=list(LOOKED_THROUGH))
    except (MemoryError, ModelError):
        raise
    except Exception as error:  # a library that walks what a file says may raise anything
        raise unreadable(file, f"no skops model ({type(error).__name__}: {_first(error)})") from error
    _estimators(file, found)
    width = getattr(found, "n_features_in_", 0)
    if not isinstance(width, int) or not 0 <= width <= WIDEST:
        raise unsound(file, f"{width!r:.40} numbers in a row")
    if width and hasattr(found, "predict"):
        try:
            found.predict(_row(found, width))
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            if not _named(found):  # of columns with names nobody knows here what stands in them: words, say
                raise unsound(file, f"{type(error).__name__}: {_first(error)}") from error
    yield type(found).__name__, (width,), "skops", size


def walks(roots: Sequence[int], left: Any, right: Any) -> str:
    """What is wrong with nodes that should make trees, empty where nothing is: `left` is negative for leaves.

    Every child is there and belongs to one node, and no root is one: so nothing goes in circles.
    """
    left, right = np.asarray(left, np.int64), np.asarray(right, np.int64)
    if len(left) != len(right):
        return f"{len(left)} ways to the left and {len(right)} to the right"
    inner = left >= 0
    ends = np.concatenate([left[inner], right[inner]])
    if len(ends) and not bool(((ends >= 0) & (ends < len(left))).all()):
        return "a node that points outside its tree"
    if len(np.unique(ends)) != len(ends) or bool(np.isin(np.asarray(roots), ends).any()):
        return "nodes that go in circles"
    return ""


def unsound(file: pathlib.Path, seen: str) -> ModelError:
    """HF277, what is said of a file that its library loads and cannot ask."""
    return ModelError(
        "HF277",
        f"'{file.name}' holds a model that cannot be asked",
        seen=seen,
        expected="trees, of the sizes that the file says",
        fix="get a sound copy from who trained it",
    )


def _named(found: Any) -> bool:
    """Whether an estimator was fitted on columns with names."""
    return getattr(found, "feature_names_in_", None) is not None


def _row(found: Any, width: int) -> Any:
    """A row of zeros, as a data frame where the columns have names."""
    row = np.zeros((1, width))
    return need("pandas", "pandas").DataFrame(row, columns=list(found.feature_names_in_)) if _named(found) else row


def _planted(file: pathlib.Path, found: Any) -> None:
    """Look through the arrays of a robust forest: compiled code walks them and trusts every number."""
    from holdfast.models.trees.sound import odd_part

    wrong = odd_part(found)
    if not wrong:
        inner = found.feature >= 0
        wrong = walks(found.roots, np.where(inner, found.left, -1), np.where(inner, found.right, -1))
    if wrong:
        raise unsound(file, wrong)


def _robust(file: pathlib.Path, found: Any) -> None:
    """Look at the parts of a robust classifier: none in the place of a method, its trees are trees."""
    held = vars(found)
    if hidden := sorted(set(held) & set(dir(type(found)))):
        raise unsound(file, f"a part in the place of {hidden[0]}")
    kind = type(held.get("trees_"))
    if "trees_" in held and f"{kind.__module__}.{kind.__name__}" != TREES:
        raise unsound(file, f"{kind.__name__} in the place of trees")


def _rows(session: Any, side: int) -> Iterator[dict[str, Any]]:
    """Batches for each input, zeros and drawn numbers, `side` for every free size; none where a type is no number's."""
    kinds = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(float16)": "f2"}
    inputs, draw = session.get_inputs(), np.random.default_rng(0)
    shapes = [
        [size if isinstance(size, int) else 1 if place == 0 else side for place, size in enumerate(one.shape)]
        for one in inputs
    ]
    if all(one.type in kinds and 0 < math.prod(shape) <= WIDEST for one, shape in zip(inputs, shapes, strict=True)):
        for scale in (0.0, 1.0):
            yield {
                one.name: (scale * draw.random(shape)).astype(kinds[one.type])
                for one, shape in zip(inputs, shapes, strict=True)
            }


def _learner(file: pathlib.Path, document: Any) -> int:
    """Look through an XGBoost document; how many numbers there are in a row."""
    try:
        learner = document["learner"]
        shape, booster = learner["learner_model_param"], learner["gradient_booster"]
        features, classes = int(shape["num_feature"]), max(int(shape["num_class"]), 1)
        if not 0 < features <= WIDEST or not classes * features <= WIDEST:
            raise unsound(file, f"{features} numbers in a row, {classes} classes")
        if booster["name"] == "gblinear":
            weights = len(booster["model"]["weights"])
            if weights != (features + 1) * classes:
                raise unsound(file, f"{weights} weights for {features} numbers and {classes} classes")
            return features
        forest = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
        if len(forest["trees"]) != len(forest["tree_info"]) or not all(0 <= k < classes for k in forest["tree_info"]):
            raise unsound(file, f"{len(forest['trees'])} trees of {len(forest['tree_info'])} classes")
        for tree in forest["trees"]:
            _nodes(file, tree, features)
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise unreadable(file, f"no XGBoost model ({type(error).__name__}: {_first(error)})") from error
    return features


def _nodes(file: pathlib.Path, tree: dict[str, Any], features: int) -> None:
    left, split = np.asarray(tree["left_children"], np.int64), np.asarray(tree["split_indices"], np.int64)
    kept = (len(tree[key]) for key in ("right_children", "split_conditions", "split_indices", "default_left"))
    if set(kept) != {len(left)} or len(left) != int(tree["tree_param"]["num_nodes"]) or not len(left):
        raise unsound(file, f"lists of other lengths than {tree['tree_param']['num_nodes']} nodes")
    if wrong := walks([0], left, tree["right_children"]):
        raise unsound(file, wrong)
    inner = left >= 0
    if not bool(((split[inner] >= 0) & (split[inner] < features)).all()):
        raise unsound(file, f"a split on a number beyond the {features} of a row")
    size = len(tree["categories"])
    for node, start, count in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        if not (0 <= node < len(left) and start >= 0 and count >= 0 and start + count <= size):
            raise unsound(file, "sets of categories that are not there")


def _estimators(file: pathlib.Path, found: Any) -> None:
    """Look through the trees of scikit-learn and of robust forests in an estimator and in those inside it."""
    waiting, seen = [found], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, PLAIN):
            seen.add(id(one))
            waiting.extend(_inside(file, one))


def _inside(file: pathlib.Path, found: Any) -> Iterable[Any]:
    """What is in an object, itself looked through."""
    kind = type(found)
    name = f"{kind.__module__}.{kind.__name__}"
    if isinstance(found, np.ndarray):
        return found.reshape(-1).tolist() if found.dtype == object else ()
    if isinstance(found, dict):
        return list(found.values())
    if isinstance(found, list | tuple | set | frozenset):
        return list(found)
    if kind.__name__ == "Tree" and kind.__module__.startswith("sklearn.tree"):
        split = found.feature[found.children_left >= 0]
        wrong = walks([0], found.children_left, found.children_right)
        if wrong or (len(split) and not 0 <= split.min() <= split.max() < found.n_features):
            raise unsound(file, wrong or "a split on a number that is not in a row")
    elif kind.__name__ == "TreePredictor":
        leaf = found.nodes["is_leaf"].astype(bool)
        ends = [np.where(leaf, -1, found.nodes[side].astype(np.int64)) for side in ("left", "right")]
        if wrong := walks([0], *ends):
            raise unsound(file, wrong)
    elif name == TREES:
        _planted(file, found)
    elif kind.__module__.startswith("sklearn.") or name in ROBUST:
        if name in ROBUST:
            _robust(file, found)
        return list(vars(found).values()) if hasattr(found, "__dict__") else ()
    return ()


def _json(file: pathlib.Path, content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise unreadable(file, f"no JSON ({_first(error)})") from error


def _first(error: Exception) -> str:
    """The last line that says something: libraries put a trace of their own behind it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    return (lines[0] if lines else type(error).__name__)[-120:]
