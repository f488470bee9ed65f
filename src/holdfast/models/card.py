"""The card beside a model file: what a file of numbers cannot say about itself."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from holdfast.core.errors import ModelError
from holdfast.models.ensemble import VOTES, Vote
from holdfast.models.networks import build
from holdfast.models.outputs import OUTPUTS, check_output

EXAMPLE = (
    '{"network": "resnet18", "width": 16, "classes": 10, "shape": [3, 32, 32], "bounds": [0, 1], '
    '"mean": null, "std": null, "class_names": ["plane", "..."]}'
)
LARGEST = 1 << 20  # bytes of a card
MOST = 256  # members of an ensemble


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What is written in `NAME.card.json`.

    Args:
        network: A name of `holdfast.models.networks`; empty for files that bring their own structure.
        shape: Of one input, `(channels, height, width)` or `(features,)`.
        classes: Number of classes.
        width: Of the network; None for its default.
        depth: Of the network; None for its default.
        bounds: Lowest and highest value of an input in the data's own units; None where the card does not say.
        mean: What the model takes off its inputs.
        std: What it divides the rest by.
        class_names: A name for each class.
        output: What the network returns; None to see it on the first batch.
        name: What reports call the model.
        members: Of an ensemble, a card each; `network`, `width`, `depth`, `mean` and `std` are then theirs alone.
        vote: How they decide together.
        weights: One for each; equal where empty.
        threshold: Where a class is decided, "0.2" or "fraud:0.2"; the highest score decides where empty.
        head: Whether a linear model on all members' answers decides, whose numbers lie beside the weights.
        more: Everything else that is written in the card.
    """

    network: str = ""
    shape: tuple[int, ...] = ()
    classes: int | None = None
    width: int | None = None
    depth: int | None = None
    bounds: tuple[Any, Any] | None = None
    mean: Any = None
    std: Any = None
    class_names: tuple[str, ...] = ()
    output: str | None = None
    name: str = ""
    members: tuple["Card", ...] = ()
    vote: Vote | None = None
    weights: tuple[float, ...] = ()
    head: bool = False
    threshold: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def build(self) -> nn.Module:
        """A fresh network of these sizes.

        Raises:
            ModelError: HF216 or HF202 for a network that does not exist or cannot have them.
        """
        options = {key: value for key in ("width", "depth") if (value := getattr(self, key)) is not None}
        return build(self.network, shape=self.shape, classes=self.classes or 0, **options)

    def text(self) -> str:
        """The card as JSON, one key a line."""
        return json.dumps(self._shown(), indent=1, ensure_ascii=False) + "\n"

    def _shown(self) -> dict[str, Any]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("more", "members")}
        shown = {key: value for key, value in fields.items() if value not in (None, "", ()) and value is not False}
        members = {"members": [member._shown() for member in self.members]} if self.members else {}
        return {**shown, **members, **self.more}


def path_of(model: pathlib.Path) -> pathlib.Path:
    """Where the card of a model file lies: `model.safetensors` -> `model.card.json`."""
    return model.with_name(model.stem + ".card.json")


def read(model: pathlib.Path) -> Card:
    """The card beside a model file.

    Raises:
        ModelError: HF211 where it is missing or cannot be understood.
    """
    path = path_of(model)
    if not path.is_file():
        raise ModelError(
            "HF211", f"'{model.name}' has no card", expected=f"a file '{path.name}' beside it", fix=EXAMPLE
        )
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError("HF211", f"The card '{path.name}' is too large", expected="at most 1 MiB")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError("HF211", f"The card '{path.name}' is no JSON", seen=str(error)[:120], fix=EXAMPLE) from error
    return card_of(document, path.name)


def card_of(document: Any, where: str = "card") -> Card:
    """A card from what JSON holds.

    Raises:
        ModelError: HF211 for a value of the wrong kind.
    """
    if isinstance(document, Card):
        return document
    if not isinstance(document, Mapping):
        raise ModelError("HF211", f"{where} holds no object", seen=type(document).__name__, fix=EXAMPLE)
    known = {f.name for f in dataclasses.fields(Card)} - {"more"}
    found = {key: _checked(key, document[key], where) for key in known if document.get(key) is not None}
    _check_members(found, where)
    card = Card(**found, more={key: value for key, value in document.items() if key not in known})
    if card.class_names and card.classes not in (None, len(card.class_names)):
        raise ModelError(
            "HF211",
            f"{where} names another number of classes than it has",
            expected=f"{card.classes} names",
            seen=f"{len(card.class_names)} names",
        )
    return card


def _check_members(found: Mapping[str, Any], where: str) -> None:
    """The members of an ensemble, and what only an ensemble has."""
    members, weights = found.get("members", ()), found.get("weights", ())
    nested = [member for member in members if not member.network]
    voiceless = found.get("head") and found.get("vote") == "labels"
    lone = (
        len({(member.shape, member.classes) for member in members}) > 1
        or any(found.get(key) for key in ("vote", "weights", "head"))
        and not members
    )
    if (
        len(members) == 1
        or nested
        or lone
        or voiceless
        or (members and found.get("network"))
        or len(weights) not in (0, len(members))
    ):
        raise ModelError(
            "HF211",
            f"{where} describes no ensemble",
            seen=f"{len(members)} members, {len(weights)} weights",
            expected="2 members or more of the same shape and classes, each with a network, and none of its own",
            fix='{"members": [{"network": "mlp", ...}, {"network": "cnn", ...}], "vote": "probabilities"}',
        )


def _checked(key: str, value: Any, where: str) -> Any:
    if key in ("network", "name") and isinstance(value, str):
        return value
    if key == "threshold" and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    if key in ("classes", "width", "depth") and _whole(value):
        return value
    if key == "shape" and _is_shape(value):
        return tuple(value)
    if key == "class_names" and isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return tuple(value)
    if key == "output" and value in OUTPUTS:
        return check_output(value)
    if key == "bounds" and isinstance(value, list | tuple) and len(value) == 2 and all(map(_numbers, value)):
        low, high = (tuple(map(float, end)) if isinstance(end, list | tuple) else float(end) for end in value)
        return low, high
    if key in ("mean", "std") and _numbers(value):
        return tuple(value) if isinstance(value, list | tuple) else value
    if key == "members" and isinstance(value, list | tuple) and len(value) <= MOST and not any(map(_nested, value)):
        return tuple(card_of(member, f"member {k} of {where}") for k, member in enumerate(value))
    if key == "vote" and value in VOTES:
        return value
    if key == "weights" and isinstance(value, list | tuple) and _numbers(value) and sum(value) > 0 <= min(value):
        return tuple(map(float, value))
    if key == "head" and isinstance(value, bool):
        return value
    raise ModelError("HF211", f"{where} has an unusable value for {key!r}", seen=f"{value!r:.80}", fix=EXAMPLE)


def _nested(member: Any) -> bool:
    """Whether it has members itself."""
    return bool(member.members if isinstance(member, Card) else isinstance(member, Mapping) and "members" in member)


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and 1 <= len(value) <= 4
        and all(map(_whole, value))
        and math.prod(value) <= 1 << 28
    )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1 << 28


def _numbers(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return bool(values) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
