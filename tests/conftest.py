"""One thread a test process: the tensors are tiny and the processes run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

settings.register_profile("holdfast", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("holdfast")
