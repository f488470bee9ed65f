"""One clear line, a builtin kind, and a trip to another process and back."""

import builtins
import pickle

import pytest

from holdfast.core import errors
from holdfast.core.errors import UNSET, HoldfastError

KINDS = HoldfastError.__subclasses__()


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_is_also_a_builtin_kind(kind):
    assert any(base.__name__ in vars(builtins) for base in kind.__bases__)
    assert f"├── {kind.__name__}" in errors.__doc__ or f"└── {kind.__name__}" in errors.__doc__


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "facts", [{}, {"seen": 0}, {"expected": None}, {"seen": [1], "expected": False, "fix": "do x"}]
)
def test_an_error_survives_pickling(kind, facts):
    error = kind("HF123", "Something happened", **facts)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.code, again.fix) == (kind, str(error), "HF123", error.fix)
    assert (again.seen is UNSET, again.expected is UNSET) == (error.seen is UNSET, error.expected is UNSET)


def test_the_line_names_what_was_seen_and_expected_and_what_to_do():
    error = HoldfastError("HF123", "The array\n is odd.", seen=3, expected="4 or 5", fix="add one")
    assert str(error) == "HF123 The array is odd. Seen 3, expected 4 or 5. Fix: add one"
    assert str(HoldfastError("HF123", "Odd", expected=None)) == "HF123 Odd. Expected None."


def test_stop_is_no_error():
    assert not issubclass(errors.Stop, Exception)


def test_what_a_file_says_does_nothing_to_a_terminal():
    error = HoldfastError("HF123", "The column 'a\x1b[2J\u202e\ud800é…' is odd", seen="x" * 10_000, fix="\x07")
    assert str(error).startswith(r"HF123 The column 'a\x1b[2J\u202e\ud800é…' is odd. Seen xxx")
    assert str(error).endswith("x… Fix: \\x07")
    assert len(str(error)) < 5_000
