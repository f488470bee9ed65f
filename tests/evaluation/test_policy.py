"""Policies: what is read, what is refused, and with which words."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import UsageError
from holdfast.evaluation.document import schema
from holdfast.evaluation.policy import LIMIT, Document, read

GOOD = """\
# what a release must show
[policy]
require = ["complete"]

[[gate]]
metric = "clean_accuracy"
at_least = 0.9

[[ gate ]]
metric = "empirical_robust_accuracy"
threat = "linf:0.1"
at_least = 1
bound = "point"
level = "warn"

[["gate"]]
metric = "empirical_robust_accuracy"
max_regression = 0
name = "no worse than last week"
"""


def written(path, text):
    path.write_text(text)
    return path


def test_a_policy_is_read_with_the_lines_of_its_rules(tmp_path):
    found = read(written(tmp_path / "holdfast.toml", GOOD))
    assert found.lines == (5, 9, 16)
    assert [rule.metric for rule in found.rules] == ["clean_accuracy"] + 2 * ["empirical_robust_accuracy"]
    assert found.rules[1].threat == "linf:1/10", "in the one spelling"
    assert (found.rules[1].at_least, found.rules[1].bound, found.rules[1].level) == (1.0, "point", "warn")
    assert (found.rules[2].max_regression, found.rules[2].name) == (0.0, "no worse than last week")
    assert (found.require, found.advisory) == (("complete",), False)


def test_rules_in_one_line_stand_on_the_first(tmp_path):
    text = 'gate = [{metric = "clean_accuracy", at_least = 0.5}, {metric = "clean_accuracy", at_least = 0.6}]'
    assert read(written(tmp_path / "p.toml", text)).lines == (1, 1)


RULE = '[[gate]]\nmetric = "empirical_robust_accuracy"\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (RULE + "at_leest = 0.5", r"unknown key\. Seen \[\[gate\]\] number 1 at_leest.* did you mean at_least\?"),
        (RULE + "at_least = 0.5\n[polcy]\nadvisory = true", r"unknown key\. Seen polcy.* did you mean policy\?"),
        (RULE + "at_least = 0.5\n[policy]\nadvisry = true", r"Seen policy advisry.* did you mean advisory\?"),
        (RULE + "at_least = 0.5\nzzz = 1", "remove it"),
        (RULE + "at_least = 1.5", "number 1 at_least: Input should be less than or equal to 1"),
        (RULE + "at_least = -0.1", "greater than or equal to 0"),
        (RULE + "at_least = nan", "number 1 at_least"),
        (RULE + "at_least = inf", "number 1 at_least"),
        (RULE + 'at_least = "0.5"', "number 1 at_least: Input should be a valid number"),
        (RULE + "at_least = true", "number 1 at_least"),
        (RULE + "at_least = 2026-01-01", "number 1 at_least"),
        ('[[gate]]\nmetric = "accuracy"\nat_least = 0.5', "number 1 metric"),
        ("[[gate]]\nat_least = 0.5", "number 1 metric: Field required"),
        (RULE, "one of at_least and max_regression"),
        (RULE + "at_least = 0.5\nmax_regression = 0.1", "one of at_least and max_regression"),
        (RULE + 'max_regression = 0.1\nbound = "point"', "bound, which goes with at_least"),
        (RULE + "at_least = 0.1\nalpha = 0.01", "alpha, which goes with max_regression"),
        (RULE + "max_regression = 0.1\nalpha = 0", "number 1 alpha"),
        (RULE + 'at_least = 0.5\nlevel = "fatal"', "number 1 level"),
        (RULE + 'at_least = 0.5\nthreat = "linf:x"', "has a threat that is none: 'linf:x'"),
        (RULE + 'at_least = 0.5\nthreat = "__import__"', "has a threat that is none"),
        ('[[gate]]\nmetric = "clean_accuracy"\nthreat = "linf:0.1"\nat_least = 0.5', "before any attack"),
        (RULE + f'at_least = 0.5\nname = "{"x" * 201}"', "number 1 name"),
        (RULE + 'at_least = 0.5\n[policy]\nrequire = ["luck"]', "policy require"),
        ("", "no rule"),
        ("[policy]\nadvisory = true", "no rule"),
        ("gate = 3", "Seen gate: Input should be a valid array"),
        ('[gate]\nmetric = "clean_accuracy"\nat_least = 0.5', r"one table \[gate\].* Fix: \[\[gate\]\]"),
        (RULE + 'at_least = 0.5\nlevel = "off"', "Every rule .* is off, so it would pass everything"),
    ],
)
def test_what_is_impossible_is_named(tmp_path, text, says):
    with pytest.raises(UsageError, match=f"HF823 .*{says}"):
        read(written(tmp_path / "p.toml", text))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"[[gate]\n", "line 1"),
        (b"x = \xff", "UTF-8"),
        (b"#" * (LIMIT + 1), "64 KiB"),
        (b"a = " + b"[" * 30_000, "RecursionError|nest|Invalid"),
        (b"a = " + b"9" * 5_000, "ValueError|digits|Invalid"),
        (b"a = 1\na = 2", "Cannot overwrite"),
    ],
    ids=["syntax", "bytes", "size", "depth", "digits", "twice"],
)
def test_what_is_no_toml_is_refused(tmp_path, data, says):
    (tmp_path / "p.toml").write_bytes(data)
    with pytest.raises(UsageError, match=f"HF822 .*({says})"):
        read(tmp_path / "p.toml")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "nothing.toml", tmp_path):
        with pytest.raises(UsageError, match="HF822"):
            read(path)


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_a_clear_refusal(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "p.toml"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    with pytest.raises(UsageError, match="HF82[23]"):
        read(path)


def test_the_schema_takes_what_is_read():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(json.loads(json.dumps(tomllib.loads(GOOD))), schema(Document))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"gate": [{"metric": "clean_accuracy", "at_leest": 1}]}, schema(Document))
