"""APGD under L1 beside adv_lib's, toward any class and toward each of nine: equal steps, the same restarts.

    make bench-env
    .venv-bench/bin/python benchmarks/l1_peers.py

scikit-learn's digits. A sample counts as broken where the model itself takes the point for another class and the ball,
a ten-thousandth larger for the peer's rounding, and the box hold it. Both begin with larger balls, as published. Croce
and Hein's Square under L1 is in none of the toolkits; it has a second implementation
(`tests/attacks/references_square.py`).
"""

import argparse
import time
import warnings

import torch
from minimal import adversarial_library
from torch import Tensor

import holdfast as hf
from holdfast.attacks.attack import Attack
from holdfast.evaluation.bench.peers import Asked
from holdfast.models.files import load_model
from holdfast.models.source import source_of
from holdfast.threats.literals import parse

TARGETS = 9


def main() -> None:
    """Print a line for each loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--model", default="digits-mlp", help="a bundled model or a file")
    parser.add_argument("--radius", type=float, default=1.2)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--count", type=int, default=300, help="samples, those that the model gets right")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    adversarial_library()
    from adv_lib.attacks import auto_pgd

    model, data = load_model(options.model), hf.data.load(options.data).test
    part = data.take(torch.arange(min(2 * options.count, len(data))))
    part = part.take((model.predict(part.x) == part.y).nonzero()[: options.count, 0])
    net, threat, steps = Asked(source_of(model).ask), f"l1:{options.radius}", options.steps
    held = parse(threat).at(options.radius * 1.0001).around(part.x, model.space)

    def broken(found: Tensor) -> Tensor:
        return held.contains(found.clamp(0, 1)) & (model.predict(found.clamp(0, 1)) != part.y)

    def line(attack: Attack, theirs: Tensor, seconds: float) -> None:
        began = time.process_time()
        out = hf.run(attack, model, part.x, part.y, threat)
        mine, other = torch.tensor([s == "broken" for s in out.status]), broken(theirs)
        print(
            f"{attack!r}: of {len(part)} fall {int(mine.sum())}, {int(other.sum())}, both {int((mine & other).sum())}; "
            f"seconds {time.process_time() - began:.1f}, {seconds:.1f}",
            flush=True,
        )

    more = {"eps": options.radius, "norm": 1, "n_iter": steps, "n_restarts": 1, "use_large_reps": True}
    for loss in ("ce", "dlr"):
        began = time.process_time()
        found = auto_pgd.apgd(net, part.x, part.y, loss_function=loss, **more)
        line(hf.attacks.Apgd(steps=steps, loss=loss), found, time.process_time() - began)
    began = time.process_time()
    found = auto_pgd.apgd_targeted(net, part.x, part.y, loss_function="dlr", num_targets=TARGETS, **more)
    line(hf.attacks.Apgd(steps=steps, loss="dlr", targets=TARGETS), found, time.process_time() - began)


if __name__ == "__main__":
    main()
