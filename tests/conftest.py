"""One thread a test process: the tensors are tiny and the processes run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
