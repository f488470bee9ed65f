"""Model files that run code when they are opened, and Python objects by name: only with an explicit word of trust.

Pickle, joblib, whole-module `.pt` and `.pt2` files execute what is written in them (a crafted `torch.export` file did
so when it was tried), and so does importing a module.
"""

import importlib
import importlib.machinery
import inspect
import pathlib
import pickle
import re
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from holdfast.core.errors import ModelError
from holdfast.core.files import sha256

CODE = (".joblib", ".pickle", ".pkl", ".pt2")
_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_name(text: str) -> bool:
    """Whether it reads `module:attribute`."""
    return _NAME.fullmatch(text) is not None


def require(path: pathlib.Path, trust: str | None) -> str:
    """A note with the digest of a file that may run code.

    Raises:
        ModelError: HF213 without trust, HF214 where another file is trusted.
    """
    if not trust:
        raise ModelError(
            "HF213",
            f"Opening '{path.name}' runs code that is written in it",
            fix=f"if you trust it: --trust {path}; weights in .safetensors, estimators in .skops need none",
        )
    if pathlib.Path(trust).resolve() != path.resolve():
        raise ModelError("HF214", "Another file is trusted than the one to be opened", seen=trust, expected=str(path))
    return f"trusted code: {path.name} sha256 {sha256(path)}"


def open_code(path: pathlib.Path) -> Any:
    """What a trusted file holds.

    Raises:
        ModelError: HF212 where it cannot be read.
    """
    try:
        if path.suffix == ".pt2":
            return torch.export.load(path).module()
        if path.suffix in (".pt", ".pth"):
            return torch.load(path, map_location="cpu", weights_only=False)
        if path.suffix == ".joblib":
            return importlib.import_module("joblib").load(path)
        return pickle.loads(path.read_bytes())
    except Exception as error:  # whatever the file's own code raises
        raise ModelError(
            "HF212", f"'{path.name}' cannot be read", seen=f"{type(error).__name__}: {str(error)[:120]}"
        ) from error


def open_name(text: str, trust: str | None) -> tuple[Any, str]:
    """The object called `module:attribute`, and a note with the digest of the module's file.

    A function without required arguments is called: it builds the model. The current folder is searched first.

    Args:
        text: `module:attribute`.
        trust: The same text, or the module's file.

    Raises:
        ModelError: HF213 without trust, HF214 where something else is trusted, HF215 where there is no such object.
    """
    module, _, attribute = text.partition(":")
    file = _file_of(module)
    if not trust:
        raise ModelError("HF213", f"Importing '{module}' runs its code", fix=f"if you trust it: --trust {file or text}")
    if trust != text and (file is None or pathlib.Path(trust).resolve() != file.resolve()):
        raise ModelError(
            "HF214",
            "Something else is trusted than what is to be imported",
            seen=trust,
            expected=f"{text} or {file or 'its file'}",
        )
    found = _imported(module, attribute)
    note = f"trusted code: {text}" + (f" sha256 {sha256(file)}" if file is not None and file.is_file() else "")
    return (found() if _builds(found) else found), note


def _imported(module: str, attribute: str) -> Any:
    before = list(sys.path)
    sys.path.insert(0, str(pathlib.Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            "HF215",
            f"'{module}:{attribute}' cannot be imported",
            seen=str(error)[:160],
            expected="a module on the path or in this folder",
        ) from error
    finally:
        sys.path[:] = before
    return found


def _file_of(module: str) -> pathlib.Path | None:
    """The file of a module, found without running any code."""
    places: list[str] | None = [str(pathlib.Path.cwd()), *sys.path]
    spec = None
    for part in module.split("."):
        spec = importlib.machinery.PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places = None if spec.submodule_search_locations is None else list(spec.submodule_search_locations)
    return None if spec is None or spec.origin is None else pathlib.Path(spec.origin)


def _builds(found: Any) -> bool:
    """Whether it is a function or class that can be called without arguments."""
    if isinstance(found, nn.Module) or not (inspect.isfunction(found) or isinstance(found, type)):
        return False
    parameters = inspect.signature(_callable(found)).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _callable(found: Any) -> Callable[..., Any]:
    return found  # type: ignore[no-any-return]
