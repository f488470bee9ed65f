"""Sizes, names and first lines of the source files."""

import ast
import re

import pytest

from holdfast.core.lazy import camel
from house.house import METHODS, MODULES, PACKAGE, ROOT, label, tree

DRAWERS = {"utils.py", "common.py", "helpers.py", "misc.py", "util.py"}
CHECKED = [path for path in MODULES if path.read_text().strip()]


def test_there_is_no_drawer():
    assert [label(path) for path in MODULES if path.name in DRAWERS] == []


@pytest.mark.parametrize("path", CHECKED, ids=label)
def test_a_file_is_short_and_says_what_it_is(path):
    module = tree(path)
    assert len(path.read_text().splitlines()) <= 400
    assert ast.get_docstring(module), "the first line of a module says what it is"
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if f.end_lineno - f.lineno + 1 > 60] == []


@pytest.mark.parametrize("path", CHECKED, ids=label)
def test_a_check_is_an_error_with_a_code_not_an_assertion(path):
    assert [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Assert)] == []


@pytest.mark.parametrize("path", CHECKED, ids=label)
def test_an_error_is_not_swallowed_without_a_reason_on_its_line(path):
    lines = path.read_text().splitlines()
    silent = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in node.body)
        and "#" not in lines[node.lineno - 1]
    ]
    assert silent == []


@pytest.mark.parametrize("path", METHODS, ids=label)
def test_a_method_names_its_paper_and_is_one_class(path):
    module = tree(path)
    first = ast.get_docstring(module).splitlines()[0]
    assert re.search(r"\b(18|19|20)\d\d\b", first), f"the first line names authors, venue and year: {first}"
    public = [node.name for node in module.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    assert public == [camel(path.stem)]


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_an_export_list_is_sorted(path):
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["__all__"]:
            names = ast.literal_eval(node.value)
            assert names == sorted(set(names))


def test_every_folder_is_a_package_and_travels_in_the_wheel():
    folders = {path.parent for path in MODULES}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()] == []
    assert (PACKAGE / "py.typed").exists()
