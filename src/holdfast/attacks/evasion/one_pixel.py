"""One-pixel attack, Su, Vargas and Sakurai, IEEE Transactions on Evolutionary Computation 2019, arXiv:1710.08864."""

import dataclasses
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import TOGETHER, Probe
from holdfast.core.params import Count, Positive, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class OnePixel(Attack):
    """Evolve places and values of a few pixels by differential evolution, which asks for scores only.

        child_i <- a + factor * (b - c),  a, b, c random others        member_i <- child_i if its margin is lower

    A member holds a row, a column and a value for every channel, for each pixel. A pixel is all channels at a place, so
    it costs as many L0 values as there are channels: a radius of 3 is one pixel of a color image, or three of a gray
    one. What the radius leaves beyond whole pixels goes to those channels of one more that change most. A vector is an
    image of one row.

    Cost: no gradients; `samples` * (`steps` + 1) queries of the scores.

    Deviations: the margin of the goal stands in for a probability; a place beyond the edge is reflected, a value beyond
    the box clipped, where the paper is silent.

    Args:
        steps: Generations after the first.
        samples: Members of the population.
        factor: Weight of the difference.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (0.0,)

    steps: Count = 100
    samples: Annotated[int, Range(4)] = 400
    factor: Positive = 0.5

    def search(self, probe: Probe) -> None:
        """Breed for `steps` generations."""
        image = probe.x0.reshape(len(probe.x0), *(1,) * (4 - probe.x0.dim()), *probe.x0.shape[1:])
        channels, radius = image.shape[1], probe.region.radius.clamp(max=image[0].numel()).floor()
        most = max(-(-int(radius.amax()) // channels), 1)
        pixels = [radius - channels * k for k in range(most)]  # values left for each
        members = self._first(probe, pixels, channels)
        margin = self._margin(probe, image.shape, members, pixels)
        for _ in probe.steps(self.steps):
            a, b, c = (members.gather(1, j[:, :, None, None].expand_as(members)) for j in self._others(probe))
            child = a + self.factor * (b - c)
            place = child[..., :2].abs()
            place = torch.where(place > 1, 2 - place, place)
            child = torch.cat([place, child[..., 2:]], 3).clamp(0, 1)
            found = self._margin(probe, image.shape, child, pixels)
            members = torch.where((found < margin)[:, :, None, None], child, members)
            margin = torch.minimum(found, margin)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.samples * (self.steps + 1)

    def _first(self, probe: Probe, pixels: list[Tensor], channels: int) -> Tensor:
        """Uniform places, normal values, as fractions of side and box: `(batch, samples, pixels, 2 + channels)`."""
        parts = [
            torch.cat(
                [
                    probe.draw.uniform(self.samples, 2, only=left > 0),
                    0.5 + 0.5 * probe.draw.normal(self.samples, channels, only=left > 0),
                ],
                2,
            )
            for left in pixels
        ]
        return torch.stack(parts, 2).clamp(0, 1)

    def _others(self, probe: Probe) -> tuple[Tensor, Tensor, Tensor]:
        """Three members for each, all different and different from it: `(batch, samples)` each."""
        n = self.samples
        u = probe.draw.uniform(3, n)
        a, b, c = ((u[:, k] * (n - 1 - k)).long().clamp(max=n - 2 - k) for k in range(3))
        b = b + (b >= a).long()
        c = c + (c >= torch.minimum(a, b)).long()
        c = c + (c >= torch.maximum(a, b)).long()
        own = torch.arange(n, device=u.device)
        return (own + 1 + a) % n, (own + 1 + b) % n, (own + 1 + c) % n

    def _margin(self, probe: Probe, shape: torch.Size, members: Tensor, pixels: list[Tensor]) -> Tensor:
        """Margins of all members: `(batch, samples)`."""
        parts = [
            probe.margins(self._painted(probe, shape, part, pixels).reshape(len(part), -1, *probe.x0.shape[1:]))
            for part in torch.split(members, TOGETHER, 1)
        ]
        return torch.cat(parts, 1)

    def _painted(self, probe: Probe, shape: torch.Size, members: Tensor, pixels: list[Tensor]) -> Tensor:
        """The originals with each member's pixels: `(batch, samples, channels, places)`."""
        channels, height, width = shape[1:]
        x, low, high = (
            t.reshape(len(t), 1, channels, height * width).expand(-1, members.shape[1], -1, -1)
            for t in (probe.x0, probe.region.low, probe.region.high)
        )
        for k, left in enumerate(pixels):
            row = (members[:, :, k, 0] * height).long().clamp(max=height - 1)
            column = (members[:, :, k, 1] * width).long().clamp(max=width - 1)
            at = (row * width + column)[:, :, None, None].expand(-1, -1, channels, 1)
            old, least, most = (t.gather(3, at)[..., 0] for t in (x, low, high))
            new = torch.minimum(least + members[:, :, k, 2:] * (most - least), most)
            rank = (new - old).abs().argsort(dim=2, descending=True, stable=True).argsort(2)
            new = torch.where(rank < left[:, None, None], new, old)
            x = x.scatter(3, at, new[..., None])
        return x
