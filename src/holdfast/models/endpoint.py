"""A model behind an HTTP endpoint that speaks the Open Inference Protocol, version 2 (KServe, Triton, MLServer, ...).

https://github.com/kserve/open-inference-protocol: `GET v2/models/NAME` describes inputs and outputs, `POST
v2/models/NAME/infer` answers a batch of tensors.
"""

import collections
import dataclasses
import functools
import hashlib
import json
import math
import os
import pathlib
import time
import weakref
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.core.records import canonical
from holdfast.models.borrow import borrowed
from holdfast.models.model import Model
from holdfast.models.outputs import Output, check_output
from holdfast.models.source import Source
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular

TYPES = {"FP64": "f8", "FP32": "f4", "FP16": "f2"} | {f"INT{8 * n}": f"i{n}" for n in (1, 2, 4, 8)}
TYPES |= {f"UINT{8 * n}": f"u{n}" for n in (1, 2, 4, 8)}
BUSY = (429, 502, 503, 504)  # answers that may be others a moment later
LONGEST_WAIT = 30.0  # seconds between two tries
LOOKED_AT = 4  # rows asked twice before answers are remembered
REMEMBERED = 200_000  # rows


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
) -> Model:
    """A model that is asked over the network. One request describes it; afterwards every batch is one or more.

    Answers are remembered by the digest of a row once the first rows, asked twice, were answered twice alike: no row is
    paid twice. Redirects are not followed. Certificates are checked. Inputs are never written to the log.

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
            pauses that double from half a second, or that `Retry-After` asks for, 30 s at most.
        timeout: Seconds for one try.
        largest: Bytes of an answer, at most.
        cap: Rows that may be asked in all; 0 for no cap. What was found before stays in the run folder.
        log: A file that gets one JSON line a request: when, rows, status, bytes, seconds.

    Raises:
        MissingExtra: HF701 without httpx.
        ModelError: HF207 for a schema, HF242 where the endpoint cannot be reached or refuses, HF243 for a description
            or an answer that is not what the protocol says, HF244 for an address or a token that cannot be used, HF245
            at the cap.
    """
    need("httpx", "http")
    line = Line(_address(address), _header(token), rate, retries, timeout, largest, cap, log)
    said = line.get()
    port = Port.read(line, said, answer, batch)
    shown = Model(
        space=_space(bounds),
        name=name or str(said.get("name", "")) or "endpoint",
        adapter="open inference protocol",
        notes=port.notes(),
        parameters=functools.partial(_who, line.url, said),
        borrowed=functools.partial(borrowed),
    )
    return Source(ask=port, output=check_output(output), classes=classes).model(shown)


class Line:
    """The connection: limits, retries, the log; what it spent is counted in `requests`, `rows` and `bytes`."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        rate: float,
        retries: int,
        timeout: float,
        largest: int,
        cap: int,
        log: str | os.PathLike[str],
    ):
        self.url, self.rate, self.retries, self.largest = url, rate, retries, largest
        self.cap = cap
        self.log = pathlib.Path(log) if log else None
        self.requests = self.rows = self.bytes = 0
        self._client = need("httpx", "http").Client(headers=headers, timeout=timeout, follow_redirects=False)
        self._next = 0.0
        weakref.finalize(self, self._client.close)

    def get(self) -> dict[str, Any]:
        """The description of the model."""
        return self._ask("GET", self.url, None, 0)

    def post(self, asked: dict[str, Any], rows: int) -> dict[str, Any]:
        """The answer to a batch."""
        if self.cap and self.rows + rows > self.cap:
            raise ModelError(
                "HF245",
                "The cap of rows that the endpoint may be asked is reached",
                seen=f"{self.rows} asked, {rows} more wanted, cap={self.cap}",
                fix="a larger cap=; finished parts of a run stay, and the same command continues",
            )
        return self._ask("POST", f"{self.url}/infer", asked, rows)

    def _ask(self, verb: str, url: str, asked: dict[str, Any] | None, rows: int) -> dict[str, Any]:
        """One request, as often as it needs."""
        httpx = need("httpx", "http")
        for tried in range(self.retries + 1):
            self._wait()
            began, status, body, pause = time.time(), 0, b"", 0.5 * 2**tried
            try:
                with self._client.stream(verb, url, json=asked) as reply:
                    status, body = reply.status_code, self._body(reply)
                    pause = _seconds(reply.headers.get("retry-after", ""), pause)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                trouble = "" if status == 200 else f"status {status}: {body[:200].decode('utf-8', 'replace')}"
            self._count(verb, began, rows, status, len(body))
            if not trouble:
                return _document(body)
            if (status and status not in BUSY) or tried == self.retries:
                break
            time.sleep(min(pause, LONGEST_WAIT))
        raise ModelError(
            "HF242",
            f"The endpoint does not answer {verb} {url}",
            seen=trouble,
            expected="status 200",
            fix=_advice(status),
        )

    def _body(self, reply: Any) -> bytes:
        """At most `largest` bytes of an answer."""
        body = bytearray()
        for piece in reply.iter_raw():
            body += piece
            if len(body) > self.largest:
                raise ModelError(
                    "HF243", "The endpoint's answer is too large", seen=f"more than {self.largest} bytes", fix="batch=8"
                )
        return bytes(body)

    def _wait(self) -> None:
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.rate

    def _count(self, verb: str, began: float, rows: int, status: int, size: int) -> None:
        self.requests, self.rows, self.bytes = self.requests + 1, self.rows + rows, self.bytes + size
        if self.log is not None:
            spent = {"rows": rows, "status": status, "bytes": size, "seconds": round(time.time() - began, 4)}
            with self.log.open("a", encoding="utf-8") as file:
                file.write(canonical({"time": round(began, 3), "request": verb, **spent}) + "\n")


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
        kept: Answers by the digest of a row.
        alike: Whether the first rows were answered twice alike; None before the first batch.
    """

    line: Line
    input: str
    type: str
    shape: tuple[int, ...] | None
    output: str
    batch: int
    kept: "collections.OrderedDict[bytes, np.ndarray]" = dataclasses.field(default_factory=collections.OrderedDict)
    alike: bool | None = None

    @classmethod
    def read(cls, line: Line, said: dict[str, Any], answer: str, batch: int) -> "Port":
        """From the description of the model."""
        inputs, outputs = _tensors(said, "inputs"), _tensors(said, "outputs")
        names = [str(one["name"]) for one in outputs]
        if len(inputs) != 1:
            raise _strange("the model takes one tensor", f"{len(inputs)} inputs")
        if str(inputs[0].get("datatype")) not in TYPES:
            raise _strange("an input of numbers", f"datatype {inputs[0].get('datatype')!r:.40}")
        if answer not in names and (answer or len(names) != 1):
            raise _strange(f"answer= one of {', '.join(names)[:200]}", repr(answer))
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
        rows = self._rows(x)
        if self.alike is None and len(rows):
            first, second = (self._asked(rows[:LOOKED_AT]) for _ in range(2))
            self.alike = bool(np.array_equal(first, second))
        if not self.alike:
            return torch.from_numpy(self._asked(rows)).to(x.device)
        keys = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]
        new = {key: i for i, key in enumerate(keys) if key not in self.kept}
        if new:
            found = self._asked(rows[list(new.values())])
            self.kept.update(zip(new, found, strict=True))
        out = np.stack([self.kept[key] for key in keys])
        while len(self.kept) > REMEMBERED:
            self.kept.popitem(last=False)
        return torch.from_numpy(out).to(x.device)

    def _rows(self, x: Tensor) -> np.ndarray:
        """As the endpoint wants them."""
        values = x.detach().cpu().double().numpy()
        if self.shape is not None and values.shape[1:] != self.shape:
            if math.prod(self.shape) != math.prod(values.shape[1:]):
                raise _strange(f"inputs of shape {values.shape[1:]}, as the data have", f"{self.shape}")
            values = values.reshape(len(values), *self.shape)
        kind = np.dtype(TYPES[self.type])
        if kind.kind in "iu":
            ends = np.iinfo(kind)
            values = np.clip(np.rint(values), ends.min, ends.max)
        return np.ascontiguousarray(values.astype(kind))

    def _asked(self, rows: np.ndarray) -> np.ndarray:
        """Answers, in as many requests as it takes."""
        parts = [self._one(rows[i : i + self.batch]) for i in range(0, len(rows), self.batch)]
        return np.concatenate(parts)

    def _one(self, rows: np.ndarray) -> np.ndarray:
        shape = list(rows.shape)
        tensor = {"name": self.input, "shape": shape, "datatype": self.type, "data": rows.reshape(-1).tolist()}
        said = self.line.post({"inputs": [tensor], "outputs": [{"name": self.output}]}, len(rows))
        found = next((one for one in _tensors(said, "outputs") if one["name"] == self.output), None)
        if found is None:
            raise _strange(f"an output {self.output!r}", ", ".join(str(o["name"]) for o in said["outputs"])[:200])
        kind, shape = str(found.get("datatype")), found.get("shape", [])
        if kind not in TYPES and kind != "BOOL":
            raise _strange("an answer of numbers", f"datatype {kind:.40}; give answer= an output of numbers")
        try:
            array: np.ndarray = np.array(
                found.get("data"), dtype=np.float64 if kind.startswith("FP") else np.int64
            ).reshape(-1)
            array = array.reshape(tuple(int(n) for n in shape))
        except (TypeError, ValueError, OverflowError) as error:
            raise _strange(f"numbers of shape {shape!r:.60}", f"{error}"[:120]) from error
        if array.ndim < 1 or len(array) != len(rows):
            raise _strange(f"{len(rows)} answers", f"shape {array.shape}")
        return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 and kind[:2] != "FP" else array


def _space(bounds: Any) -> Box:
    if isinstance(bounds, Tabular):
        raise ModelError(
            "HF207",
            "An endpoint takes a tensor of numbers, not the rows of a table",
            seen="a schema",
            fix="hf.wrap(function, schema), with a function of raw rows that asks the endpoint",
        )
    return bounds if isinstance(bounds, Box) else Box((0.0, 1.0) if bounds is None else (bounds[0], bounds[1]))


def _address(address: str) -> str:
    parts = urlsplit(address)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ModelError(
            "HF244",
            "The address holds more than a place",
            seen="a user, a password or a query",
            expected="https://HOST/v2/models/NAME",
            fix="put secrets into an environment variable and give its name: token='MY_TOKEN'",
        )
    if "/v2/models/" not in parts.path or not parts.path.partition("/v2/models/")[2].strip("/"):
        raise ModelError(
            "HF244",
            "This is no address of a model",
            seen=address[:120],
            expected="https://HOST/v2/models/NAME, of the Open Inference Protocol",
        )
    return address.rstrip("/").removesuffix("/infer")


def _header(token: str) -> dict[str, str]:
    if not token:
        return {"Accept-Encoding": "identity"}
    value = os.environ.get(token, "")
    if not value or not value.isascii() or not value.isprintable():
        raise ModelError(
            "HF244",
            "The environment variable of the token is not usable",
            seen=f"{token:.40} is {'not printable' if value else 'empty or not set'}",
            fix=f"export {token:.40}=...; token= takes the variable's name, never the secret",
        )
    return {"Accept-Encoding": "identity", "Authorization": f"Bearer {value}"}


def _who(url: str, said: dict[str, Any]) -> bytes:
    return hashlib.blake2b(f"{url} {canonical(said)}".encode(), digest_size=16).digest()


def _document(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _strange("JSON", f"{body[:80]!r}") from error
    if not isinstance(said, dict):
        raise _strange("a JSON object", type(said).__name__)
    return said


def _tensors(said: dict[str, Any], which: str) -> list[dict[str, Any]]:
    found = said.get(which)
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) and "name" in one for one in found):
        raise _strange(f"a list of named {which}", f"{found!r:.80}")
    return found


def _strange(expected: str, seen: str) -> ModelError:
    return ModelError("HF243", "The endpoint does not say what the protocol asks for", seen=seen, expected=expected)


def _seconds(text: str, otherwise: float) -> float:
    """`Retry-After` in seconds; dates are not read."""
    return float(text) if text.strip().isdigit() else otherwise


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "give the address it leads to: redirects are not followed"
    if status in (401, 403):
        return "export MY_TOKEN=... and token='MY_TOKEN'"
    return "check the address, and that the server runs" if status in (0, 404) else "the server's own log says more"
