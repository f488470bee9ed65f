"""Training on several processes: two real ones give the result of one, stop and resume together, none waits."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
import torch

from holdfast.core.errors import MissingExtra, ModelError, Stop
from holdfast.learning.processes import Processes, processes
from holdfast.learning.train import Train
from learning.several import NORMS, OF, held, judged, numbers, toy, trainings

WORKER = pathlib.Path(__file__).with_name("several.py")
SECONDS = 240  # where other work is done too


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes saw, and the models of the first."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("several")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parents[1])}
    child = subprocess.Popen(
        [*command, str(WORKER), str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    assert child.returncode == 0, output
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)], torch.load(folder / "models.pt")


ENDING = """\
import atexit, pathlib, sys, torch

def look():  # after everything that is registered later
    pathlib.Path(sys.argv[1], str(team.rank)).write_text(f"{before} {torch.distributed.is_initialized()}")

atexit.register(look)
from holdfast.learning.processes import processes

team = processes("accelerate")
team.added(torch.ones(3))
before = torch.distributed.is_initialized()
"""


def test_a_process_that_ends_closes_its_connections_before_the_interpreter_does(tmp_path):
    """Threads of gloo that outlive it abort the process on a busy machine: seen in two of five endings."""
    pytest.importorskip("accelerate")
    script = tmp_path / "ending.py"
    script.write_text(ENDING)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*command, script, tmp_path], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["True False"] * 2


def test_there_are_two_and_they_find_the_same(found):
    first, second = found[0]
    assert first["count"] == second["count"] == 2
    assert first["sums"] == second["sums"]
    assert len(first["sums"]) == len(trainings("cpu"))


@pytest.mark.parametrize("name", trainings("cpu"))
def test_two_processes_give_the_result_of_one(name, found):
    one, two = numbers(trainings("cpu")[name].fit(toy())), found[1][name]
    torch.testing.assert_close(two, one, rtol=0, atol=5e-4 * float(one.abs().max()))  # a slope near 0 turns its sign


def test_batch_norms_of_half_a_batch_give_the_same_robust_accuracy_within_noise(found):
    one, two = held(judged("cpu"))[-1] / 120, found[0][0]["held"][-1] / 120
    assert one > 0.5
    assert abs(one - two) <= 3 * ((one * (1 - one) + two * (1 - two)) / 120) ** 0.5


def test_only_the_main_process_judges_and_tells(found):
    first, second = found[0]
    assert len(first["held"]) == NORMS.epochs
    assert second["held"] == []
    assert (first["told"], second["told"]) == (2, 0)


def test_layers_draw_other_numbers_in_each_process_and_recipes_the_same(found):
    first, second = found[1]["dropout"].chunk(2)
    assert not torch.equal(first, second)
    torch.manual_seed(5)
    assert found[0][0]["common"] == found[0][1]["common"] == torch.rand(1).item()


@pytest.mark.parametrize(
    ("what", "first", "second"),
    [
        ("stopped", "Stop", "Stop"),
        ("resumed", True, True),
        ("few", "HF258", "HF258"),
        ("failed", "ValueError", "ValueError"),
        ("strangers", "HF259", "HF259"),
        ("parted", "HF259", "HF259"),
        ("interrupted", "HF259", "KeyboardInterrupt"),
        ("after", "HF259", "HF259"),
    ],
)
def test_both_end_and_neither_waits(what, first, second, found):
    assert [one[what] for one in found[0]] == [first, second]


def test_one_process_is_the_single_process_bit_for_bit():
    pytest.importorskip("accelerate")
    alone = dataclasses.replace(NORMS, epochs=1)
    one, other = (dataclasses.replace(alone, device=device).fit(toy()) for device in ("cpu", "accelerate"))
    assert one.parameters() == other.parameters()


def test_without_accelerate_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"HF701 .*holdfast\[distributed\]"):
        dataclasses.replace(OF, device="accelerate").fit(toy())


def test_a_process_that_accelerate_does_not_know_is_refused(monkeypatch):
    pytest.importorskip("accelerate")
    processes("accelerate")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ModelError, match="HF259 .*2 were started"):
        processes("accelerate")


def test_alone_nothing_is_asked_of_others():
    alone = Processes(torch.device("cpu"))
    logits, x = (lambda x: 2 * x), torch.ones(1, 3)
    assert alone.shared(logits) is logits
    assert alone.whole(x, 1) is x
    alone.enough(1)
    alone.same("x", lambda: pytest.fail("asked"))

    def stop(event):
        raise Stop

    with pytest.raises(Stop):
        alone.tell(stop, None)


def test_a_checkpoint_does_not_depend_on_how_many_train(tmp_path):
    """The identity leaves the device out, so that a training may go on with another number of processes."""
    one = Train(epochs=1)._identity(toy(), 0)
    assert one == Train(epochs=1, device="accelerate", checkpoint="x")._identity(toy(), 0)
