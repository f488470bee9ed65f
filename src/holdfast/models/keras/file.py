"""`.keras` files: names are held to a list before Keras sees them, the numbers are opened on trial, sizes are compared.

Nothing of a file is looked up, imported or built before all of it is known to be layers of Keras's own.
"""

import concurrent.futures
import copy
import io
import json
import math
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.core.trial import look
from holdfast.models.keras.library import library
from holdfast.models.keras.names import check_names

FILES = (".keras", ".h5", ".hdf5")
MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
LARGEST = 16 << 20
"""Bytes of a model's structure as JSON."""
SLACK = 1 << 16
"""Numbers that a model may have beside those in its file: states of random generators."""
HANDS = "get a sound copy; or, trusting its author: hf.wrap(keras.saving.load_model(path, safe_mode=False))"


def open_keras(file: pathlib.Path) -> Any:
    """The model in a `.keras` file, without its optimizer; no code of it runs and no other file is read.

    The structure is read as JSON and held to a list of names; a child process opens the numbers; the sizes that the
    structure asks for are compared with them before any memory is taken. Costs 0.5 s for the child.

    Raises:
        ModelError: HF292 for a damaged or impossible file, HF293 for one that names anything but Keras's own layers,
            HF294 for the older HDF5 format.
        MissingExtra: HF701 without Keras.
        ResourceError: HF505 where the child does not survive the numbers, HF506 where there is none.
    """
    if file.suffix != ".keras":
        raise ModelError(
            "HF294",
            f"'{file.name}' is in Keras's older HDF5 format, which can run code",
            expected="a .keras file",
            fix="if you trust its author: keras.saving.load_model(path).save('model.keras')",
        )
    keras, config = library(), _structure(file)
    check_names(config, file.name)
    memory = (512 << 20) + 3 * file.stat().st_size
    held = sum(math.prod(fact.shape) for fact in look(f"{__name__}:facts", [file], memory, needs=["h5py", "numpy"]))
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as apart:
            wanted = apart.submit(_counted, keras, copy.deepcopy(config)).result()
        if wanted > held + SLACK:
            raise _refused(file, "its structure asks for more numbers than it holds", f"{wanted} and {held}")
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        model.load_weights(str(file))
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises whatever its layers do
        raise _refused(file, "Keras cannot build it", f"{type(error).__name__}: {str(error)[:160]}") from error
    return model


def _counted(keras: Any, config: dict[str, Any]) -> int:
    """How many numbers a structure asks for, of which none is made.

    In a thread of its own: Keras keeps what is not made yet in a list of the thread's, and makes it at the next chance.
    """
    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        return sum(math.prod(variable.shape) for variable in model.variables)


def facts(path: str) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    """What a child process says of the numbers in a file on trial.

    Raises:
        ModelError: HF292 where they are not plain numbers that lie in the file.
    """
    h5py, file = need("h5py", "keras"), pathlib.Path(path)
    try:
        with zipfile.ZipFile(file) as archive:
            numbers = archive.read(MEMBERS[2])
        with h5py.File(io.BytesIO(numbers), "r") as opened:
            yield from _datasets(opened, h5py, file, "")
    except (MemoryError, ModelError):
        raise
    except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
        raise _refused(file, "its numbers cannot be read", f"{type(error).__name__}: {str(error)[:120]}") from error


def _structure(file: pathlib.Path) -> dict[str, Any]:
    """What `config.json` says, from an archive of the right members that is as large as it says."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
            strange = sorted(set(members) ^ set(MEMBERS))
            if strange or len(members) != len(archive.infolist()):
                raise _refused(file, f"its members are not {', '.join(MEMBERS)}", ", ".join(strange)[:160] or "twice")
            if sum(members.values()) > file.stat().st_size or members["config.json"] > LARGEST:
                raise _refused(file, "it would unpack to more than it is", f"{sum(members.values())} bytes declared")
            config = json.loads(archive.read("config.json"))
    except ModelError:
        raise
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, RecursionError) as error:
        raise _refused(file, "it is no whole archive", f"{type(error).__name__}: {str(error)[:120]}") from error
    if not isinstance(config, dict):
        raise _refused(file, "its structure is no object", type(config).__name__)
    return config


def _datasets(group: Any, h5py: Any, file: pathlib.Path, where: str) -> Iterator[tuple[str, tuple[int, ...], str, int]]:
    for name in group:
        link, path = group.get(name, getlink=True), f"{where}/{name}"
        if not isinstance(link, h5py.HardLink) or len(path) > 1000:
            raise _refused(file, "its numbers lead elsewhere", path[:120])
        inside = group[name]
        if isinstance(inside, h5py.Group):
            yield from _datasets(inside, h5py, file, path)
            continue
        size = math.prod(inside.shape) * inside.dtype.itemsize if isinstance(inside, h5py.Dataset) else -1
        if size < 0 or inside.dtype.kind not in "biufV" or inside.external or inside.is_virtual:
            raise _refused(file, "it holds something else than numbers of its own", path[:120])
        if inside.id.get_storage_size() != size:
            raise _refused(file, "its numbers are packed", f"{path[:80]} of shape {inside.shape}")
        if not path.startswith("/optimizer/"):
            yield path, tuple(inside.shape), str(inside.dtype), size


def _refused(file: pathlib.Path, why: str, seen: str) -> ModelError:
    return ModelError(
        "HF292",
        f"'{file.name}' cannot be read as a Keras model: {why}",
        seen=seen,
        expected="a file as model.save('model.keras') writes it",
        fix=HANDS,
    )
