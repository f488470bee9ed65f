"""Import every public module of the installed holdfast and name what fails: a wheel without some file shows here."""

import importlib
import pkgutil
import sys


def modules(package: str) -> list[str]:
    """The package and every module below it whose path has no leading underscore."""
    found = [package]
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        name = f"{package}.{info.name}"
        if not info.name.startswith("_"):
            found += modules(name) if info.ispkg else [name]
    return found


def main() -> int:
    """Import each module and each lazy name."""
    failed = 0
    names = modules("holdfast")
    for name in names:
        try:
            module = importlib.import_module(name)
            for public in getattr(module, "__all__", ()):
                getattr(module, public)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            failed += 1
    print(f"{len(names) - failed} of {len(names)} modules import")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
