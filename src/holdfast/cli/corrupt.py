"""`holdfast corrupt MODEL DATA`: accuracy under the 15 common corruptions of pictures."""

from typing import Annotated

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.output import form_of, tell, write


def command(
    model: options.Model,
    data: options.Data,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="One corruption; may be given several times.")
    ] = None,
    severity: Annotated[
        list[int] | None,
        typer.Option("--severity", metavar="N", min=1, max=5, help="One severity; may be given several times."),
    ] = None,
    seed: options.Seed = 0,
    limit: options.Limit = 0,
    split: options.Split = "test",
    bounds: options.Bounds = "",
    threshold: options.Threshold = "",
    trust: options.Trust = "",
    batch: options.Batch = 256,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="Write a page too: .html, .md, .json or .txt.")
    ] = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
) -> int:
    """Count the right answers of MODEL on DATA under noise, blur, weather and digital damage."""
    from holdfast.cli.progress import Show
    from holdfast.cli.subject import load_data, load_model
    from holdfast.data.corruptions.corrupt import SEVERITIES
    from holdfast.evaluation.corruptions import corruptions
    from holdfast.report.corruptions import FORMS, page, render

    form = form_of(out, FORMS)
    dataset = load_data(data, split, bounds)
    asked = load_model(model, trust, options.bounds_of(bounds) or dataset.bounds, threshold, dataset.classes)
    try:
        with Show(-1 if quiet else 0) as show:
            found = corruptions(
                asked,
                dataset,
                names=only or (),
                severities=sorted(set(severity or SEVERITIES)),
                seed=seed,
                limit=limit or None,
                batch=batch,
                on_event=show,
            )
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("Nothing is kept; --only NAME asks for one corruption, --limit for less") from error
    if out:
        write(out, render(found, form))
    tell(found, page, as_json, quiet)
    return ExitCode.PASSED
