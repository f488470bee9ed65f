"""Every attack says how it was checked, and the command that it names exists."""

import operator
import pathlib
import re

import pytest

import holdfast as hf
import holdfast.attacks
from holdfast.attacks.attack import Attack
from holdfast.attacks.evidence import EVIDENCE, OTHERS
from holdfast.cli.catalog import attacks
from holdfast.core.lazy import snake

ROOT = pathlib.Path(__file__).parents[2]


def test_every_attack_stands_in_the_table():
    found = {name: getattr(holdfast.attacks, name) for name in holdfast.attacks.__all__}
    known = {name for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, Attack)}
    assert set(EVIDENCE) == known
    assert {row["name"]: row["evidence"] for row in attacks()} == {n: e.kind for n, e in EVIDENCE.items()}


def test_so_does_what_attacks_in_other_ways():
    made = {f"crafted.{n}" for n in hf.crafted.__all__}
    assert {name.partition("(")[0] for name in OTHERS} == made | {"corruptions", "spatial", "Surrogate", "transfer"}
    for name in OTHERS:
        assert callable(operator.attrgetter(name.partition("(")[0])(hf))


@pytest.mark.parametrize("name", [*EVIDENCE, *OTHERS])
def test_the_command_exists(name):
    evidence = {**EVIDENCE, **OTHERS}[name]
    file = evidence.command.removeprefix("pytest ")
    assert (ROOT / file).is_file()
    text = (ROOT / file).read_text()
    if evidence.kind == "cross-checked" and name != "LocalSearch":
        last = name.partition("(")[0].rpartition(".")[2]
        assert re.search(rf"\b({last}|{snake(last)})\b", text), "the script does not run it"
