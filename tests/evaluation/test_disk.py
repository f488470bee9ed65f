"""What the machine refuses: one clear line, and nothing committed is lost."""

import errno
import os
import pathlib
import stat

import pytest

from evaluation import killing
from evaluation.killing import essence, work
from holdfast.core.errors import HoldfastError, ResourceError
from holdfast.core.files import Lock
from holdfast.evaluation import manifest
from holdfast.evaluation.store import Folder


@pytest.fixture(autouse=True)
def _groups(monkeypatch):
    monkeypatch.setattr(manifest, "GROUP", killing.GROUP)


class Disk:
    """Room for some bytes; a write that does not fit is torn, as disks do."""

    def __init__(self, room):
        self.room, self.real = room, os.write

    def write(self, descriptor, content):
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = self.real(descriptor, bytes(content)[: self.room])
        self.room -= done
        return done


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What a run on an empty disk says, and the bytes it writes."""
    disk = Disk(2**40)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "write", disk.write)
        patched.setattr(manifest, "GROUP", killing.GROUP)
        return essence(work(tmp_path_factory.mktemp("whole") / "a")), 2**40 - disk.room


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.99])
def test_a_full_disk(tmp_path, monkeypatch, expected, share):
    """The disk is full at some byte; afterwards there is room again."""
    with monkeypatch.context() as full:
        full.setattr(os, "write", Disk(int(expected[1] * share)).write)
        with pytest.raises(ResourceError) as caught:
            work(tmp_path / "a")
    assert caught.value.code == "HF501"
    assert "\n" not in str(caught.value)
    done = Folder(tmp_path / "a").parts.commits if (tmp_path / "a" / "manifest.json").exists() else []
    before = {name: (tmp_path / "a" / "parts" / name).read_bytes() for c in done for name in c.files}
    assert bool(before) == (share > 0)
    again = work(tmp_path / "a")
    assert {name: (again.path / "parts" / name).read_bytes() for name in before} == before
    assert essence(again) == expected[0]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(ResourceError, match="HF502"):
            work(home / "a")
    finally:
        home.chmod(stat.S_IRWXU)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("place", ["new", "started"])
def test_a_read_only_file_system(tmp_path, monkeypatch, number, place):
    """What the operating system says where nothing may be written, at the start and in the middle of a run."""
    if place == "started":
        monkeypatch.setattr(os, "replace", _failing_after(9, os.replace, number))
    else:
        monkeypatch.setattr(pathlib.Path, "mkdir", _failing_after(0, pathlib.Path.mkdir, number))
    with pytest.raises(ResourceError, match="HF502") as caught:
        work(tmp_path / "a")
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    if place == "started":
        assert len(Folder(tmp_path / "a").parts.commits) > 0


def _failing_after(count, real, number):
    left = [count]

    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    return call


def test_two_writers(tmp_path):
    work(tmp_path / "a")
    with Lock(tmp_path / "a" / "lock"), pytest.raises(HoldfastError, match="HF401"):
        work(tmp_path / "a")
    assert Folder(tmp_path / "a").complete
