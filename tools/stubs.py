"""Write the `.pyi` files of packages whose names are lazy, so that editors and type checkers see the real things.

python tools/stubs.py           writes them
python tools/stubs.py --check   exits with 1 if one is missing or old
"""

import ast
import importlib
import importlib.util
import pathlib
import sys

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"
WIDTH = 120  # letters of a line, as the formatter wants it
HEAD = "# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.\n\n"


def stubs() -> dict[pathlib.Path, str]:
    """File -> text it should have, for every package below `src/holdfast` that calls `attach`."""
    from holdfast.core.lazy import ATTACHED

    for file in sorted((SOURCE / "holdfast").rglob("__init__.py")):
        if "attach(" in file.read_text():
            importlib.import_module(".".join(file.parent.relative_to(SOURCE).parts))
    return {
        SOURCE.joinpath(*package.split("."), "__init__.pyi"): stub(package, dict(names))
        for package, names in sorted(ATTACHED.items())
    }


def stub(package: str, names: dict[str, str]) -> str:
    """The text of one stub, sorted as the linter sorts imports."""
    lines = [line(package, name, names[name]) for name in names]
    exported = "".join(f'    "{name}",\n' for name in sorted(names))
    version = "__version__: str\n" if package == "holdfast" else ""
    return f"{HEAD}{chr(10).join(sorted(lines))}\n\n{version}__all__ = [\n{exported}]\n"


def line(package: str, name: str, module: str) -> str:
    """The import statement that binds one public name."""
    parent, _, last = module.rpartition(".")
    if last == name and not defines(module, name):
        return f"from {parent} import {name} as {name}" if parent != package else f"from . import {name} as {name}"
    short = f"from {module} import {name} as {name}"
    return short if len(short) <= WIDTH else f"from {module} import (\n    {name} as {name},\n)"


def defines(module: str, name: str) -> bool:
    """Whether a module's top level binds a name; the module is read, not imported."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise SystemExit(f"tools/stubs.py: {module} is named for {name}, but there is no such module")
    for node in ast.parse(pathlib.Path(found.origin).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return True
    return False


def main() -> int:
    """Write or check."""
    old = {path: text for path, text in stubs().items() if not path.exists() or path.read_text() != text}
    for path, text in old.items():
        print(path.relative_to(SOURCE.parent))
        if "--check" not in sys.argv:
            path.write_text(text)
    return int(bool(old) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
