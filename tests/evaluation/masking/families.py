"""Masked and honest models: mask and strength, network, data and radius are all drawn from a number."""

import dataclasses

import torch
from torch import nn

from evaluation.masking.masks import MASKS
from evaluation.masking.networks import RADII, Dice, Net, learned, task
from holdfast.data.dataset import Dataset
from holdfast.models.model import Model
from holdfast.models.wrap import wrap

SAMPLES = 120


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A model to audit, and what it is.

    Args:
        name: Mask or kind, and the number it was drawn from.
        masked: Whether its maker hid the gradient.
        kind: Of the mask, or of the honest model.
        model, data, threat: What to audit.
    """

    name: str
    masked: bool
    kind: str
    model: Model
    data: Dataset
    threat: str


def case(number: int, masked: bool) -> Case:
    """The case of that number; masks and kinds come in turn, everything else is drawn."""
    dice = Dice("masked" if masked else "honest", number)
    makers = MASKS if masked else HONEST
    maker = makers[number % len(makers)]
    t = task(dice.of("digits", "digits", "cancer", "signs"))
    low, high = RADII[t.name]
    norm, radius = dice.of("linf", "linf", "l2"), dice.log(low, high)
    if norm == "l2":
        radius *= 0.5 * t.x[0].numel() ** 0.5
    made = maker(dice, t)
    raw = isinstance(made, nn.Module) and maker.__name__ != "probabilities"
    model = wrap(made, (0, 1), output="logits" if raw else None)
    x, y = t.test
    data = Dataset(x[:SAMPLES], y[:SAMPLES], name=t.name)
    return Case(f"{maker.__name__}-{number}", masked, maker.__name__, model, data, f"{norm}:{radius:.3g}")


def plain_network(dice, t):
    return learned(Net(dice, t), t, dice.of(8, 25, 60))


def hardened_network(dice, t):
    """Adversarially trained, at a radius of its own; at half of it where that taught nothing."""
    radius, (x, y) = dice.log(*RADII[t.name]), t.test
    net = learned(Net(dice, t), t, 12, radius)
    while (net(x).argmax(1) == y).float().mean() < 1.6 * y.bincount().max() / len(y) and t.classes > 2:
        radius /= 2
        net = learned(Net(dice, t), t, 12, radius)
    return net


class Block(nn.Module):
    """A residual block with batch norms."""

    def __init__(self, wide):
        super().__init__()
        parts = [nn.Conv2d(wide, wide, 3, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
        self.body = nn.Sequential(*parts, nn.Conv2d(wide, wide, 3, padding=1), nn.BatchNorm2d(wide))

    def forward(self, x):
        return torch.relu(x + self.body(x))


def deep_network(dice, t):
    """Ten layers, residual blocks on pictures, plain or adversarially trained."""
    torch.manual_seed(int(dice.uniform(0, 2**30)))
    shape, wide, radius = t.x.shape[1:], dice.of(8, 12), dice.of(0.0, dice.log(*RADII[t.name]) / 4)
    if len(shape) == 3:
        first = [nn.Conv2d(shape[0], wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU()]
        blocks = [*(Block(wide) for _ in range(4)), nn.Flatten()]
    else:
        first = [nn.Linear(shape[0], 64), nn.ReLU()]
        blocks = [part for _ in range(8) for part in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    net = nn.Sequential(*first, *blocks, nn.LazyLinear(t.classes)).train()
    net(t.x[:4])
    return learned(net, t, 6, radius)


def linear_network(dice, t):
    torch.manual_seed(int(dice.uniform(0, 2**30)))
    return learned(nn.Sequential(nn.Flatten(), nn.Linear(t.x[0].numel(), t.classes)), t)


def decayed_network(dice, t):
    """With noise and weight decay, as many are trained."""
    net, decay = Net(dice, t), dice.log(1e-4, 1e-2)

    def loss(z, y):
        return nn.functional.cross_entropy(z, y, label_smoothing=0.1) + decay * sum(
            p.square().sum() for p in net.parameters()
        )

    return learned(net, t, loss=loss)


def _fitted(estimator, t):
    from sklearn.pipeline import make_pipeline

    x, y = t.train
    return make_pipeline(estimator).fit(x.flatten(1).numpy(), y.numpy())


def logistic(dice, t):
    from sklearn.linear_model import LogisticRegression

    return _fitted(LogisticRegression(C=dice.log(0.01, 100), max_iter=2000), t)


def perceptron(dice, t):
    from sklearn.neural_network import MLPClassifier

    return _fitted(MLPClassifier((dice.of(32, 64),), alpha=dice.log(1e-4, 1), max_iter=600, random_state=1), t)


def forest(dice, t):
    from sklearn.ensemble import RandomForestClassifier

    return _fitted(RandomForestClassifier(dice.of(20, 50), random_state=1), t)


HONEST = (
    plain_network,
    hardened_network,
    plain_network,
    hardened_network,
    linear_network,
    decayed_network,
    logistic,
    hardened_network,
    perceptron,
    plain_network,
    deep_network,
    hardened_network,
    forest,
    deep_network,
)
