"""Defenses: what a model can do about its attackers, and what that costs.

A *stage* stands in front of a model (`model | hf.defenses.Jpeg(quality=75)`), a *fitted* one learns from clean data
first (detectors, validators, purifiers), a *Learner* trains a model that is harder to fool.
"""

from holdfast.core.lazy import attach, catalog

FOLDERS = ("preprocessing", "validation", "detection", "training", "distillation", "ensembles", "regularization")

__getattr__, __dir__, __all__ = attach(
    __name__, {name: module for folder in FOLDERS for name, module in catalog(__name__, folder).items()}
)
