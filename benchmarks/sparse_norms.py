"""The suites `frugal` and `standard` under L1 and L0: what each stage breaks of what is left, and its cost.

    .venv/bin/python benchmarks/sparse_norms.py --threat l1:1.3
    .venv/bin/python benchmarks/sparse_norms.py --threat l0:2 --suites frugal standard "one_pixel"
    HOLDFAST_DATA=... .venv/bin/python benchmarks/sparse_norms.py --threat l1:5 --data mnist --suites frugal
        --model runs/mnist/adversarial.safetensors

Passes are rows sent forward and rows sent backward; seconds are processor seconds of the attacks alone, without an
audit's curve, control and masking battery. The stages of `frugal` were chosen on these two networks.
"""

import argparse
import time

import torch

import holdfast as hf
from holdfast.evaluation.suites import describe, resolve
from holdfast.models.files import load_model
from holdfast.threats.literals import parse


def main() -> None:
    """A line for each stage and one for each suite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--model", default="digits-mlp", help="a bundled model or a file")
    parser.add_argument("--threat", default="l1:1.3")
    parser.add_argument("--count", type=int, default=100, help="samples")
    parser.add_argument("--suites", nargs="*", default=["frugal", "standard"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, part = load_model(options.model), hf.data.load(options.data).test.sample(options.count, 0)
    threat, right = parse(options.threat), model.predict(part.x) == part.y
    for name in options.suites:
        left, passes, began = right.nonzero()[:, 0], 0, time.process_time()
        for attack in resolve(name).serving(threat).attacks:
            out = hf.run(attack, model, part.x[left], part.y[left], threat, ids=left)
            asked, before = int((out.queries + out.gradients).sum()), len(left)
            left, passes = left[~out.success], passes + asked
            print(f"    {describe(attack)}: {before - len(left)} of {before}, {asked:,} passes", flush=True)
        whole, seconds = int(right.sum()), time.process_time() - began
        print(
            f"{name} under {threat.literal}: {whole - len(left)} of {whole} broken, {passes:,} passes, "
            f"{seconds:.1f} s; not broken {left.tolist()}",
            flush=True,
        )


if __name__ == "__main__":
    main()
