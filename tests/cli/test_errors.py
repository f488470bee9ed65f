"""One form for every failure."""

import json

import pytest

from holdfast.cli import errors
from holdfast.cli.codes import ExitCode
from holdfast.cli.main import main
from holdfast.cli.schema import error as error_schema
from holdfast.core.errors import (
    DataError,
    IntegrityError,
    MissingExtra,
    ModelError,
    ResourceError,
    ThreatError,
    UsageError,
)

jsonschema = pytest.importorskip("jsonschema")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 2),
        (ThreatError, 2),
        (MissingExtra, 2),
        (DataError, 3),
        (ModelError, 3),
        (IntegrityError, 3),
        (ResourceError, 3),
    ],
)
def test_each_class_of_error_has_its_exit_code(kind, code):
    assert errors.exit_code(kind("HF999", "no")) == code


def test_an_error_is_one_line_on_stderr_and_names_its_page(capsys):
    error = DataError(
        "HF104", "Data outside\nthe range", seen="[-2, 2]", expected="[0, 1]", fix="wrap(model, mean=...)"
    )
    assert errors.report(error, ["audit"]) == ExitCode.INCOMPLETE
    out, err = capsys.readouterr()
    assert out == ""
    said = "HF104 Data outside the range. Seen [-2, 2], expected [0, 1]. Fix: wrap(model, mean=...)."
    assert err == f"{said} More: holdfast explain HF104\n"


@pytest.mark.parametrize(
    "error",
    [
        UsageError("HF802", "no"),
        DataError("HF104", "no", seen=(1, 2), fix="this"),
        KeyboardInterrupt(),
        RuntimeError("our bug"),
    ],
)
@pytest.mark.parametrize("option", ["--json", "--jsonl"])
def test_an_error_under_json_is_a_document_of_the_published_schema(capsys, error, option, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.tempfile, "tempdir", str(tmp_path))
    code = errors.report(error, ["audit", option])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, error_schema())
    assert document["exit"] == code
    assert list(document)[0] == "schema"


def test_after_two_dashes_a_word_is_no_option():
    assert not errors.asks_json(["audit", "--", "--json"])


def test_qq_says_nothing(capsys):
    for words in (["audit", "-qq"], ["audit", "-q", "-q"], ["audit", "--quiet", "-q"]):
        assert errors.report(DataError("HF104", "no"), words) == 3
        assert capsys.readouterr() == ("", "")
    errors.report(DataError("HF104", "no"), ["audit", "-q"])
    assert capsys.readouterr().err


def test_hostile_text_in_an_error_moves_no_cursor(capsys):
    errors.report(DataError("HF107", "There are no data called '\x1b[2J\x1b]0;x\x07[bold]'"), [])
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\x07" not in err
    assert "[bold]" in err


def fail(secret):
    password = {"token": "s3cret", "n": 4242}
    raise RuntimeError(f"cannot open '/home/me/{secret}' with {password['n']} and \"{password['token']}\"")


def test_our_own_mistake_leaves_a_file_without_values(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        fail("patients.csv")
    assert errors.report(caught.value, ["audit", "patients.csv"]) == ExitCode.INCOMPLETE
    (file,) = tmp_path.glob("holdfast-crash-*.txt")
    text, err = file.read_text(), capsys.readouterr().err
    assert err.startswith("HF899")
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert "RuntimeError" in text
    assert "in fail" in text or " fail\n" in text
    for secret in ("s3cret", "4242", "patients", "/home/me"):
        assert secret not in text + err


def test_debug_shows_the_traceback(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.tempfile, "tempdir", str(tmp_path))
    errors.report(RuntimeError("our bug"), ["audit", "--debug"])
    assert "RuntimeError: our bug" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["adit", "m", "d"], "HF802", "did you mean audit?"),
        (["-q", "audit"], "HF802", "The verb comes first"),
        (["audit", "m", "d", "--thret", "linf:1"], "HF803", "--threat"),
        (["audit"], "HF804", "MODEL"),
        (["audit", "m"], "HF804", "DATA"),
        (["audit", "m", "d", "--seed", "x"], "HF805", "--seed"),
        (["audit", "m", "d", "--limit", "-1"], "HF805", "--limit"),
        (["audit", "m", "d", "--max-errors", "lots"], "HF805", "share"),
        (["audit", "m", "d", "--bounds", "1,0"], "HF805", "--bounds"),
        (["audit", "m", "d", "-o", "a.html"], "HF805", "folder"),
        (["audit", "m", "d", "--device", "tpu"], "HF806", "tpu"),
        (["list", "atacks"], "HF807", "did you mean attacks"),
        (["list"], "HF807", "attacks"),
        (["explain", "brokn"], "HF807", "did you mean broken"),
        (["explain", "HF998"], "HF801", "HF998"),
        (["schema", "sumary"], "HF807", "did you mean summary"),
        (["completion", "bsh"], "HF807", "did you mean bash"),
        (["demo", "digit"], "HF807", "did you mean digits"),
    ],
)
def test_a_mistake_on_the_command_line_is_named_with_a_way_out(capsys, words, code, part):
    assert main(words) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{code} ")
    assert part in err
    assert "Fix:" in err or "xpected" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("--decide", "HF826"),
        ("--budget", "HF827"),
        ("--deadline", "HF827"),
        ("--evade", "HF805"),
        ("--profile", "HF805"),
        ("--bounds", "HF805"),
    ],
)
def test_an_option_with_nothing_in_it_is_refused(option, number, capsys, tmp_path):
    words = ["audit", "digits-mlp", "digits", "-o", str(tmp_path / "a")]
    assert main([*words, option, ""]) == 2
    assert main([*words, f"{option}="]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line[:5] for line in lines] == [number] * 2
    assert f"{option} came with nothing in it" in lines[0]
    assert not (tmp_path / "a").exists()


def test_a_gate_with_an_empty_baseline_is_refused(capsys):
    assert main(["gate", "anywhere", "--baseline", ""]) == 2
    assert capsys.readouterr().err.startswith("HF805 --baseline came with nothing in it")
