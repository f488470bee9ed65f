"""A server on loopback that speaks the Open Inference Protocol, version 2, around any function; it can misbehave."""

import contextlib
import http.server
import json
import threading

import numpy as np

KINDS = {"FP32": np.float32, "FP64": np.float64, "UINT8": np.uint8, "INT64": np.int64}


class Server(http.server.ThreadingHTTPServer):
    """Answers `predict(rows) -> {output name: array}` under `/v2/models/digits`.

    Args:
        predict: What is served.
        inputs, outputs: As the description says them.
        fault: (verb, body) -> (status, headers, bytes) that is sent instead, a function of the connection, or None.
        token: The bearer token that is wanted; empty for none.
    """

    def __init__(self, predict, inputs, outputs, fault=None, token=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.predict, self.inputs, self.outputs, self.fault, self.token = predict, inputs, outputs, fault, token
        self.seen = []  # (verb, rows, headers)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/v2/models/digits"

    @property
    def rows(self):
        return sum(rows for _, rows, _ in self.seen)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms

    def handle(self):
        """A client that has left, which is what some tests are about, is no news."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self):
        self.answered("GET", b"")

    def do_POST(self):
        self.answered("POST", self.rfile.read(int(self.headers["content-length"])))

    def answered(self, verb, body):
        asked = json.loads(body) if body else None
        self.server.seen.append((verb, asked["inputs"][0]["shape"][0] if asked else 0, dict(self.headers)))
        found = self.server.fault and self.server.fault(verb, asked)
        if callable(found):
            found(self)
            self.close_connection = True
        elif found:
            self.send(*found)
        elif self.server.token and self.headers.get("authorization") != f"Bearer {self.server.token}":
            self.send(401, {}, b'{"error": "who are you?"}')
        elif self.path == "/v2/models/digits" and verb == "GET":
            said = {"name": "digits", "versions": ["1"], "platform": "test", "inputs": self.server.inputs}
            self.send(200, {}, json.dumps({**said, "outputs": self.server.outputs}).encode())
        elif self.path == "/v2/models/digits/infer" and verb == "POST":
            tensor = asked["inputs"][0]
            rows = np.array(tensor["data"], KINDS[tensor["datatype"]]).reshape(tensor["shape"])
            kinds = {one["name"]: one["datatype"] for one in self.server.outputs}
            out = [
                {"name": name, "shape": list(array.shape), "datatype": kinds[name], "data": array.reshape(-1).tolist()}
                for name, array in self.server.predict(rows).items()
                if name in [one["name"] for one in asked["outputs"]]
            ]
            self.send(200, {}, json.dumps({"model_name": "digits", "outputs": out}).encode())
        else:
            self.send(404, {}, b"not here")

    def send(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing on stderr."""


@contextlib.contextmanager
def served(predict, inputs=None, outputs=None, **more):
    """A running server, stopped afterwards."""
    inputs = inputs or [{"name": "x", "datatype": "FP64", "shape": [-1, 64]}]
    server = Server(predict, inputs, outputs or [{"name": "p", "datatype": "FP64", "shape": [-1, 10]}], **more)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
