"""Attacks by name; a module is imported when its class is first used."""

from holdfast.core.lazy import attach, catalog

WRAPPERS = {
    name: f"{__name__}.{module}" for name, module in (("Eot", "eot"), ("FirstOf", "first_of"), ("Repeat", "repeat"))
}

__getattr__, __dir__, __all__ = attach(__name__, catalog(__name__, "evasion") | WRAPPERS)
