"""State dicts in `.pt` files: tried by a child process first, then read without running anything in them."""

import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.trial import look

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
"""Where checkpoints keep their weights."""

CODE = "HF213"
"""The code of the refusal that means: it may be read with trust."""


def state_dict(file: pathlib.Path) -> dict[str, Tensor] | None:
    """The weights of a `.pt` file; None where it holds code.

    Costs 2 s (the child imports torch) and a second reading, once in a process until the file changes.

    Raises:
        ModelError: HF212 where it is damaged or holds something else.
        ResourceError: HF505 where the child that tries it first does not survive it, HF506 where there is none.
    """
    try:
        tried(file)
        found = _loaded(file)
    except ModelError as error:
        if error.code == CODE:
            return None
        raise
    except MemoryError as error:  # less than the child had
        raise _unreadable(file, error) from error
    return _weights(found, file.name)


def tried(file: pathlib.Path) -> None:
    """Let a child process open a file of `torch.save` first; it may take twice the file's size, and 256 MiB.

    Raises:
        ModelError: HF212 for a damaged file, HF213 for one that holds code.
        ResourceError: HF505 or HF506, see `core.trial`.
    """
    look("holdfast.models.state_dict:facts", [file], (256 << 20) + 2 * file.stat().st_size, needs=["torch"])


def facts(path: str) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    """What a child process says of a file on trial: its tensors, those of mappings in it with a dotted name.

    Raises:
        ModelError: HF212 for a damaged file or one that would unpack to more than it is, HF213 for one with code.
        MemoryError: Where the limit is reached.
    """
    file = pathlib.Path(path)
    if zipfile.is_zipfile(file):
        _check_sizes(file)
    yield from _tensors("", _loaded(file), 4)


def _check_sizes(file: pathlib.Path) -> None:
    """`torch.save` packs nothing, so the members together are smaller than the file."""
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise _unreadable(file, error) from error
    if size > file.stat().st_size:
        raise ModelError(
            "HF212",
            f"'{file.name}' would unpack to more than it is",
            seen=f"{size} bytes declared in a file of {file.stat().st_size}",
            expected="members that are not compressed, as torch.save writes them",
            fix="torch.save(net.state_dict(), path)",
        )


def _loaded(file: pathlib.Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises many kinds for a file that holds code, or none of its own
        text = str(error)
        if "weights_only" in text or "Weights only" in text:
            raise ModelError(CODE, f"Opening '{file.name}' runs code that is written in it") from error
        if "allocate memory" in text or "not enough memory" in text:
            raise MemoryError(text[:120]) from error
        raise _unreadable(file, error) from error


def _tensors(name: str, found: Any, depth: int) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    if isinstance(found, Tensor):
        yield name, tuple(found.shape), str(found.dtype), found.numel() * found.element_size()
    elif isinstance(found, Mapping) and depth:
        for key, value in found.items():
            yield from _tensors(f"{name}.{key!s:.200}" if name else f"{key!s:.200}", value, depth - 1)


def _weights(found: Any, name: str) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not found or not all(isinstance(t, Tensor) for t in found.values()):
        raise ModelError(
            "HF212",
            f"'{name}' holds no state dict",
            seen=type(found).__name__,
            fix="torch.save(net.state_dict(), path)",
        )
    prefix = "module." if all(str(key).startswith("module.") for key in found) else ""  # DataParallel
    return {str(key).removeprefix(prefix): tensor for key, tensor in found.items()}


def _unreadable(file: pathlib.Path, error: Exception) -> ModelError:
    return ModelError("HF212", f"'{file.name}' cannot be read", seen=f"{type(error).__name__}: {str(error)[:120]}")
