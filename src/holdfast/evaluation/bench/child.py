"""One audit in a process of its own, and what it took in memory: `python -m holdfast.evaluation.bench.child COUNT`.

Prints one JSON object. Inputs are seeded noise of MNIST's shape, the network is small and untrained; its own answers
are the labels, so that every sample is attacked. The radius breaks about half of them, whose adversarial inputs are
kept as in any audit.
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
WIDTH = 64
THREAT = "linf:0.04"
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
    net = build("mlp", shape=SHAPE, classes=10, width=WIDTH).eval()
    model = wrap(net, bounds=(0, 1), mean=0.5, std=0.29, classes=10)
    x = torch.rand(count, *SHAPE)
    y = torch.cat([model.predict(rows) for rows in torch.split(x, 256)])
    data = Dataset(x, y, name="noise", split="test", classes=range(10))
    del x, y
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        before, began = resident(peak=False), time.monotonic()
        forget_peak()
        run = audit(model, data, threat=THREAT, suite="pgd(steps=2)", seed=seed, out=pathlib.Path(folder) / "run")
        seconds, broken = time.monotonic() - began, run.summary.coverage.statuses.get("broken", 0)
    inputs, peak = data.x.numel() * data.x.element_size(), resident(peak=True)
    told = {"samples": count, "broken": broken, "data": inputs}
    return {**told, "before": before, "peak": peak, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]), int(sys.argv[2]))))
