"""One thread a test process, the tensors are tiny and the processes run side by side; the same numbers in every run."""

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

from holdfast.core import confined, trial  # noqa: E402

settings.register_profile("holdfast", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("holdfast")


@pytest.fixture(autouse=True)
def _seeded():
    """Weights and inputs that a test draws from torch's global generator do not change from run to run."""
    torch.manual_seed(0)


@pytest.fixture
def tried_here(monkeypatch):
    """Files are tried in this process by the same openers, for tests about what is done with the answers.

    A child imports for two seconds before it opens a file for a hundredth. That it is started, limited and ended is
    the subject of tests/core/test_trial.py and tests/models/test_hostile_files.py.
    """
    monkeypatch.setattr(confined, "confine", lambda memory, seconds: None)
    monkeypatch.setattr(confined, "_search", lambda folders: None)
    monkeypatch.setattr(trial, "_answer", lambda asked, *_: json.dumps(confined._answer(json.loads(asked))).encode())


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector):
    """Weights that a module draws while it is imported do not depend on what was imported before it."""
    if isinstance(collector, pytest.Module):
        torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """The laws of rows that say so run with `make slow`."""
    for item in items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")
        if getattr(case, "slow", False):
            item.add_marker(pytest.mark.slow)
