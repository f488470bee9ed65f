"""What carries over and what sticks: transfer attacks, a universal perturbation and stickers on rendered road signs.

    make demo                                   # trains the two networks
    .venv/bin/python benchmarks/signs.py

Everything is made on the ResNet of the demonstration (the transfer goes both ways) from samples of the training part,
and counted on others of the test part. `control` is the same change without its purpose: signs and cells at random.
"""

import argparse
import pathlib

import torch

import holdfast as hf
from holdfast.models.files import load_model

THREAT = "linf:8/255"
STEPS = 20
TRANSFERS = {
    "PGD": hf.attacks.TransferPgd(steps=STEPS, momentum=0.0, diversity=0.0),
    "MI": hf.attacks.TransferPgd(steps=STEPS, diversity=0.0),
    "DI-MI": hf.attacks.TransferPgd(steps=STEPS),
    "VMI-DI": hf.attacks.TransferPgd(steps=STEPS, neighbors=5),
}
STICKER = {"on": "object", "area": 0.15}
MADE = {
    "universal perturbation": hf.crafted.UniversalPerturbation(epochs=5),
    "patch on the picture": hf.crafted.AdversarialPatch(steps=150),
    "sticker, any color": hf.crafted.AdversarialPatch(steps=150, **STICKER),
    "sticker, inks": hf.crafted.AdversarialPatch(steps=150, colors="print", **STICKER),
    "sticker, inks, to class 8": hf.crafted.AdversarialPatch(steps=150, colors="print", target=8, **STICKER),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/demo-road-signs"))
    parser.add_argument("--count", type=int, default=200, help="signs that are counted")
    options = parser.parse_args()
    torch.set_num_threads(1)
    resnet, vgg = (load_model(options.runs / f"{name}.safetensors") for name in ("resnet18", "vgg11"))
    signs = hf.data.load("road_signs")
    train, test = signs.train.sample(1_000, 0), signs.test.sample(options.count, 0)
    print(f"{THREAT}, {STEPS} steps, {len(test)} signs: broken of those that the target reads")
    print(f"{'':12s} {'ResNet to VGG':>16s} {'VGG to ResNet':>16s}")
    for name, attack in TRANSFERS.items():
        cells = []
        for source, target in ((resnet, vgg), (vgg, resnet)):
            out = hf.transfer(attack, source, target, test.x, test.y, THREAT)
            cells.append(f"{out.status.count('broken'):4d} of {len(test) - out.status.count('wrong'):4d}")
        print(f"{name:12s} {cells[0]:>16s} {cells[1]:>16s}", flush=True)
    for name, recipe in MADE.items():
        universal = isinstance(recipe, hf.crafted.UniversalPerturbation)
        made = recipe.craft(resnet, train, THREAT) if universal else recipe.craft(resnet, train)
        for judge, model in (("ResNet", resnet), ("VGG", vgg)):
            print(f"{name}, {judge}: {hf.effect(model, made, test, looks=1 if universal else 4)}", flush=True)


if __name__ == "__main__":
    main()
