"""What a process of its own does: documents, signals, logs."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

START = [sys.executable, "-m", "holdfast"]
DIGITS = ["audit", "digits-mlp", "digits", "--threat", "linf:0.1"]


def as_json(text):
    """The text after a trip through `python -m json.tool`, as a script would take it."""
    done = subprocess.run([sys.executable, "-m", "json.tool"], input=text, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_build_log_stays_short_and_calm(holdfast, tmp_path):
    words = [*DIGITS, "-n", "20", "--suite", "pgd(steps=5)", "-o", "a", "--json"]
    done = holdfast(*words, env={"CI": "true", "FORCE_COLOR": "1"})
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 200
    document = as_json(done.stdout)
    assert document == json.loads((tmp_path / "a" / "summary.json").read_text())
    assert next(iter(document)) == "schema"
    assert done.stdout == (tmp_path / "a" / "summary.json").read_text()


@pytest.mark.parametrize(
    ("words", "code", "number"),
    [
        (["audit", "digits-mlp", "digitz"], 3, "HF107"),
        (["adit"], 2, "HF802"),
    ],
)
def test_an_error_is_a_document_too(holdfast, words, code, number):
    done = holdfast(*words, "--json")
    assert done.returncode == code
    document = as_json(done.stdout)
    assert (document["code"], document["exit"]) == (number, code)
    assert done.stderr.startswith(number)
    assert len(done.stderr.splitlines()) == 1


def started(words, env, folder, until):
    """The process, once its log says so."""
    log = folder / "log"
    process = subprocess.Popen(
        [*START, *words, "--log", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=env,
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and not (log.exists() and until in log.read_text()):
        time.sleep(0.02)
    return process


def test_ctrl_c_once_stops_in_order_and_the_same_command_continues(holdfast, environment, tmp_path):
    words = [*DIGITS, "-n", "130", "--suite", "pgd(steps=30)", "-o", "a", "--json"]
    process = started(words, environment, tmp_path, "BatchDone(stage='pgd")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    partial = as_json(out)
    assert partial["complete"] is False
    assert partial["stopped"] == "interrupted"
    assert partial["verdict"]["state"] == "partial"
    assert "nothing is lost" in err
    assert "resume: same command" in err
    assert "Traceback" not in err
    committed = (tmp_path / "a" / "journal.jsonl").read_text().splitlines()
    assert holdfast("ls", ".", "--json").stdout.count('"stopped"') == 1

    done = holdfast(*words)
    assert done.returncode == 0, done.stderr
    assert as_json(done.stdout)["complete"] is True
    after = (tmp_path / "a" / "journal.jsonl").read_text().splitlines()
    assert after[: len(committed)] == committed, "what was committed is kept"
    assert len(after) > len(committed)


def test_ctrl_c_twice_stops_now(holdfast, environment, tmp_path):
    words = [*DIGITS, "-n", "64", "--suite", "pgd(steps=100000)", "--threat", "linf:0.001", "-o", "a", "--json"]
    process = started(words, environment, tmp_path, "RunStarted")
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)  # its steps would take far longer
    assert process.returncode == 130, err
    assert as_json(out)["code"] == "HF890"
    assert "Traceback" not in err
    done = holdfast(*DIGITS, "-n", "10", "--suite", "pgd(steps=3)", "-o", "a", "-q")
    assert done.returncode == 0, "the folder is free again: " + done.stderr


def test_a_reader_that_leaves_is_no_error(environment, tmp_path):
    process = subprocess.Popen(
        [*START, "list", "codes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=environment
    )
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == b""
    assert process.wait(timeout=120) == 0


def test_a_name_the_terminal_cannot_show_ends_nothing(holdfast):
    done = holdfast("explain", "straße", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert done.returncode == 2
    assert "HF807" in done.stderr


def test_the_live_view_on_a_terminal(environment, tmp_path):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    words = [*START, *DIGITS, "-n", "12", "--suite", "pgd(steps=3)", "-o", "a"]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env=environment | {"TERM": "xterm"}
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    out = process.communicate(timeout=120)[0].decode()
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[?25l" in seen
    assert seen.rindex(b"\x1b[?25h") > seen.rindex(b"\x1b[?25l"), "the cursor comes back"
    assert b"broke" in seen
    assert "\x1b" not in out


@pytest.mark.parametrize("words", [["compare"], ["gate", "--baseline"], ["board"]], ids=lambda words: words[0])
def test_what_reads_finished_runs_waits_for_no_tensors(words, pair, environment, tmp_path):
    good, weak = pair
    (tmp_path / "holdfast.toml").write_text('[[gate]]\nmetric = "clean_accuracy"\nmax_regression = 1\n')
    asked = ["board", str(pathlib.Path(good).parent)] if words == ["board"] else [words[0], good, *words[1:], weak]
    code = (
        f"import sys\nfrom holdfast.cli.main import main\nassert main({asked!r}) == 0\n"
        "print(sorted({'torch', 'pandas', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
