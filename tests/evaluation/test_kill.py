"""A run killed anywhere ends, after the same command again, like a run that nobody killed."""

import os
import random
import signal

import pytest

from evaluation import killing
from evaluation.killing import dying_at, essence, in_child, later, work
from holdfast.evaluation.store import Folder

if not hasattr(os, "fork"):
    pytest.skip("needs fork", allow_module_level=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nobody killed, how often it calls what, and how long it takes."""
    home = tmp_path_factory.mktemp("whole")
    counts = killing.calls(lambda: work(home / "a"), home)
    return essence(Folder(home / "a")), counts


def parts_of(out):
    return {p.name: p.read_bytes() for p in (out / "parts").iterdir()} if (out / "parts").is_dir() else {}


def resumed(out):
    """The same command again, in a child; every committed part stays the file it was."""
    committed = (
        {name for c in Folder(out).parts.commits for name in c.files} if (out / "manifest.json").exists() else set()
    )
    before = {name: content for name, content in parts_of(out).items() if name in committed}
    assert in_child(lambda: work(out)) == 0
    after = parts_of(out)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.endswith(".tmp")]
    assert not (out / "lock").exists()
    return essence(Folder(out))


def killed(out, name, count):
    def body():
        dying_at(name, count)()
        work(out)

    return in_child(body)


def check_point(tmp_path, whole, seed):
    """Kill at a moment of the run; with odd seeds kill the resumed run as well."""
    expected, counts = whole
    name, count = killing.points(seed, 3, counts)[seed % 3]
    assert killed(tmp_path / "a", name, count) == -signal.SIGKILL
    if seed % 2:
        name, count = killing.points(1000 + seed, 3, counts)[(seed // 2) % 3]
        assert killed(tmp_path / "a", name, max(1, count // 3)) in (-signal.SIGKILL, 0)
    assert resumed(tmp_path / "a") == expected


@pytest.mark.parametrize("seed", range(6))
def test_killed_inside_a_write(tmp_path, whole, seed):
    check_point(tmp_path, whole, seed)


@pytest.mark.kill
@pytest.mark.parametrize("seed", range(6, 60))
def test_killed_inside_a_write_at_more_points(tmp_path, whole, seed):
    check_point(tmp_path, whole, seed)


def check_signal(tmp_path, whole, seed):
    """A signal at a random time: SIGKILL, SIGINT, SIGTERM, or SIGINT twice."""
    expected, _ = whole
    draw = random.Random(seed)
    number = (signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[seed % 4]
    twice = draw.uniform(0.0, 0.05) if seed % 4 == 3 else None
    code = in_child(lambda: work(tmp_path / "a", delay=0.004), later(number, draw.uniform(0.0, 1.2), twice))
    assert (
        code
        in {signal.SIGINT: (0, 130), signal.SIGKILL: (-signal.SIGKILL, 0), signal.SIGTERM: (0, -signal.SIGTERM)}[number]
    )
    if code == 0 and number != signal.SIGKILL:
        summary = Folder(tmp_path / "a").summary
        assert summary.complete or summary.stopped in ("interrupted", "terminated")
        assert summary.complete or summary.verdict.state in ("partial", "empty")
    assert resumed(tmp_path / "a") == expected


@pytest.mark.parametrize("seed", range(4))
def test_a_signal_at_any_time(tmp_path, whole, seed):
    check_signal(tmp_path, whole, seed)


@pytest.mark.kill
@pytest.mark.parametrize("seed", range(4, 40))
def test_a_signal_at_more_times(tmp_path, whole, seed):
    check_signal(tmp_path, whole, seed)


def test_a_killed_run_says_that_it_has_not_ended(tmp_path, whole):
    assert killed(tmp_path / "a", "fsync", whole[1]["fsync"] // 2) == -signal.SIGKILL
    folder = Folder(tmp_path / "a")
    assert not folder.complete
    with pytest.raises(ValueError, match="HF408"):
        _ = folder.summary


def test_a_finished_run_killed_while_it_grows_does_not_look_finished(tmp_path, whole):
    assert in_child(lambda: work(tmp_path / "a", threat=("linf:0.2",))) == 0
    assert Folder(tmp_path / "a").complete
    assert killed(tmp_path / "a", "fsync", whole[1]["fsync"] // 4) == -signal.SIGKILL
    assert not Folder(tmp_path / "a").complete
    assert resumed(tmp_path / "a") == whole[0]
