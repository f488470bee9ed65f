r"""What diffusion purification keeps on MNIST under the attack of its critics, beside one that does not know it.

    HOLDFAST_DATA=... python benchmarks/diffusion.py --samples 64                       # 10 minutes on one idle core

Lee and Kim, "Robust Evaluation of Diffusion-Based Adversarial Purification", ICCV 2023, arXiv:2303.09051: descents on
the mean gradient of several passes, through a process of fewer, longer steps from the same time. Here written out by
hand, without the driver of holdfast: loss and gradient are the surrogate's, and the deployed process judges in the end.
What is left may be the gradient's fault or the noise's, so three more descents follow: one whose gradient passes the
last clamp straight through, one of several times the steps, and one against noise that attacker and judge know (Liu et
al., "Towards Understanding the Robustness of Diffusion-Based Purification: A Stochastic Perspective", ICLR 2025,
arXiv:2404.14309).
The base network, the clean samples and the radius are those of benchmarks/defenses/mnist.yaml.
"""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import holdfast as hf
from holdfast.defenses.preprocessing._diffusion import denoised, noised, stops
from holdfast.evaluation.defending.protocol import read
from holdfast.evaluation.defending.work import divided

RADIUS, PASSES = 0.15, 10
LONGER, KNOWN = 5, 3  # times the steps; the seed of noise that the attacker knows
PROTOCOL = pathlib.Path(__file__).parent / "defenses" / "mnist.yaml"


def climbed(ask: Callable[[Tensor], Tensor], x0: Tensor, y: Tensor, steps: int, passes: int) -> Tensor:
    """The last point of projected gradient descent from a random start, on means of `passes` gradients."""
    torch.manual_seed(1)
    x = (x0 + RADIUS * (2 * torch.rand_like(x0) - 1)).clamp(0, 1)
    for _ in range(steps):
        leaf = x.clone().requires_grad_()
        losses = (cross_entropy(ask(leaf), y, reduction="sum") for _ in range(passes))
        slope = torch.stack([torch.autograd.grad(loss, leaf)[0] for loss in losses]).mean(0)
        x = (x0 + (x + RADIUS / 6 * slope.sign() - x0).clamp(-RADIUS, RADIUS)).clamp(0, 1)
    return x


def fitted(given: argparse.Namespace) -> tuple[hf.Model, hf.defenses.DiffusionPurifier, Any, hf.Dataset]:
    """The base network of the protocol, the purifier and its stage, and test samples."""
    protocol = read(PROTOCOL)
    parts, base = divided(protocol, hf.data.load(protocol.data)), protocol.base
    learner = hf.Train(
        network=base.network,
        width=base.width,
        batch=base.batch,
        epochs=base.epochs,
        rate=base.rate,
        checkpoint=given.checkpoint,
    )
    model = learner.fit(parts.train, protocol.seed)
    purifier = hf.defenses.DiffusionPurifier(until=given.until, updates=given.updates)
    return model, purifier, purifier.fit(model, parts.held_out, protocol.seed), parts.test.sample(given.samples, 0)


def study(given: argparse.Namespace) -> None:
    """Print a line for each attack."""
    model, purifier, stage, test = fitted(given)
    last = stage.at[0]

    def plain(x: Tensor) -> Tensor:
        return model.answer(x, gradient=True).scores

    def through(at: list[int], noise: int | None = None, straight: bool = False) -> Callable[[Tensor], Tensor]:
        def ask(x: Tensor) -> Tensor:
            if noise is not None:
                torch.manual_seed(noise)
            z = noised(2 * x - 1, stage.left[last], torch.randn_like(x))
            found = denoised(z, stage.guess, stage.left, at, stage.method) / 2 + 0.5
            inside = found.clamp(0, 1)
            return plain(found + (inside - found).detach() if straight else inside)

        return ask

    def told(name: str, x: Tensor, noise: int | None = None) -> None:
        torch.manual_seed(9)
        ask, count = through(list(stage.at), noise), 1 if noise is not None else PASSES
        with torch.no_grad():
            right = torch.stack([ask(x).argmax(1) == test.y for _ in range(count)]).double()
        print(f"{name:36}{100 * float(right.mean()):6.1f} % of passes right", flush=True)

    right = (plain(test.x).argmax(1) == test.y).double().mean()
    print(f"undefended, clean {100 * float(right):.1f} %; {given.samples} images, linf {RADIUS}, {purifier}")
    told("clean", test.x)
    told("oblivious", climbed(plain, test.x, test.y, 2 * given.steps, 1))
    for count in (1, 2, len(stage.at)):
        found = climbed(through(stops(last, count)), test.x, test.y, given.steps, given.passes)
        told(f"aware, {count} step{'s' if count > 1 else ''}", found)
    few = stops(last, 1)
    straight = through(few, straight=True)
    told("aware, 1 step, clamp passed through", climbed(straight, test.x, test.y, given.steps, given.passes))
    told("aware, 1 step, longer", climbed(through(few), test.x, test.y, LONGER * given.steps, given.passes))
    known = through(list(stage.at), KNOWN)
    told("clean, one known noise", test.x, KNOWN)
    told("aware, all steps, known noise", climbed(known, test.x, test.y, 2 * given.steps, 1), KNOWN)


def main() -> None:
    """Read the settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=float, default=0.2)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--checkpoint", default="", help="file of the base network's training, to begin with it")
    study(parser.parse_args())


if __name__ == "__main__":
    main()
