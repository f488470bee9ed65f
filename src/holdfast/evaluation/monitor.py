"""Watching batches in production: does one come from where clean data come from?

Gretton, Borgwardt, Rasch, Schoelkopf and Smola, "A Kernel Two-Sample Test", JMLR 2012; on adversarial batches Grosse,
Manoharan, Papernot, Backes and McDaniel, "On the (Statistical) Detection of Adversarial Examples", arXiv:1702.06280.
"""

import dataclasses
from typing import Annotated

from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.params import Count, Fraction, NonNegative, Range, check, told
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import Layer, Look, gathered, looked, remembered
from holdfast.evaluation.two_sample import Watch
from holdfast.models.model import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchMonitor:
    """Whether a batch of inputs comes from where the reference samples come from. It judges batches, never one input.

        MMD^2 = mean over i != j of k(x_i, x_j) + mean over i != j of k(z_i, z_j) - 2 mean of k(x_i, z_j)
        k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2))
        p = (1 + number of relabelings with at least this MMD^2) / (1 + permutations)

    A monitor of production, no stage: nothing is rejected, somebody is told. Without a shift p is at most `level` with
    a probability of at most `level`, whatever the data are, because relabelings of exchangeable samples are equally
    likely (the bandwidth is the median over both sets, so that it does not know the labels). That holds over the draw
    of reference and batch together; batches that are compared with one reference share its chance, and of many tests
    some alarm.

    Any difference counts: other lighting, other shares of classes. It says nothing about few inputs: one attacked input
    in a batch of many moves no mean. Among the ten detectors that Carlini and Wagner, "Adversarial Examples Are Not
    Easily Detected", AISec 2017, arXiv:1705.07263, broke: small perturbations that fool a network hardly move the
    distribution of inputs.

    Cost: of a test (n + m)^2 kernels, and `permutations` products with their matrix; one forward pass for a layer.

    Args:
        layer: What is compared: "inputs", "features" or "scores" (log-probabilities).
        level: Share of batches from the reference's source that may be called shifted.
        samples: Reference samples kept.
        permutations: Relabelings drawn; 1 / (1 + permutations) is the smallest p there is.
        bandwidth: Of the kernel; 0 for the median distance.
    """

    layer: Layer = "inputs"
    level: Fraction = 0.05
    samples: Annotated[int, Range(2)] = 500
    permutations: Count = 999
    bandwidth: NonNegative = 0.0

    def __post_init__(self) -> None:
        check(self)

    def watch(self, data: Dataset, model: Model | None = None, seed: int = 0) -> Watch:
        """The monitor of one source: `found = monitor.watch(data).test(batch)`, then `found.p`, `found.found`.

        Args:
            data: Clean reference samples that a model behind a layer was not trained on.
            model: Settled; needed for layers other than the inputs.
            seed: Of the choice of the samples.

        Raises:
            ModelError: HF256 where there is no model, or it shows no features.
            DataError: HF139 for fewer than two samples.
        """
        if model is None and self.layer != "inputs":
            raise ModelError(
                "HF256", f"There is no model whose {self.layer} could be watched", fix="monitor.watch(data, model)"
            )
        part = remembered(data, self.samples, 2, seed)
        look = _Look(model, looked(model, self.layer)) if model is not None else _flat
        return Watch(
            look=look,
            kept=gathered(look, part.x),
            shape=tuple(data.x.shape[1:]),
            level=self.level,
            permutations=self.permutations,
            bandwidth=self.bandwidth,
            of=told(self),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class _Look:
    """What a model says, the model left as it was."""

    model: Model
    ask: Look

    def __call__(self, x: Tensor) -> Tensor:
        with self.model.borrowed():
            return self.ask(x)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1).double()
