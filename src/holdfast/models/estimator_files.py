"""Estimators as files: a library's own format for its bare classifiers, skops for all others; read back."""

import pathlib
from typing import Any

import torch

from holdfast.core.errors import HoldfastError, ModelError
from holdfast.core.extras import need
from holdfast.core.files import write_atomic, writing
from holdfast.models.deciding import at_threshold
from holdfast.models.files import load_model
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.trees.read import library_of

SKOPS = ".skops"
ENDINGS = {"xgboost": (".json", ".ubj"), "lightgbm": (".txt",), "catboost": (".cbm",)}
SAME = 1e-6  # of the spread of the scores: how far answers read back may be off


def endings_of(estimator: Any) -> tuple[str, ...]:
    """The ends of the files that an estimator can be written to, its own first."""
    return ENDINGS.get(library_of(estimator) or "", (SKOPS,))


def save_estimator(estimator: Any, path: pathlib.Path) -> None:
    """Write a fitted estimator; the file is whole or absent.

    Raises:
        ModelError: HF224 where it cannot be written, or not to a file with this end.
        MissingExtra: HF701 where skops is not installed.
    """
    known = endings_of(estimator)
    if path.suffix not in known:
        raise _unwritten(estimator, f"a file {path.suffix or 'without an end'}", f"NAME{known[0]}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        content = _content(estimator, path.suffix)
    except HoldfastError:
        raise
    except Exception as error:  # what a library cannot write it says in kinds of its own
        raise _unwritten(estimator, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from error
    write_atomic(path, content)


def read_back(path: pathlib.Path, made: Model, x: torch.Tensor) -> tuple[Model, str]:
    """The model in a file that was just written, settled, and the word of trust it needs; empty where it needs none.

    Args:
        path: The file.
        made: What was written.
        x: Inputs on which both must say the same.

    Raises:
        ModelError: HF224 where it cannot be opened, or answers otherwise.
    """
    space: Any = made.space
    trust = ""
    try:
        try:
            found = load_model(path, bounds=space)
        except ModelError as error:
            if error.code != "HF213":
                raise
            trust = str(path)
            found = load_model(path, trust=trust, bounds=space)  # this process has just written it
    except ModelError as error:
        raise _unwritten(made.name, error.line()) from error
    found = settle(found if made.threshold is None else at_threshold(found, made.threshold), x)
    if not _agree(made, found, x):
        raise _unwritten(made.name, "answers that are not those of the model that was written")
    return found, trust


def _agree(one: Model, other: Model, x: torch.Tensor) -> bool:
    """Whether two models decide alike, with scores that are alike where both have some."""
    with one.borrowed(), other.borrowed(), torch.no_grad():
        first, second = one.answer(x).scores.double(), other.answer(x).scores.double()
    same = first.shape == second.shape and bool((first.argmax(1) == second.argmax(1)).all())
    if not same or one.scores is None or other.scores is None:
        return same
    spread = float(first.max() - first.min()) or 1.0
    return bool((first - second).abs().max() <= SAME * spread)


def _content(estimator: Any, ending: str) -> bytes:
    """What stands in the file."""
    if ending == SKOPS:
        content: bytes = need("skops.io", "skops").dumps(estimator)
        return content
    library = library_of(estimator)
    if library == "xgboost":
        booster = estimator.get_booster() if hasattr(estimator, "get_booster") else estimator
        return bytes(booster.save_raw(ending.removeprefix(".")))
    if library == "lightgbm":
        booster = getattr(estimator, "booster_", estimator)
        return str(booster.model_to_string()).encode()
    from holdfast.models.trees.catboost import saved

    return bytes(saved(estimator, "cbm"))


def _unwritten(estimator: Any, seen: str, expected: str = "") -> ModelError:
    name = estimator if isinstance(estimator, str) else type(estimator).__name__
    wanted = {"expected": expected} if expected else {}
    return ModelError("HF224", f"{name} is not written to a file", seen=seen, **wanted)
