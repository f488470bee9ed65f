"""What audits of growing size take in memory, each in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys

from holdfast.evaluation.bench.records import MemoryRow

SIZES = (1_000, 10_000, 60_000)


def remembered(count: int, seed: int) -> MemoryRow | str:
    """Audit so many samples in a child process; a sentence where that gives no answer."""
    source = str(pathlib.Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "holdfast.evaluation.bench.child", str(count), str(seed)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return f"Memory: the audit of {count:,} samples ended without an answer ({said})."
    return MemoryRow(**json.loads(done.stdout.splitlines()[-1]))
