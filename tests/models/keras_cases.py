"""Keras models with weights that are the same on every backend, and the same networks written in plain torch."""

import os
import tempfile

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("KERAS_HOME", tempfile.mkdtemp(prefix="keras-"))  # else an import writes into the home folder

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

keras = pytest.importorskip("keras")
layers = keras.layers
SHAPE = (2, 6, 6)


def weighted(model, seed=0):
    """The model with weights of a seed: wide, so that answers are clear; variances positive."""
    draw = np.random.default_rng(seed)
    model.set_weights(
        [
            draw.uniform(0.5, 1.5, v.shape) if "variance" in v.path else draw.normal(0, 0.4, v.shape)
            for v in model.weights
        ]
    )
    return model


def conv_net(ending="softmax", classes=3, dtype=None):
    """Functional: convolution, norm, dropout, pool, dense."""
    given = keras.Input((*SHAPE[1:], SHAPE[0]))
    x = layers.Conv2D(4, 3, activation="relu", dtype=dtype)(given)
    x = layers.BatchNormalization(dtype=dtype)(x)
    x = layers.Dropout(0.5, dtype=dtype)(x)
    x = layers.AveragePooling2D(2, dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    if ending == "layer":
        out = layers.Softmax(dtype=dtype)(layers.Dense(classes, dtype=dtype)(x))
    else:
        out = layers.Dense(classes, activation=ending, dtype=dtype)(x)
    return weighted(keras.Model(given, out))


class Channels(nn.Module):
    """Flattens as Keras does: channels last."""

    def forward(self, x):
        return x.movedim(1, -1).flatten(1)


def same_in_torch(model):
    """The network of `conv_net` in plain torch, without its last activation."""
    kernel, bias, gamma, beta, mean, variance, weight, shift = (torch.tensor(w) for w in model.get_weights())
    conv = nn.Conv2d(*kernel.shape[2:], 3)
    norm, dense = nn.BatchNorm2d(4, eps=1e-3), nn.Linear(*weight.shape)
    for module, values in (
        (conv, {"weight": kernel.permute(3, 2, 0, 1), "bias": bias}),
        (dense, {"weight": weight.T, "bias": shift}),
        (norm, {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}),
    ):
        module.load_state_dict(values, strict=False)
    return nn.Sequential(conv, nn.ReLU(), norm, nn.AvgPool2d(2), Channels(), dense).to(kernel.dtype).eval()
