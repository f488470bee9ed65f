"""Model files of other libraries: a child process opens them first, then their own library reads them. No pickle."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.core.trial import look
from holdfast.models import trust as code
from holdfast.models.onnx.files import LARGEST, parsed, unreadable
from holdfast.models.trials import LOOKED_THROUGH

SPACE = 2 << 30
"""Bytes of address space that a child may take for libraries and model, beside eight times the file."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A format.

    Args:
        library: Whose files these are, as it is imported.
        extra: What brings it.
        read: File -> what `wrap` takes.
        trial: The function of `trials` that a child opens it with first.
    """

    library: str
    extra: str
    read: Callable[[pathlib.Path], Any]
    trial: str


def opened(file: pathlib.Path, trust: str | None) -> tuple[Any, str]:
    """What `wrap` takes, from a file of another library; and a note where opening it ran code.

    Costs the child's import of the library, 1 to 3 s, and a second reading, once in a process until the file changes.

    Raises:
        ModelError: HF212 for a file that is damaged, too large, or of another kind than its name says; HF213 for a
            skops file of types that may run code, without trust; HF275 and HF277, see `trials`.
        ResourceError: HF505 where the child that tries it first does not survive it, HF506 where there is none.
        MissingExtra: HF701 without the library.
    """
    kind = KINDS[file.suffix]
    size = file.stat().st_size
    if not 0 < size <= LARGEST:
        raise unreadable(file, f"{size} bytes")
    need(kind.library, kind.extra)
    try:
        look(f"holdfast.models.trials:{kind.trial}", [file], SPACE + 8 * size, needs=[kind.library])
    except ModelError as error:
        if error.code != "HF213":
            raise
        if not trust:
            fix = f"if you trust its author, --trust {file}"
            raise ModelError("HF213", error.what, expected="types that skops trusts", fix=fix) from None
        note = code.require(file, trust)
        return _unaudited(file), note
    try:
        return kind.read(file), ""
    except ModelError:
        raise
    except Exception as error:  # what the child could open, this process could not: less memory, say
        raise unreadable(file, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from error


def _xgboost(file: pathlib.Path) -> Any:
    return need("xgboost", "boosting").Booster(model_file=str(file))


def _lightgbm(file: pathlib.Path) -> Any:
    return need("lightgbm", "boosting").Booster(model_file=str(file))


def _catboost(file: pathlib.Path) -> Any:
    made = need("catboost", "catboost").CatBoostClassifier()
    return made.load_model(str(file), format="cbm")


def _skops(file: pathlib.Path) -> Any:
    return need("skops.io", "skops").load(file, trusted=list(LOOKED_THROUGH))


def _unaudited(file: pathlib.Path) -> Any:
    """What a skops file holds whose author is trusted."""
    io = need("skops.io", "skops")
    try:
        return io.load(file, trusted=io.get_untrusted_types(file=file))
    except Exception as error:  # whatever the file's own types raise
        raise unreadable(file, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}") from error


KINDS = {
    ".onnx": Kind("onnxruntime", "onnx", parsed, "onnx"),
    ".skops": Kind("skops", "skops", _skops, "skops"),
    ".json": Kind("xgboost", "boosting", _xgboost, "xgboost"),
    ".ubj": Kind("xgboost", "boosting", _xgboost, "xgboost"),
    ".txt": Kind("lightgbm", "boosting", _lightgbm, "lightgbm"),
    ".cbm": Kind("catboost", "catboost", _catboost, "catboost"),
}
"""By the end of a file's name."""
