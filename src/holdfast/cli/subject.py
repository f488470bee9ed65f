"""What a command works on: the model and the data, by the words on the command line or by those a run remembers."""

import dataclasses
import os
from typing import TYPE_CHECKING, Any

from holdfast.cli.options import bounds_of
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.data.dataset import Dataset
    from holdfast.evaluation.store import Folder
    from holdfast.models.model import Model

TOKEN = "HOLDFAST_ENDPOINT_TOKEN"  # environment variable with the bearer token of an endpoint


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words:
    """The words that name a model and its data."""

    model: str = ""
    data: str = ""
    split: str = ""
    bounds: str = ""
    schema: str = ""
    label: str = ""
    profile: str = ""
    evade: str = ""
    threshold: str = ""


def remembered(
    folder: "Folder",
    model: str,
    data: str,
    split: str,
    bounds: str,
    schema: str = "",
    label: str = "",
    threshold: str = "",
) -> Words:
    """The words given, and where they are missing those of the command that made the run.

    Trust is never remembered: code runs only when a person says so now.

    Raises:
        UsageError: HF804 where the model or the data is neither given nor remembered.
    """
    from holdfast.evaluation.journal import words_of

    told = words_of(folder.summary.provenance.command)
    known = told[:2] == ["holdfast", "audit"] and len(told) >= 4

    def option(name: str) -> str:
        return told[told.index(name) + 1] if known and name in told[:-1] else ""

    found = Words(
        model=model or (told[2] if known else ""),
        data=data or (told[3] if known else ""),
        split=split or option("--split") or "test",
        bounds=bounds or option("--bounds"),
        schema=schema or option("--schema"),
        label=label or option("--label"),
        profile=option("--profile"),
        evade=option("--evade"),
        threshold=threshold or option("--threshold"),
    )
    if not found.model or not found.data:
        raise UsageError(
            "HF804", "The run does not say which model and data it was made with", fix="give them: RUN ... MODEL DATA"
        )
    return found


def load_data(
    name: str,
    split: str,
    bounds: str,
    profile: str = "",
    schema: str = "",
    label: str = "",
    show_rows: bool = False,
) -> "Dataset":
    """The part of the data that is asked for; with `show_rows` reports may tell what changed in its rows."""
    from holdfast.data import load

    found = load(name, bounds=bounds_of(bounds), split=split, profile=profile, schema=schema or None, label=label)
    return shown(found) if show_rows else found


def shown(data: "Dataset") -> "Dataset":
    """The data, of which anybody may see the rows.

    Raises:
        UsageError: HF805 where they are no table with a schema.
    """
    if data.schema is None:
        raise UsageError(
            "HF805",
            "--show-rows tells what changed in the rows of a table",
            seen=f"{data.name:.80}, which has no schema",
            fix="leave it out",
        )
    return dataclasses.replace(data, shared=True)


def load_model(
    name: str,
    trust: str,
    bounds: tuple[Any, Any] | None,
    threshold: str = "",
    classes: tuple[str, ...] = (),
    cap: int = 0,
    remember: bool | None = None,
) -> "Model":
    """A model by file, bundled name, trusted attribute, or the address of an endpoint.

    Args:
        name: As the command line has it.
        trust: The file whose code may run.
        bounds: Of the data, or their space.
        threshold: Where a class is decided, `0.2` or `fraud:0.2`; empty for the highest score.
        classes: Their names in the data.
        cap: Rows that an endpoint may be asked; 0 for no cap.
        remember: Whether equal rows are asked about once; None for endpoints alone.

    Raises:
        UsageError: HF805 for a cap on what is no endpoint.
        ModelError: HF207 for the memory of a model with gradients; and what a file or an address says.
    """
    from holdfast.models.deciding import at_threshold
    from holdfast.models.endpoint import endpoint, is_address
    from holdfast.models.files import load_model as load
    from holdfast.models.wrap import wrap

    if is_address(name):
        found = endpoint(name, bounds, token=TOKEN if TOKEN in os.environ else "", cap=cap)
    elif cap:
        raise UsageError(
            "HF805",
            "--cap bounds what an endpoint is asked",
            seen=f"{name:.120}",
            fix="leave it out, or --deadline 10m",
        )
    else:
        found = load(name, trust=trust or None, bounds=bounds)
    found = found if remember is None else wrap(found, remember=remember)
    return at_threshold(found, threshold, classes) if threshold else found


def load_both(words: Words, trust: str) -> tuple["Model", "Dataset"]:
    """The data, and the model in the same units."""
    from holdfast.evaluation.evading import in_direction, of_source

    whole = load_data(words.data, words.split, words.bounds, words.profile, words.schema, words.label)
    space = bounds_of(words.bounds) or space_of(whole)
    model = load_model(words.model, trust, space, words.threshold, whole.classes)
    return in_direction(model, whole, words.evade), of_source(whole, words.evade)


def space_of(dataset: "Dataset") -> Any:
    """What a model of the data takes: their bounds, or the rows of their schema."""
    return dataset.bounds if dataset.schema is None else dataset.space


def scalar(bounds: object) -> tuple[float, float] | None:
    """The bounds of the data where they are two numbers; None where each feature has its own."""
    low, high = bounds if isinstance(bounds, tuple) else (None, None)
    return (float(low), float(high)) if isinstance(low, int | float) and isinstance(high, int | float) else None


def default_threat(dataset: "Dataset", profile: str = "") -> str:
    """That of the profile; else `linf:8/255` in units of the data's range, where all features share one.

    Raises:
        UsageError: HF808 where they do not: nobody can guess what an attacker may do to a table.
    """
    from holdfast.threats.profiles import named
    from holdfast.threats.threats import Linf

    if profile:
        return named.profile(profile).threat
    limits = scalar(dataset.bounds)
    if dataset.schema is not None:
        raise UsageError(
            "HF808",
            "These data need a threat: nobody can guess what an attacker may do to a row of a table",
            expected="--threat table:LIMIT=NUMBER",
            fix="--threat table:features=3; holdfast list threats",
        )
    if limits is None:
        raise UsageError(
            "HF808",
            "These data need a threat: every feature has a range of its own",
            expected="--threat NAME:RADIUS",
            fix="--threat linf:0.1, in the units of the data; holdfast list threats",
        )
    return Linf(8 / 255 * (limits[1] - limits[0])).literal
