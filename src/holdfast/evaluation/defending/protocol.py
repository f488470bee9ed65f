"""The protocol of a comparison of defenses, YAML: data, base learner, threats, suite, defenses. Read with limits."""

import dataclasses
import difflib
import pathlib
from typing import Annotated, Any, Literal

import pydantic
import yaml

from holdfast.core.errors import UNSET, HoldfastError, UsageError
from holdfast.core.records import digest, plain
from holdfast.evaluation.defending.chain import Chain, chain
from holdfast.evaluation.document import adapter, dump
from holdfast.evaluation.literals import unknown
from holdfast.evaluation.suites import resolve
from holdfast.learning.train import Train
from holdfast.models.networks import NAMES
from holdfast.models.threshold import threshold_of
from holdfast.threats.literals import parse
from holdfast.threats.threats import Threat

LIMIT = 64 * 1024  # bytes; a protocol is a page
DEEPEST = 20  # lists and mappings inside each other
MOST = 64  # defenses of one comparison
EXAMPLE = "see examples/defenses/road-signs.yaml"

Text = Annotated[str, pydantic.Field(min_length=1, max_length=1000)]
Whole = Annotated[int, pydantic.Field(ge=1, le=10_000_000)]
Size = Annotated[int, pydantic.Field(ge=0, le=10_000_000)]
Width = Annotated[int, pydantic.Field(ge=0, le=4096)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**32)]
_STRICT = pydantic.ConfigDict(extra="forbid")


def _worded(value: Any) -> Any:
    """A number as text: YAML reads `threshold: 0.2` as one."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Base:
    """How the undefended model is trained, and every trained defense too where it does not say otherwise.

    Args:
        network: A name of `holdfast.models.networks`.
        width, depth: Of the network; 0 for its defaults.
        samples: A seeded random subset of the training part; 0 for all of it.
        epochs, batch, rate, augment, patience: As `holdfast.Train` has them.
        precision: "float32", or "auto" to train in bfloat16 where the processor has instructions for it: faster, but
            then another kind of processor trains other weights. Everything is judged in float32.
    """

    __pydantic_config__ = _STRICT

    network: Text = "cnn"
    width: Width = 0
    depth: Width = 0
    samples: Size = 0
    epochs: Whole = 30
    batch: Whole = 128
    rate: Annotated[float, pydantic.Field(gt=0, le=100, allow_inf_nan=False)] = 0.1
    augment: Annotated[str, pydantic.Field(max_length=200)] = ""
    patience: Size = 0
    precision: Literal["float32", "auto"] = "float32"

    def learner(self) -> Train:
        """The training."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "samples"}
        return Train(**values)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What is compared, and how.

    Args:
        data: A name of `holdfast.data`, or a path; a path counts from where the command runs.
        threat: What the defenses shall withstand.
        defenses: Each as text, such as `bit_depth(bits=4)+adversarial_training`.
        other_threats: Which trained defenses were not trained for; they are audited under these too.
        suite: Of every audit.
        samples: A seeded random subset of the test part; 0 for all of it.
        held_out: Samples that fitted defenses learn from: of the validation part, else taken off the training part.
        seed: Of trainings, fits and attacks.
        subset_seed: Of the subsets of test and training part.
        base: How models are trained.
        title: A line for the report.
        threshold: Where every model decides a class, `0.2` or `fraud:0.2`; empty for the highest score.
    """

    __pydantic_config__ = _STRICT

    data: Text
    threat: Text
    defenses: Annotated[tuple[Text, ...], pydantic.Field(min_length=1, max_length=MOST)]
    other_threats: Annotated[tuple[Text, ...], pydantic.Field(max_length=8)] = ()
    suite: Text = "quick"
    samples: Size = 200
    held_out: Whole = 500
    seed: Seed = 0
    subset_seed: Seed = 0
    base: Base = dataclasses.field(default_factory=Base)
    title: Annotated[str, pydantic.Field(max_length=200)] = ""
    threshold: Annotated[str, pydantic.Field(max_length=200), pydantic.BeforeValidator(_worded)] = ""

    @property
    def under(self) -> Threat:
        """The threat as a value."""
        return parse(self.threat)

    @property
    def unseen(self) -> tuple[Threat, ...]:
        """The other threats as values."""
        return tuple(map(parse, self.other_threats))

    def chains(self) -> tuple[Chain, ...]:
        """The defenses, at the protocol's base learner and threat."""
        return tuple(chain(text, self.base.learner(), self.under) for text in self.defenses)

    def identity(self) -> dict[str, Any]:
        """What every number depends on, as plain values: all but the title and which defenses are compared.

        Fields that came later are told where they are not at their defaults, so that older folders go on.
        """
        values = dump(self)
        if self.base.precision == "float32":
            del values["base"]["precision"]
        aside = ("defenses", "title", *(() if self.threshold else ("threshold",)))
        return {key: plain(values[key]) for key in values if key not in aside}

    def digest(self) -> str:
        """Of the identity."""
        return digest(self.identity())


_FIELDS = {
    "": tuple(f.name for f in dataclasses.fields(Protocol)),
    "base": tuple(f.name for f in dataclasses.fields(Base)),
}


def read(path: pathlib.Path) -> Protocol:
    """The protocol in a file.

    Raises:
        UsageError: HF832 where the file cannot be read as YAML, HF833 where it says something impossible, HF830 and
            HF831 for its defenses.
    """
    values = _loaded(path, _text(path))
    if not isinstance(values, dict):
        seen = "nothing" if values is None else f"a {type(values).__name__}"
        raise _impossible(f"'{path}' is no protocol", seen, "keys and values")
    try:
        found: Protocol = adapter(Protocol).validate_python(values, strict=False)
    except pydantic.ValidationError as error:
        raise _complaint(path, error) from error
    return settled(found)


def settled(found: Protocol) -> Protocol:
    """The protocol with threats and defenses in their one spelling, after everything in it was looked at.

    Raises:
        UsageError: HF833 where it contradicts itself or names what does not exist, HF830 and HF831 for its defenses.
    """
    try:
        threat, others = parse(found.threat), tuple(map(parse, found.other_threats))
        resolve(found.suite).serving(threat)
        if found.threshold:
            threshold_of(found.threshold.rpartition(":")[2])
        for other in others:
            resolve(found.suite).serving(other)
        made = found.chains()
    except UsageError:
        raise
    except HoldfastError as error:
        seen = error.what if error.seen is UNSET else f"{error.what}: {error.seen}"
        raise _impossible("The protocol says something impossible", seen, "", error.fix) from error
    if found.base.network not in NAMES:
        raise unknown("network", found.base.network, NAMES, "HF833", "holdfast list networks")
    if not all(t.bounded for t in (threat, *others)):
        endless = next(t.literal for t in (threat, *others) if not t.bounded)
        raise _impossible("Defenses are compared at a radius", endless, "such as linf:8/255")
    if threat in others or len(set(others)) < len(others):
        raise _impossible("The protocol names a threat twice", ", ".join(t.literal for t in (threat, *others)))
    texts = [str(each) for each in made]
    twice = [text for text in texts if texts.count(text) > 1]
    if twice:
        raise _impossible("The protocol names a defense twice", twice[0], "each once")
    return dataclasses.replace(
        found, threat=threat.literal, other_threats=tuple(t.literal for t in others), defenses=tuple(texts)
    )


def write(found: Protocol) -> str:
    """The protocol as YAML that reads back."""
    values: str = yaml.safe_dump(dump(found), sort_keys=False, allow_unicode=True, width=100)
    return values


class _Plain(yaml.SafeLoader):  # type: ignore[misc]
    """The safe loader without aliases, by which a page becomes gigabytes, and with an end to nesting."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("an alias (*name): write the value out")
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"more than {DEEPEST} lists and mappings inside each other")
        found = super().compose_node(parent, index)
        self.depth -= 1
        return found

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """As the safe loader, and a key that comes twice is refused: one of the two would be lost in silence."""
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise yaml.YAMLError("a key that comes twice")
        return found


def _loaded(path: pathlib.Path, text: str) -> Any:
    try:
        return yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or str(error) or type(error).__name__
        place = f"line {mark.line + 1}: " if mark is not None else ""
        raise _unreadable(path, f"{place}{said:.160}", "YAML without aliases and tags") from error


def _text(path: pathlib.Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or "nothing", "a file") from error
    if len(data) > LIMIT:
        raise _unreadable(path, f"more than {LIMIT // 1024} KiB", f"at most {LIMIT // 1024} KiB")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"byte {error.start} is no UTF-8", "UTF-8 text") from error


def _unreadable(path: pathlib.Path, seen: str, expected: str) -> UsageError:
    return UsageError("HF832", f"The protocol '{path}' cannot be read", seen=seen, expected=expected, fix=EXAMPLE)


def _complaint(path: pathlib.Path, error: pydantic.ValidationError) -> UsageError:
    """The first complaint, with its place and, for an unknown key, the nearest known one."""
    first = error.errors()[0]
    loc = first["loc"]
    place = " ".join(f"number {part + 1}" if isinstance(part, int) else f"{part:.80}" for part in loc)
    if first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _FIELDS.get(str(loc[0]) if len(loc) > 1 else "", ())
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]}?" if near else "remove it"
        return _impossible(f"'{path}' has an unknown key", place, ", ".join(known), fix)
    return _impossible(f"'{path}' says something impossible", f"{place}: {first['msg']}")


def _impossible(what: str, seen: str, expected: str = "", fix: str | None = None) -> UsageError:
    wanted = {"expected": expected} if expected else {}
    return UsageError("HF833", what, seen=seen, fix=fix or EXAMPLE, **wanted)
