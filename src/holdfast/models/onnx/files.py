"""`.onnx` files: parsed as data, with numbers from files beside them and from nowhere else."""

import math
import pathlib
from typing import Any

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.models.onnx.allowed import allow, tensors
from holdfast.models.onnx.graph import EXTRA

LARGEST = (1 << 31) - 1
"""Bytes of a model with all its numbers: protobuf has no longer message."""

PACKED = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
"""Bits of the element types of which several lie in a byte: (u)int4, float4, (u)int2, as `TensorProto` counts them."""


def parsed(file: pathlib.Path) -> Any:
    """The ModelProto of a file, with the numbers that lie beside it.

    Raises:
        ModelError: HF212 for a file that is no ONNX model or too large, HF275 for numbers outside its folder and for
            operators that onnxruntime does not bring along.
    """
    onnx = need("onnx", EXTRA)
    try:
        model = onnx.load_model_from_string(file.read_bytes())
    except Exception as error:  # protobuf's own kinds
        raise unreadable(file, f"no ONNX model ({' '.join(str(error).split())[:80]})") from error
    if not len(model.graph.node) or not len(model.opset_import):
        raise unreadable(file, "no ONNX model: a graph without nodes, or of no version")
    external = onnx.TensorProto.EXTERNAL
    size = file.stat().st_size
    for tensor in tensors(model):
        if tensor.data_location != external and not tensor.external_data:
            continue
        size += _filled(tensor, file)
        if size > LARGEST:
            raise unreadable(file, f"more than {LARGEST} bytes")
    allow(model)
    return model


def _filled(tensor: Any, file: pathlib.Path) -> int:
    """Put the numbers of a tensor into it, from a file in the model's folder; how many bytes they are."""
    helper = need("onnx.helper", EXTRA)
    said = {one.key: one.value for one in tensor.external_data}
    place = said.get("location", "")
    folder = file.parent.resolve()
    target = (folder / place).resolve()
    if not place or pathlib.PurePath(place).is_absolute() or not target.is_relative_to(folder) or not target.is_file():
        raise ModelError(
            "HF275",
            f"'{file.name}' keeps numbers in a file that is not in its folder",
            seen=repr(place)[:120],
            expected=f"a file below '{folder.name}'",
            fix="get the whole model, or save it in one file: onnx.save(onnx.load(path), 'one.onnx')",
        )
    try:
        start = int(said.get("offset", 0))
        bits = PACKED.get(tensor.data_type) or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        wanted = -(-math.prod(tensor.dims) * bits // 8)
        length = int(said.get("length", wanted))
    except (ValueError, KeyError) as error:
        raise unreadable(file, f"a tensor of no size: {error}"[:120]) from error
    if start < 0 or min(tensor.dims, default=0) < 0 or length != wanted or start + length > target.stat().st_size:
        raise unreadable(file, f"a tensor of {wanted} bytes that lie at {start} of '{target.name}'"[:160])
    with target.open("rb") as stream:
        stream.seek(start)
        tensor.raw_data = stream.read(length)
    del tensor.external_data[:]
    tensor.ClearField("data_location")
    return length


def unreadable(file: pathlib.Path, seen: str) -> ModelError:
    """HF212, what is said of a file that holds no model."""
    return ModelError(
        "HF212", f"'{file.name}' cannot be read", seen=seen, expected="a whole model file", fix="get a sound copy"
    )
