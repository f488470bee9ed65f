"""How a Keras model takes its inputs: holdfast's pictures have their channels first, Keras's mostly last."""

import dataclasses
from typing import Any, Literal, get_args

from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.models.keras.library import layers_of, library

Layout = Literal["channels-first", "channels-last"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
FIX = 'hf.wrap(model, layout="channels-last") or "channels-first"'


def layout_of(model: Any, said: str | None = None) -> Layout:
    """Where the channels of a model's pictures stand.

    What was said counts; else the `data_format` of its layers (convolutions, pools, Flatten, ...), where all that have
    one agree; else `keras.config.image_data_format()`.

    Raises:
        ModelError: HF290 for an unknown word, and where layers disagree.
    """
    if said is not None:
        for known in LAYOUTS:
            if said == known:
                return known
        raise ModelError("HF290", "The layout= of wrap is unknown", seen=repr(said), expected=", ".join(LAYOUTS))
    formats = {form for layer in layers_of(model) if isinstance(form := getattr(layer, "data_format", None), str)}
    if len(formats) > 1:
        raise ModelError(
            "HF290", "The layers of this Keras model disagree on where channels stand", seen=sorted(formats), fix=FIX
        )
    form = formats.pop() if formats else library().config.image_data_format()
    return "channels-last" if form == "channels_last" else "channels-first"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Turn:
    """Inputs as a model takes them, and its answers of the same form turned back.

        channels-last    (n, c, h, w) -> (n, h, w, c), and so with one or three axes after the channels
        one channel      (n, 1, h, w) -> (n, h, w) for a model that has no axis for channels
        rows             (n, c, h, w) -> (n, h * w * c), or c * h * w, for a model of vectors, as Flatten does
        all else         as it is: vectors, sequences, and everything for channels-first

    Args:
        layout: Where the channels of the model's pictures stand.
        shape: Of one input of the model, None for a size that is open; None where it is not known.
    """

    layout: Layout
    shape: tuple[int | None, ...] | None = None

    def into(self, x: Tensor) -> Tensor:
        """A batch as the model takes it.

        Raises:
            ModelError: HF291 where its shape is not the model's.
        """
        turned = x.movedim(1, -1) if self.layout == "channels-last" and x.dim() >= 4 else x
        if self.shape is None:
            return turned
        if len(self.shape) == x.dim() - 2 and x.shape[1] == 1 and x.dim() >= 4:
            turned = x[:, 0]
        elif len(self.shape) == 1 and x.dim() >= 4:
            turned = turned.reshape(len(x), -1)
        found = tuple(turned.shape[1:])
        if len(found) != len(self.shape) or any(
            want not in (None, has) for want, has in zip(self.shape, found, strict=True)
        ):
            raise ModelError(
                "HF291",
                "The inputs do not have the shape that this Keras model takes",
                seen=f"inputs {tuple(x.shape[1:])}, which {self.layout} makes {found}",
                expected=f"the model takes {self.shape}",
                fix=FIX,
            )
        return turned

    def back(self, y: Tensor, like: Tensor) -> Tensor:
        """An answer in the form of the inputs as holdfast has them: what `into` did to `like` is undone."""
        if y.dim() == 2 and like.dim() >= 4 and y.numel() == like.numel():
            turned = like.movedim(1, -1) if self.layout == "channels-last" else like
            y = y.reshape(turned.shape)
        if self.layout == "channels-last" and y.dim() == like.dim() >= 4:
            return y.movedim(-1, 1)
        return y[:, None] if y.dim() == like.dim() - 1 >= 3 else y
