"""One audit in a process of its own, and what it took in memory: `python -m holdfast.evaluation.bench.child COUNT`.

Prints one JSON object. Inputs are seeded noise of MNIST's shape, the network is small and untrained; its own answers
are the labels, so that every sample is attacked.
"""

import json
import pathlib
import re
import sys
import tempfile
import time

import torch

from holdfast.data.dataset import Dataset
from holdfast.evaluation.audit import audit
from holdfast.models.networks.named import build
from holdfast.models.wrap import wrap

SHAPE = (1, 28, 28)
WIDTH = 4
STATUS, RESET = pathlib.Path("/proc/self/status"), pathlib.Path("/proc/self/clear_refs")


def resident(peak: bool) -> int:
    """Bytes of this process in memory, now or at most so far."""
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+)", STATUS.read_text()) if STATUS.exists() else None
    if found:
        return 1024 * int(found[1])
    import resource  # not on every system

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def forget_peak() -> None:
    """From here on the peak is counted anew, where the system can do that."""
    try:
        RESET.write_text("5")
    except OSError:
        return


def measured(count: int, seed: int) -> dict[str, float]:
    """Audit `count` samples and look at the memory."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model = wrap(build("cnn", shape=SHAPE, classes=10, width=WIDTH).eval(), bounds=(0, 1), classes=10)
    x = torch.rand(count, *SHAPE)
    y = torch.cat([model.predict(rows) for rows in torch.split(x, 256)])
    data = Dataset(x, y, name="noise", split="test", classes=range(10))
    del x, y
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        before, began = resident(peak=False), time.monotonic()
        forget_peak()
        audit(model, data, threat="linf:0.1", suite="pgd(steps=2)", seed=seed, out=pathlib.Path(folder) / "run")
        seconds = time.monotonic() - began
    inputs = data.x.numel() * data.x.element_size()
    return {"samples": count, "data": inputs, "before": before, "peak": resident(peak=True), "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]), int(sys.argv[2]))))
