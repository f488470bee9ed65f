"""`holdfast bench MODEL DATA`: what attacks cost here, beside the plain loop and beside other toolkits."""

from collections.abc import Sequence
from typing import Annotated

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.output import form_of, tell, write
from holdfast.core.errors import UsageError

Threat = Annotated[str, typer.Option("--threat", metavar="THREAT", help="Such as linf:8/255 or l2:inf.")]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", metavar="ATTACK", help="Such as 'pgd(steps=40)'; may be given several times."),
]
Batch = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Samples, all attacked at once.")]
Repeat = Annotated[int, typer.Option("--repeat", metavar="N", min=1, help="Times each side runs.")]
Peers = Annotated[str, typer.Option("--peers", metavar="NAMES", help="auto, none, or of foolbox,torchattacks,art.")]
Growth = Annotated[bool, typer.Option("--growth", help="Batches, sides and classes too.")]
Memory = Annotated[bool, typer.Option("--memory", help="Memory of audits of growing size too; minutes.")]
MemoryTo = Annotated[
    int | None,
    typer.Option("--memory-to", metavar="N", min=1, show_default="60000", help="Samples of the largest of them."),
]
Threads = Annotated[int, typer.Option("--threads", metavar="N", min=1, max=1024, help="Of torch.")]
Out = Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="Write it too: .html, .md, .json, .txt or .csv.")]


def command(
    model: options.Model,
    data: options.Data,
    threat: Threat = "",
    attack: Attacks = None,
    batch: Batch = 64,
    repeat: Repeat = 3,
    peers: Peers = "auto",
    growth: Growth = False,
    memory: Memory = False,
    memory_to: MemoryTo = None,
    threads: Threads = 1,
    seed: options.Seed = 0,
    split: options.Split = "test",
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    threshold: options.Threshold = "",
    trust: options.Trust = "",
    out: Out = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    debug: options.Debug = False,
) -> int:
    """Time attacks on MODEL, side by side with the loop of a textbook and with other toolkits that are installed."""
    from holdfast.cli.progress import Show
    from holdfast.cli.subject import default_threat, load_data, load_model, space_of
    from holdfast.evaluation.bench.measure import SIZES, bench
    from holdfast.report.bench import FORMS, page, render

    form = form_of(out, FORMS)
    counts = _sizes(SIZES, memory, memory_to)
    dataset = load_data(data, split, bounds, "", schema, label)
    space = options.bounds_of(bounds) or space_of(dataset)
    asked = load_model(model, trust, space, threshold, dataset.classes)
    with Show(-1 if quiet else 1) as show:
        found = bench(
            asked,
            dataset,
            threat=threat or default_threat(dataset),
            attacks=attack or (),
            batch=batch,
            repeat=repeat,
            others=peers,
            growth=growth,
            memory=counts,
            seed=seed,
            threads=threads,
            on_event=show,
        )
    if out:
        write(out, render(found, form))
    tell(found, page, as_json, quiet)
    return ExitCode.PASSED if found.complete else ExitCode.INTERRUPTED


def _sizes(sizes: Sequence[int], memory: bool, most: int | None) -> tuple[int, ...]:
    """Of the audits whose memory is measured; none where none is asked for.

    Raises:
        UsageError: HF805 for a largest size that measures nothing.
    """
    if most is not None and not memory:
        raise UsageError(
            "HF805", "--memory-to has nothing to end", seen="no --memory", fix=f"--memory --memory-to {most}"
        )
    counts = tuple(count for count in sizes if most is None or count <= most) if memory else ()
    if memory and not counts:
        raise UsageError("HF805", "--memory-to is below the smallest audit", seen=most, expected=f"{sizes[0]}")
    return counts
