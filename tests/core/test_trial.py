"""Trials of foreign files: limits hold, every bad end is one line, the child is gone, nothing is tried twice."""

import json
import os
import pathlib
import pickle
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from holdfast.core import trial
from holdfast.core.confined import confine
from holdfast.core.errors import DataError, HoldfastError, ResourceError

NPZ, BATCH = "holdfast.data.opening:npz", "holdfast.data.batches:facts"
ROOM = 256 << 20
posix = pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.arange(4, dtype=np.int32))
    return tmp_path / "a.npz"


@pytest.fixture
def starts(monkeypatch):
    """One entry for each child that is started."""
    found, start = [], trial._started
    monkeypatch.setattr(trial, "_started", lambda: found.append(start()) or found[-1])
    return found


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put another program in the child's place."""

    def put(text):
        (tmp_path / "program.py").write_text(text)
        monkeypatch.setattr(trial, "PROGRAM", tmp_path / "program.py")

    return put


def spent():
    """Processor seconds of all children that have ended."""
    told = os.times()
    return told.children_user + told.children_system


def failed(code, path, *words, opener=NPZ, memory=ROOM, seconds=5, error=ResourceError):
    with pytest.raises(error) as caught:
        trial.look(opener, [path], memory, seconds)
    text = str(caught.value)
    assert caught.value.code == code, text
    assert all(word in text for word in (path.name, *words) if code == "HF505"), text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def ended(pid, seconds=10):
    """A process of another parent ends when the busy kernel comes round to it, and stays a zombie where nobody asks."""
    for _ in range(20 * seconds):
        try:
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_the_facts(file):
    x, y = trial.look(NPZ, [file], ROOM)
    assert (x.name, x.shape, x.dtype, x.size) == ("x", (4, 2), "<f8", 128 + 64)
    assert (y.name, y.shape, y.dtype) == ("y", (4,), "<i4")


def test_a_file_is_tried_once_until_it_changes(file, starts):
    assert trial.look(NPZ, [file], ROOM) == trial.look(NPZ, [file], ROOM)
    assert len(starts) == 1
    np.savez(file, x=np.ones(7))
    assert trial.look(NPZ, [file], ROOM)[0].shape == (7,)
    assert len(starts) == 2
    file.write_bytes(b"x")
    for _ in range(2):
        failed("HF110", file, error=DataError)
    assert len(starts) == 4, "a refusal is no knowledge"


def test_what_this_process_wrote_is_not_tried_until_it_changes(file, starts):
    trial.own(file)
    assert trial.look(NPZ, [file], ROOM) == ()
    assert starts == []
    file.write_bytes(b"x")
    failed("HF110", file, error=DataError)
    trial.own(file.with_name("not there"))


def test_memory_of_what_was_seen_is_bounded(file, monkeypatch):
    monkeypatch.setattr(trial, "REMEMBERED", 3)
    monkeypatch.setattr(trial, "_own", {})
    for k in range(5):
        file.with_name(f"{k}").write_text("x")
        trial.own(file.with_name(f"{k}"))
    assert len(trial._own) == 3


# Bad ends, by real files


def hash_bomb(length=60):
    """A pickle of 500 bytes whose dictionary key takes 2^60 steps to hash."""
    return b"\x80\x02})q\x010" + b"h\x01h\x01\x86q\x010" * length + b"h\x01K\x01s."


@posix
def test_a_file_that_takes_forever_ends_at_its_processor_time(tmp_path):
    (tmp_path / "batch").write_bytes(hash_bomb())
    begun = spent()
    failed("HF505", tmp_path / "batch", "1 s of processor time", opener=BATCH, seconds=1)
    assert spent() - begun < 20


@linux
@pytest.mark.parametrize(("memory", "sound"), [(600 << 20, True), (32 << 20, False)])
def test_a_file_that_wants_much_memory_is_stopped(memory, sound, tmp_path):
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": b"x" * (80 << 20)}, 2))
    if sound:
        assert trial.look(BATCH, [tmp_path / "batch"], memory) == ()
    else:  # the reader of batches says so in its own words; see test_state_dict for HF505
        assert "no CIFAR-10 batch" in failed("HF110", tmp_path / "batch", opener=BATCH, memory=memory, error=DataError)


@linux
def test_an_archive_is_unpacked_without_being_kept(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(200 << 20, np.uint8))
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    assert trial.look(NPZ, [tmp_path / "a.npz"], 32 << 20)[0].shape == (200 << 20,)


@posix
def test_a_pipe_is_not_waited_for(tmp_path, starts):
    os.mkfifo(tmp_path / "a.npz")
    failed("HF505", tmp_path / "a.npz", "a plain file")
    failed("HF505", tmp_path, "a plain file")
    assert starts == []


# Bad ends, by a child that is replaced


def test_a_child_that_hangs_is_ended(file, program, starts, monkeypatch):
    program("import time\ntime.sleep(600)")
    monkeypatch.setattr(trial, "START", 0.4)
    failed("HF505", file, "no end after 0.4 s", seconds=0)
    assert gone(starts[0].pid)


@posix
def test_a_child_that_ignores_every_signal_is_ended_with_its_own_children(file, program, starts, monkeypatch):
    program(
        "import os, signal, time\nfor s in (15, 2, 1): signal.signal(s, signal.SIG_IGN)\n"
        f"if os.fork() == 0: open({str(file.with_name('pid'))!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)"
    )
    monkeypatch.setattr(trial, "START", 0.8)
    failed("HF505", file, "no end", seconds=0)
    assert gone(starts[0].pid)
    assert ended(int(file.with_name("pid").read_text()))


@posix
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT", "SIGBUS"])
def test_a_child_that_a_signal_kills(name, file, program):
    program(f"import os, signal\nos.kill(os.getpid(), signal.{name})")
    failed("HF505", file, f"killed by {name}")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("import sys; sys.exit(3)", "exit code 3"),
        ("", "0 bytes that are no answer"),
        ("print('hello')", "no answer"),
        ("print('[' * 100000)", "no answer"),
        ("print('{}')", "None"),
        ("print('{\"facts\": [1]}')", "no answer"),
        ('print(\'{"refused": {"code": "HF999", "what": ""}}\')', "no answer"),
        ('print(\'{"ended": "memory"}\')', "more than 256 MiB of memory"),
        ('print(\'{"ended": "a\\\\u001b[31m\\\\nb"}\')', "a?[31m?b"),
    ],
)
def test_an_answer_that_is_none(text, word, file, program):
    program(text)
    failed("HF505", file, word)


def test_an_endless_answer_is_not_kept(file, program, monkeypatch):
    program("while True: print('x' * 10000)")
    monkeypatch.setattr(trial, "LONGEST", 1 << 20)
    begun = spent()
    failed("HF505", file, "without end")
    assert spent() - begun < 10


def test_no_thread_is_one_line_and_leaves_no_child(file, starts, monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trial.threading.Thread, "start", start)
    assert "new thread" in failed("HF506", file)
    assert gone(starts[0].pid)


def test_a_file_that_changes_meanwhile_is_refused(file, program):
    program(f"open({str(file)!r}, 'ab').write(b'x')\nprint('{{\"facts\": []}}')")
    failed("HF505", file, "changed")


# No child


def test_no_child_is_one_line_and_no_reading(file, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(file.with_name("no python")))
    failed("HF506", file)
    monkeypatch.setattr(sys, "executable", "")
    failed("HF506", file)


def test_a_frozen_program_does_not_start_itself(file, starts, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    failed("HF506", file)
    assert starts == []


def test_a_child_that_cannot_import_is_no_verdict_on_the_file(file):
    assert "No module named" in failed("HF506", file, opener="holdfast.nothing:npz")
    assert "nothing" in failed("HF506", file, opener="holdfast.data.opening:nothing")


# What the child sees and may


def test_nothing_of_the_user_is_imported_and_no_secret_is_passed_on(file, tmp_path, program, monkeypatch):
    for name in ("json", "ast", "sitecustomize", "usercustomize", "zipfile"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\nraise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SECRET", "1234")
    assert len(trial.look(NPZ, [file], ROOM)) == 2
    assert not (tmp_path / "mark").exists()
    program("import json, os\nprint(json.dumps({'ended': ' '.join(os.environ)}))")
    os.utime(file, (1, 1))
    assert "SECRET" not in failed("HF505", file, "OMP_NUM_THREADS")


CONFINED = """
import sys
sys.path.insert(0, {root!r})
from holdfast.core.confined import confine
confine(64 << 20, 1)
try:
    {code}
except (OSError, MemoryError, RuntimeError) as error:
    print(type(error).__name__)
"""


@posix
@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("open({new!r}, 'w').write('x' * 10000)", "OSError"),
        ("kept = [open('/dev/null') for _ in range(100)]", "OSError"),
        pytest.param("bytearray(100 << 20)", "MemoryError", marks=linux),
        ("bytearray(10 << 20)", ""),
        ("\n    while True: pass", None),
    ],
)
def test_limits(code, end, tmp_path):
    text = CONFINED.format(root=str(trial.PROGRAM.parents[2]), code=code.format(new=str(tmp_path / "new")))
    done = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == (end or "")
    assert (done.returncode != 0) == (end is None), done.stderr
    new = tmp_path / "new"
    assert not new.exists() or new.read_bytes() == b""


def test_without_limits_of_the_system_there_is_still_the_clock(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    confine(1, 1)
    bytearray(100 << 20)


def test_the_child_is_of_the_same_version(file, tmp_path, monkeypatch):
    """Where two copies of holdfast are installed, the child imports the parent's."""
    other = tmp_path / "other"
    for name in ("", "core", "data"):
        (other / "holdfast" / name).mkdir(parents=True)
        (other / "holdfast" / name / "__init__.py").touch()
    shutil.copy(trial.PROGRAM, other / "holdfast" / "core")
    (other / "holdfast" / "data" / "opening.py").write_text("def npz(path): return [('other', (), '', 0)]")
    monkeypatch.setattr(trial, "PROGRAM", other / "holdfast" / "core" / trial.PROGRAM.name)
    assert trial.look(NPZ, [file], ROOM)[0].name == "other"


def test_the_error_of_the_child_is_the_error_here(file, program):
    told = {"code": "HF110", "what": "W", "seen": "S" * 9999, "expected": None, "fix": "F"}
    program(f"print({json.dumps({'refused': told})!r})")
    with pytest.raises(HoldfastError) as caught:
        trial.look(NPZ, [file], ROOM)
    assert isinstance(caught.value, DataError)
    assert str(caught.value) == f"HF110 W. Seen {'S' * 300}. Fix: F"
