"""`holdfast audit ... --seeds N`: the same audit with several seeds, and how far the rate moves."""

import dataclasses
import pathlib
from collections.abc import Callable

from holdfast.cli.audit import Request, folder_of
from holdfast.cli.codes import ExitCode
from holdfast.cli.terminal import clean, emit, say
from holdfast.core.errors import UsageError


def repeated(request: Request, audit: Callable[[Request], int]) -> int:
    """Audit with seeds 0, 1, ... into `seed-0`, `seed-1`, ... of the folder; then print the spread.

    Raises:
        UsageError: HF805 together with an option that fixes the samples in another way.
    """
    for name in ("decide", "budget", "deadline", "new", "dry_run", "jsonl", "seed"):
        if getattr(request, name):
            raise UsageError(
                "HF805",
                f"--seeds cannot be combined with --{name.replace('_', '-')}",
                seen=f"--seeds {request.seeds}",
                fix="use --limit for fewer samples; the seeds are 0, 1, ...",
            )
    folder, worst, seeds = folder_of(request), ExitCode.PASSED, request.seeds
    runs = [folder / f"seed-{seed}" for seed in range(seeds)]
    for seed, out in enumerate(runs):
        subset = (request.subset_seed or 0) if request.limit else None
        if not request.quiet:
            say(f"seed {seed} of 0 to {seeds - 1}, {out}")
        one = dataclasses.replace(request, seeds=1, seed=seed, subset_seed=subset, out=str(out), part=True)
        code = ExitCode(audit(one))
        if code == ExitCode.INTERRUPTED:
            return code
        worst = max(worst, code)
    show(runs, request, folder / "spread.json")
    return worst


def show(runs: list[pathlib.Path], request: Request, file: pathlib.Path) -> None:
    """Print what the runs say together, and keep it beside them."""
    from holdfast.core.files import write_atomic
    from holdfast.evaluation.document import to_json
    from holdfast.evaluation.spread import spread
    from holdfast.evaluation.store import Folder
    from holdfast.report.sheet import text
    from holdfast.report.spread import page

    found = spread([Folder(run) for run in runs])
    write_atomic(file, to_json(found).encode())
    if request.as_json:
        emit(to_json(found), end="")
    elif request.quiet < 2:
        emit(clean(str(found)) if request.quiet else text(page(found)).rstrip())
