"""Hostile `.pt` files: each ends in the child, in one line, and is never read here."""

import io
import json
import os
import pickle
import struct
import zipfile

import pytest
import torch

from holdfast.core import trial
from holdfast.core.errors import HoldfastError, ModelError, ResourceError
from holdfast.models import state_dict
from holdfast.models.files import load_model
from holdfast.models.networks import build

CARD = {"network": "cnn", "width": 4, "classes": 3, "shape": [1, 8, 8], "bounds": [0, 1]}


@pytest.fixture
def unread(monkeypatch):
    """A `torch.load` in this process fails the test."""

    def load(*_, **__):
        pytest.fail("read in the main process")

    monkeypatch.setattr(torch, "load", load)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "net.card.json").write_text(json.dumps(CARD))
    return tmp_path / "net.pt"


def archive(path, body, **packing):
    """A file as `torch.save` writes it, around any pickle."""
    with zipfile.ZipFile(path, "w", **packing) as file:
        file.writestr("archive/data.pkl", body)
        file.writestr("archive/byteorder", "little")
        file.writestr("archive/version", "3\n")


def ended(code, path, *words, kind=HoldfastError):
    with pytest.raises(kind) as caught:
        load_model(path)
    text = str(caught.value)
    assert caught.value.code == code, text
    assert all(word in text for word in words), text
    assert "\n" not in text


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("legacy", [True, False])
def test_code_runs_neither_here_nor_in_the_child(legacy, path, tmp_path, unread):
    torch.save({"a": Evil(str(tmp_path / "mark"))}, path, _use_new_zipfile_serialization=not legacy)
    ended("HF213", path, kind=ModelError)
    assert not (tmp_path / "mark").exists()


def test_a_file_that_was_cut_off(path, unread):
    torch.save(build("cnn", shape=(1, 8, 8), classes=3, width=4).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-3000])
    ended("HF212", path, "cannot be read", kind=ModelError)


def test_a_zip_bomb(path, unread):
    weights = io.BytesIO()
    torch.save({"a": torch.zeros(10_000_000)}, weights)
    with zipfile.ZipFile(weights) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    assert path.stat().st_size < 1 << 20
    ended("HF212", path, "more than it is", kind=ModelError)


def test_a_declared_size_that_no_file_has(path, unread):
    archive(path, b"\x80\x02}.")
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02") + 24
    path.write_bytes(content[:at] + struct.pack("<I", (1 << 32) - 2) + content[at + 4 :])
    ended("HF212", path, "4294967", "more than it is", kind=ModelError)


def test_a_pickle_of_70_bytes_that_asks_for_a_terabyte(path, unread):
    archive(path, b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (1 << 40).to_bytes(6, "little") + b"\x85R.")
    ended("HF505", path, "of memory", kind=ResourceError)


def test_a_pickle_that_never_ends(path, unread):
    archive(path, b"\x80\x02])q\x01a" + b"h\x01h\x01\x86q\x01a" * 60 + b"}h\x01K\x01s.")
    with pytest.raises(ResourceError, match="HF505.*1 s of processor time"):
        trial.look("holdfast.models.state_dict:facts", [path], 256 << 20, 1, ["torch"])


def test_facts_are_those_of_the_file(path):
    torch.save({"epoch": 1, "model": {"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.float16)}}, path)
    state_dict.tried(path)
    found = trial.look("holdfast.models.state_dict:facts", [path], 0)  # remembered, so no child with no memory
    assert [(f.name, f.shape, f.dtype, f.size) for f in found] == [
        ("model.a", (2, 3), "torch.float32", 24),
        ("model.b", (4,), "torch.float16", 8),
    ]
    assert set(state_dict.state_dict(path)) == {"a", "b"}


def test_without_a_child_nothing_is_read(path, unread, monkeypatch):
    torch.save({"a": torch.zeros(2)}, path)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    ended("HF506", path, kind=ResourceError)


def test_a_checkpoint_is_tried_like_any_file(tmp_path, unread):
    from holdfast.learning.state import begin

    state = begin(build("cnn", shape=(1, 8, 8), classes=3, width=4), 0.1, 0.9, 0.0)
    (tmp_path / "state.pt").write_bytes(pickle.dumps(Evil(str(tmp_path / "mark"))))
    with pytest.raises(ModelError, match="HF212"):
        state.restore(tmp_path / "state.pt", "x")
    assert not (tmp_path / "mark").exists()
