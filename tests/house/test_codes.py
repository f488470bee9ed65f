"""Every error code that is raised has a page, every page is raised somewhere, every class keeps to its hundred."""

import ast
import re

from holdfast.core.pages import codes
from house.house import MODULES, tree

CODE = re.compile(r"HF\d{3}")
HUNDREDS = {
    "ParameterError": "0",
    "DataError": "1",
    "ModelError": "2",
    "ThreatError": "3",
    "IntegrityError": "4",
    "ResourceError": "5",
    "OfflineError": "6",
    "MissingExtra": "7",
    "UsageError": "8",
}


def used():
    """Code -> the modules where it is a string of its own, so not a mention in a docstring."""
    found = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.setdefault(node.value, []).append(path.name)
    return found


def test_every_code_has_a_page_and_every_page_a_code():
    assert set(used()) - set(codes()) == set(), "codes without a page"
    assert set(codes()) - set(used()) == set(), "pages without a code"


def test_a_code_lies_in_the_hundred_of_its_class():
    strays = []
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and node.args:
                kind = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                first = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                if kind in HUNDREDS and isinstance(first, str) and CODE.fullmatch(first) and first[2] != HUNDREDS[kind]:
                    strays.append((path.name, node.lineno, kind, first))
    assert strays == []
