"""Train `digits-mlp`, the network that holdfast ships: `python tools/train_digits.py`.

Seeded, so a second run on the same machine writes the same file; prints the accuracy on the test part, which the
training never sees.
"""

import pathlib
import sys

import torch

from holdfast.data import load
from holdfast.learning.train import Train
from holdfast.models.files import save_model

TARGET = pathlib.Path(__file__).parent.parent / "src/holdfast/models/bundled/digits-mlp.safetensors"
HOW = Train(network="mlp", width=64, depth=2, epochs=40, batch=64, rate=0.05, normalize=False)


def main(target: pathlib.Path = TARGET) -> float:
    """Train, save, and return the accuracy on the test part."""
    torch.set_num_threads(1)
    data = load("digits")
    model = HOW.fit(data.train, seed=0)
    accuracy = float((model.predict(data.test.x) == data.test.y).double().mean())
    save_model(
        model,
        target,
        {
            "network": "mlp",
            "width": HOW.width,
            "depth": HOW.depth,
            "classes": 10,
            "shape": [1, 8, 8],
            "bounds": [0, 1],
            "class_names": list(data.test.classes),
            "name": "digits-mlp",
            "output": "logits",
            "data": "digits",
            "split": "test",
            "trained_by": "tools/train_digits.py",
            "license": "Apache-2.0",
        },
    )
    return accuracy


if __name__ == "__main__":
    print(f"test accuracy {main(*map(pathlib.Path, sys.argv[1:2])):.4f}")
