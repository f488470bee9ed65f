"""Seconds and strength of single attacks beside the peers' and beside the plain loop, on German road signs.

    make bench-env
    HOLDFAST_DATA=... .venv-bench/bin/python benchmarks/speed.py --model runs/gtsrb/adversarial.safetensors

The fixed list of attacks of our documentation through `holdfast bench`, which says how it measures.
"""

import argparse
import json
import pathlib

import torch

import holdfast as hf
from holdfast.evaluation.bench.measure import bench
from holdfast.models.files import load_model
from holdfast.report.bench import page
from holdfast.report.sheet import text

HERE = pathlib.Path(__file__).parent
ATTACKS = {
    "linf:8/255": (
        "pgd(steps=40)",
        "apgd(steps=50)",
        "fab_t(steps=20, targets=2, secants=0)",
        "square(steps=300)",
    ),
    "l2:inf": ("ddn(steps=50)", "carlini_wagner(steps=50, searches=3)", "deep_fool(steps=20)"),
}


def main() -> None:
    """Print the tables of each threat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=pathlib.Path("runs/gtsrb/adversarial.safetensors"))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="attacks whose name has this text")
    options = parser.parse_args()
    rows = torch.tensor(json.loads((HERE / "gtsrb_500.json").read_text()))
    model, data = load_model(options.model), hf.data.load("gtsrb").test.take(rows)
    for threat, attacks in ATTACKS.items():
        chosen = [attack for attack in attacks if options.only in attack]
        if chosen:
            found = bench(model, data, threat=threat, attacks=chosen, batch=options.batch, repeat=options.repeat)
            print(text(page(found)), flush=True)


if __name__ == "__main__":
    main()
