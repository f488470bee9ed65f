"""What is on the disk after a kill, a full disk or a second writer."""

import contextlib
import errno
import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import files
from holdfast.core.errors import IntegrityError, ResourceError

OLD, NEW = b"old content", b"new content, longer"


class Killed(BaseException):
    """Stands for the end of the process at one system call."""


def fail(monkeypatch, name, at, error):
    """Make the `at`-th call of an `os` function raise."""
    real, calls = getattr(os, name), []

    def wrapped(*args, **kwargs):
        calls.append(name)
        if len(calls) == at:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(files.os, name, wrapped)


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace", "close"])
@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupted_write_leaves_the_old_content_or_the_new(tmp_path, monkeypatch, name, at):
    path = tmp_path / "a.json"
    path.write_bytes(OLD)
    with monkeypatch.context() as patch:
        fail(patch, name, at, Killed())
        with contextlib.suppress(Killed):
            files.write_atomic(path, NEW)
    assert path.read_bytes() in (OLD, NEW)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    files.write_atomic(path, NEW)
    assert path.read_bytes() == NEW


def test_the_content_is_durable_before_the_name_is(tmp_path, monkeypatch):
    order = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(files.os, name, lambda *a, name=name, real=real: (order.append(name), real(*a))[1])
    files.write_atomic(tmp_path / "a", NEW)
    assert order == ["write", "fsync", "replace", "fsync"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "HF501"),
        (errno.EDQUOT, "HF501"),
        (errno.EROFS, "HF502"),
        (errno.EACCES, "HF502"),
        (errno.EIO, "HF503"),
    ],
)
@pytest.mark.parametrize("write", [lambda p: files.write_atomic(p, NEW), lambda p: files.append_line(p, "new")])
def test_a_refusal_of_the_machine_is_one_clear_line(tmp_path, monkeypatch, number, code, write):
    path = tmp_path / "a"
    path.write_bytes(b"old\n")
    fail(monkeypatch, "write", 1, OSError(number, os.strerror(number)))
    with pytest.raises(ResourceError, match=code) as caught:
        write(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_really_full_device():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(ResourceError, match="HF501"), files.writing("/dev/full"):
        os.write(descriptor, NEW)
    os.close(descriptor)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ResourceError, match="HF503.*No such file"):
        files.write_atomic(tmp_path / "not" / "there", NEW)


def test_short_writes_are_continued(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    files.write_atomic(tmp_path / "a", NEW)
    files.append_line(tmp_path / "b", "a line of some length")
    assert (tmp_path / "a").read_bytes() == NEW
    assert files.read_lines(tmp_path / "b") == ["a line of some length"]


@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=4),
    cut=st.integers(0, 9000),
)
def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path_factory, lines, cut):
    path = tmp_path_factory.mktemp("lines") / "journal"
    for line in lines:
        files.append_line(path, line)
    assert files.read_lines(path) == lines
    with open(path, "ab") as file:
        file.write(b"x" * cut)
    assert files.read_lines(path) == lines
    files.append_line(path, "next")
    assert files.read_lines(path) == [*lines, "next"]
    assert path.read_bytes() == "".join(f"{line}\n" for line in [*lines, "next"]).encode()


def test_a_line_that_did_not_fit_leaves_nothing(tmp_path, monkeypatch):
    real, path = os.write, tmp_path / "journal"
    files.append_line(path, "first")

    def full(descriptor, data):
        if len(data) < 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:4])

    monkeypatch.setattr(files.os, "write", full)
    with pytest.raises(ResourceError, match="HF501"):
        files.append_line(path, "second")
    assert path.read_bytes() == b"first\n"


def test_a_new_file_of_lines_has_a_durable_name(tmp_path, monkeypatch):
    real, synced = os.fsync, []
    monkeypatch.setattr(
        files.os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_mode), real(descriptor))
    )
    for _ in range(2):
        files.append_line(tmp_path / "journal", "line")
    assert [stat.S_ISDIR(mode) for mode in synced] == [False, True, False]


def test_a_line_has_no_line_break(tmp_path):
    with pytest.raises(ValueError, match="line break"):
        files.append_line(tmp_path / "a", "one\ntwo")


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_living_writer_keeps_others_out(tmp_path):
    with files.Lock(tmp_path / "lock"):
        with pytest.raises(IntegrityError, match=f"HF401.*process {os.getpid()}"), files.Lock(tmp_path / "lock"):
            pass
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock").exists()
    with files.Lock(tmp_path / "lock"):
        pass


def test_the_lock_goes_with_an_exception(tmp_path):
    with pytest.raises(KeyError), files.Lock(tmp_path / "lock"):
        raise KeyError
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b'{"pid": 1',
        b"[]",
        json.dumps({**files._identity(os.getpid()), "boot": "another"}).encode(),
        json.dumps({**files._identity(os.getpid()), "start": "1"}).encode(),
        json.dumps({**files._identity(os.getpid()), "pid": 2**22 + 1}).encode(),
    ],
    ids=["empty", "torn", "strange", "restarted machine", "pid used again", "dead process"],
)
def test_a_stale_lock_is_taken_over(tmp_path, left):
    (tmp_path / "lock").write_bytes(left)
    with files.Lock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text()) == files._identity(os.getpid())
    assert not (tmp_path / "lock").exists()


CONTEND = """
import sys, time
from holdfast.core.errors import IntegrityError
from holdfast.core.files import Lock
try:
    with Lock(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.read()
except IntegrityError:
    print("refused", flush=True)
"""


def test_of_many_processes_one_gets_a_stale_lock(tmp_path):
    (tmp_path / "lock").write_bytes(b"torn")
    command = [sys.executable, "-c", CONTEND, str(tmp_path / "lock")]
    crowd = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(5)]
    said = [process.stdout.readline().strip() for process in crowd]
    assert sorted(said) == ["held"] + ["refused"] * 4
    winner = crowd[said.index("held")]
    winner.kill()
    for process in crowd:
        process.communicate()
    with files.Lock(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
