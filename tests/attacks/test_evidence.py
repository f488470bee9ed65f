"""Every attack says how it was checked, and the command that it names exists."""

import pathlib
import re

import pytest

import holdfast.attacks
from holdfast.attacks.attack import Attack
from holdfast.attacks.evidence import EVIDENCE
from holdfast.cli.catalog import attacks
from holdfast.core.lazy import snake

ROOT = pathlib.Path(__file__).parents[2]


def test_every_attack_stands_in_the_table():
    found = {name: getattr(holdfast.attacks, name) for name in holdfast.attacks.__all__}
    known = {name for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, Attack)}
    assert set(EVIDENCE) == known
    assert {row["name"]: row["evidence"] for row in attacks()} == {n: e.kind for n, e in EVIDENCE.items()}


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_command_exists(name):
    evidence = EVIDENCE[name]
    file = evidence.command.removeprefix("pytest ")
    assert (ROOT / file).is_file()
    text = (ROOT / file).read_text()
    if evidence.kind == "cross-checked" and name != "LocalSearch":
        assert re.search(rf"\b({name}|{snake(name)})\b", text), "the script does not run it"
