"""Model files: safetensors and state dicts with a card, other libraries' files, bundled models, trusted code."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.core.files import sha256, write_atomic
from holdfast.models import trust as code
from holdfast.models.card import Card, card_of, path_of, read
from holdfast.models.contents import checked, filled, members_of, numbers, opened, shapes_of, written
from holdfast.models.deciding import at_threshold
from holdfast.models.foreign import KINDS
from holdfast.models.foreign import opened as opened_foreign
from holdfast.models.huggingface.folder import WEIGHTS, is_folder, open_folder
from holdfast.models.keras import library as keras
from holdfast.models.keras.file import FILES, open_keras
from holdfast.models.model import Model
from holdfast.models.outputs import check_output
from holdfast.models.source import source_of
from holdfast.models.state_dict import state_dict
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap

_BUNDLED = pathlib.Path(__file__).parent / "bundled"
_WEIGHTS = (".safetensors", ".pt", ".pth")


def bundled() -> tuple[str, ...]:
    """Names of the models that come with holdfast."""
    return tuple(sorted(file.stem for file in _BUNDLED.glob("*.safetensors")))


def load_model(path: str | os.PathLike[str], trust: str | None = None, bounds: tuple[Any, Any] | None = None) -> Model:
    """A model from a file, a bundled name, or (trusted) Python code.

    Args:
        path: `.safetensors`, or `.pt` / `.pth` with a state dict, each with `NAME.card.json` beside it; `.onnx`,
            `.keras`, `.skops`, XGBoost's `.json` and `.ubj`, LightGBM's `.txt`, CatBoost's `.cbm`, where a card may say
            more; a folder of Hugging Face's (`config.json` and `model.safetensors`); a bundled name (`digits-mlp`);
            with trust also `.pkl`, `.joblib`, `.pt2`, a whole-module `.pt`, or `module:attribute`.
        trust: The same path (or module's file), where opening it runs code. Its digest is written into the notes.
        bounds: Lowest and highest value of an input, where the card does not say; [0, 1] where neither does.

    Raises:
        ModelError: HF211 no usable card, HF212 file not found or unreadable, HF213 code without trust, HF214 something
            else is trusted, HF215 no such Python object, HF217 weights that do not fit the card's network, HF202 and
            HF216 for a network that cannot be built; of other libraries' files also HF275 to HF277, HF292 to HF294 for
            a `.keras` file and HF297 for a folder that will not be opened.
        ResourceError: HF505 or HF506 from the child process that tries all but safetensors first, which costs 2 s.
    """
    text = os.fspath(path)
    file = pathlib.Path(text)
    if text in bundled() and not file.is_file():
        file = _BUNDLED / f"{text}.safetensors"
    if code.is_name(text) and not file.exists():
        found, note = code.open_name(text, trust)
        return _noted(_wrapped(found, Card(), text, bounds), note)
    if is_folder(file):
        return _from_folder(file, bounds)
    if not file.is_file():
        raise ModelError(
            "HF212",
            f"There is no model in the folder '{text}'" if file.is_dir() else f"There is no model '{text}'",
            expected="a file, a folder with config.json and model.safetensors, module:attribute, or "
            + ", ".join(bundled()),
            fix="check the path" if file.suffix else "holdfast list models",
        )
    if file.suffix in code.CODE:
        return _from_code(file, trust, bounds)
    if file.suffix in (*KINDS, *FILES):
        return _foreign(file, trust, bounds)
    if file.suffix not in _WEIGHTS:
        raise ModelError(
            "HF212",
            f"Files of this kind cannot be read: '{file.name}'",
            expected=", ".join((*_WEIGHTS, ".keras", *KINDS, *code.CODE)),
            fix="save_model(net, 'model.safetensors', card)",
        )
    tensors = _safetensors(file) if file.suffix == ".safetensors" else state_dict(file)
    if tensors is None:
        return _from_code(file, trust, bounds)
    card, note = read(file), f"weights: {file.name} sha256 {sha256(file)}"
    if card.members:
        return _noted(_cut(opened(card, tensors, file.stem, card.bounds or bounds, file.name), card), note)
    return _noted(_wrapped(filled(card, tensors, file.name), card, file.stem, bounds), note)


def card_beside(model: str | os.PathLike[str]) -> Card | None:
    """The card of a model file or a bundled model; None where there is none.

    Raises:
        ModelError: HF211 where it cannot be understood.
    """
    text = os.fspath(model)
    file = pathlib.Path(text)
    if text in bundled() and not file.is_file():
        file = _BUNDLED / f"{text}.safetensors"
    return read(file) if path_of(file).is_file() else None


def save_model(model: nn.Module | Model, path: str | os.PathLike[str], card: Card | Mapping[str, Any]) -> pathlib.Path:
    """Write the weights as safetensors and the card beside them; both are whole or absent.

    Args:
        model: A network of `holdfast.models.networks`, or a Model that wraps one (its mean and std enter the card), or
            an ensemble of such models: its members, its vote and their weights enter the card.
        path: Ends in `.safetensors`.
        card: What `Card` describes, as one or as a dictionary; of an ensemble its bounds and the names of its classes.

    Raises:
        ModelError: HF212 for another kind of file, HF211 for a card that cannot be, HF217 where the weights are not
            those of the card's network.
    """
    file, card = pathlib.Path(path), card_of(card)
    if file.suffix != ".safetensors":
        raise ModelError("HF212", "Models are saved as safetensors", seen=file.name, expected="NAME.safetensors")
    if isinstance(model, Model) and (together := members_of(model)) is not None:
        tensors, card = written(together, card)
    else:
        net, card = _network(model, card)
        tensors = numbers(net)
    if isinstance(model, Model) and model.threshold is not None:
        card = dataclasses.replace(card, threshold=model.threshold.text(card.class_names))
    checked(card, shapes_of(tensors), file.name)
    write_atomic(file, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    write_atomic(path_of(file), card.text().encode())
    return file


def _safetensors(file: pathlib.Path) -> dict[str, Tensor]:
    """The tensors; their declared shapes are compared with the card first, so that no lie in the file costs memory.

    They need no trial (see `core.trial`): the parser is memory-safe, unpacks nothing and makes no tensor by itself.
    """
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            floats = {name: str(opened.get_slice(name).get_dtype()).startswith(("F", "BF")) for name in shapes}
            checked(read(file), {name: (shapes[name], floats[name]) for name in shapes}, file.name)
            return {name: opened.get_tensor(name) for name in shapes}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError("HF212", f"'{file.name}' is no whole safetensors file", seen=str(error)[:160]) from error


def _from_code(file: pathlib.Path, trust: str | None, bounds: tuple[Any, Any] | None) -> Model:
    note = code.require(file, trust)
    card = read(file) if path_of(file).is_file() else Card()
    return _noted(_wrapped(code.open_code(file), card, file.stem, bounds), note)


def _foreign(file: pathlib.Path, trust: str | None, bounds: tuple[Any, Any] | None) -> Model:
    """A model of another library; a card beside it may say its bounds, its output and its name."""
    card = read(file) if path_of(file).is_file() else Card()
    found, note = (open_keras(file), "") if file.suffix in FILES else opened_foreign(file, trust)
    return _noted(_wrapped(found, card, file.stem, bounds), note or f"model: {file.name} sha256 {sha256(file)}")


def _from_folder(folder: pathlib.Path, bounds: tuple[Any, Any] | None) -> Model:
    net, processor = open_folder(folder)
    made = wrap(net, bounds, processor=processor, name=folder.name)
    if bounds is None:
        made = _noted(made, "bounds were not given: [0, 1] was taken")
    return _noted(made, f"weights: {WEIGHTS} sha256 {sha256(folder / WEIGHTS)}")


def _wrapped(found: Any, card: Card, name: str, bounds: tuple[Any, Any] | None) -> Model:
    if isinstance(found, Model):
        return _cut(found, card)
    torch_only = {"mean": card.mean, "std": card.std} if isinstance(found, nn.Module) or keras.is_model(found) else {}
    made = wrap(
        found,
        card.bounds or bounds,
        output=check_output(card.output),
        classes=card.classes,
        name=card.name or name,
        **torch_only,
    )
    if card.bounds is None and bounds is None:
        made = _noted(made, "bounds were not given: [0, 1] was taken")
    return _cut(made, card)


def _cut(made: Model, card: Card) -> Model:
    """The model as it decides by the card."""
    return at_threshold(made, card.threshold, card.class_names) if card.threshold else made


def _noted(model: Model, note: str) -> Model:
    return dataclasses.replace(model, notes=(*model.notes, note))


def _network(model: nn.Module | Model, card: Card) -> tuple[nn.Module, Card]:
    if isinstance(model, nn.Module):
        return model, card
    source = source_of(model)
    if source is None or not isinstance(source.ask, Normalized):
        raise ModelError(
            "HF217", "Only torch networks can be saved", seen=repr(model), expected="a network or its Model"
        )
    inside = source.ask
    return inside.net, dataclasses.replace(
        card,
        mean=card.mean if card.mean is not None else inside.mean,
        std=card.std if card.std is not None else inside.std,
    )
