"""The names that a model file may use: layers and operations of Keras's own, and nothing that runs a file's code.

A file says of each thing its `module` and `class_name`, and Keras imports what it says. Here each pair is held to a
list first. Not on it: Lambda, layers that call other libraries or read files (vocabularies), functions outside
`keras.activations`, classes of the author's own.
"""

from collections.abc import Iterator
from typing import Any

from holdfast.core.errors import ModelError

DEEPEST = 200
LONGEST = 1 << 16
"""The largest size of an input along one axis."""

MODELS = {
    ("keras", "Sequential"),
    ("keras", "Functional"),
    ("keras", "Model"),
    ("keras.models", "Sequential"),
    ("keras.models", "Model"),
    ("keras.src.models.functional", "Functional"),
    ("keras.src.models.sequential", "Sequential"),
    ("keras", "DTypePolicy"),
    ("keras.dtype_policies", "DTypePolicy"),
}
PLAIN = ("__keras_tensor__", "__numpy__", "__tensor__", "__ellipsis__", "__slice__")
FAMILIES = ("initializers", "constraints", "regularizers")
"""Modules of Keras whose classes hold numbers and nothing else."""

OPERATIONS = ("keras.src.ops.numpy", "keras.src.ops.nn")
_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention Average
AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional CategoryEncoding CenterCrop
Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense
Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D
MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN
RandomBrightness RandomColorJitter RandomContrast RandomCrop RandomErasing RandomFlip RandomGaussianBlur
RandomGrayscale RandomHue RandomInvert RandomPerspective RandomRotation RandomSaturation RandomSharpness RandomShear
RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN
SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells
Subtract TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
ZeroPadding3D
"""
LAYERS = frozenset(_LAYERS.split())


def check_names(config: Any, file: str) -> None:
    """Hold everything that a structure names to the list, and take out how models were trained.

    Args:
        config: What JSON holds.
        file: What messages call it.

    Raises:
        ModelError: HF293 for a name that is not on it, HF292 for sizes that no model has.
    """
    for node in _nodes(config, file):
        if node.get("unroll") is True:
            raise _odd(file, "a layer that is unrolled step by step")
        for size in _sizes(node.get("batch_shape")) + _sizes(node.get("shape")):
            if size > LONGEST:
                raise _odd(file, f"an input of {size} along one axis")
        if "class_name" in node:
            _check(node, file)


def _check(node: dict[str, Any], file: str) -> None:
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    if module is None and name in PLAIN:
        return
    if isinstance(name, str) and isinstance(module, str) and registered in (None, name):
        if (module, name) in MODELS or (module == "keras.layers" and name in LAYERS):
            return
        if module in OPERATIONS or module in [f"keras.{family}" for family in FAMILIES]:
            return
        if name == "function" and module in ("builtins", "keras.activations") and _activates(node.get("config")):
            return
    raise ModelError(
        "HF293",
        f"'{file}' names something that is no layer of Keras's own, and nothing of it was run",
        seen=f"{module!s:.60}.{name!s:.60}" + (f" registered as {registered!s:.60}" if registered else ""),
        expected="layers without Lambda, vocabularies or classes of your own",
        fix="if you trust its author: hf.wrap(keras.saving.load_model(path, safe_mode=False))",
    )


def _activates(name: Any) -> bool:
    from holdfast.models.keras.library import library

    return isinstance(name, str) and name.isidentifier() and name in dir(library().activations)


def _nodes(config: Any, file: str) -> Iterator[dict[str, Any]]:
    """Every object in JSON, without recursion."""
    rest = [(config, 0)]
    while rest:
        value, depth = rest.pop()
        if depth > DEEPEST:
            raise _odd(file, f"objects in objects, more than {DEEPEST} deep")
        if isinstance(value, dict):
            value.pop("compile_config", None)
            yield value
        if isinstance(value, dict | list):
            rest += [(one, depth + 1) for one in (value.values() if isinstance(value, dict) else value)]


def _sizes(shape: Any) -> list[int]:
    return [size for size in shape if isinstance(size, int)] if isinstance(shape, list) else []


def _odd(file: str, seen: str) -> ModelError:
    return ModelError(
        "HF292", f"'{file}' cannot be read as a Keras model: its structure is not sound", seen=seen, expected="layers"
    )
