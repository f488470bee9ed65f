"""Models behind an address: what is asked, how often, and what a server may not do to us."""

import dataclasses
import datetime
import email.utils
import json
import threading

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

import holdfast as hf
from holdfast.cli.audit import Request, reproducing
from holdfast.cli.subject import load_model
from holdfast.core.errors import ModelError, ParameterError, UsageError
from holdfast.core.progress import RunStarted
from holdfast.models import line as module
from holdfast.models.settle import fingerprint, settle
from holdfast.models.source import source_of
from holdfast.models.spending import Spent, spent
from models.served import served

pytest.importorskip("httpx")


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data / 16, data.target


@pytest.fixture(scope="module")
def forest(digits):
    return RandomForestClassifier(10, random_state=0).fit(digits[0][:1000], digits[1][:1000])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses between tries take no time, and are remembered."""
    paused = []
    monkeypatch.setattr(module.time, "sleep", paused.append)
    return paused


def probabilities(estimator):
    return lambda rows: {"p": estimator.predict_proba(rows)}


def test_it_answers_as_the_model_behind_and_is_attacked_like_any_function(digits, forest):
    x, y = torch.from_numpy(digits[0][1000:1040]), torch.from_numpy(digits[1][1000:1040])
    with served(probabilities(forest)) as server:
        model = settle(hf.wrap(server.address), x)
        assert (model.name, model.adapter, model.classes) == ("digits", "open inference protocol", 10)
        assert model.module is None
        assert np.array_equal(model.predict(x).numpy(), forest.predict(x.numpy()))
        assert np.allclose(model.scores(x).exp().numpy(), forest.predict_proba(x.numpy()), atol=1e-5)
        out = hf.run(hf.attacks.Square(steps=60), model, x, y, "linf:0.3,knowledge=scores")
        local = hf.run(hf.attacks.Square(steps=60), settle(hf.wrap(forest), x), x, y, "linf:0.3,knowledge=scores")
        assert out.status == local.status
        assert "broken" in out.status
        assert fingerprint(model, (64,)) == fingerprint(settle(hf.wrap(server.address), x), (64,))


def test_no_row_is_paid_twice(digits, forest):
    x = torch.from_numpy(digits[0][:50])
    with served(probabilities(forest)) as server:
        model = settle(hf.endpoint(server.address, batch=16), x)
        look, before = server.rows, len(server.seen)
        first = model.scores(x)
        assert server.rows == look + 50
        assert [rows for _, rows, _ in server.seen[before:]] == [16, 16, 16, 2]
        again = model.scores(torch.cat([x[10:20], x[:1] + 0.5, x[:1] + 0.5]))
        assert server.rows == look + 50 + 1
        assert torch.equal(again[:10], first[10:20])
        assert spent(model) == Spent(51, 11)


def test_what_is_remembered_of_an_endpoint_lasts_for_one_look_and_can_be_turned_off(digits, forest):
    x, turn = torch.from_numpy(digits[0][:40]), [0]
    with served(lambda rows: {"p": np.roll(forest.predict_proba(rows), turn[0], 1)}) as server:
        kept, anew = hf.endpoint(server.address), hf.endpoint(server.address, remember=False)
        for model in (kept, anew, hf.wrap(server.address), hf.wrap(server.address, remember=False)):
            decisions, before = settle(model, x).predict(x), server.rows
            turn[0] = 1
            assert not torch.equal(settle(model, x).predict(x), decisions), "the server has another model now"
            turn[0], one = 0, settle(model, x)
            one.predict(x)
            before = server.rows
            one.predict(x)
            assert server.rows == before + (40 if source_of(model).remember is False else 0)
        assert [source_of(hf.wrap(server.address, remember=r)).remember for r in (None, True, False)] == [
            True,
            True,
            False,
        ]
        several = settle(hf.wrap([server.address, server.address], remember=False), x)
        before = server.rows
        several.predict(x[:5])
        several.predict(x[:5])
        assert server.rows == before + 20


def test_rows_that_are_rounded_alike_are_one_question():
    inputs = [{"name": "picture", "datatype": "UINT8", "shape": [-1, 2]}]
    outputs = [{"name": "label", "datatype": "INT64", "shape": [-1]}]
    with served(lambda rows: {"label": (rows.sum(1) > 200).astype(np.int64)}, inputs, outputs) as server:
        x = torch.tensor([[10.0, 20.0], [200.0, 30.0]])
        model = settle(hf.endpoint(server.address, (0, 255), classes=2), x)
        before = server.rows
        assert model.labels(torch.cat([x, x + 0.3, x - 0.3])).tolist() == [0, 1] * 3
        assert server.rows == before + 2


def test_an_audit_sees_that_an_endpoint_does_not_repeat_itself(digits, forest, tmp_path):
    """Answers that begin to waver after the first look: memory must not hide it from the masking battery."""
    draw, data = np.random.default_rng(0), hf.Dataset(digits[0][1000:1030], digits[1][1000:1030], bounds=(0, 1))
    wavers = [False]

    def predict(rows):
        found = forest.predict_proba(rows)
        return {"p": draw.dirichlet(np.ones(10), len(rows)) if wavers[0] else found}

    def begins(event):
        wavers[0] = wavers[0] or isinstance(event, RunStarted)

    with served(predict) as server:
        asked = {"threat": "linf:0.1,knowledge=scores,queries=5", "suite": "square(steps=4)"}
        found = hf.audit(hf.endpoint(server.address), data, out=tmp_path / "a", on_event=begins, **asked)
    check = next(c for c in found.summary.masking.checks if c.name == "determinism")
    assert check.state == "suspect"


def test_a_model_that_draws_random_numbers_is_asked_every_time(digits):
    draw, x = np.random.default_rng(0), torch.from_numpy(digits[0][:20])
    with served(lambda rows: {"p": draw.dirichlet(np.ones(10), len(rows))}) as server:
        model = settle(hf.endpoint(server.address), x)
        assert model.random
        before = server.rows
        assert not torch.equal(model.scores(x), model.scores(x))
        assert server.rows == before + 40


def test_inputs_go_in_the_type_and_shape_that_the_endpoint_names():
    seen = []

    def predict(rows):
        seen.append(rows)
        return {"label": (rows.reshape(len(rows), -1).sum(1) > 40).astype(np.int64)}

    inputs = [{"name": "picture", "datatype": "UINT8", "shape": [-1, 2, 3]}]
    with served(predict, inputs, [{"name": "label", "datatype": "INT64", "shape": [-1]}]) as server:
        model = hf.endpoint(server.address, (0, 255), classes=2)
        x = torch.tensor([[0.4, 0.6, 254.7, 300.0, -3.0, 7.0], [1.0, 2, 3, 4, 5, 6]])
        assert model.labels(x).tolist() == [1, 0]
        assert seen[-1].tolist() == [[[0, 1, 255], [255, 0, 7]], [[1, 2, 3], [4, 5, 6]]]
        assert model.notes == ("inputs are rounded to UINT8, which the endpoint takes",)
        with pytest.raises(ModelError, match="HF243 .*shape"):
            model.labels(torch.zeros(1, 7))


def test_one_of_several_outputs_is_named(digits, forest):
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": [-1]},
        {"name": "p", "datatype": "FP64", "shape": [-1, 10]},
    ]
    with served(probabilities(forest), outputs=outputs) as server:
        with pytest.raises(ModelError, match="HF243 .*answer= one of label, p"):
            hf.endpoint(server.address)
        assert hf.endpoint(server.address, answer="p").scores(torch.from_numpy(digits[0][:3])).shape == (3, 10)


def test_a_busy_endpoint_is_asked_again_and_a_refusing_one_is_not(digits, forest, quick):
    left = [(503, {}, b""), (429, {"Retry-After": "7"}, b""), (503, {"Retry-After": "900"}, b"")]
    with served(probabilities(forest), fault=lambda verb, asked: left.pop(0) if left else None) as server:
        hf.endpoint(server.address)
        assert quick == [0.5, 7, module.LONGEST_WAIT]
        assert len(server.seen) == 4
    with served(probabilities(forest), fault=lambda verb, asked: (500, {}, b"<b>dear me</b>")) as server:
        with pytest.raises(ModelError, match="HF242 .*status 500: <b>dear me</b>"):
            hf.endpoint(server.address)
        assert len(server.seen) == 1
    with served(probabilities(forest), fault=lambda verb, asked: (503, {}, b"")) as server:
        with pytest.raises(ModelError, match="HF242 .*status 503"):
            hf.endpoint(server.address, retries=2)
        assert len(server.seen) == 3


def test_nobody_there_is_one_clear_line(quick):
    with served(lambda rows: {}) as server:
        address = server.address
    with pytest.raises(ModelError, match="HF242 .*ConnectError") as found:
        hf.endpoint(address, retries=1)
    assert "\n" not in str(found.value)


def test_redirects_are_not_followed(forest):
    with served(probabilities(forest)) as other:
        fault = (302, {"Location": other.address}, b"")
        with (
            served(probabilities(forest), fault=lambda verb, asked: fault) as server,
            pytest.raises(ModelError, match="HF242 .*redirects are not followed"),
        ):
            hf.endpoint(server.address)
        assert other.seen == []


@pytest.mark.parametrize(
    "said",
    [
        b"<html>",
        b"[1, 2]",
        b'{"outputs": []}',
        b'{"outputs": [{"name": "other", "shape": [3, 10], "datatype": "FP64", "data": []}]}',
        b'{"outputs": [{"name": "p", "shape": [3, 10], "datatype": "FP64", "data": [1, 2]}]}',
        b'{"outputs": [{"name": "p", "shape": [2, 1], "datatype": "FP64", "data": [1, 2]}]}',
        b'{"outputs": [{"name": "p", "shape": [], "datatype": "FP64", "data": [1]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, 1], "datatype": "BYTES", "data": ["a", "b", "c"]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, "x"], "datatype": "FP64", "data": [1, 2, 3]}]}',
        b'{"outputs": [{"name": "p", "shape": [3], "datatype": "FP64", "data": [1, 2, {"a": 1}]}]}',
        b'{"outputs": [{"name": "p", "shape": [3], "datatype": "INT64", "data": [1, 2, 99999999999999999999]}]}',
        b'{"outputs": [{"name": "p", "shape": [3], "datatype": "INT64", "data": [1, 2, 9223372036854775808]}]}',
        b'{"outputs": [{"name": "p", "shape": [3], "datatype": "INT64", "data": [1, 2, 0.7]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, 1], "datatype": "FP64", "data": [1, 2, NaN]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, 1], "datatype": "FP64", "data": [1, 2, null]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, 1], "datatype": "FP64", "data": ["1", "2", "3"]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, -1], "datatype": "FP64", "data": [1, 2, 3]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, true], "datatype": "FP64", "data": [1, 2, 3]}]}',
        b'{"outputs": [{"name": "p", "shape": [3, 1], "datatype": "FP64"}]}',
        b'{"outputs": [{"name": "p", "shape": 3, "datatype": "FP64", "data": [1, 2, 3]}]}',
        b"[" * 100_000,
    ],
)
def test_a_hostile_answer_is_one_clear_line(digits, forest, said):
    with served(probabilities(forest), fault=lambda verb, asked: (200, {}, said) if asked else None) as server:
        model = hf.endpoint(server.address)
        with pytest.raises(ModelError, match="^HF243 ") as found:
            model.scores(torch.from_numpy(digits[0][:3]))
        assert len(str(found.value)) < 600


def test_an_answer_that_does_not_end_is_cut_off(forest):
    with (
        served(probabilities(forest), fault=lambda verb, asked: (200, {}, b" " * 300_000)) as server,
        pytest.raises(ModelError, match="HF243 .*more than 100000 bytes"),
    ):
        hf.endpoint(server.address, largest=100_000)


def test_the_secret_comes_by_the_name_of_a_variable_and_is_shown_nowhere(digits, forest, monkeypatch, tmp_path, caplog):
    secret, x = "s3cret-of-mine", torch.from_numpy(digits[0][:3])
    with served(probabilities(forest), token=secret) as server:
        with pytest.raises(ModelError, match="HF242 .*status 401"):
            hf.endpoint(server.address)
        with pytest.raises(ModelError, match="HF244 .*MINE is empty or not set"):
            hf.endpoint(server.address, token="MINE")
        monkeypatch.setenv("MINE", secret)
        model = settle(hf.endpoint(server.address, token="MINE", log=tmp_path / "log.jsonl"), x)
        assert secret not in repr(model) + repr(model.notes) + caplog.text + (tmp_path / "log.jsonl").read_text()
        monkeypatch.setenv("HOLDFAST_ENDPOINT_TOKEN", secret)
        assert load_model(server.address, "", (0, 1)).scores(x).shape == (3, 10)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["request"] for line in lines][:3] == ["GET", "POST", "POST"]
    assert {"time", "request", "rows", "status", "bytes", "seconds"} == set(lines[0])


@pytest.mark.parametrize(
    "address",
    [
        None,
        "ftp://127.0.0.1/v2/models/m",
        "http://me:secret@127.0.0.1/v2/models/m",
        "http://127.0.0.1/v2/models/m?key=secret",
        "http://127.0.0.1/v2/models/",
        "http://127.0.0.1/predict",
        "http://me:se/cret@127.0.0.1/v2/models/m",
        "http://[::1/v2/models/m",
        "http:///v2/models/m",
        "http://127.0.0.1:99999/v2/models/m",
        "http://127.0.0.1\0/v2/models/m",
        "http://a..b/v2/models/m",
    ],
)
def test_addresses_with_secrets_or_without_a_model_are_refused_before_anything_is_sent(address):
    with pytest.raises(ModelError, match="^HF244 ") as found:
        hf.endpoint(address)
    assert "me:secret" not in str(found.value)
    assert "key=secret" not in str(found.value)
    assert "se/cret" not in str(found.value)


def test_a_cap_is_exact_and_a_rate_is_kept(digits, forest, quick):
    x = torch.from_numpy(digits[0][:40])
    with served(probabilities(forest)) as server:
        model = hf.endpoint(server.address, cap=20, rate=10.0)
        for rows in (x[:12], x[:4], x[:4]):
            model.scores(rows)
        assert server.rows == 20
        with pytest.raises(ModelError, match="HF245 .*20 asked, 1 more wanted, cap=20"):
            model.scores(x[20:21])
        assert server.rows == 20
        assert len(quick) == 3, "a pause before each request but the first"
        assert all(0 < pause <= 0.1 * 4 for pause in quick)


def test_an_audit_of_an_address_is_the_audit_of_the_model(digits, forest, tmp_path):
    data = hf.Dataset(digits[0][1000:1030], digits[1][1000:1030], bounds=(0, 1))
    binary = LogisticRegression(max_iter=500).fit(digits[0][:500], digits[1][:500])
    with served(probabilities(binary)) as server:
        threat = "linf:0.15,knowledge=scores,queries=40"
        far = hf.audit(hf.wrap(server.address), data, threat=threat, suite="quick", out=tmp_path / "far")
        near = hf.audit(hf.wrap(binary.predict_proba), data, threat=threat, suite="quick", out=tmp_path / "near")
    assert far.to_frame()["status"].tolist() == near.to_frame()["status"].tolist()


@pytest.mark.parametrize(
    "limits",
    [{"rate": 0}, {"rate": float("nan")}, {"batch": 0}, {"retries": -1}, {"timeout": 0}, {"largest": 0}, {"cap": -1}],
    ids=str,
)
def test_impossible_limits_are_refused_before_anything_is_sent(limits):
    with pytest.raises(ParameterError, match=f"HF001 The '{next(iter(limits))}' parameter"):
        hf.endpoint("http://127.0.0.1:9/v2/models/m", **limits)


def test_retry_after_is_a_number_or_a_date():
    now = datetime.datetime.now(datetime.UTC)
    soon, past = (email.utils.format_datetime(now + datetime.timedelta(seconds=s), usegmt=True) for s in (20, -20))
    assert module.seconds("7", 1.0) == 7
    assert 15 < module.seconds(soon, 1.0) <= 20
    assert module.seconds(past, 1.0) == 0
    assert module.seconds("9" * 400, 1.0) == float("inf"), "of which 30 s are waited"
    for other in ("", "\u00b2", "-5", "1.5e", "Wed, 99 Foo 2020", "Mon, 01 Jan 99999 00:00:00 GMT"):
        assert module.seconds(other, 1.25) == 1.25


def cut(handler):
    """A connection that breaks in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"outputs"')


def drip(handler):
    """A byte now and then, without end."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b" ")
        threading.Event().wait(0.02)


def test_broken_connections_are_tried_again_and_slow_ones_are_given_up(digits, forest):
    x, faults = torch.from_numpy(digits[0][:3]), [cut, cut]
    with served(probabilities(forest), fault=lambda verb, asked: faults.pop() if faults and asked else None) as server:
        model = hf.endpoint(server.address)
        assert np.allclose(model.scores(x).exp().numpy(), forest.predict_proba(x.numpy()), atol=1e-5)
        assert server.rows == 3 * 3
    with (
        served(probabilities(forest), fault=lambda verb, asked: drip) as server,
        pytest.raises(ModelError, match=r"HF242 .*no whole answer after 0\.1 s"),
    ):
        hf.endpoint(server.address, timeout=0.1, retries=0)


def test_packed_answers_are_refused(forest):
    fault = (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b")
    with (
        served(probabilities(forest), fault=lambda verb, asked: fault) as server,
        pytest.raises(ModelError, match="HF243 .*content-encoding: gzip"),
    ):
        hf.endpoint(server.address)


def test_a_secret_of_digits_leaves_the_numbers_alone(digits, forest, monkeypatch):
    monkeypatch.setenv("MINE", "33")
    with served(lambda rows: {"p": np.full((len(rows), 10), 1 / 3, np.float32)}, token="33") as server:
        model = hf.endpoint(server.address, token="MINE", output="logits")
        assert torch.allclose(model.scores(torch.from_numpy(digits[0][:2])), torch.tensor(1 / 3).double(), atol=1e-6)


def test_a_server_that_repeats_the_secret_does_not_spread_it(forest, monkeypatch):
    secret = "s3cret-of-mine"
    monkeypatch.setenv("MINE", secret)
    for status, body in ((401, f"bad token {secret}".encode()), (200, f"<{secret}>".encode())):
        with served(probabilities(forest), fault=lambda verb, asked, found=(status, {}, body): found) as server:
            with pytest.raises(ModelError, match=r"\[secret\]") as caught:
                hf.endpoint(server.address, token="MINE")
            assert secret not in str(caught.value) + repr(caught.value.__cause__)
    with pytest.raises(ModelError, match="HF244 .*it is empty or not set") as caught:
        hf.endpoint("http://127.0.0.1:9/v2/models/m", token=secret)
    assert secret not in str(caught.value)
    said = {"name": "HERE", "inputs": [{"name": "x", "datatype": "HERE", "shape": [-1, 4]}]}
    said["outputs"] = [{"name": "p", "datatype": "FP32", "shape": [-1, 10]}]
    escaped = (("hunter2/AB", r"hunter2\/AB"), ("hunter2/AB", r"\u0068unter2/AB"), ('hun"ter2', r"hun\"ter2"))
    for own, written in escaped:
        monkeypatch.setenv("MINE", own)
        for status in (200, 401):
            body = json.dumps(said).replace("HERE", written).encode()
            with served(probabilities(forest), fault=lambda verb, asked, found=(status, {}, body): found) as server:
                with pytest.raises(ModelError) as caught:
                    hf.endpoint(server.address, token="MINE")
                assert own not in str(caught.value)
    for bad in (secret + " ", "\t" + secret, secret + "\n"):
        monkeypatch.setenv("MINE", bad)
        with pytest.raises(ModelError, match="HF244 .*MINE is not one printable word") as caught:
            hf.endpoint("http://127.0.0.1:9/v2/models/m", token="MINE")
        assert secret not in str(caught.value)


def test_every_try_counts_for_the_cap_also_one_that_is_interrupted(digits, forest, monkeypatch):
    x = torch.from_numpy(digits[0][:8])
    with served(probabilities(forest), fault=lambda verb, asked: (503, {}, b"") if asked else None) as server:
        model = hf.endpoint(server.address, cap=10)
        with pytest.raises(ModelError, match="HF245 .*8 asked, 8 more wanted"):
            model.scores(x)
        assert server.rows == 8
    with served(probabilities(forest)) as server:
        model, whole = hf.endpoint(server.address, cap=16), module.Line._body
        model.scores(x)
        monkeypatch.setattr(module.Line, "_body", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            model.scores(x + 1)
        monkeypatch.setattr(module.Line, "_body", whole)
        with pytest.raises(ModelError, match="HF245 .*16 asked, 8 more"):
            model.scores(x + 1)
    with served(probabilities(forest)) as server:
        model = settle(hf.endpoint(server.address, cap=server.rows + 200), x)
        model.scores(x)
        asked = source_of(model).ask.ask.line
        asked.limits = dataclasses.replace(asked.limits, cap=asked.rows)
        assert asked.left == 0
        assert model.scores(x).shape == (8, 10), "what is known is not asked"


def test_several_threads_pay_for_each_row_once(digits, forest):
    x, found = torch.from_numpy(digits[0][:50]), []
    with served(probabilities(forest)) as server:
        model = settle(hf.endpoint(server.address, batch=16), x)
        look = server.rows
        threads = [threading.Thread(target=lambda: found.append(model.scores(x))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.rows == look + 50
    assert all(torch.equal(one, found[0]) for one in found[1:])


def test_inputs_that_json_cannot_carry_and_logs_that_cannot_be_written(forest, tmp_path):
    half = [{"name": "x", "datatype": "FP16", "shape": [-1, 64]}]
    with served(probabilities(forest), half) as server:
        model = hf.endpoint(server.address, (0, 1e6))
        for value in (float("nan"), float("inf"), 1e5):
            with pytest.raises(ModelError, match="^HF246 "):
                model.scores(torch.full((1, 64), value))
        asked = len(server.seen)
        with pytest.raises(ModelError, match="^HF247 "):
            hf.endpoint(server.address, log=tmp_path)
        assert len(server.seen) == asked


def test_the_command_line_caps_endpoints_alone_and_says_what_is_remembered(digits, forest):
    request = Request(model="https://h/v2/models/m", data="d.npz", cap=500, remember=False)
    assert "--cap 500" in reproducing(request)
    assert reproducing(request).endswith(" --no-remember")
    assert "remember" not in reproducing(dataclasses.replace(request, remember=None))
    assert "--cap" not in reproducing(dataclasses.replace(request, cap=0))
    with pytest.raises(UsageError, match=r"HF805 --cap bounds what an endpoint is asked. Seen digits-mlp"):
        load_model("digits-mlp", "", None, cap=5)
    with pytest.raises(ModelError, match="HF207 remember= is for functions"):
        load_model("digits-mlp", "", None, remember=True)
    with served(probabilities(forest)) as server:
        x = torch.from_numpy(digits[0][:3])
        model = load_model(server.address, "", (0, 1), cap=5, remember=False)
        model.scores(x)
        assert not source_of(model).remember
        with pytest.raises(ModelError, match="HF245 .*3 asked, 3 more wanted, cap=5"):
            model.scores(x)
