"""Functions that torch rounds by a row's place in the batch: law 5 forbids them where attacks compute."""

import ast

import pytest

from house.house import MODULES, label, tree

PLACED = {"sigmoid", "softplus", "atanh", "pow"}
"""Their vector loops and the scalar ones for the last few elements disagree by a bit (torch 2.13, AVX2 and AVX-512)."""

FOLDERS = ("attacks/evasion/", "attacks/", "geometry/", "threats/")


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if label(p).startswith(FOLDERS) and "crafted" not in label(p)],
    ids=label,
)
def test_nothing_is_rounded_by_its_place(path):
    found = [
        f"line {node.lineno}: {node.func.attr}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PLACED
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "math")
    ]
    assert not found, f"{found}: torch rounds it by the row's place in the batch; geometry.rows.sigmoid is even"
