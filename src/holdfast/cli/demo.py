"""`holdfast demo [NAME]`: an audit of a network that ships with holdfast, offline, in a minute."""

from collections.abc import Callable
from typing import Annotated

import typer

from holdfast.cli import options
from holdfast.cli.audit import Request, run
from holdfast.cli.errors import nearest
from holdfast.core.errors import UsageError


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which demonstration: digits.")] = "digits",
    out: options.Out = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    debug: options.Debug = False,
) -> int:
    """Audit a network that ships with holdfast: handwritten digits, 200 samples, about a minute, nothing is fetched."""
    if name not in DEMOS:
        raise UsageError(
            "HF807",
            f"There is no demonstration {name!r}",
            expected=", ".join(DEMOS),
            fix=nearest(name, list(DEMOS)) or "holdfast demo",
        )
    return DEMOS[name](out, as_json, quiet, verbose)


def digits(out: str, as_json: bool, quiet: int, verbose: int) -> int:
    """The small network for 8 x 8 digits, on 200 samples that it never saw."""
    return run(
        Request(
            model="digits-mlp",
            data="digits",
            threat=("linf:0.1",),
            limit=200,
            out=out or "runs/demo-digits",
            as_json=as_json,
            quiet=quiet,
            verbose=verbose,
        )
    )


DEMOS: dict[str, Callable[[str, bool, int, int], int]] = {"digits": digits}
