"""Twenty ways to hide a gradient, with the strength drawn at random; each makes a network and puts itself on it."""

import torch
from torch import Tensor, nn

from evaluation.masking.networks import Net, learned


class Zero(torch.autograd.Function):
    """Any function of the values, with a gradient of zero."""

    @staticmethod
    def forward(ctx, x, values):
        return values

    @staticmethod
    def backward(ctx, g):
        return torch.zeros_like(g), None


class Lied(torch.autograd.Function):
    """The identity with another gradient: its signs drawn by a hash of the position, or shuffled."""

    @staticmethod
    def forward(ctx, x, share):
        ctx.share = share
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        keep = torch.rand(g.shape[1:], generator=torch.Generator().manual_seed(3)) >= ctx.share
        return torch.where(keep, g, -g.abs()), None


class Map(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def plain(dice, t):
    return learned(Net(dice, t), t)


def scaled(dice, t):
    """Logits times a large number: cross-entropy saturates."""
    net, c = plain(dice, t), dice.log(60, 3000)
    net.after = Map(lambda z: z * c)
    return net


def distilled(dice, t):
    """Defensive distillation: learned at a high temperature, used at 1 (Papernot et al. 2016)."""
    temperature = dice.log(30, 100)
    net = Net(dice, t)
    return learned(net, t, loss=lambda z, y: nn.functional.cross_entropy(z / temperature, y), rate=3e-2)


def probabilities(dice, t):
    """A saturated softmax at the end, rounded to a few decimals."""
    net, c, places = plain(dice, t), dice.log(3, 30), dice.of(2, 3, 4)
    net.after = Map(lambda z: Zero.apply(z, ((c * z).softmax(1) * 10**places).round() / 10**places))
    return net


def rounded_scores(dice, t):
    """Scores rounded: their gradient is zero everywhere."""
    net, step = plain(dice, t), dice.log(0.01, 1)
    net.after = Map(lambda z: (z / step).round() * step)
    return net


def quantized(dice, t):
    """Inputs rounded to a few levels."""
    levels = dice.of(2, 3, 4, 6, 8)
    net = Net(dice, t)
    net.before = Map(lambda x: (x * (levels - 1)).round() / (levels - 1))
    return learned(net, t)


def soft_steps(dice, t):
    """Inputs through a staircase of steep sigmoids: a gradient, but only on the edges of the steps."""
    levels, steep = dice.of(2, 3, 4, 6), dice.log(60, 600)
    edges = torch.arange(1, levels) / levels

    def stairs(x: Tensor) -> Tensor:
        return sum(torch.sigmoid(steep * (x - e)) for e in edges) / (levels - 1)

    net = Net(dice, t)
    net.before = Map(stairs)
    return learned(net, t)


def thermometer(dice, t):
    """Thermometer code (Buckman et al. 2018): a channel a level, on or off."""
    levels = dice.of(4, 8, 12)

    def code(x: Tensor) -> Tensor:
        return torch.cat([(x > k / levels).float() for k in range(levels)], 1)

    return learned(CodedNet(dice, t, code), t)


class CodedNet(Net):
    """A network that reads a code of the input."""

    def __init__(self, dice, t, code):
        nn.Module.__init__(self)
        torch.manual_seed(int(dice.uniform(0, 2**30)))
        self.before, self.after, self.middle = Map(code), nn.Identity(), nn.Identity()
        self.activation, wide = nn.ReLU(), dice.of(64, 128)
        self.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(wide))
        self.head = nn.Linear(wide, t.classes)
        self(t.x[:2])


def random_resize(dice, t):
    """Shrunk by a random factor and put at a random place (Xie et al. 2018); vectors: random features set to zero."""
    least = dice.uniform(0.6, 0.85)

    def moved(x: Tensor) -> Tensor:
        if x.dim() == 2:
            return x * (torch.rand(x.shape) > 1 - least)
        side = x.shape[-1]
        size = int(torch.randint(round(least * side), side, ()))
        small = nn.functional.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        left, top = (int(torch.randint(side - size + 1, ())) for _ in range(2))
        return nn.functional.pad(small, (left, side - size - left, top, side - size - top))

    net = Net(dice, t)
    net.before = Map(moved)
    return learned(net, t)


def sine(dice, t):
    """A fast wave on the scores: the slope points anywhere."""
    net, waves = plain(dice, t), dice.log(100, 3000)
    draw = torch.Generator().manual_seed(int(dice.uniform(0, 1e6)))
    w = torch.randn(t.x[0].numel(), t.classes, generator=draw) / t.x[0].numel() ** 0.5
    high = dice.uniform(0.3, 1.0)

    class Waved(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x) + high * torch.sin(waves * (x.flatten(1) @ w))

    return Waved().eval()


def steep(dice, t):
    """A hidden layer of steep sigmoids, nearly steps."""
    c = dice.log(30, 300)
    net = plain(dice, t)
    scale = net.activation(net.body(4 * t.x[:200] - 2)).std().detach()
    net.middle = Map(lambda h: torch.sigmoid(c * (h / scale - 0.5)))
    net.requires_grad_(False)
    net.head.requires_grad_(True)
    return learned(net, t, 15)


def rounded_layer(dice, t):
    """A hidden layer rounded to a grid."""
    net = plain(dice, t)
    step = dice.log(0.03, 0.5) * net.activation(net.body(4 * t.x[:200] - 2)).std().detach()
    net.middle = Map(lambda h: (h / step).round() * step)
    return net


def company(dice, t):
    """Normalized by the batch it comes in."""
    net, share = plain(dice, t), dice.uniform(0.3, 1)
    net.before = Map(lambda x: x + share * (x.mean() - x.mean(0, keepdim=True)))
    return learned(net, t, 8)


def dropout(dice, t):
    """Dropout that was left on."""
    net, p = plain(dice, t), dice.uniform(0.05, 0.5)
    net.middle = Map(lambda h: nn.functional.dropout(h, p, training=True))
    return net


def noisy(dice, t):
    """Noise added to the input."""
    net, sigma = plain(dice, t), dice.log(0.02, 0.3)
    net.before = Map(lambda x: x + sigma * torch.randn_like(x))
    return learned(net, t, 8)


def cut(dice, t):
    """The gradient stopped on the way: wholly, or for a share of the signal."""
    net, share = plain(dice, t), dice.of(1.0, 1.0, dice.uniform(0.8, 1))
    net.before = Map(lambda x: share * x.detach() + (1 - share) * x)
    return net


def cut_features(dice, t):
    """Most of the hidden units answer without giving their gradient."""
    net, share = plain(dice, t), dice.uniform(0.6, 0.98)
    keep = torch.rand(net.head.in_features, generator=torch.Generator().manual_seed(2)) > share
    net.middle = Map(lambda h: torch.where(keep, h, h.detach()))
    return net


def lied(dice, t):
    """A backward pass of its own, wrong on a share of the inputs."""
    net, share = plain(dice, t), dice.uniform(0.4, 1)
    net.before = Map(lambda x: Lied.apply(x, share))
    return net


def winners(dice, t):
    """k winners take all (Xiao et al. 2020): only the largest activations of a wide layer pass."""
    share = dice.uniform(0.03, 0.2)

    def top(h: Tensor) -> Tensor:
        k = max(2, round(share * h.shape[1]))
        return h * (h >= h.topk(k, 1).values[:, -1:])

    net = Net(dice, t)
    torch.manual_seed(int(dice.uniform(0, 2**30)))
    net.body = nn.Sequential(nn.Flatten(), nn.LazyLinear(512))
    net.activation, net.head, net.middle = nn.Identity(), nn.Linear(512, t.classes), Map(top)
    net(t.x[:2])
    return learned(net, t)


def contrast(dice, t):
    """A preprocessing that was meant for another range: everything saturates."""
    c = dice.log(20, 120)
    net = Net(dice, t)
    net.before = Map(lambda x: torch.tanh(c * (x - 0.35)))
    return learned(net, t)


def blocks(dice, t):
    """JPEG's way: cosine coefficients of blocks of 4 x 4, rounded without a gradient; of groups of features."""
    step, n = dice.log(0.15, 0.8), 4
    k = torch.arange(n)
    basis = torch.cos(torch.pi * (2 * k[None] + 1) * k[:, None] / (2 * n)) * (2 / n) ** 0.5
    basis[0] /= 2**0.5

    def coded(x: Tensor) -> Tensor:
        if x.dim() == 2:
            grid = nn.functional.pad(x, (0, -x.shape[1] % n)).unflatten(1, (-1, n)) @ basis.T
            return ((grid / step).round() * step @ basis).flatten(1)[:, : x.shape[1]]
        parts = x.unfold(2, n, n).unfold(3, n, n)
        parts = basis.T @ ((basis @ parts @ basis.T / step).round() * step) @ basis
        return parts.permute(0, 1, 2, 4, 3, 5).reshape(x.shape)

    net = Net(dice, t)
    net.before = Map(lambda x: Zero.apply(x, coded(x)))
    return learned(net, t)


MASKS = (
    scaled,
    distilled,
    probabilities,
    rounded_scores,
    quantized,
    soft_steps,
    thermometer,
    random_resize,
    sine,
    steep,
    rounded_layer,
    company,
    dropout,
    noisy,
    cut,
    cut_features,
    lied,
    winners,
    contrast,
    blocks,
)
