"""What the pages and the snippets run is forked from one process; `make laws` runs it in fresh ones."""

import os
import pathlib
import sys

import pytest

from cases.evasion import FULL
from docs import forks


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Folders of programs for the front of a path: one with a `holdfast` that is forked, or none."""
    if FULL or sys.platform != "linux":
        yield ()
        return
    with forks.programs(tmp_path_factory.mktemp("programs")) as folder:
        yield (folder,)


@pytest.fixture(scope="session")
def path(programs):
    """Where a shell looks for programs: those, then this environment's."""
    return os.pathsep.join([*map(str, programs), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
