"""The source tree as the tests of the house read it: text and syntax trees, nothing imported."""

import ast
import functools
import pathlib

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "holdfast"
CATALOGS = (
    "attacks/evasion",
    *(f"defenses/{folder}" for folder in ("preprocessing", "validation", "detection", "training")),
    *(f"defenses/{folder}" for folder in ("distillation", "ensembles", "regularization")),
)
"""Folders where a module is one published method: one public class, the paper in the first line."""

MODULES = sorted(PACKAGE.rglob("*.py"))
METHODS = [path for folder in CATALOGS for path in sorted((PACKAGE / folder).glob("*.py")) if path.name[0] != "_"]


@functools.cache
def tree(path: pathlib.Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def label(path: pathlib.Path) -> str:
    """The path inside the package, as a test's name."""
    return str(path.relative_to(PACKAGE))
