"""XGBoost, LightGBM and CatBoost behind `wrap`: scores from the library itself, the trees beside them."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import ModelError
from holdfast.models.borrow import borrowed
from holdfast.models.function import Asked
from holdfast.models.model import Model
from holdfast.models.native import Tables, recoded, tables_of
from holdfast.models.source import Source
from holdfast.models.tables import same_classes, takes_codes
from holdfast.models.trees import catboost, lightgbm, xgboost
from holdfast.models.trees.form import Trees
from holdfast.models.trees.read import library_of, reader_of
from holdfast.models.trees.recoding import recoded as trees_recoded
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular

Ask = Callable[[NDArray[Any]], Any]
Known = tuple[Ask, Ask, int, Callable[[], bytes]]
"""The sums, the probabilities, the number of classes, and the file."""


def from_boosting(model: Any, space: Box, *, name: str | None = None) -> Model:
    """Wrap a fitted Booster or classifier. Inputs are flattened to `(batch, features)` float64.

    Scores are the sums before sigmoid or softmax, as the library computes them; the highest decides. Class i is the
    i-th of `classes_`. The trees are read when they are first asked for.

    Raises:
        ModelError: HF208 for what is not fitted, or does not decide for one of several classes, HF281 for other classes
            than those of the space, HF280 for columns of other kinds, and at the first question about inputs of another
            width.
    """
    library = library_of(model) or ""
    ask, tells, classes, dump = _KINDS[library](model)
    names = list(getattr(model, "classes_", range(classes)))
    tables: Tables = {}
    if isinstance(space, Tabular):
        same_classes(np.asarray(names), space.schema)
        tables = {} if takes_codes(model, space.schema) else tables_of(model, space.schema)
    asked, chances = (Asked(_Fitting(one, width_of(model), tables), flat=True, double=True) for one in (ask, tells))
    source = Source(ask=asked, output="logits", classes=classes, origin=model, chances=chances)
    return source.model(
        Model(
            space=space,
            name=name or type(model).__name__,
            adapter=library,
            notes=()
            if names == list(range(classes))
            else (f"class i is classes_[i] of {', '.join(map(str, names[:10]))}",),
            parameters=dump,
            borrowed=functools.partial(borrowed),
            trees=_over_codes(model, tables),
        )
    )


def columns_of(model: Any) -> tuple[str, ...]:
    """Names of the columns that it was fitted on, as its file keeps them; where it knows none, numbers or nothing."""
    if library_of(model) == "catboost":
        return tuple(_ready(model).feature_names_)
    library = {"xgboost": xgboost, "lightgbm": lightgbm}[library_of(model) or ""]
    booster = _fitted(model, library.booster_of)
    return tuple(booster.feature_name() if library is lightgbm else booster.feature_names or ())


def width_of(model: Any) -> int:
    """How many numbers there are in a row of what it was fitted on."""
    if library_of(model) == "catboost":
        return len(_ready(model).feature_names_)
    if library_of(model) == "xgboost":
        return int(_fitted(model, xgboost.booster_of).num_features())
    return int(_fitted(model, lightgbm.booster_of).num_feature())


@dataclasses.dataclass(frozen=True, eq=False)
class _Fitting:
    """A question about rows as wide as those that were fitted: the libraries crash on others, or read the wrong ones.

    Args:
        ask: Rows `(batch, features)` -> scores.
        width: Numbers in a row.
        tables: What stands for the codes of columns with levels.
    """

    ask: Ask
    width: int
    tables: Tables

    def __call__(self, x: NDArray[Any]) -> Any:
        """Scores.

        Raises:
            ModelError: HF280 for rows of another width.
        """
        if x.shape[1] != self.width:
            raise ModelError(
                "HF280",
                "The booster was fitted on another number of columns than the inputs have",
                seen=f"inputs of {x.shape[1]} numbers",
                expected=f"{self.width}",
                fix="give it the columns that it was fitted on, in their order",
            )
        return self.ask(recoded(x, self.tables) if self.tables else x)


def _over_codes(model: Any, tables: Tables) -> Callable[[], Trees] | None:
    """What reads the trees over a schema's codes; CatBoost's are told the words, and have codes by themselves."""
    read = reader_of(model)
    if read is None or not tables:
        return read
    words = {j: list(table) for j, table in tables.items() if table.dtype.kind == "O"}
    if words:
        read = functools.partial(catboost.read, model, words)
    numbers = {j: table for j, table in tables.items() if j not in words}
    return functools.cache(lambda: trees_recoded(read(), numbers))


def _xgboost(model: Any) -> Known:
    booster = _fitted(model, xgboost.booster_of)
    objective = _decides(xgboost.objective_of(booster), tuple(xgboost.LINKS))
    missing = getattr(model, "missing", np.nan)

    def ask(x: NDArray[Any], kind: str = "margin") -> Any:
        return booster.inplace_predict(x, predict_type=kind, missing=missing, validate_features=False)

    outputs = int(np.asarray(ask(np.zeros((1, booster.num_features())))).size)
    classes = 2 if objective.startswith("binary") else outputs
    return ask, functools.partial(ask, kind="value"), classes, lambda: bytes(booster.save_raw("json"))


def _lightgbm(model: Any) -> Known:
    booster = _fitted(model, lightgbm.booster_of)
    _decides(lightgbm.objective_of(booster), ("binary", "multiclass", "multiclassova"))
    outputs, rounds = booster.num_model_per_iteration(), booster.best_iteration
    mean = booster.dump_model(num_iteration=1)["average_output"]  # of a forest, whose raw scores are sums
    trees = (rounds if rounds > 0 else booster.current_iteration()) if mean else 1
    return (
        lambda x: booster.predict(x, raw_score=True, num_threads=1) / trees,
        lambda x: booster.predict(x, num_threads=1),
        max(outputs, 2),
        lambda: str(booster.model_to_string()).encode(),
    )


def _catboost(model: Any) -> Known:
    _decides(str(_ready(model).get_all_params()["loss_function"]), tuple(catboost.LINKS))
    named = tuple(model.get_cat_feature_indices())

    def ask(x: NDArray[Any], kind: str = "RawFormulaVal") -> Any:
        rows: Any = x
        if named and x.dtype != object:
            rows = x.astype(object)
            rows[:, named] = np.trunc(x[:, named].astype(np.float32)).astype(np.int64)
        return model.predict(rows, prediction_type=kind, thread_count=1)

    return ask, functools.partial(ask, kind="Probability"), len(model.classes_), lambda: catboost.saved(model, "cbm")


def _ready(model: Any) -> Any:
    """A CatBoostClassifier that is fitted.

    Raises:
        ModelError: HF208 where it is not.
    """
    if not model.is_fitted():
        raise _unfitted(model)
    return model


def _fitted(model: Any, booster_of: Callable[[Any], Any]) -> Any:
    """The Booster of a model.

    Raises:
        ModelError: HF208 where the library says that there is none yet.
    """
    try:
        return booster_of(model)
    except (ValueError, AttributeError) as error:  # NotFittedError of either library is both
        raise _unfitted(model) from error


def _unfitted(model: Any) -> ModelError:
    return ModelError("HF208", "The classifier is not fitted", seen=type(model).__name__, fix="call fit(x, y) first")


def _decides(objective: str, known: tuple[str, ...]) -> str:
    if objective not in known:
        raise ModelError(
            "HF208", "The booster does not decide for one of several classes", seen=objective, expected=", ".join(known)
        )
    return objective


_KINDS: dict[str, Callable[[Any], Known]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}
