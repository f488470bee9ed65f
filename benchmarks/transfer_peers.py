"""Transfer attacks beside torchattacks' and stand-ins beside ART's: the same steps, and what carries over.

    make bench-env
    .venv-bench/bin/python benchmarks/transfer_peers.py

scikit-learn's digits; three small networks learn from two halves of the training part (Adam, plain torch). *Steps*: the
points at which ours and the peer's ask for a gradient, in float64, on pictures whose values lie in 0.25..0.75, so that
no bound cuts a look beside the point; for input diversity the peer gets our draws. *Carried over*: of the test samples
that all three networks get right, how many inputs made on the first one are wrong on each, at equal passes.
*Stand-ins*: how often a pupil taught by decisions agrees with the network that gave them, and how many inputs made on
the pupil (one step of 0.15 in Linf) break it; as many questions (6,400) as Papernot et al. asked.
"""

import argparse
import dataclasses
import importlib
import statistics
import unittest.mock
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import holdfast as hf
from holdfast.attacks.evasion import transfer_pgd
from holdfast.attacks.evasion.transfer_pgd import TransferPgd
from holdfast.attacks.probe import Probe
from holdfast.core.progress import Listener, silent
from holdfast.learning.learner import Learner

STEPS = 10
SIDE = 8
PICTURES, ROUNDS, EPOCHS = 100, 6, 20  # of a stand-in
TRICKS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "momentum": ({}, "MIFGSM", {}),
    "lookahead": ({"lookahead": True}, "NIFGSM", {}),
    "kernel 3": ({"kernel": 3}, "TIFGSM", {"decay": 1.0, "len_kernel": 3, "diversity_prob": 0.0}),
    "kernel 4": ({"kernel": 4}, "TIFGSM", {"decay": 1.0, "len_kernel": 4, "diversity_prob": 0.0}),
    "diversity": (
        {"diversity": 0.7, "least": 0.75},
        "DIFGSM",
        {"decay": 1.0, "diversity_prob": 0.7, "resize_rate": 0.75},
    ),
    "neighbors": ({"neighbors": 5}, "VMIFGSM", {"N": 5}),
}


def convolutions(width: int) -> nn.Module:
    """Two convolutions and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * width, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def layers() -> nn.Module:
    """A hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 128), nn.ReLU(), nn.Linear(128, 10))


def trained(net: nn.Module, x: Tensor, y: Tensor, seed: int, epochs: int = 20) -> nn.Module:
    """Cross-entropy by Adam, in place."""
    draw = torch.Generator().manual_seed(seed)
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(x), generator=draw), 64):
            adam.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            adam.step()
    return net.eval().requires_grad_(False)


def networks(data: hf.Dataset) -> dict[str, nn.Module]:
    """The one that is attacked, and two that see what comes of it, from the other half of the data."""
    made = {}
    for name, make, half in (("source", lambda: convolutions(8), 0), ("mlp", layers, 1), ("wider", _wider, 1)):
        torch.manual_seed(half)
        part = data.take(torch.arange(half, len(data), 2))
        made[name] = trained(make(), part.x, part.y, half)
    return made


def _wider() -> nn.Module:
    return convolutions(12)


class Joint(nn.Module):
    """The mean of the logits of some networks."""

    def __init__(self, nets: list[nn.Module]):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return torch.stack([net(x) for net in self.nets]).mean(0)


class Heard(nn.Module):
    """A network that remembers where it was asked, and takes gray pictures in as many equal channels as come."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net, self.asked = net, []

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        gray = x.mean(1, keepdim=True)
        self.asked.append(gray.detach())
        return self.net(gray)


def ours(net: nn.Module | list[nn.Module], x: Tensor, y: Tensor, eps: float, **more: Any) -> Tensor:
    """Our strongest points."""
    attack = TransferPgd(**{"steps": STEPS, "step": 1 / STEPS, "diversity": 0.0, **more})
    vote = {"vote": "logits"} if isinstance(net, list) else {}
    return hf.run(
        attack, hf.wrap(net, bounds=(0, 1), **vote), x, y, f"linf:{eps}", perturb=True, batch=len(x)
    ).strongest


def theirs(net: nn.Module, x: Tensor, y: Tensor, eps: float, kind: str, **more: Any) -> Tensor:
    """The last points of torchattacks, whose smoothed gradient takes pictures of three channels only."""
    import torchattacks

    attack = getattr(torchattacks, kind)(net, eps=eps, alpha=eps / STEPS, steps=STEPS, **more)
    attack.set_device("cpu")
    if kind == "TIFGSM":  # the kernel before it is rounded to float32
        attack.stacked_kernel = torch.from_numpy(np.stack([attack.gkern(attack.len_kernel)] * 3)[:, None]).to(x)
    return attack(x.repeat(1, 3 if kind == "TIFGSM" else 1, 1, 1), y)[:, :1].detach()


def apart(net: nn.Module | list[nn.Module], x: Tensor, y: Tensor, eps: float, trick: str) -> Tensor:
    """The greatest difference between the points at which both sides ask for a gradient, over all steps: `(n,)`."""
    mine, kind, more = TRICKS[trick]
    points, places, seen = [], [], Heard(Joint(net) if isinstance(net, list) else net).eval()
    slope, framed = Probe.slope, transfer_pgd.framed

    def watched(probe: Probe, at: Tensor, *rest: Any, **named: Any) -> Any:
        points.append(at.detach().clone())
        return slope(probe, at, *rest, **named)

    def placed(pictures: Tensor, sizes: Tensor, first: Tensor) -> Tensor:
        places.extend([sizes[:1, 0], first[:1, 0], first[:1, 1]])
        return framed(pictures, sizes, first)

    with (
        unittest.mock.patch.object(Probe, "slope", watched),
        unittest.mock.patch.object(transfer_pgd, "framed", placed),
    ):
        ours(net, x, y, eps, **mine)
    with handed(kind, places):
        theirs(seen, x, y, eps, kind, **more)
    assert len(points) == len(seen.asked) == STEPS
    return torch.stack([(a - b).abs().flatten(1).amax(1) for a, b in zip(points, seen.asked, strict=True)]).amax(0)


def handed(kind: str, places: list[Tensor]) -> Any:
    """While this holds the peer's size, row and column of a resized picture are these, and it always resizes."""
    module, left = importlib.import_module(f"torchattacks.attacks.{kind.lower()}"), iter(places)

    class Drawn:
        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

        def randint(self, *_: Any, **__: Any) -> Tensor:
            return next(left).int()

        def rand(self, *_: Any) -> Tensor:
            return torch.zeros(1)

    return unittest.mock.patch.object(module, "torch", Drawn() if places else torch)


def steps(nets: dict[str, nn.Module], x: Tensor, y: Tensor, eps: float) -> None:
    """Print how far apart the points lie at which both sides ask; with diversity a picture at a time, as it draws."""
    net, x = nets["source"].double(), 0.25 + 0.5 * x.double()
    joint = [net, nets["wider"].double()]
    for name in ("momentum", "lookahead", "kernel 3", "kernel 4", "diversity", "joint logits"):
        asked, trick = (joint, "momentum") if name == "joint logits" else (net, name)
        parts = [slice(i, i + 1) for i in range(40)] if name == "diversity" else [slice(None)]
        far = torch.cat([apart(asked, x[part], y[part], eps, trick) for part in parts]) / eps
        print(
            f"{name:12s} {TRICKS[trick][1]:8s} {STEPS} steps, the same points (1e-9 radii) for "
            f"{int((far < 1e-9).sum())} of {len(far)} samples, farthest {float(far.max()):.0e}",
            flush=True,
        )
    for one in joint:
        one.float()


def carried(nets: dict[str, nn.Module], x: Tensor, y: Tensor, eps: float) -> None:
    """Print how many inputs are wrong on each network, ours and the peer's."""
    source = nets["source"]
    for name, (mine, kind, more) in TRICKS.items():
        torch.manual_seed(0)
        sides = ours(source, x, y, eps, **mine), theirs(Heard(source).eval(), x, y, eps, kind, **more)
        wrong = [[int((net(z).argmax(1) != y).sum()) for net in nets.values()] for z in sides]
        cells = "   ".join(f"{n} {a} {b}" for n, a, b in zip(nets, *wrong, strict=True))
        print(f"{name:10s} {kind:8s} wrong of {len(x)}, ours and theirs:   {cells}", flush=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pupil(Learner):
    """A hidden layer taught by Adam."""

    def fit(self, dataset: hf.Dataset, seed: int = 0, on_event: Listener = silent) -> hf.Model:
        """As ART's pupil is taught."""
        torch.manual_seed(seed)
        return hf.wrap(trained(layers(), dataset.x, dataset.y, seed, EPOCHS), bounds=(0, 1))


def copied(net: nn.Module, x: Tensor, seed: int) -> nn.Module:
    """What ART's Copycat makes of the decisions of a network on these inputs; the pupil learns as ours does."""
    from art.attacks.extraction import CopycatCNN
    from art.estimators.classification import PyTorchClassifier

    def classifier(module: nn.Module) -> Any:
        adam = torch.optim.Adam(module.parameters(), 2e-3)
        return PyTorchClassifier(module, nn.CrossEntropyLoss(), (1, SIDE, SIDE), 10, adam, clip_values=(0.0, 1.0))

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    pupil = layers()
    how = {"batch_size_fit": 64, "batch_size_query": 64, "nb_epochs": EPOCHS, "nb_stolen": len(x)}
    CopycatCNN(classifier(net), **how).extract(x.numpy(), thieved_classifier=classifier(pupil))
    return pupil.eval().requires_grad_(False)


def stand_ins(net: nn.Module, pool: hf.Dataset, test: hf.Dataset) -> None:
    """Print agreement with the network and inputs that carry over to it, one step of 0.15, over three seeds."""
    target = hf.wrap(net, bounds=(0, 1))
    decided, fgsm = target.predict(test.x), hf.attacks.Pgd(steps=1, step=1.0, random_start=False)

    def taught(rounds: int) -> Callable[[hf.Dataset, int], hf.Model]:
        return lambda part, seed: hf.Surrogate(of=Pupil(), rounds=rounds).fit(target, part, seed).model

    ways: dict[str, Callable[[hf.Dataset, int], hf.Model]] = {
        f"Surrogate(rounds=0), {PICTURES} questions": taught(0),
        f"ART Copycat, {PICTURES} questions": lambda part, seed: hf.wrap(copied(net, part.x, seed), bounds=(0, 1)),
        f"Surrogate(rounds={ROUNDS}), {PICTURES * 2**ROUNDS} questions": taught(ROUNDS),
    }
    for name, way in ways.items():
        alike, broken = [], []
        for seed in range(3):
            model = way(pool.sample(PICTURES, seed), seed)
            alike.append(float((model.predict(test.x) == decided).double().mean()))
            out = hf.transfer(fgsm, model, target, test.x, test.y, "linf:0.15")
            broken.append(out.status.count("broken") / (len(out) - out.status.count("wrong")))
        print(f"{name:38s} agrees {_three(alike)}, carried over {_three(broken)}", flush=True)


def _three(shares: list[float]) -> str:
    return f"{statistics.mean(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})"


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="samples that are attacked")
    parser.add_argument("--radius", type=float, default=0.12, help="of the inputs that are carried over")
    parser.add_argument("--only", default="", help="steps, carried or stand-ins")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    data = hf.data.load("digits")
    nets, test = networks(data.train), data.test
    right = torch.stack([net(test.x).argmax(1) == test.y for net in nets.values()]).all(0)
    x, y = test.x[right][: options.count], test.y[right][: options.count]
    if options.only in ("", "steps"):
        steps(nets, x, y, 0.02)
    if options.only in ("", "carried"):
        carried(nets, x, y, options.radius)
    if options.only in ("", "stand-ins"):
        stand_ins(nets["wider"], data.train, test)


if __name__ == "__main__":
    main()
