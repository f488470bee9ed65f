"""The connection to an endpoint: limits, retries, the log, and a secret that is shown nowhere."""

import dataclasses
import datetime
import email.utils
import json
import math
import os
import pathlib
import re
import time
import weakref
from typing import Annotated, Any
from urllib.parse import urlsplit

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.core.params import Count, Natural, Positive, Range, check
from holdfast.core.records import canonical

BUSY = (429, 502, 503, 504)  # answers that may be others a moment later
LONGEST_WAIT = 30.0  # seconds between two tries
LOOK = 270  # rows that an audit asks before its first part: what the outputs are, whether they repeat, a fingerprint
HIDDEN = "[secret]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What an endpoint may cost.

    Args:
        batch: Rows in a request.
        rate: Requests a second, at most.
        retries: Tries after the first.
        timeout: Seconds for one try.
        largest: Bytes of an answer, at most.
        cap: Rows that may be asked in all; 0 for no cap.

    Raises:
        ParameterError: HF001 for a number outside its range.
    """

    batch: Count = 64
    rate: Annotated[float, Range(0, math.inf, open_low=True)] = math.inf
    retries: Natural = 4
    timeout: Positive = 30.0
    largest: Count = 2**26
    cap: Natural = 0

    def __post_init__(self) -> None:
        check(self)


class Line:
    """The connection; what it spent is counted in `requests`, `rows` and `bytes`.

    Args:
        url: Of the model.
        secret: The bearer token; empty for none.
        limits: What may be spent.
        log: A file that gets a line a request; empty for none.
    """

    def __init__(self, url: str, secret: str, limits: Limits, log: str | os.PathLike[str] = ""):
        self.url, self.limits = url, limits
        self.log = pathlib.Path(log) if log else None
        self.requests = self.rows = self.bytes = 0
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {secret}"} if secret else {})
        self._secret = secret
        self._client = need("httpx", "http").Client(headers=headers, timeout=limits.timeout, follow_redirects=False)
        self._next = 0.0
        weakref.finalize(self, self._client.close)
        self._write("")

    @property
    def left(self) -> float:
        """Rows that may still be asked; infinity without a cap."""
        return self.limits.cap - self.rows if self.limits.cap else math.inf

    def get(self) -> dict[str, Any]:
        """The description of the model."""
        return self._ask("GET", self.url, None, 0)

    def post(self, asked: dict[str, Any], rows: int) -> dict[str, Any]:
        """The answer to a batch."""
        return self._ask("POST", f"{self.url}/infer", asked, rows)

    def _ask(self, verb: str, url: str, asked: dict[str, Any] | None, rows: int) -> dict[str, Any]:
        """One request, as often as it needs."""
        for tried in range(self.limits.retries + 1):
            self._wait(rows)
            status, body, pause, trouble = self._tried(verb, url, asked, rows, 0.5 * 2**tried)
            if not trouble:
                return self._document(body)
            if (status and status not in BUSY) or tried == self.limits.retries:
                break
            time.sleep(min(pause, LONGEST_WAIT))
        raise ModelError(
            "HF242",
            f"The endpoint does not answer {verb} {url}",
            seen=trouble,
            expected="status 200",
            fix=_advice(status),
        )

    def _tried(self, verb: str, url: str, asked: Any, rows: int, pause: float) -> tuple[int, bytes, float, str]:
        """The status, the body, how long to wait, and what went wrong; counted in any case."""
        httpx = need("httpx", "http")
        began, status, body = time.time(), 0, b""
        until = time.monotonic() + self.limits.timeout
        try:
            with self._client.stream(verb, url, json=asked) as reply:
                body = self._body(reply, until)
                status = reply.status_code
                pause = seconds(reply.headers.get("retry-after", ""), pause)
        except httpx.TransportError as error:
            return 0, b"", pause, self._clean(f"{type(error).__name__}: {error}")
        except (httpx.InvalidURL, UnicodeError) as error:
            raise _no_address("it is malformed") from error
        finally:
            self._count(verb, began, rows, status, len(body))
        said = self._clean(body[:1000].decode("utf-8", "replace"))[:200]
        return status, body, pause, "" if status == 200 else f"status {status}: {said}"

    def _body(self, reply: Any, until: float) -> bytes:
        """At most `largest` bytes of an answer, as they were sent, within the time for a try."""
        packed = reply.headers.get("content-encoding", "identity")
        if packed != "identity":
            raise strange("an answer that is not packed, as was asked for", f"content-encoding: {packed:.40}")
        body = bytearray()
        for piece in reply.iter_raw():
            body += piece
            if len(body) > self.limits.largest:
                most = f"more than {self.limits.largest} bytes"
                raise ModelError("HF243", "The endpoint's answer is too large", seen=most, fix="batch=8")
            if time.monotonic() > until:
                raise need("httpx", "http").ReadTimeout(f"no whole answer after {self.limits.timeout:g} s")
        return bytes(body)

    def _document(self, body: bytes) -> dict[str, Any]:
        """An answer, the secret struck out of its texts, however they were escaped; its numbers stay as they are."""
        try:
            said = self._struck(json.loads(body))
        except (ValueError, RecursionError):  # which quote the body: no cause
            raise strange("JSON", repr(self._clean(body[:1000].decode("utf-8", "replace"))[:80])) from None
        if not isinstance(said, dict):
            raise strange("a JSON object", type(said).__name__)
        return said

    def _struck(self, said: Any) -> Any:
        if isinstance(said, str):
            return self._clean(said)
        if isinstance(said, dict) and self._secret:
            return {self._clean(key): self._struck(value) for key, value in said.items()}
        if isinstance(said, list) and self._secret:
            return [value if type(value) in (int, float) else self._struck(value) for value in said]
        return said

    def _clean(self, text: str) -> str:
        """Without the secret, plain or as JSON writes it."""
        quoted = json.dumps(self._secret)[1:-1]
        for form in (self._secret, quoted, quoted.replace("/", "\\/")) if self._secret else ():
            text = text.replace(form, HIDDEN)
        return text

    def _wait(self, rows: int) -> None:
        """Until the next request may be sent.

        Raises:
            ModelError: HF245 where the cap does not allow it.
        """
        cap = self.limits.cap
        if cap and self.rows + rows > cap:
            raise ModelError(
                "HF245",
                "The cap of rows that the endpoint may be asked is reached",
                seen=f"{self.rows} asked, {rows} more wanted, cap={cap}",
                fix=f"a larger cap; a look at a model takes about {LOOK} rows, and what a run finishes beyond them "
                "stays for the same command",
            )
        now = time.monotonic()
        if now < self._next:
            time.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.limits.rate

    def _count(self, verb: str, began: float, rows: int, status: int, size: int) -> None:
        self.requests, self.rows, self.bytes = self.requests + 1, self.rows + rows, self.bytes + size
        spent = {"rows": rows, "status": status, "bytes": size, "seconds": round(time.time() - began, 4)}
        self._write(canonical({"time": round(began, 3), "request": verb, **spent}) + "\n")

    def _write(self, line: str) -> None:
        if self.log is None:
            return
        try:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise ModelError(
                "HF247",
                "The log of the endpoint cannot be written",
                seen=f"{error}",
                fix="log= a file in a folder of yours",
            ) from error


def place(address: str) -> str:
    """The address of the model, without `/infer`.

    Raises:
        ModelError: HF244 for an address that is none, or holds more than a place.
    """
    if not isinstance(address, str):
        raise _no_address(repr(address)[:120])
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise _no_address("it is malformed") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ModelError(
            "HF244",
            "The address holds more than a place",
            seen="a user, a password or a query",
            expected="https://HOST/v2/models/NAME",
            fix="put secrets into an environment variable and give its name: token='MY_TOKEN'",
        )
    name = parts.path.partition("/v2/models/")[2].strip("/")
    if not known or not name:
        raise _no_address(address[:120])
    found = address.rstrip("/")
    return found.removesuffix("/infer") if "/" in name else found


def secret_of(token: str) -> str:
    """The value of an environment variable, a secret; nothing where none is named.

    Raises:
        ModelError: HF244 where it cannot stand in a header. A name that could be a secret itself is not shown.
    """
    if not token:
        return ""
    value = os.environ.get(token, "") if "\0" not in token and "=" not in token else ""
    if not value or not value.isascii() or not value.isprintable() or value != value.strip():
        what = "not one printable word" if value else "empty or not set"
        plain = token if re.fullmatch("[A-Z_]{1,40}", token) else "it"
        raise ModelError(
            "HF244",
            "The environment variable of the token is not usable",
            seen=f"{plain} is {what}",
            fix="export MY_TOKEN=... and token='MY_TOKEN': the variable's name, never the secret",
        )
    return value


def seconds(text: str, otherwise: float) -> float:
    """`Retry-After`, a number of seconds or a date, in seconds from now."""
    if text.strip().isascii() and text.strip().isdigit():
        return float(text)
    try:
        then = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return otherwise
    then = then if then.tzinfo else then.replace(tzinfo=datetime.UTC)
    return max(0.0, (then - datetime.datetime.now(datetime.UTC)).total_seconds())


def strange(expected: str, seen: str) -> ModelError:
    """The error for an answer that is not what the protocol prescribes."""
    return ModelError("HF243", "The endpoint does not say what the protocol asks for", seen=seen, expected=expected)


def _no_address(seen: str) -> ModelError:
    return ModelError(
        "HF244",
        "This is no address of a model",
        seen=seen,
        expected="https://HOST/v2/models/NAME, of the Open Inference Protocol",
    )


def _advice(status: int) -> str:
    if 300 <= status < 400:
        return "give the address it leads to: redirects are not followed"
    if status in (401, 403):
        return "export MY_TOKEN=... and token='MY_TOKEN'"
    return "check the address, and that the server runs" if status in (0, 404) else "the server's own log says more"
