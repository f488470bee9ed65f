"""Defenses as text: `jpeg(quality=75)`, `adversarial_training(steps=7)`, `bit_depth(bits=4)+adversarial_training`.

A chain is written in the order in which an input meets its parts, so a trained model comes last; where it is written
elsewhere it is put there. Names come from the catalog `holdfast.defenses`, values are literals, and nothing is run.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from holdfast import defenses
from holdfast.core.errors import UsageError
from holdfast.core.lazy import camel, snake
from holdfast.core.params import parameters
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Fitted
from holdfast.evaluation.literals import Call, Word, call, known_names, split, unknown
from holdfast.learning.learner import Learner
from holdfast.learning.train import Train
from holdfast.models.model import Model
from holdfast.models.settle import settle
from holdfast.models.stage import Stage
from holdfast.threats.literals import parse as parse_threat
from holdfast.threats.threats import Threat

Kind = Literal["stage", "fitted", "learner"]
EXAMPLE = "'bit_depth(bits=4)+adversarial_training(steps=7)'"
MOST = 8  # parts of a chain
T = TypeVar("T", bound=Stage | Fitted | Learner)
KINDS: dict[Kind, type] = {"stage": Stage, "fitted": Fitted, "learner": Learner}


@dataclasses.dataclass(frozen=True)
class Chain:
    """A defense: parts in front of a model, in the order in which an input meets them, and how the model is trained.

    Args:
        text: How it is written.
        front: Stages, and what becomes one once it is fitted.
        learner: Trains the model; None where the undefended one stays.
    """

    text: str
    front: tuple[Stage | Fitted, ...] = ()
    learner: Learner | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def kind(self) -> Kind:
        """The dearest of its kinds: "learner", then "fitted", then "stage"."""
        if self.learner is not None:
            return "learner"
        return "fitted" if any(isinstance(part, Fitted) for part in self.front) else "stage"

    def before(self, model: Model, held_out: Dataset, seed: int, on_event: Listener = silent) -> Model:
        """The model behind the parts in front; what is fitted sees everything behind it.

        Args:
            model: Trained.
            held_out: Clean samples that it was neither trained nor is tested on.
            seed: Of every fit.
            on_event: Told about progress.
        """
        for part in reversed(self.front):
            found = part.fit(settle(model, held_out.x), held_out, seed, on_event) if isinstance(part, Fitted) else part
            model = found.guard(model)
        return settle(model, held_out.x)


@functools.cache
def catalog() -> Mapping[str, type]:
    """Every defense that can be named, by its name in text; read from the catalog, so that new ones are here too."""
    found = {snake(name): getattr(defenses, name) for name in defenses.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if inspect.isclass(kind) and issubclass(kind, tuple(KINDS.values())) and not inspect.isabstract(kind)
    }


def kind_of(defense: type) -> Kind:
    """What a class of the catalog is."""
    return next(name for name, base in KINDS.items() if issubclass(defense, base))


def chain(text: "str | Stage | Fitted | Learner | Chain", of: Train, threat: Threat) -> Chain:
    """A defense from its text, or from a defense itself.

    Args:
        text: Parts joined by "+".
        of: How a trained defense trains, where it does not say.
        threat: What it shall withstand, where it does not say.

    Raises:
        UsageError: HF830 for a name that is no defense, HF831 for a text that cannot be read or combined.
        ParameterError: HF001 for a value outside its range.
        ThreatError: HF3xx for a threat that is none.
    """
    if isinstance(text, Chain):
        return text
    given = [text] if isinstance(text, Stage | Fitted | Learner) else [_part(each) for each in _parts(text)]
    learners = [part for part in given if isinstance(part, Learner)]
    front = [part for part in given if not isinstance(part, Learner)]
    if len(learners) > 1:
        raise UsageError(
            "HF831",
            "A chain can train its model once only",
            seen=" and ".join(map(_told, learners)),
            expected="one trained defense, and parts in front of it",
            fix="write them as two defenses",
        )
    learner = _taught(learners[0], of, threat) if learners else None
    taught = tuple(_taught(part, of, threat) for part in front)
    return Chain("+".join(map(_told, (*front, *learners))), taught, learner)


def _parts(text: str) -> Sequence[str]:
    found = split(text) if isinstance(text, str) else []
    if not 1 <= len(found) <= MOST:
        raise UsageError(
            "HF831", "The defense cannot be read", seen=f"{text!r:.80}", expected=f"1 to {MOST} parts", fix=EXAMPLE
        )
    return found


def _part(text: str) -> Stage | Fitted | Learner:
    return _made(call(text, "The defense cannot be read", "HF831", EXAMPLE, words=True))


def _made(read: Call) -> Stage | Fitted | Learner:
    kind = named(read.name)
    known_names(kind, read, "HF831", "holdfast list defenses")
    declared = {p.name: p.kind for p in parameters(kind)}
    values = {name: _value(declared[name], value) for name, value in read.values.items()}
    try:
        made: Stage | Fitted | Learner = kind(**values)
    except TypeError as error:
        raise UsageError("HF831", f"{kind.__name__} needs another parameter", seen=str(error), fix=EXAMPLE) from error
    return made


def named(name: str) -> type:
    """The class of a name in text.

    Raises:
        UsageError: HF830 for a name that is no defense.
    """
    if snake(camel(name)) not in catalog():
        raise unknown("defense", name, list(catalog()), "HF830", "holdfast list defenses")
    return catalog()[snake(camel(name))]


def _value(kind: Any, value: Any) -> Any:
    """A value as its field wants it: a threat from its literal, another defense from its text, a tuple from a list."""
    if isinstance(value, list | tuple):
        inner = typing.get_args(kind)[:1]
        return tuple(_value(inner[0] if inner else None, one) for one in value)
    if isinstance(value, Word | Call):
        return _made(value if isinstance(value, Call) else Call(value.name, {}))
    if inspect.isclass(kind) and issubclass(kind, Threat) and isinstance(value, str):
        return parse_threat(value)
    nested = inspect.isclass(kind) and issubclass(kind, tuple(KINDS.values()))
    return _part(value) if nested and isinstance(value, str) else value


def _taught(part: T, of: Train, threat: Threat) -> T:
    """A defense that learns, at the base learner and the threat of the protocol wherever its own are the defaults."""
    filled: dict[str, Any] = {}
    kind: type = type(part)
    for p in parameters(kind):
        value = getattr(part, p.name)
        if isinstance(value, Learner):
            filled[p.name] = _inner(value, p.default, of, threat)
        elif isinstance(value, tuple) and value and all(isinstance(one, Learner) for one in value):
            defaults = p.default if isinstance(p.default, tuple) and len(p.default) == len(value) else value
            pairs = zip(value, defaults, strict=True)
            filled[p.name] = tuple(_inner(one, default, of, threat) for one, default in pairs)
        elif p.name == "threat" and isinstance(value, Threat) and value == p.default:
            filled[p.name] = threat
    return dataclasses.replace(part, **filled) if filled else part


def _inner(value: Learner, default: Any, of: Train, threat: Threat) -> Learner:
    """A learner inside a defense: the base learner where it is the default, with what that default says of its own."""
    if type(value) is not Train:
        return _taught(value, of, threat)
    if value != default:
        return value
    plain = Train()
    own = {f.name: getattr(value, f.name) for f in dataclasses.fields(Train)}
    return dataclasses.replace(of, **{name: v for name, v in own.items() if v != getattr(plain, name)})


def _told(part: Stage | Fitted | Learner) -> str:
    """A part as text that reads back; a base learner that stands in no catalog is left out."""
    kind: type = type(part)
    shown = {field.name for field in dataclasses.fields(part) if field.repr}
    changed = [
        f"{p.name}={_shown(value)}"
        for p in parameters(kind)
        if p.name in shown and (value := getattr(part, p.name)) != p.default and not isinstance(value, Train)
    ]
    return snake(kind.__name__) + (f"({', '.join(changed)})" if changed else "")


def _shown(value: Any) -> str:
    if isinstance(value, Threat):
        return repr(value.literal)
    if isinstance(value, tuple) and value and all(isinstance(one, Threat) for one in value):
        return repr([one.literal for one in value])
    if isinstance(value, tuple) and value and all(isinstance(one, Stage | Fitted | Learner) for one in value):
        return f"[{', '.join(map(_told, value))}]"
    if not isinstance(value, Stage | Fitted | Learner):
        return repr(value)
    inner = _told(value)
    return inner if inner.isidentifier() else repr(inner)
