import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.evaluation import journal
from holdfast.evaluation.journal import Commit, Session
from holdfast.evaluation.manifest import Samples, grow, keys_of, number_of, teams

SESSION = Session(
    started="now",
    command="holdfast audit ü\n",
    python="3",
    torch="2",
    numpy="2",
    platform="x",
    threads=1,
    device="cpu",
    batch=256,
)


def commit(i):
    return Commit(
        part=f"search-{i}",
        question={"kind": "search", "seed": i},
        files={f"{i}.npz": "ab" * 32},
        rows=i,
        seconds=0.1 * i,
        forwards=3,
        finished="now",
    )


ENTRIES = [SESSION, commit(1), commit(2), commit(3)]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    for entry in ENTRIES:
        journal.append(path, entry)
    return path.read_bytes()


def test_there_and_back(tmp_path, written):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(written)
    found = journal.load(path)
    assert found.sessions == (SESSION,)
    assert list(found.commits) == ENTRIES[1:]
    assert found.damaged == 0
    assert all(json.loads(line) for line in written.decode().splitlines())


def test_no_file_is_an_empty_journal(tmp_path):
    assert journal.load(tmp_path / "none") == journal.Journal(sessions=(), commits=(), remarks=(), damaged=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(cut=st.integers(0, 5000))
def test_a_torn_end_loses_the_last_line_only(tmp_path, written, cut):
    """Whatever prefix of the file is on the disk: the whole lines in it count, and the next line is written clean."""
    path, cut = tmp_path / "journal.jsonl", cut % (len(written) + 1)
    path.write_bytes(written[:cut])
    whole = written[:cut].count(b"\n")
    found = journal.load(path)
    assert [*found.sessions, *found.commits] == ENTRIES[:whole]
    assert found.damaged == (not written[:cut].endswith(b"\n") and cut > 0)
    journal.append(path, commit(9))
    again = journal.load(path)
    assert [*again.sessions, *again.commits] == [*ENTRIES[:whole], commit(9)]
    assert again.damaged == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(place=st.integers(0, 5000), value=st.integers(0, 255))
def test_a_changed_byte_never_becomes_a_commit(tmp_path, written, place, value):
    """A flipped byte costs at most the line it is in (or two, where a line end is lost) and never invents one."""
    path, place = tmp_path / "journal.jsonl", place % len(written)
    path.write_bytes(written[:place] + bytes([value]) + written[place + 1 :])
    found = journal.load(path)
    entries = [*found.sessions, *found.commits]
    assert all(e in ENTRIES for e in entries)
    assert len(entries) >= len(ENTRIES) - 2


@given(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12))
def test_every_sample_has_a_key_of_its_own(digests):
    keys = keys_of(digests)
    assert len(set(keys)) == len(keys)
    assert len({number_of(k) for k in keys}) == len(keys)


@given(first=st.sets(st.integers(0, 40)), second=st.sets(st.integers(0, 40)), size=st.integers(1, 9))
def test_groups_never_change(first, second, size):
    """Adding samples appends groups; each sample is in exactly one; a request is covered by the teams once."""

    def added(samples, numbers):
        keys = [f"k{i}" for i in sorted(numbers)]
        return grow(samples, keys, sorted(numbers), [0] * len(keys), [-1] * len(keys), size)

    one = added(Samples(), first)
    two = added(one, second)
    assert two.groups[: len(one.groups)] == one.groups
    assert two.keys[: len(one.keys)] == one.keys
    flat = [i for group in two.groups for i in group]
    assert flat == list(range(len(two.keys)))
    assert set(two.keys) == {f"k{i}" for i in first | second}
    assert all(len(group) <= size for group in two.groups)
    wanted = [f"k{i}" for i in second]
    assert sorted(k for team in teams(two, wanted) for k in team) == sorted(wanted)
    assert added(two, first) == two
