"""Sessions of onnxruntime, started in one way: by the process that asks and by the child that tries a file first."""

from typing import Any

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.models.onnx.graph import EXTRA

QUIET = 4  # onnxruntime's own log says fatal things only: what it refuses is raised, and told in a line


def started(content: bytes, threads: int = 1, name: str = "the ONNX model") -> Any:
    """A session on the processor.

    Args:
        content: A ModelProto as bytes.
        threads: For the work inside an operator.
        name: For the message.

    Raises:
        ModelError: HF276 for what onnxruntime refuses.
    """
    ort = need("onnxruntime", EXTRA)
    options = ort.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own kinds, none of which it names in public
        raise refused(name, error) from error


def refused(name: str, error: Exception) -> ModelError:
    """HF276, for what onnxruntime said."""
    return ModelError("HF276", f"onnxruntime cannot run {name}", seen=line(error))


def line(error: Exception) -> str:
    """What a library said, without line breaks."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
