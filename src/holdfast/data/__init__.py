"""Labeled data: the Dataset record, loaders for named sets, folders and files, and the road-sign renderer."""

from typing import TYPE_CHECKING

from holdfast.core.lazy import attach

if TYPE_CHECKING:
    from holdfast.data import road_signs as road_signs
    from holdfast.data.corruptions.corrupt import corrupt as corrupt
    from holdfast.data.dataset import Dataset as Dataset
    from holdfast.data.dataset import Splits as Splits
    from holdfast.data.sources import load as load
    from holdfast.data.sources import names as names
    from holdfast.data.tables.guessing import infer as infer
    from holdfast.data.tables.loading import table as table

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Dataset": "holdfast.data.dataset",
        "Splits": "holdfast.data.dataset",
        "corrupt": "holdfast.data.corruptions.corrupt",
        "infer": "holdfast.data.tables.guessing",
        "load": "holdfast.data.sources",
        "names": "holdfast.data.sources",
        "road_signs": "holdfast.data.road_signs",
        "table": "holdfast.data.tables.loading",
    },
)
