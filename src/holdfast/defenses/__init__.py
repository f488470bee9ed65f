"""Defenses: what a model can do about its attackers, and what that costs."""

from holdfast.core.lazy import attach, catalog

__getattr__, __dir__, __all__ = attach(__name__, catalog(__name__, "training"))
