"""Attacks made once and used on every input: a perturbation for all pictures, a printed patch, a sticker on a sign."""

from holdfast.core.lazy import attach, catalog

__getattr__, __dir__, __all__ = attach(__name__, catalog("holdfast.attacks", "crafted"))
