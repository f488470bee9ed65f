"""Every number of a method declares its range; a value outside is refused with the standard message."""

import dataclasses
import importlib
import inspect
import math

import pytest

from holdfast.attacks.attack import Attack
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import ParameterError
from holdfast.core.lazy import camel
from holdfast.core.params import Range, parameters
from house.house import METHODS, PACKAGE

KINDS = {"Attack", "Learner", "Stage", "Fitted"}
"""Interfaces whose implementations are configurations."""


def methods():
    """Every concrete configuration below the folders of methods: published methods, wrappers, learners."""
    found = {}
    for folder in ("attacks", "learning", "defenses"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            for name, kind in vars(module).items():
                own = inspect.isclass(kind) and kind.__module__ == module.__name__ and not inspect.isabstract(kind)
                if own and {base.__name__ for base in kind.__mro__[1:]} & KINDS:
                    found[name] = kind
    return [found[name] for name in sorted(found)]


CLASSES = methods()
NUMBERS = [(kind, p) for kind in CLASSES for p in parameters(kind) if p.kind in (int, float)]


def outside(allowed: Range, whole: bool):
    """A value just below, one just above, and one that is no number."""
    step = 1 if whole else 1e-6
    if math.isfinite(allowed.low):
        yield (int(allowed.low) - 1 if whole else allowed.low - step) if not allowed.open_low else allowed.low
    if math.isfinite(allowed.high):
        yield (int(allowed.high) + 1 if whole else allowed.high + step) if not allowed.open_high else allowed.high
    yield math.nan
    yield "1"


def test_the_walk_finds_the_published_methods():
    assert {camel(path.stem) for path in METHODS} <= {kind.__name__ for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_configuration_is_frozen_and_keyword_only(kind):
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    assert inspect.getdoc(kind)
    positional = [f.name for f in dataclasses.fields(kind) if not f.kw_only]
    assert positional == [] or kind.__module__.count(".") == 2, "only wrappers take their first value by position"
    undocumented = [p.name for p in parameters(kind) if not p.meaning]
    assert undocumented == [], "the Args section says what each parameter means"


@pytest.mark.parametrize(
    ("kind", "parameter"), NUMBERS, ids=lambda value: getattr(value, "name", None) or value.__name__
)
def test_every_number_declares_a_range_and_refuses_what_is_outside(kind, parameter):
    assert parameter.range is not None, f"{kind.__name__}.{parameter.name} declares no range"
    needed = {
        p.name: Pgd() if p.kind is Attack else object()
        for p in parameters(kind)
        if p.default is dataclasses.MISSING and p.name != parameter.name
    }
    if parameter.default is not dataclasses.MISSING and parameter.default is not None:
        assert parameter.default in parameter.range
    for value in outside(parameter.range, parameter.kind is int):
        with pytest.raises(ParameterError, match=f"HF001 The '{parameter.name}' parameter of {kind.__name__} must be"):
            kind(**needed, **{parameter.name: value})
