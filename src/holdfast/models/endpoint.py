"""A model behind an HTTP endpoint that speaks the Open Inference Protocol, version 2 (KServe, Triton, MLServer, ...).

https://github.com/kserve/open-inference-protocol: `GET v2/models/NAME` describes inputs and outputs, `POST
v2/models/NAME/infer` answers a batch of tensors.
"""

import dataclasses
import functools
import hashlib
import math
import os
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.records import canonical
from holdfast.models.borrow import borrowed
from holdfast.models.line import Limits, Line, place, secret_of, strange
from holdfast.models.model import Model
from holdfast.models.outputs import Output, check_output
from holdfast.models.source import Source
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular

TYPES = {"FP64": "f8", "FP32": "f4", "FP16": "f2"} | {f"INT{8 * n}": f"i{n}" for n in (1, 2, 4, 8)}
TYPES |= {f"UINT{8 * n}": f"u{n}" for n in (1, 2, 4, 8)}
UNANSWERED = ("HF242", "HF243")  # codes of failures that may be about the rows, or about the endpoint


def is_address(x: object) -> bool:
    """Whether a text is the address of an endpoint."""
    return isinstance(x, str) and x.startswith(("http://", "https://"))


def endpoint(
    address: str,
    bounds: tuple[Any, Any] | Box | None = None,
    *,
    output: Output | None = None,
    answer: str = "",
    classes: int | None = None,
    name: str | None = None,
    token: str = "",
    batch: int = 64,
    rate: float = math.inf,
    retries: int = 4,
    timeout: float = 30.0,
    largest: int = 2**26,
    cap: int = 0,
    log: str | os.PathLike[str] = "",
    remember: bool = True,
) -> Model:
    """A model that is asked over the network. One request describes it; afterwards every batch is one or more.

    An audit or an attack asks the first rows twice and alone; where all answers are alike, it asks about no row again
    afterwards. Redirects are not followed. Certificates are checked. Inputs are never written to the log.

    Args:
        address: `https://HOST/v2/models/NAME` or `.../NAME/versions/VERSION`.
        bounds: Lowest and highest value of an input; [0, 1] unless given.
        output: What the answer is: "logits", "log-probabilities", "probabilities" or "labels"; seen unless given.
        answer: The name of the output, where the model has several.
        classes: Number of classes; needed where the answer is labels.
        name: What reports call it; the model's own name unless given.
        token: Name of the environment variable that holds the bearer token. Its value is never shown.
        batch: Rows in a request.
        rate: Requests a second, at most.
        retries: Tries after the first where the endpoint is busy (429, 502, 503, 504) or the connection fails, after
            pauses that double from half a second, or that `Retry-After` asks for, 30 s at most. Each counts for `cap`.
        timeout: Seconds for one try.
        largest: Bytes of an answer, at most.
        cap: Rows that may be asked in all; 0 for no cap. What was found before stays in the run folder.
        log: A file that gets one JSON line a request: when, rows, status, bytes, seconds.
        remember: Whether a model found deterministic is asked about no row twice; query budgets count it all the same.

    Raises:
        MissingExtra: HF701 without httpx.
        ParameterError: HF001 for a limit outside its range.
        ModelError: HF207 for a schema, HF242 where the endpoint cannot be reached or refuses, HF243 for a description
            or an answer that is not what the protocol says, HF244 for an address or a token that cannot be used, HF245
            at the cap, HF247 for a log that cannot be written; asked later, HF246 for inputs that are not finite, HF249
            for rows that alone are not answered.
    """
    limits = Limits(batch=batch, rate=rate, retries=retries, timeout=timeout, largest=largest, cap=cap)
    line = Line(place(address), secret_of(token), limits, log)
    said = line.get()
    port = Port.read(line, said, answer, batch)
    source = Source(ask=port, output=check_output(output), classes=classes, remember=remember, sent=port.rows)
    return source.model(_shown(port, said, _space(bounds), name or _name(said)))


@dataclasses.dataclass(eq=False)
class Port:
    """One input and one output of the model as a torch function.

    Args:
        line: The connection.
        input: Name of the input.
        type: Its type, a name of the protocol.
        shape: Of one row; None where the endpoint does not say.
        output: Name of the output.
        batch: Rows in a request.
        known: A row that was answered; asked again where others are not.
        alone: Held while rows are asked, so that limits hold with several threads too.
    """

    line: Line
    input: str
    type: str
    shape: tuple[int, ...] | None
    output: str
    batch: int
    known: np.ndarray | None = dataclasses.field(default=None, repr=False)
    alone: Any = dataclasses.field(default_factory=threading.RLock, repr=False)

    @classmethod
    def read(cls, line: Line, said: dict[str, Any], answer: str, batch: int) -> "Port":
        """From the description of the model."""
        inputs, outputs = _tensors(said, "inputs"), _tensors(said, "outputs")
        names = [str(one["name"]) for one in outputs]
        if len(inputs) != 1:
            raise strange("the model takes one tensor", f"{len(inputs)} inputs")
        if str(inputs[0].get("datatype")) not in TYPES:
            raise strange("an input of numbers", f"datatype {inputs[0].get('datatype')!r:.40}")
        if answer not in names and (answer or len(names) != 1):
            raise strange(f"answer= one of {', '.join(names)[:200]}", repr(answer))
        shape = inputs[0].get("shape")
        known = isinstance(shape, list) and len(shape) > 1 and all(isinstance(n, int) and n > 0 for n in shape[1:])
        return cls(
            line,
            str(inputs[0]["name"]),
            str(inputs[0]["datatype"]),
            tuple(shape[1:]) if known else None,  # type: ignore[index]
            answer or names[0],
            batch,
        )

    def notes(self) -> tuple[str, ...]:
        """What is lost on the way, in words."""
        return () if self.type.startswith("FP") else (f"inputs are rounded to {self.type}, which the endpoint takes",)

    def __call__(self, x: Tensor) -> Tensor:
        """Raw answers `(batch,)` or `(batch, classes)`, float64 or int64, on the device of `x`."""
        with self.alone:
            return torch.from_numpy(self._asked(self.rows(x))).to(x.device)

    def rows(self, x: Tensor) -> np.ndarray:
        """As the endpoint wants them, `(n, ...)`."""
        values = x.detach().cpu().double().numpy()
        if self.shape is not None and values.shape[1:] != self.shape:
            if math.prod(self.shape) != math.prod(values.shape[1:]):
                raise strange(f"inputs of shape {values.shape[1:]}, as the data have", f"{self.shape}")
            values = values.reshape(len(values), *self.shape)
        kind = np.dtype(TYPES[self.type])
        if kind.kind in "iu" and bool(np.isfinite(values).all()):
            ends = np.iinfo(kind)
            values = np.clip(np.rint(values), ends.min, ends.max)
        with np.errstate(over="ignore", invalid="ignore"):
            made = values.astype(kind)
        if not bool((np.isfinite(values) & np.isfinite(made)).all()):
            raise ModelError(
                "HF246",
                "An input is no number that JSON can carry",
                seen=f"NaN, infinity, or more than {self.type} holds",
                expected="finite numbers",
                fix="fill what is missing before the model: hf.wrap(function, ...) may ask the endpoint",
            )
        return np.ascontiguousarray(made)

    def _asked(self, rows: np.ndarray) -> np.ndarray:
        """Answers, in as many requests as it takes."""
        parts = [self._one(rows[i : i + self.batch]) for i in range(0, len(rows), self.batch)]
        return np.concatenate(parts)

    def _one(self, rows: np.ndarray) -> np.ndarray:
        """Answers of one request.

        Raises:
            ModelError: HF249 where a row that was answered before still is: then it is these rows, not the endpoint.
        """
        try:
            found = self._told(rows)
        except ModelError as error:
            if error.code not in UNANSWERED or self.known is None or not self._answers_still():
                raise
            raise ModelError(
                "HF249",
                "The endpoint answers others, not these rows",
                seen=error.seen,
                fix="ask it about one of them by hand; the server's own log says more",
            ) from error
        self.known = rows[:1] if self.known is None else self.known
        return found

    def _answers_still(self) -> bool:
        """Whether the row that was answered is answered again."""
        try:
            self._told(self.known)  # type: ignore[arg-type]
        except ModelError:
            return False
        return True

    def _told(self, rows: np.ndarray) -> np.ndarray:
        """What the endpoint says about rows."""
        shape = list(rows.shape)
        tensor = {"name": self.input, "shape": shape, "datatype": self.type, "data": rows.reshape(-1).tolist()}
        said = self.line.post({"inputs": [tensor], "outputs": [{"name": self.output}]}, len(rows))
        found = next((one for one in _tensors(said, "outputs") if one["name"] == self.output), None)
        if found is None:
            raise strange(f"an output {self.output!r}", ", ".join(str(o["name"]) for o in said["outputs"])[:200])
        kind = str(found.get("datatype"))
        array = _array(found.get("data"), found.get("shape"), kind)
        if array.ndim < 1 or len(array) != len(rows):
            raise strange(f"{len(rows)} answers", f"shape {array.shape}")
        return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 and kind[:2] != "FP" else array


def _array(data: Any, shape: Any, kind: str) -> np.ndarray:
    """The numbers of a tensor, float64 or int64. Nothing that is no number of its type becomes one."""
    if kind not in TYPES and kind != "BOOL":
        raise strange("an answer of numbers", f"datatype {kind:.40}; give answer= an output of numbers")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise strange("a shape", f"{shape!r:.60}")
    try:
        told: np.ndarray = np.array(data).reshape(shape)
        with np.errstate(invalid="ignore"):
            array = told.astype(np.float64 if kind.startswith("FP") else np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise strange(f"numbers of shape {shape!r:.60}", f"{error}"[:120]) from error
    if told.dtype.kind not in ("biu" if kind == "BOOL" else "iuf") or not bool((array == told).all()):
        raise strange(f"numbers of the type {kind}, none of them missing", f"{data!r:.60}")
    return array


def _shown(port: "Port", said: dict[str, Any], space: Box, name: str) -> Model:
    """The model without its fields that can be asked."""
    return Model(
        space=space,
        name=name,
        adapter="open inference protocol",
        notes=port.notes(),
        parameters=functools.partial(_who, port.line.url, said),
        borrowed=functools.partial(borrowed),
    )


def _name(said: dict[str, Any]) -> str:
    """What the server calls the model, as far as it can stand in a report."""
    return "".join(sign for sign in str(said.get("name") or "")[:80] if sign.isprintable()) or "endpoint"


def _space(bounds: Any) -> Box:
    if isinstance(bounds, Tabular):
        raise ModelError(
            "HF207",
            "An endpoint takes a tensor of numbers, not the rows of a table",
            seen="a schema",
            fix="hf.wrap(function, schema), with a function of raw rows that asks the endpoint",
        )
    return bounds if isinstance(bounds, Box) else Box((0.0, 1.0) if bounds is None else (bounds[0], bounds[1]))


def _who(url: str, said: dict[str, Any]) -> bytes:
    return hashlib.blake2b(f"{url} {canonical(said)}".encode(), digest_size=16).digest()


def _tensors(said: dict[str, Any], which: str) -> list[dict[str, Any]]:
    found = said.get(which)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) and "name" in one for one in found):
        raise strange(f"a list of named {which}", f"{found!r:.80}")
    return found
