"""Image classifiers of transformers behind `wrap`: their logits, the names of classes, the processor in front."""

import dataclasses
from typing import Any

from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.models.huggingface.pixels import Pixels, steps_of
from holdfast.models.model import Model
from holdfast.models.torch_module import Numbers, from_torch
from holdfast.threats.space import Box


def from_hugging_face(
    model: Any,
    space: Box,
    *,
    processor: Any = None,
    mean: Numbers = None,
    std: Numbers = None,
    name: str | None = None,
) -> Model:
    """Wrap a single-label image classifier. Class i is `config.id2label[i]`.

    Args:
        model: A `...ForImageClassification` of transformers.
        space: What an input is: pixels, where there is a processor.
        processor: An image processor, or its settings as a dictionary; its steps come first. None where inputs are
            `pixel_values` already, or mean and std say what is done to them.
        mean: Taken off the input, one number or one per channel.
        std: The rest is divided by it.
        name: What reports call it.

    Raises:
        ModelError: HF295 for another kind of model, HF296 for a processor that cannot become part of it, HF206 for an
            impossible mean or std, HF207 for a processor beside a mean or std.
    """
    classes = _classes(model)
    if processor is not None and (mean is not None or std is not None):
        raise ModelError(
            "HF207", "mean= and std= are given beside a processor=, which has its own", fix="leave them away"
        )
    steps = None if processor is None else steps_of(processor, space)
    made = from_torch(
        Logits(model),
        space,
        output="logits",
        mean=mean,
        std=std,
        classes=classes,
        name=name or type(model).__name__,
        before=None if steps is None else Pixels(steps),
    )
    names = tuple(str(model.config.id2label.get(k, k)) for k in range(classes))
    return dataclasses.replace(
        made,
        adapter="hugging face",
        names=() if names == tuple(f"LABEL_{k}" for k in range(classes)) else names,
        stages=made.stages if steps is None else steps.said,
    )


class Logits(nn.Module):
    """A classifier that returns its logits alone.

    Args:
        net: The model of transformers.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(batch, classes)` of `pixel_values`."""
        answer: Tensor = self.net(pixel_values=x, return_dict=True).logits
        return answer


def _classes(model: Any) -> int:
    task = any("ForImageClassification" in kind.__name__ for kind in type(model).__mro__)
    if not task or getattr(model, "main_input_name", "") != "pixel_values":
        raise ModelError(
            "HF295",
            "Of transformers, image classifiers can be wrapped",
            seen=type(model).__name__,
            expected="...ForImageClassification",
            fix="wrap a torch module whose forward returns scores",
        )
    config = model.config
    if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
        raise ModelError(
            "HF295",
            "This classifier does not decide for one of several classes",
            seen=f"{config.num_labels} labels, problem_type={config.problem_type!r}",
            expected='at least 2 labels, problem_type="single_label_classification"',
        )
    return int(config.num_labels)
