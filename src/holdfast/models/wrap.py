"""One door for models: torch, Keras, Hugging Face, scikit-learn, boosted trees, ONNX, functions, lists of them."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.deciding import at_threshold
from holdfast.models.endpoint import endpoint, is_address
from holdfast.models.ensemble import Vote, from_members
from holdfast.models.function import from_function
from holdfast.models.huggingface import library as hugging_face
from holdfast.models.keras import library as keras
from holdfast.models.memory import remembering
from holdfast.models.model import Model
from holdfast.models.outputs import Output, check_output
from holdfast.models.spending import unremembered
from holdfast.models.tables import same_columns, takes_codes
from holdfast.models.threshold import Threshold
from holdfast.models.torch_module import Numbers, from_torch
from holdfast.models.trees.read import library_of
from holdfast.threats.space import Box
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular


def wrap(
    x: Any,
    bounds: tuple[Any, Any] | Box | Schema | None = None,
    *,
    space: Box | Schema | None = None,
    output: Output | None = None,
    mean: Numbers = None,
    std: Numbers = None,
    classes: int | None = None,
    name: str | None = None,
    vote: Vote = "probabilities",
    weights: Sequence[float] | None = None,
    layout: Literal["channels-first", "channels-last"] | None = None,
    processor: Any = None,
    threshold: float | str | Threshold | None = None,
    remember: bool | None = None,
) -> Model:
    """Make a model of what you have. Costs nothing; the first batch settles what was not said.

    Args:
        x: A torch module, a Keras model, an image classifier of Hugging Face, a classifier of scikit-learn, XGBoost,
            LightGBM or CatBoost, an ONNX model or a session of onnxruntime, a function of a numpy batch, an address
            (`hf.endpoint` has more options), or a list of these.
        bounds: Lowest and highest value of an input in the data's own units; [0, 1] unless given. A schema or a space
            says more than bounds do, and may stand in their place.
        space: What an input is, where bounds do not say it: `Tabular(schema)` for a model of raw rows.
        output: What it returns: "logits", "log-probabilities", "probabilities" or "labels"; seen on the first batch
            unless given.
        mean: Taken off an input inside, one number or one per channel (torch modules and Keras models).
        std: What the rest is divided by (as `mean`).
        classes: Number of classes; needed for functions that return bare labels.
        name: What reports call it.
        vote: How the members of a list decide together: mean of "probabilities" or "logits", or majority of "labels".
        weights: Of the members of a list, none negative; only their proportions count. Equal unless given.
        layout: Where a Keras model has the channels of its pictures; seen in its layers unless given.
        processor: The image processor of a Hugging Face model; its steps become part of the model.
        threshold: The probability from which on class 1 is decided, 0.2; "fraud:0.2" for another class. Without it the
            highest score decides. Scores, gradients and trees are then those of this decision (`Threshold`).
        remember: Whether a model without gradients is asked about equal rows once in an audit or an attack: worth it
            where a question costs more than a digest, 1 to 2 microseconds for a row of a table and milliseconds for a
            picture of 224 x 224; so addresses are unless `False` is given, and nothing else is unless `True` is. Every
            audit begins with nothing remembered. Models that answer equal rows otherwise, or otherwise alone, are not
            remembered; query budgets count a repeated question all the same.

    Raises:
        ModelError: HF207 for something that cannot be wrapped or options that do not fit it, HF204 for an output that
            contradicts the module, HF206 for a mean or std that cannot be, HF208 for an estimator that is not a fitted
            classifier, HF209 for an impossible ensemble, HF267 for weights that do not fit its members,
            HF282 for a threshold, HF290 for a Keras model that cannot be asked, HF295 and HF296 for a Hugging Face
            model or processor.
    """
    said: dict[str, Any] = {"mean": mean, "std": std, "classes": classes, "name": name, "output": check_output(output)}
    made = _plain(x, _space(bounds, space), vote, weights, layout, processor, said)
    made = made if remember is None else remembering(made) if remember else unremembered(made)
    return made if threshold is None else at_threshold(made, threshold)


def _plain(
    x: Any,
    space: Box,
    vote: Vote,
    weights: Sequence[float] | None,
    layout: str | None,
    processor: Any,
    said: dict[str, Any],
) -> Model:
    """A model as it decides by itself. `said` is what most kinds of models take."""
    if weights is not None and not isinstance(x, list | tuple):
        raise _misplaced("weights= are for the members of a list", x, "hf.wrap([first, second])")
    if isinstance(x, Model):
        return x
    if is_address(x):
        return endpoint(x, space, output=said["output"], classes=said["classes"], name=said["name"])
    if isinstance(x, list | tuple):
        alike = {**said, "name": None}
        members = [_plain(one, space, "probabilities", None, layout, processor, alike) for one in x]
        classes, name = said["classes"], said["name"]
        return from_members(members, space, vote=vote, weights=weights, classes=classes, name=name)
    if (made := _of_framework(x, space, layout, processor, dict(said))) is not None:
        return made
    return _by_answers(x, space, said["output"], said["mean"], said["std"], said["classes"], said["name"])


def _of_framework(x: Any, space: Box, layout: str | None, processor: Any, said: dict[str, Any]) -> Model | None:
    """A network of Keras, transformers or torch; None for anything else. `said` is what all of them take."""
    if keras.is_model(x):
        from holdfast.models.keras.adapter import from_keras

        _unused(x, processor=processor)
        return from_keras(x, space, layout=layout, **said)
    if hugging_face.is_model(x):
        from holdfast.models.huggingface.adapter import from_hugging_face

        _unused(x, layout=layout, output=said.pop("output"), classes=said.pop("classes"))
        return from_hugging_face(x, space, processor=processor, **said)
    _unused(x, layout=layout, processor=processor)
    return from_torch(x, space, **said) if isinstance(x, nn.Module) else None


def _by_answers(
    x: Any, space: Box, output: Output | None, mean: Numbers, std: Numbers, classes: int | None, name: str | None
) -> Model:
    """A fitted estimator, or a function."""
    if mean is not None or std is not None:
        fix = "put the scaling into the function, or a StandardScaler into the Pipeline"
        raise _misplaced("mean= and std= are for torch modules", x, fix)
    if (made := _estimator(x, space, output, name)) is not None:
        return made
    if (made := _onnx(x, space, output, classes, name)) is not None:
        return made
    if isinstance(x, type) or not isinstance(x, Callable):  # type: ignore[arg-type]
        raise _unwrappable(x)
    return from_function(x, space, output=output, classes=classes, name=name)


def _space(bounds: Any, space: Any) -> Box:
    """The space that was given in either place.

    Raises:
        ModelError: HF207 where both are given.
    """
    if bounds is not None and space is not None:
        raise ModelError("HF207", "Both bounds and space= are given", fix="give one of them")
    told = bounds if space is None else space
    if isinstance(told, Schema):
        return Tabular(told)
    if isinstance(told, Box):
        return told
    return Box((0.0, 1.0) if told is None else (told[0], told[1]))


def _unused(x: object, **options: Any) -> None:
    """Refuse options that mean nothing for this kind of model.

    Raises:
        ModelError: HF207.
    """
    for option, value in options.items():
        if value is not None:
            raise _misplaced(f"{option}= is {_FOR[option]}", x, "leave it out")


_FOR = {
    "layout": "for Keras models",
    "processor": "for image classifiers of Hugging Face",
    **dict.fromkeys(("output", "classes"), "known of a Hugging Face model"),
}


def _misplaced(what: str, x: object, fix: str) -> ModelError:
    return ModelError("HF207", what, seen=type(x).__name__, fix=fix)


def _unwrappable(x: object) -> ModelError:
    return ModelError(
        "HF207",
        "This cannot be wrapped",
        seen=f"{x!r:.80} of type {type(x).__name__}",
        expected="a torch module, a Keras or ONNX model, a classifier of a library, a function, an address, "
        "or a list of them",
        fix="hf.load_model(path) opens files" if isinstance(x, str | os.PathLike) else None,
    )


def _onnx(x: Any, space: Box, output: Output | None, classes: int | None, name: str | None) -> Model | None:
    """A model of ONNX, whose libraries are not imported for anything else."""
    if type(x).__module__.partition(".")[0] not in ("onnx", "onnxruntime"):
        return None
    from holdfast.models.onnx.adapter import from_onnx, is_onnx

    if not is_onnx(x):
        return None
    if isinstance(space, Tabular) and not takes_codes(x, space.schema):
        raise _misplaced(
            "ONNX models of raw rows with names in them are asked through a function",
            x,
            "hf.wrap(lambda rows: session.run(None, prepared(rows))[0], schema)",
        )
    return from_onnx(x, space, output=output, classes=classes, name=name)


def _estimator(x: Any, space: Box, output: Output | None, name: str | None) -> Model | None:
    """A fitted classifier of a library, which is not imported unless the object comes from it."""
    make: Callable[..., Model]
    if library_of(x) in ("xgboost", "lightgbm", "catboost"):
        from holdfast.models.boosting import columns_of, width_of
        from holdfast.models.boosting import from_boosting as make

        if isinstance(space, Tabular):
            same_columns(x, columns_of(x), width_of(x), space.schema)
    elif "sklearn" in sys.modules:
        from holdfast.models.sklearn import from_sklearn as make
        from holdfast.models.sklearn import is_estimator

        if not is_estimator(x):
            return None
    else:
        return None
    if output is not None:
        raise ModelError(
            "HF207",
            "output= is not for fitted estimators, whose methods say what they return",
            seen=f"output={output!r}",
            fix="leave it out, or wrap estimator.predict_proba itself",
        )
    return make(x, space, name=name)
