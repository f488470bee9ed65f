"""GenAttack, Alzantot, Sharma, Chakraborty, Zhang, Hsieh and Srivastava, GECCO 2019, arXiv:1805.11090."""

import dataclasses
import math
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from holdfast.attacks.attack import Attack
from holdfast.attacks.probe import Probe
from holdfast.core.params import Count, Positive, Range, Share
from holdfast.geometry.rows import expand

UNIT = 5.0  # margin of the input in the units that the temperature is in
PATIENCE = 100  # generations without progress that make a plateau
RARE, SHORT, FALL = 0.5, 0.4, 0.9  # first share of values that mutate, first length, what a plateau leaves of both


@dataclasses.dataclass(frozen=True, kw_only=True)
class GenAttack(Attack):
    """A genetic algorithm: the best member stays, the others are children of two members and mutate.

        parents ~ softmax(-margin / temperature)        child <- each value from one parent, by their probabilities
        child <- project(child + length * radius * u)   in a share of the values, u uniform on [-1, 1]

    Share and length begin at 0.5 and 0.4, fall by a tenth after every 100 generations that do not better the best
    member, and stay above `mutation` and `step`.

    Cost: no gradients; `samples` + `steps` * (`samples` - 1) queries of the scores.

    Deviations: the goal's margin, in units where the input's is 5, stands in for the log odds of the target, so that
    every goal will do and a factor on the logits changes nothing. The member that stays is not asked again.

    Args:
        steps: Generations after the first.
        samples: Members of a generation.
        mutation: Least share of the values that mutate.
        step: Least length of a mutation, as a fraction of the radius.
        temperature: Of the softmax that chooses parents.
    """

    needs: ClassVar = frozenset({"scores"})
    norms: ClassVar = (math.inf,)

    steps: Count = 1000
    samples: Annotated[int, Range(2)] = 10
    mutation: Share = 0.1
    step: Positive = 0.15
    temperature: Positive = 0.3

    def search(self, probe: Probe) -> None:
        """Breed for `steps` generations."""
        shape = probe.x0.shape[1:]
        clean = probe.clean.amin(1).abs()
        unit = UNIT / torch.where(clean > 0, clean, 1.0)
        members = torch.stack([probe.region.sample(probe.draw) for _ in range(self.samples)], 1)
        margins = self._asked(probe, members)
        since, plateaus = torch.zeros_like(clean), torch.zeros_like(clean)
        rows = torch.arange(len(members), device=members.device)
        for _ in probe.steps(self.steps):
            margin, best = margins.min(1)
            chance = torch.softmax(-expand(unit, margins) * (margins - margin[:, None]) / self.temperature, 1)
            parents = self._chosen(chance, probe.draw.uniform(2, self.samples - 1))  # (batch, 2, samples - 1)
            odds = chance.gather(1, parents.flatten(1)).reshape(parents.shape)
            first = probe.draw.uniform(self.samples - 1, *shape) < _wide(odds[:, 0] / odds.sum(1), members)
            father, mother = (members[rows[:, None], parents[:, k]] for k in (0, 1))
            children = self._mutated(probe, torch.where(first, father, mother), plateaus)
            members = torch.cat([members[rows, best][:, None], children], 1)
            margins = torch.cat([margin[:, None], self._asked(probe, children)], 1)
            since = torch.where(margins.amin(1) < margin, 0.0, since + 1)
            plateaus = plateaus + (since >= PATIENCE)
            since = torch.where(since >= PATIENCE, 0.0, since)

    def _chosen(self, chance: Tensor, u: Tensor) -> Tensor:
        """Members drawn by their chances: indices like `u`."""
        below = chance.cumsum(1)[:, :-1]
        return (u[..., None] >= below[:, None, None]).sum(-1)

    def _mutated(self, probe: Probe, x: Tensor, plateaus: Tensor) -> Tensor:
        """Members with noise on some values, in the region: `(batch, samples - 1, ...)`."""
        left = torch.tensor([FALL ** int(k) for k in plateaus.tolist()]).to(x)
        share, length = (RARE * left).clamp(min=self.mutation), (SHORT * left).clamp(min=self.step)
        where = probe.draw.uniform(*x.shape[1:]) < expand(share, x)
        noise = expand(length * probe.region.radius.to(x), x) * (2 * probe.draw.uniform(*x.shape[1:]) - 1)
        moved = torch.where(where, x + noise, x)
        return torch.stack([probe.region.project(member) for member in moved.unbind(1)], 1)

    def _asked(self, probe: Probe, x: Tensor) -> Tensor:
        """The margin of each member, `(batch, samples)`; one by one, so that a success spares the other queries."""
        return torch.stack([probe.margin(member) for member in x.unbind(1)], 1)

    def passes(self) -> int:
        """Questions a search asks for a row at most."""
        return self.samples + self.steps * (self.samples - 1)


def _wide(v: Tensor, like: Tensor) -> Tensor:
    """`(batch, samples)` -> `(batch, samples, 1, ..., 1)`."""
    return v.reshape(v.shape + (1,) * (like.dim() - 2))
