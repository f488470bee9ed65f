"""Files that are either whole or absent: atomic writes, durable lines, digests, one writer for a folder.

Everything here survives a kill at any point: `write_atomic` leaves the old content or the new, `append_line` at worst
a torn last line, which `read_lines` ignores and the next `append_line` cuts off.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import secrets
import types
from collections.abc import Iterator

from holdfast.core.errors import IntegrityError, ResourceError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn what the machine refuses while `path` is written into one clear line.

    Raises:
        ResourceError: HF501 disk or quota full, HF502 not writable, HF503 any other refusal of the operating system.
    """
    try:
        yield
    except ResourceError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                "HF501",
                f"The disk is full: '{path}' was not written",
                fix="free some space, then run the same command again; what was committed is kept",
            ) from error
        if error.errno in _READ_ONLY:
            raise ResourceError(
                "HF502",
                f"'{path}' is not writable ({os.strerror(error.errno)})",
                fix="choose another folder, or change its permissions",
            ) from error
        raise ResourceError("HF503", f"'{path}' cannot be written: {error.strerror or error}") from error


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is seen whole or not at all: temporary file, fsync, rename, fsync of the folder.

    Raises:
        ResourceError: HF501, HF502 or HF503; the old content is then still there and no temporary file is left.
    """
    target = pathlib.Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    with writing(target):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(target.parent)


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Append one line and make it durable; a torn line that a kill left at the end is cut off first.

    Args:
        path: File of lines with a single writer; made if it is not there.
        line: Text without a line break.

    Raises:
        ResourceError: HF501, HF502 or HF503; nothing of the line is then left.
        ValueError: The text contains a line break.
    """
    if "\n" in line:
        raise ValueError("a line contains no line break")
    target = pathlib.Path(path)
    with writing(target):
        new = not target.exists()
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            end = _whole(descriptor)
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            try:
                _write_all(descriptor, line.encode() + b"\n")
                os.fsync(descriptor)
            except BaseException:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
        if new:
            sync_folder(target.parent)


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The complete lines of a file that `append_line` wrote; a torn last line is ignored, a missing file has none."""
    try:
        data = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        return []
    return data[: data.rfind(b"\n") + 1].decode().split("\n")[:-1]


def sha256(path: str | os.PathLike[str]) -> str:
    """64 hexadecimal digits: SHA-256 of a file's content, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable (where the operating system lets a folder be synced)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lock:
    """The one writer of a folder, as a context manager.

    The file names the process by pid, start time and the machine's boot id. A lock whose process is gone (killed,
    or the machine was restarted) is taken over silently. Processes in different containers do not see each other.

    Args:
        path: The lock file; removed at the end.

    Raises:
        IntegrityError: HF401 where a living process holds the lock, this process included.
        ResourceError: The lock file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)

    def __enter__(self) -> "Lock":
        with writing(self.path), _exclusive(self.path) as descriptor:
            holder = _holder(descriptor)
            if holder is not None and _alive(holder):
                raise IntegrityError(
                    "HF401",
                    f"Another run is writing to '{self.path.parent}'",
                    seen=f"process {holder['pid']}",
                    fix="wait for it, or choose another folder",
                )
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            _write_all(descriptor, json.dumps(_identity(os.getpid())).encode())
            os.fsync(descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        with contextlib.suppress(FileNotFoundError), writing(self.path), _exclusive(self.path) as descriptor:
            if _holder(descriptor) == _identity(os.getpid()):
                os.unlink(self.path)


def held(path: str | os.PathLike[str]) -> bool:
    """Whether a living process holds the lock of this path; nothing is written and nothing waits."""
    try:
        found = json.loads(_read(str(path)))
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("pid"), int) and _alive(found)


@contextlib.contextmanager
def _exclusive(path: pathlib.Path) -> Iterator[int]:
    """The open lock file while nobody else judges or changes it: an instant, so a blocking flock."""
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _identity(pid: int) -> dict[str, str | int]:
    """What tells a process from every other one: pid, start time (clock ticks since boot) and boot id."""
    return {"pid": pid, "start": _start(pid), "boot": _read("/proc/sys/kernel/random/boot_id").strip()}


def _start(pid: int) -> str:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _read(path: str) -> str:
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def _holder(descriptor: int) -> dict[str, str | int] | None:
    """The process that the lock file names, None where a kill left it empty or torn."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        found = json.loads(os.read(descriptor, 4096))
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("pid"), int) else None


def _alive(holder: dict[str, str | int]) -> bool:
    try:
        os.kill(int(holder["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return _identity(int(holder["pid"])) == holder


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _whole(descriptor: int) -> int:
    """Length of a file up to the end of its last complete line, found from the back."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 4096)
        os.lseek(descriptor, start, os.SEEK_SET)
        found = os.read(descriptor, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
