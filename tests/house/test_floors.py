"""A module imports only from its own folder and from lower floors, also for type checking and inside functions."""

import ast

import pytest

from house.house import MODULES, PACKAGE, label, tree

FLOORS = (
    ("core",),
    ("geometry",),
    ("threats",),
    ("models", "data"),
    ("learning",),
    ("attacks",),
    ("certification", "explain"),
    ("defenses",),
    ("evaluation",),
    ("federated", "report"),
    ("api",),
    ("cli", "serve"),
    ("__main__",),
)
FLOOR = {folder: number for number, folders in enumerate(FLOORS) for folder in folders}


def imported(module):
    """Every name that a module imports, as dotted text."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (
                "." * node.level + (node.module or "")
                if node.level or node.module != "holdfast"
                else (f"holdfast.{node.names[0].name}")
            )


def wrong(folder, name):
    """Why a folder may not import a name, or an empty text."""
    if name.startswith("."):
        return f"{name}: relative imports hide the floor"
    if not name.startswith("holdfast"):
        return ""
    other = name.partition("holdfast")[2].strip(".").partition(".")[0]
    if other in ("", "__version__", folder):  # `import holdfast` itself: see the test of lazy names
        return ""
    if other not in FLOOR:
        return f"{name}: not a folder on a floor"
    return "" if FLOOR[other] < FLOOR[folder] else f"{name}: floor {FLOOR[other]} from floor {FLOOR[folder]}"


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_imports_only_go_down(path):
    folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    names = set(imported(tree(path)))
    if folder == "__init__":
        assert {name for name in names if name.startswith("holdfast")} == {"holdfast.core.lazy"}
        return
    assert folder in FLOOR, f"{folder} stands on no floor"
    assert [reason for name in sorted(names) if (reason := wrong(folder, name))] == []


def test_the_walk_sees_a_wrong_import():
    source = "if TYPE_CHECKING:\n    from holdfast.attacks.run import run\ndef f():\n    import holdfast.models.model\n"
    names = set(imported(ast.parse(source)))
    assert names == {"holdfast.attacks.run", "holdfast.models.model"}
    assert [bool(wrong("data", name)) for name in sorted(names)] == [True, True]
    assert not wrong("evaluation", "holdfast.models.model")
    assert wrong("core", ".errors")
    assert wrong("cli", "holdfast.Linf")


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_the_lazy_names_of_the_root_are_for_users(path):
    used = [
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("holdfast", "hf")
    ]
    folders = {name.split(".")[1] for name in imported(tree(path)) if name.startswith("holdfast.")}
    assert set(used) <= {"__version__"} | folders, "import from the module itself: the lazy names hide the floor"


def test_no_module_lies_deeper_than_two_folders():
    deep = [label(path) for path in MODULES if len(path.relative_to(PACKAGE).parts) > 3]
    assert deep == []
