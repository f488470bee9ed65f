# Written by tools/stubs.py from the lazy names of this package (`make stubs`); do not edit.

from . import road_signs as road_signs
from holdfast.data.corruptions.corrupt import corrupt as corrupt
from holdfast.data.dataset import Dataset as Dataset
from holdfast.data.dataset import Splits as Splits
from holdfast.data.sources import load as load
from holdfast.data.sources import names as names
from holdfast.data.tables.guessing import infer as infer
from holdfast.data.tables.loading import table as table

__all__ = [
    "Dataset",
    "Splits",
    "corrupt",
    "infer",
    "load",
    "names",
    "road_signs",
    "table",
]
