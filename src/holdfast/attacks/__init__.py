"""Attacks by name; a module is imported when its class is first used."""

from holdfast.core.lazy import attach, catalog

__getattr__, __dir__, __all__ = attach(__name__, catalog(__name__, "evasion"))
