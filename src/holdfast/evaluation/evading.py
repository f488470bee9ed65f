"""Audits of one direction: fraud that shall pass for legitimate. What such an attacker can do is what counts."""

import dataclasses
import difflib
from collections.abc import Iterator

from holdfast.core.errors import ThreatError, some
from holdfast.data.dataset import Dataset
from holdfast.models.deciding import notes_of
from holdfast.models.direction import toward
from holdfast.models.model import Model
from holdfast.models.prepared import prepared
from holdfast.models.settle import settle
from holdfast.threats.tables.tabular import Tabular


@dataclasses.dataclass(frozen=True)
class Direction:
    """What shall be taken for what.

    Args:
        source: The classes to hide.
        into: The classes to be taken for.
        told: `dos or probe to be taken for normal`.
    """

    source: tuple[int, ...]
    into: tuple[int, ...]
    told: str


def of_source(data: Dataset, evade: str) -> Dataset:
    """The samples of the classes that shall be hidden; all samples where `evade` is empty.

    With two classes, wrong is what the other class is, so that clean accuracy of these samples is the recall of the
    class, empirical robust accuracy its recall under attack, and the success rate the evasion rate. With more, the
    samples have two classes too: whatever is not aimed at, 0, and what is, 1; a source that is taken for another class
    that nobody aimed at is still found. `kinds` says which source each sample is of.

    Args:
        data: Samples.
        evade: `SOURCE:INTO`, names or numbers of classes, several with commas: "fraud:legitimate", "dos,probe:normal".

    Raises:
        ThreatError: HF309 for what is no such pair, classes that do not exist or stand on both sides.
    """
    way = direction(data, evade)
    if way is None:
        return data
    chosen = data.take([i for i, label in enumerate(data.y.tolist()) if label in way.source])
    part = f"{data.split}, {way.told}" if data.split else way.told
    if data.n_classes == 2:
        return dataclasses.replace(chosen, split=part, direction=way.told)
    aim = " or ".join(data.classes[k] for k in way.into)
    return dataclasses.replace(
        chosen,
        y=chosen.y * 0,
        classes=(f"not {aim}", aim),
        split=part,
        kinds=chosen.y,
        kind_names=data.classes,
        direction=way.told,
    )


def in_direction(model: Model, data: Dataset, evade: str) -> Model:
    """The model as `of_source` asks it: with more than two classes, whether it decides for what is aimed at.

    Args:
        model: A wrapped model.
        data: All samples, not those of the source alone.
        evade: As in `of_source`.

    Raises:
        ThreatError: HF309 as in `of_source`, and where the model has other classes than the data.
    """
    way = direction(data, evade)
    if way is None or data.n_classes == 2:
        return model
    x = data.x[data.schema.validate(data.x).valid] if isinstance(data.space, Tabular) and data.schema else data.x
    known = prepared(settle(model, x, data.n_classes), x)
    if known.classes != data.n_classes:
        seen = f"{known.classes} classes of the model, {data.n_classes} of the data"
        raise ThreatError(
            "HF309", "What shall be taken for what cannot be told", seen=seen, expected="the same classes"
        )
    return toward(dataclasses.replace(known, notes=notes_of(known, data.classes)), way.into)


def direction(data: Dataset, evade: str) -> Direction | None:
    """What a text asks for, None where it is empty.

    Raises:
        ThreatError: HF309.
    """
    if not evade:
        return None
    if not isinstance(evade, str):
        raise _refused(str(evade), data, None)
    for left, right in _cuts(evade):
        source, into = _classes(left, data), _classes(right, data)
        if source and into and not set(source) & set(into):
            sides = [" or ".join(data.classes[k] for k in side) for side in (source, into)]
            return Direction(source, into, f"{sides[0]} to be taken for {sides[1]}")
    words = [word.strip() for side in evade.split(":") for word in side.split(",")]
    near = next(
        (m[0] for w in words if w not in _known(data) and (m := difflib.get_close_matches(w, data.classes, 1))), ""
    )
    raise _refused(evade, data, f"did you mean {near}?" if near else None)


def _cuts(text: str) -> Iterator[tuple[str, str]]:
    """Both sides of each colon, for names may have colons too."""
    for place, sign in enumerate(text):
        if sign == ":":
            yield text[:place], text[place + 1 :]


def _classes(text: str, data: Dataset) -> tuple[int, ...]:
    """The classes of one side, none where one does not exist."""
    known, whole = _known(data), text.strip()
    words = [whole] if whole in known else [word.strip() for word in whole.split(",")]
    return tuple(dict.fromkeys(known[word] for word in words)) if all(word in known for word in words) else ()


def _known(data: Dataset) -> dict[str, int]:
    return {**{str(i): i for i in range(data.n_classes)}, **{name: i for i, name in enumerate(data.classes)}}


def _refused(evade: str, data: Dataset, fix: str | None) -> ThreatError:
    return ThreatError(
        "HF309",
        "What shall be taken for what cannot be told",
        seen=repr(evade),
        expected=f"SOURCE:INTO, other classes on each side, several with commas, of {some(data.classes)}",
        fix=fix or f"{data.classes[-1]}:{data.classes[0]}",
    )
