"""Names that are imported when they are first used, so that `import holdfast` costs next to nothing."""

import importlib
import pathlib
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

ATTACHED: dict[str, Mapping[str, str]] = {}
"""Package -> its lazy names, for what reads them without importing anything: stubs, documentation, tests."""


def attach(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` for a package whose public names live elsewhere.

    Args:
        package: The package's `__name__`.
        names: Public name -> module that defines it. Where the module defines no such name and is itself called so,
            the public name is the module: `{"data": "holdfast.data"}`.
    """
    ATTACHED[package] = names

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(names[name])
        same = names[name].rpartition(".")[2] == name
        value = getattr(module, name, module) if same else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(names), sorted(names)


def catalog(package: str, folder: str) -> dict[str, str]:
    """The classes of a catalog folder, without importing one: a module `fab_t.py` defines the class `FabT`."""
    here = pathlib.Path(importlib.import_module(package).__path__[0]) / folder
    return {
        camel(file.stem): f"{package}.{folder.replace('/', '.')}.{file.stem}"
        for file in sorted(here.glob("*.py"))
        if not file.stem.startswith("_")
    }


def camel(module: str) -> str:
    """`hop_skip_jump` -> `HopSkipJump`."""
    return "".join(part.capitalize() for part in module.split("_"))


def snake(name: str) -> str:
    """`HopSkipJump` -> `hop_skip_jump`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
