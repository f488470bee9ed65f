"""What a model file holds: the weights of one network, or of the members of an ensemble, as its card says.

A member's weights carry its number, `0.layer.weight`, those of a linear model on all answers `head`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.models.blank import blank
from holdfast.models.card import EXAMPLE, Card
from holdfast.models.ensemble import Head, Together, from_members
from holdfast.models.model import Model
from holdfast.models.networks import built
from holdfast.models.outputs import check_output
from holdfast.models.source import source_of
from holdfast.models.threshold import threshold_of
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box

Shapes = Mapping[str, tuple[tuple[int, ...], bool]]  # name -> shape, and whether the numbers are floating
HEAD = ("head.weight", "head.bias")


def numbers(net: nn.Module) -> dict[str, Tensor]:
    """The weights of a network by name, on the CPU."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in net.state_dict().items()}


def filled(card: Card, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """The card's network with these weights, in their own floating type, ready to decide.

    Raises:
        ModelError: HF217 where names or shapes differ.
    """
    net = _fits(card, shapes_of(tensors), where)
    net.load_state_dict(dict(tensors), assign=True)
    return net.eval()


def members_of(model: Model) -> Together | None:
    """The members of an ensemble that no stage stands in front of; None for anything else."""
    source = source_of(model)
    return source.ask if source is not None and isinstance(source.ask, Together) else None


def written(together: Together, card: Card) -> tuple[dict[str, Tensor], Card]:
    """An ensemble as numbers and a card.

    Raises:
        ModelError: HF217 for a member that is no network that a card can name.
    """
    tensors: dict[str, Tensor] = {}
    cards = []
    for k, member in enumerate(together.members):
        source = source_of(member)
        inside = source.ask if source is not None and isinstance(source.ask, Normalized) else None
        how = None if inside is None else built(inside.net)
        if source is None or inside is None or how is None:
            raise ModelError(
                "HF217",
                "This ensemble cannot be saved",
                seen=f"member {k}, {member!r:.120}",
                expected="members that are networks of holdfast.models.networks, with nothing in front of them",
            )
        tensors |= {f"{k}.{name}": value for name, value in numbers(inside.net).items()}
        cards.append(
            Card(
                network=how.name,
                shape=how.shape,
                classes=how.classes,
                width=how.options.get("width"),
                depth=how.options.get("depth"),
                mean=inside.mean,
                std=inside.std,
                output=source.output,
                threshold="" if member.threshold is None else member.threshold.text(),
            )
        )
    if together.head is not None:
        tensors |= dict(zip(HEAD, (together.head.weight.cpu(), together.head.bias.cpu()), strict=True))
    found = dataclasses.replace(
        card,
        network="",
        width=None,
        depth=None,
        mean=None,
        std=None,
        shape=cards[0].shape,
        classes=cards[0].classes,
        members=tuple(cards),
        vote=together.vote,
        weights=together.weights or (),
        head=together.head is not None,
    )
    return tensors, found


def opened(card: Card, tensors: Mapping[str, Tensor], name: str, bounds: tuple[Any, Any] | None, where: str) -> Model:
    """The ensemble of a card.

    Raises:
        ModelError: HF217 where names or shapes differ.
    """
    checked(card, shapes_of(tensors), where)
    members = []
    for k, one in enumerate(card.members):
        net = filled(one, _own(tensors, k), f"member {k} of {where}")
        options = {"mean": one.mean, "std": one.std, "classes": one.classes, "name": one.name or None}
        at = threshold_of(one.threshold, one.class_names) if one.threshold else None
        members.append(wrap(net, bounds, output=check_output(one.output), threshold=at, **options))
    head = Head(*(tensors[name] for name in HEAD)) if card.head else None
    made = from_members(
        members,
        Box((0.0, 1.0) if bounds is None else (bounds[0], bounds[1])),
        vote=card.vote or "probabilities",
        weights=card.weights or None,
        head=head,
        classes=card.classes,
        name=card.name or name,
    )
    note = () if bounds is not None else ("bounds were not given: [0, 1] was taken",)
    return dataclasses.replace(made, notes=(*made.notes, *note))


def checked(card: Card, shapes: Shapes, where: str) -> None:
    """Hold shapes to the card before anything of their size is made.

    Raises:
        ModelError: HF211 for a card without a network, HF217 where names or shapes differ.
    """
    if not card.members:
        _fits(card, shapes, where)
        return
    rest = set(shapes)
    for k, one in enumerate(card.members):
        own = {name: shapes[f"{k}.{name}"] for name in _names(rest, k)}
        _fits(one, own, f"member {k} of {where}")
        rest -= {f"{k}.{name}" for name in own}
    classes = card.members[0].classes or 0
    wanted = {HEAD[0]: ((len(card.members) * classes, classes), True), HEAD[1]: ((classes,), True)} if card.head else {}
    for name in sorted(rest | set(wanted)):
        if shapes.get(name) != wanted.get(name):
            raise ModelError(
                "HF217",
                f"The weights in '{where}' are not those of an ensemble of {len(card.members)}",
                seen=_shape(name, shapes),
                expected=_shape(name, wanted),
                fix="correct members or head in the card",
            )


def _names(names: set[str], k: int) -> list[str]:
    return [name.removeprefix(f"{k}.") for name in names if name.startswith(f"{k}.")]


def _own(tensors: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    return {name: tensors[f"{k}.{name}"] for name in _names(set(tensors), k)}


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """What `checked` compares with a card."""
    return {name: (tuple(t.shape), t.is_floating_point()) for name, t in tensors.items()}


def _fits(card: Card, shapes: Shapes, where: str) -> nn.Module:
    """The card's network without memory of its own, whose weights have these shapes."""
    if not card.network or not card.shape or card.classes is None:
        raise ModelError(
            "HF211", f"The card of '{where}' names no network", expected="network, shape and classes", fix=EXAMPLE
        )
    with blank():
        net = card.build()
    wanted = shapes_of(net.state_dict())
    said = f"{card.network} with {card.classes} classes and inputs {card.shape}"
    for name in sorted(set(wanted) | set(shapes)):
        if wanted.get(name) != shapes.get(name):
            raise ModelError(
                "HF217",
                f"The weights in '{where}' are not those of {said}",
                seen=_shape(name, shapes),
                expected=_shape(name, wanted),
                fix="correct network, width, classes or shape in the card",
            )
    return net


def _shape(name: str, shapes: Shapes) -> str:
    return f"'{name}' of shape {shapes[name][0]}" if name in shapes else f"no '{name}'"
