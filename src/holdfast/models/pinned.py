"""Model files by their bytes: is one a pickle, which runs code when it is opened, and is its hash pinned?

Nothing is unpickled or imported. Pins are those of sha256sum, in a `SHA256SUMS` beside the file or in a folder above.
"""

import lzma
import pathlib
import re
import zipfile
import zlib

from holdfast.core.files import sha256

PINS = "SHA256SUMS"
CODE = (".pkl", ".pickle", ".joblib", ".dill", ".pt2")
HEAD = 4096  # bytes that tell what a file is
SAFE = "weights in .safetensors, estimators in .skops, graphs in .onnx hold no code"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")  # PROTO and a protocol, PEP 307 and later
_OBJECTS = re.compile(rb"""(?:["']descr["']:|["'],)\s*["'][|<>=]?O\d*["']""")  # of a .npy file, alone or in a field
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]([^\0]+)")
_TORN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    OSError,
)


def pickled(path: pathlib.Path) -> str:
    """Why opening a file may run code, empty where its bytes do not say so."""
    if path.suffix.lower() in CODE:
        return f"{path.suffix.lower()} files run code when they are opened"
    with path.open("rb") as file:
        head = file.read(HEAD)
    if _PICKLE.match(head):
        return "it is a pickle, which runs code when it is opened"
    if head.startswith(b"\x93NUMPY") and _OBJECTS.search(head):
        return "it is an array of Python objects, which are pickles"
    return _inside(path) if zipfile.is_zipfile(path) else ""


def _inside(path: pathlib.Path) -> str:
    """The same of the members of an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith((".pkl", ".pickle")):
                    return f"it holds a pickle, {name!r:.80}: torch.save writes such files"
                with archive.open(name) as member:
                    head = member.read(HEAD) if name.endswith(".npy") else b""
                if _OBJECTS.search(head):
                    return f"it holds an array of Python objects, {name!r:.80}"
    except _TORN as error:
        return f"it is an archive that cannot be read ({type(error).__name__})"
    return ""


def pin(path: pathlib.Path) -> tuple[str, pathlib.Path | None]:
    """The SHA-256 that is pinned for a file, by the nearest `SHA256SUMS` that names it, up to the current folder.

    Returns:
        64 hexadecimal digits and the file of pins; empty and None where none names it.
    """
    whole, top = path.resolve(), pathlib.Path.cwd().resolve()
    above = [folder for folder in whole.parents if folder.is_relative_to(top)] or [whole.parent]
    for folder in above:
        for place, pinned in _pins(folder / PINS):
            if _resolved(place) == whole:
                return pinned, folder / PINS
    return "", None


def listed(pins: pathlib.Path) -> list[pathlib.Path]:
    """The files that a `SHA256SUMS` names; none where it cannot be read."""
    try:
        return [place for place, _ in _pins(pins)]
    except OSError:
        return []


def unread(pins: pathlib.Path) -> str:
    """The first line of a `SHA256SUMS` that pins nothing and is no comment, with its number; empty where all are read.

    Raises:
        OSError: where it cannot be read.
    """
    for number, line in enumerate(pins.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith("#") and not _LINE.fullmatch(line):
            return f"line {number}: {line:.80}"
    return ""


def _pins(pins: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    lines = pins.read_text(encoding="utf-8", errors="replace").splitlines() if pins.is_file() else []
    found = [match for match in map(_LINE.fullmatch, lines) if match]
    return [(pins.parent / match[2], match[1].lower()) for match in found]


def _resolved(place: pathlib.Path) -> pathlib.Path | None:
    """Where a link leads; None where it leads in circles."""
    try:
        return place.resolve()
    except (OSError, RuntimeError):
        return None


def content(path: pathlib.Path) -> str:
    """The SHA-256 of a file, of one that Git LFS keeps elsewhere that of the file it stands for."""
    with path.open("rb") as file:
        pointer = _POINTER.match(file.read(1024))
    return pointer[1].decode("ascii") if pointer else sha256(path)
