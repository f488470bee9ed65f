"""A folder as transformers saves it: `config.json` and `model.safetensors`, no code, no pickle, no other place."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import safetensors
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.models.blank import blank

CONFIG, WEIGHTS, PROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
LARGEST = 16 << 20
"""Bytes of a JSON file."""

SLACK = 1 << 20
"""Numbers that a network may have beside those in its file: what several layers share is saved once."""

OTHERS = (".bin", ".pt", ".safetensors", ".h5", ".msgpack")
ELSEWHERE = (
    "auto_map",
    "quantization_config",
    "backbone",
    "use_timm_backbone",
    "use_pretrained_backbone",
    "attn_implementation",
    "_attn_implementation",
    "kernel_config",
)
"""Keys that make transformers import or fetch something else."""


def is_folder(path: pathlib.Path) -> bool:
    """Whether it is a folder as transformers saves models."""
    return (path / CONFIG).is_file()


def open_folder(folder: pathlib.Path) -> tuple[Any, dict[str, Any] | None]:
    """The classifier in a folder, and the settings of its image processor where there are some.

    Nothing of the folder runs and nothing is fetched: the network is the installed transformers' own of that name, its
    weights come from safetensors, whose sizes are compared with it first.

    Raises:
        ModelError: HF297 for a folder that asks for more, HF295 for a network that is no image classifier, HF212 for
            damaged weights.
        MissingExtra: HF701 without transformers.
    """
    told = _json(folder, CONFIG)
    _plain(folder, told)
    if not (folder / WEIGHTS).is_file():
        others = sorted(p.name for p in folder.iterdir() if p.suffix in OTHERS)
        raise _refused(folder, f"it has no {WEIGHTS}", ", ".join(others)[:120] or "no weights")
    transformers, tensors = need("transformers", "huggingface"), _tensors(folder / WEIGHTS)
    _few_layers(folder, told, len(tensors))
    try:
        with _quiet(transformers), torch.random.fork_rng(devices=[]):
            kind, config = _network(transformers, told, folder)
            with blank():
                wanted = sum(parameter.numel() for parameter in kind(config).parameters())
            held = sum(tensor.numel() for tensor in tensors.values())
            if wanted > held + SLACK:
                raise _refused(folder, "its config asks for more numbers than it holds", f"{wanted} and {held}")
            net, found = kind.from_pretrained(None, config=config, state_dict=tensors, output_loading_info=True)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - transformers raises whatever its networks do
        raise _refused(folder, "its network cannot be built", f"{type(error).__name__}: {str(error)[:160]}") from error
    wrong = [str(name) for part in found.values() for name in part]
    if wrong:
        raise _refused(folder, "its weights are not those of its config", ", ".join(sorted(wrong))[:160])
    return net.eval(), _json(folder, PROCESSOR) if (folder / PROCESSOR).is_file() else None


def _json(folder: pathlib.Path, name: str) -> dict[str, Any]:
    try:
        if (folder / name).stat().st_size > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MiB")
        told = json.loads((folder / name).read_text(encoding="utf-8"))
        if not isinstance(told, dict):
            raise ValueError(f"no object but {type(told).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(folder, f"{name} cannot be read", str(error)[:120]) from error
    return told


def _plain(folder: pathlib.Path, told: dict[str, Any]) -> None:
    """Refuse what leads elsewhere, however deep it stands."""
    rest: list[Any] = [told]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            for key in ELSEWHERE:
                if value.get(key):
                    raise _refused(
                        folder, "its config leads to code or weights elsewhere", f"{key}: {value[key]!r:.80}"
                    )
            rest += value.values()
        elif isinstance(value, list):
            rest += value


def _few_layers(folder: pathlib.Path, told: dict[str, Any], tensors: int) -> None:
    """Hold the number of layers to that of tensors, so that no network is built without end."""
    rest: list[tuple[str, Any]] = [("", told)]
    while rest:
        key, value = rest.pop()
        if isinstance(value, dict):
            rest += value.items()
        elif isinstance(value, list):
            rest += [(key, one) for one in value]
        elif isinstance(value, int) and ("layers" in key or "depth" in key or "blocks" in key) and value > tensors:
            raise _refused(folder, "its config asks for more layers than it has weights", f"{key}: {value}")


def _tensors(file: pathlib.Path) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError("HF212", f"'{file.name}' is no whole safetensors file", seen=str(error)[:160]) from error


def _network(transformers: Any, told: dict[str, Any], folder: pathlib.Path) -> tuple[Any, Any]:
    """The class and the config of a network that transformers itself has."""
    names, kind = told.get("architectures"), told.get("model_type")
    name = names[0] if isinstance(names, list) and names else None
    if not isinstance(name, str) or "ForImageClassification" not in name or not isinstance(kind, str):
        raise ModelError(
            "HF295",
            f"'{folder.name}' holds no image classifier",
            seen=f"architectures {names!s:.80}, model_type {kind!s:.40}",
            expected="...ForImageClassification",
        )
    known: Any = getattr(transformers, name, None) if name.isidentifier() else None
    if kind == "timm_wrapper" or not hasattr(known, "config_class"):
        raise _refused(folder, "transformers has no such network", f"{kind!s:.40}, {name:.60}")
    rest = {key: value for key, value in told.items() if key not in ("model_type", "_name_or_path", "name_or_path")}
    config = transformers.AutoConfig.for_model(kind, **rest)
    if not isinstance(config, known.config_class):
        raise _refused(folder, "its architecture is none of its model_type", f"{kind!s:.40}, {name:.60}")
    return known, config


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No bar on the screen, and no way to the hub."""
    log, before = transformers.utils.logging, os.environ.get("HF_HUB_OFFLINE")
    shown = log.is_progress_bar_enabled()
    log.disable_progress_bar()
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before
        if shown:
            log.enable_progress_bar()


def _refused(folder: pathlib.Path, why: str, seen: str) -> ModelError:
    return ModelError(
        "HF297",
        f"'{folder.name}' will not be opened: {why}",
        seen=seen,
        expected=f"{CONFIG} and {WEIGHTS} of a network of transformers' own",
        fix="if you trust its author: load it with transformers and hf.wrap it",
    )
