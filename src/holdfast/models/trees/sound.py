"""Whether trees from a file can be walked: compiled code trusts every number of them, and a file may hold anything."""

import dataclasses
import math
from typing import Any

import numpy as np

from holdfast.models.trees.form import Trees

ARRAYS = {
    "roots": ("int32", 1), "feature": ("int32", 1), "threshold": ("float64", 1), "left": ("int32", 1),
    "right": ("int32", 1), "missing": ("int8", 1), "zeros": ("bool", 1), "members": ("int32", 1), "bits": ("uint32", 1),
    "values": ("float64", 2), "base": ("float64", 1), "categorical": ("bool", 1), "shift": ("float64", 1),
}  # fmt: skip
OF_NODES = ("threshold", "left", "right", "missing", "zeros", "members")
WORDS = {
    "operator": ("<=", "<"),
    "dtype": ("float32", "float64"),
    "precision": ("float32", "float64"),
    "link": ("identity", "sigmoid", "softmax"),
}
NUMBERS = ("divisor", "scale", "slope")


def odd_part(found: Trees) -> str:
    """The first part that is not of the kind that a forest of splits on numbers has; empty where all are.

    Arrays are plain ones: the masks of a masked array would hide numbers from whoever looks through them. Other parts
    than the fields are none of the trees'; one with the name of a method would stand in its place.
    """
    held = vars(found)
    if set(held) != {field.name for field in dataclasses.fields(Trees)}:
        return "other parts than trees have"
    for name, (kind, axes) in ARRAYS.items():
        one = held[name]
        if type(one) is not np.ndarray or one.dtype != np.dtype(kind) or one.ndim != axes:
            return f"{name} that are no numbers of trees"
    if type(held["features"]) is not int or type(held["classes"]) is not int or type(held["library"]) is not str:
        return "sizes that are no numbers"
    if not all(type(held[name]) is str and held[name] in known for name, known in WORDS.items()):
        return "a word that trees do not know"
    if not all(type(held[name]) is float and math.isfinite(held[name]) and held[name] for name in NUMBERS):
        return "a factor that is no number"
    if type(held["fractions"]) is not bool or type(held["levels"]) is not dict or held["levels"]:
        return "sets of categories"
    return _odd_size(found)


def _odd_size(found: Trees) -> str:
    """Arrays that do not fit each other."""
    nodes, outputs = len(found.feature), len(found.base)
    if not all(len(getattr(found, name)) == nodes for name in OF_NODES) or len(found.categorical) != found.features:
        return "other lists"
    if found.classes != 2 or outputs not in (1, 2) or found.values.shape[1] != outputs or len(found.shift) != outputs:
        return f"{outputs} outputs of {found.classes} classes"
    if (found.members >= 0).any() or found.categorical.any():
        return "sets of categories"
    if np.isnan(found.threshold).any() or not np.isfinite(found.values).all() or not np.isfinite(found.base).all():
        return "a threshold or a value that is no number"
    if not len(found.roots) or len(np.unique(found.roots)) != len(found.roots):
        return "a tree that is there twice, or none"
    if not ((found.roots >= 0) & (found.roots < nodes)).all():
        return "a root outside its trees"
    if (found.feature >= found.features).any():
        return "a split on a number that is not in a row"
    leaves: Any = found.left[found.feature < 0]
    return "" if ((leaves >= 0) & (leaves < len(found.values))).all() else "a leaf without a value"
