"""Hostile `.npz` files, idx files and images: each ends in the child, in one line, and is never read here."""

import gzip
import io
import os
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from holdfast.core.errors import DataError, ResourceError
from holdfast.data import archives, idx, load, opening, pictures


def plain(x):
    out = io.BytesIO()
    np.save(out, x)
    return out.getvalue()


def headed(text, body=b"", version=1):
    head = text.encode()
    width = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(width, len(head)) + head + body


def header(descr="'<f8'", shape="(2,)"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


def packed(path, *members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for k, member in enumerate(members):
            file.writestr(f"{'xyz'[k]}.npy", member)


@pytest.fixture
def unread(monkeypatch):
    """Arrays or images that are read in this process fail the test."""

    def read(*_, **__):
        pytest.fail("read in the main process")

    for module, name in ((archives.np, "load"), (pictures.Image, "open"), (idx.gzip, "open")):
        monkeypatch.setattr(module, name, read)


def refused(path, *words):
    with pytest.raises(DataError, match="HF110") as caught:
        load(path)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "member",
    [
        headed(header(shape="(1000000000000,)")),
        headed(header(shape="(3,)"), bytes(16)),
        headed(header(), bytes(17)),
        headed(header("'|V0'", "(8000000000,)")),
        headed(header("'<U0'", "(8000000000,)")),
        headed(header(shape="(-1, -2)"), bytes(16)),
        headed(header(shape="(True, 2)"), bytes(16)),
        headed(header(shape="[2]"), bytes(16)),
        headed(header("'|O'"), bytes(16)),
        headed(header("[('a', '|O')]"), bytes(16)),
        headed(header("5"), bytes(16)),
        headed("(" * 9000),
        headed("-" * 9999 + "1"),
        headed(header() + " " * 10_000, bytes(16)),
        headed("open('mark', 'w')"),
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY",
        b"text",
        b"",
    ],
    ids=lambda member: repr(member[8:60]),
)
def test_members_that_are_no_plain_arrays(member, tmp_path, unread):
    packed(tmp_path / "a.npz", plain(np.zeros(2)), member)
    refused(tmp_path / "a.npz", "cannot be read as arrays")


def test_a_declared_size_beyond_the_limit(tmp_path, unread):
    packed(tmp_path / "a.npz", *(plain(np.zeros(n)) for n in (1_000_000, 3, 4)))
    content = (tmp_path / "a.npz").read_bytes()
    assert len(content) < 10_000
    parts = content.split(b"PK\x01\x02")  # each entry of the directory; its size unpacked lies 24 bytes in
    huge = [part[:20] + struct.pack("<I", 0xF0000000) + part[24:] for part in parts[1:]]
    (tmp_path / "a.npz").write_bytes(b"PK\x01\x02".join([parts[0], *huge]))
    refused(tmp_path / "a.npz", "11.2 GiB when unpacked", "at most 8 GiB")


def test_a_member_that_is_longer_than_it_declares(tmp_path, unread):
    packed(tmp_path / "a.npz", plain(np.zeros(10_000_000)))
    content = (tmp_path / "a.npz").read_bytes()
    at = content.index(b"PK\x01\x02") + 24
    (tmp_path / "a.npz").write_bytes(content[:at] + struct.pack("<I", 144) + content[at + 4 :])
    refused(tmp_path / "a.npz", "cannot be read")


def test_a_changed_byte_fails_its_check_sum(tmp_path, unread):
    packed(tmp_path / "a.npz", plain(np.arange(1000.0)), method=zipfile.ZIP_STORED)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[3000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    refused(tmp_path / "a.npz", "CRC")


def test_an_encrypted_member_is_one_line(tmp_path, unread):
    packed(tmp_path / "a.npz", plain(np.zeros(2)))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    refused(tmp_path / "a.npz", "cannot be read")


KINDS = [
    np.zeros((2, 3), ">f4"),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bcd"]),
    np.array([True, False]),
    np.array("2020-01-01", "M8[ns]"),
    np.zeros((3, 0, 2)),
    np.zeros((), np.float16),
    np.zeros(2, np.longdouble),
    np.asfortranarray(np.ones((3, 4), np.complex64)),
    np.zeros(3, [("a", "<f4"), ("b", "u1", (2, 3)), ("c", [("d", "<U5")])]),
    np.zeros(3, np.dtype([("a", "u1"), ("b", "<f8")], align=True)),
    np.zeros(3, [("\u03b1", "<f4")]),
    np.zeros(3, "V7"),
]


@pytest.mark.filterwarnings("ignore:Stored array in format")
def test_the_header_is_read_as_numpy_writes_it(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{f"k{k}": x for k, x in enumerate(KINDS)})
    found = list(opening.npz(str(path)))
    assert [(name, shape) for name, shape, _, _ in found] == [(f"k{k}", x.shape) for k, x in enumerate(KINDS)]
    for x, (_, _, _, size) in zip(KINDS, found, strict=True):
        assert size == len(plain(x))
    assert set(archives.read(path)) == {f"k{k}" for k in range(len(KINDS))}


def test_idx_files_are_tried(tmp_path, unread):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\3" + b"\0\0\x08\0" * 3)[:-9])
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\1\0\0\0\0"))
    refused(tmp_path, "unpacked")


def test_images_are_tried(tmp_path, unread):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    refused(tmp_path, "'1.png'", "cannot be read")


def test_an_image_that_is_a_program_is_not_run(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "a" / "1.eps")
    (tmp_path / "a" / "1.eps").rename(tmp_path / "a" / "1.png")
    with Image.open(tmp_path / "a" / "1.png") as opened:
        assert opened.format == "EPS", "by its content, whatever it is called"
    refused(tmp_path, "'1.png'", "UnidentifiedImageError")


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_pipe_among_images_is_not_waited_for(tmp_path, unread):
    os.mkfifo(tmp_path / "1.png")
    with pytest.raises(ResourceError, match="HF505"):
        pictures.stack([tmp_path / "1.png"])
