"""Columns of names that a library splits by itself: from a schema's codes to the codes that the library gave its words.

LightGBM and XGBoost keep the categories of a pandas data frame, scikit-learn those of its encoder, CatBoost hashes
words. A word that was not there in training is what each library makes of it: a missing value for LightGBM and
scikit-learn, a word like any other for CatBoost. XGBoost answers no such row, and such a level is refused.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import ModelError
from holdfast.models.trees import lightgbm, xgboost
from holdfast.models.trees.read import library_of
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.raw import plain
from holdfast.threats.tables.schema import Schema

Tables = Mapping[int, NDArray[Any]]
"""Column -> what stands for each level, in the order of the schema: float64 with NaN for words that are not known, or
for CatBoost the words."""

Kept = Mapping[int, tuple[str, ...] | None]
"""Categorical column -> its words in the order of the library's codes; None where it learned from numbers."""


def tables_of(model: Any, schema: Schema) -> Tables:
    """What a booster or a histogram boosting gets in place of the codes of columns with levels.

    Args:
        model: Fitted, on as many columns as the schema has, in the same order.
        schema: With levels.

    Raises:
        ModelError: HF280 for columns that are names for one of the two and numbers for the other, for levels of which
            nothing tells what they were for the library, and for gaps among words where the library takes none.
    """
    kept = _kept(model, schema)
    words, whole = library_of(model) == "catboost", library_of(model) == "xgboost"
    found: dict[int, NDArray[Any]] = {}
    for j, feature in enumerate(schema.features):
        if feature.levels:
            found[j] = _named(feature, kept[j], words, whole) if j in kept else _numbers(feature)
        elif kept.get(j) is not None:
            raise _apart(
                feature, "names for the model, and numbers in the schema", 'kind = "categorical" in the schema'
            )
        if words and j in kept and feature.missing:
            raise _apart(
                feature, "may be missing in the schema, and CatBoost takes no gaps among names", "missing = false"
            )
    return found


def recoded(x: NDArray[np.floating], tables: Tables) -> NDArray[Any]:
    """Codes `(batch, features)` as the library reads them; an array of objects where there are words."""
    words = any(table.dtype.kind == "O" for table in tables.values())
    rows: NDArray[Any] = x.astype(object if words else np.float64)
    for j, table in tables.items():
        gaps = np.isnan(x[:, j])
        codes = np.rint(np.where(gaps, 0, x[:, j])).astype(np.int64).clip(0, len(table) - 1)
        rows[:, j] = np.where(gaps, np.nan, table[codes])
    return rows


def _named(feature: Feature, kept: tuple[str, ...] | None, words: bool, whole: bool) -> NDArray[Any]:
    """For a column of names; `whole` where the library answers no row with a word that it does not know."""
    if words:
        return np.array(feature.levels, object)
    if kept is not None:
        place = {word: float(code) for code, word in enumerate(kept)}
        strangers = [level for level in feature.levels if level not in place]
        if strangers and whole:
            raise _apart(
                feature,
                f"has the level {strangers[0]!r}, which the model never met: XGBoost answers no such row",
                "leave the level out of the schema",
            )
        if len(strangers) == len(feature.levels):
            raise _apart(
                feature,
                f"has the levels {', '.join(feature.levels[:4])}, and the model learned {', '.join(kept[:4])}",
                "the words of the training data, in the schema",
            )
        return np.array([place.get(level, np.nan) for level in feature.levels])
    try:
        numbers = np.array([float(level) for level in feature.levels])
    except ValueError:
        return np.arange(len(feature.levels), dtype=np.float64)  # learned from codes: there are no other numbers
    if numbers.tolist() != list(range(len(numbers))):
        raise _apart(
            feature,
            f"has the levels {', '.join(feature.levels[:4])}, and nothing tells whether the model learned these "
            "numbers or their places",
            "fit it on a data frame whose column is of the type category",
        )
    return numbers


def _numbers(feature: Feature) -> NDArray[np.float64]:
    """For a column of numbers in the model and of levels in the schema."""
    if feature.worth:
        return np.array(feature.worth)
    if feature.kind == "binary":
        return np.arange(2, dtype=np.float64)
    raise _apart(
        feature,
        "has levels in the schema, and the model compares it as a number",
        "train with the column as a category, or wrap a function of raw rows",
    )


def _kept(model: Any, schema: Schema) -> Kept:
    library = library_of(model)
    if library == "catboost":
        return dict.fromkeys(map(int, model.get_cat_feature_indices()))
    if library == "xgboost":
        return _of_xgboost(xgboost.booster_of(model), schema)
    return _of_lightgbm(lightgbm.booster_of(model)) if library == "lightgbm" else of_histogram(model)


def _of_xgboost(booster: Any, schema: Schema) -> Kept:
    """The types of its columns, and the categories that files of XGBoost 3.1 and later keep."""
    types = booster.feature_types or ()
    named = [j for j, kind in enumerate(types) if kind == "c"]
    told: dict[int, tuple[str, ...] | None] = dict.fromkeys(named)
    if named and hasattr(booster, "get_categories"):
        for j, (_, values) in enumerate(booster.get_categories(export_to_arrow=True).to_arrow() or ()):
            if j in told and values is not None and len(values):
                told[j] = _read(getattr(values, "dictionary", values), schema.features[j].levels)
    return told


def _read(values: Any, levels: Sequence[str]) -> tuple[str, ...]:
    """The categories of an arrow array, where words stand as XGBoost 3.2 writes them.

    It counts letters where the ends of words are bytes, so that words are cut from the first that is not ASCII on, and
    the last bytes are lost. The letters before are told by the ends all the same, and the rest by the levels, where one
    alone has as many letters and begins so.
    """
    if str(values.type) not in ("string", "large_string"):
        return _words(values.to_pylist())
    _, ends, data = values.buffers()
    counted = np.frombuffer(ends, np.int32 if str(values.type) == "string" else np.int64)
    places = counted[values.offset : values.offset + len(values) + 1].tolist()
    raw = data.to_pybytes()[: places[-1]]
    found = tuple(raw[a:b].decode(errors="replace") for a, b in itertools.pairwise(places))
    if raw.isascii() or set(levels) <= set(found):
        return found
    text = raw.decode(errors="ignore")
    words = [text[a:b] for a, b in itertools.pairwise(places)]
    for i, size in enumerate(np.diff(places).tolist()):
        if len(words[i]) < size:
            fits = [one for one in levels if len(one) == size and one.startswith(words[i]) and one not in words]
            words[i] = fits[0] if len(fits) == 1 else words[i]
    return tuple(words) if set(levels) <= set(words) else found


def _of_lightgbm(booster: Any) -> Kept:
    """Columns whose values the file lists one by one, and the categories that it keeps of a data frame.

    Raises:
        ModelError: HF280 where it keeps other columns than it lists, and nothing tells which they are.
    """
    dump = booster.dump_model(num_iteration=1)
    infos, names = dump["feature_infos"], booster.feature_name()
    named = [j for j, name in enumerate(names) if infos.get(name, {}).get("values")]
    kept: Sequence[Any] = booster.pandas_categorical or ()
    if not kept:
        return dict.fromkeys(named)
    if len(kept) != len(named):
        raise ModelError(
            "HF280",
            "Nothing tells which columns of this booster are names",
            seen=f"categories of {len(kept)} columns, and {len(named)} columns with categories",
            fix="wrap a function of raw rows: hf.wrap(lambda rows: model.predict_proba(prepared(rows)), schema)",
        )
    return {j: _words(values) for j, values in zip(named, kept, strict=True)}


def of_histogram(estimator: Any) -> Kept:
    """The categories of the encoder in front of scikit-learn's histogram boosting."""
    flags = estimator.is_categorical_
    if flags is None:
        return {}
    known = estimator._preprocessor.named_transformers_["encoder"].categories_
    return {int(j): _words(_there(values)) for j, values in zip(np.flatnonzero(flags), known, strict=True)}


def numbers_of(estimator: Any) -> dict[str, dict[str, float]]:
    """The columns of names of scikit-learn's histogram boosting that it learned as numbers: the number of each word.

    To its encoder the word `3` is not the number 3 but one that it does not know, and so a missing value.
    """
    if getattr(estimator, "is_categorical_", None) is None or not hasattr(estimator, "feature_names_in_"):
        return {}
    known = estimator._preprocessor.named_transformers_["encoder"].categories_
    return {
        str(estimator.feature_names_in_[j]): dict(zip(_words(_there(values)), map(float, _there(values)), strict=True))
        for j, values in zip(np.flatnonzero(estimator.is_categorical_), known, strict=True)
        if np.asarray(values).dtype.kind in "biuf"
    }


def _there(values: NDArray[Any]) -> list[Any]:
    """The categories of an encoder without the missing value."""
    return [value for value in values.tolist() if value == value and value is not None]


def _words(values: Sequence[Any]) -> tuple[str, ...]:
    """As a schema writes levels: 3.0 as `3`."""
    number = int | float | np.number
    return tuple(plain(float(v)) if isinstance(v, number) and not isinstance(v, bool) else str(v) for v in values)


def _apart(feature: Feature, what: str, fix: str) -> ModelError:
    return ModelError("HF280", f"The column {feature.name!r} {what}"[:300], fix=fix)
