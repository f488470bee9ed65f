"""`holdfast demo [NAME]`: an audit of a network that ships with holdfast in a minute, or a longer story; offline."""

import dataclasses
import pathlib
import re
from collections.abc import Callable
from typing import Annotated

import typer

from holdfast.cli import options
from holdfast.cli.audit import Request, run
from holdfast.cli.errors import nearest
from holdfast.core.errors import UsageError

SAMPLES = 200


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which demonstration: digits or road-signs.")] = "digits",
    data: Annotated[
        str, typer.Option("--data", metavar="DATA", help="Of road-signs: other pictures, such as gtsrb, real signs.")
    ] = "",
    out: options.Out = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    debug: options.Debug = False,
) -> int:
    """Audit a network that ships with holdfast: handwritten digits, 200 samples, about a minute, nothing is fetched.

    road-signs: two networks learn road signs, both are broken, one is hardened and attacked again; about four minutes.
    """
    if name not in DEMOS:
        raise UsageError(
            "HF807",
            f"There is no demonstration {name!r}",
            expected=", ".join(DEMOS),
            fix=nearest(name, list(DEMOS)) or "holdfast demo",
        )
    return DEMOS[name](Asked(data, out, as_json, quiet, verbose))


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options of a demonstration.

    Args:
        data: Other data than its own, empty for its own.
        out: Its folder, empty for the usual one.
        as_json: Whether the result is wanted as JSON.
        quiet, verbose: How often these were said.
    """

    data: str = ""
    out: str = ""
    as_json: bool = False
    quiet: int = 0
    verbose: int = 0


def digits(asked: Asked) -> int:
    """The small network for 8 x 8 digits, on 200 samples that it never saw."""
    if asked.data:
        raise UsageError("HF805", "--data belongs to road-signs", fix="holdfast demo road-signs --data gtsrb")
    import torch

    request = Request(
        model="digits-mlp",
        data="digits",
        threat=("linf:0.1",),
        suite="quick",
        limit=SAMPLES,
        out=asked.out or "runs/demo-digits",
        as_json=asked.as_json,
        quiet=asked.quiet,
        verbose=asked.verbose,
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # 64 inputs of 64 numbers: a second thread waits more than it works
    try:
        return run(request)
    finally:
        torch.set_num_threads(threads)


def road_signs(asked: Asked) -> int:
    """Two networks learn road signs, break, and one of them is hardened and attacked again."""
    from holdfast.cli.demo_pace import Pace
    from holdfast.cli.demo_story import RENDERED, Story, tell
    from holdfast.cli.demo_told import document, exit_code, screen
    from holdfast.cli.progress import Lines, Plain
    from holdfast.cli.terminal import emit, interactive

    story = Story(data=asked.data or RENDERED)
    other = "" if story.data == RENDERED else "-" + re.sub(r"[^A-Za-z0-9_]+", "-", pathlib.Path(story.data).stem)[:32]
    pace = Pace(None if asked.quiet else Lines() if interactive() else Plain())
    try:
        told = tell(story, pathlib.Path(asked.out or f"runs/demo-road-signs{other}"), pace)
    finally:
        pace.close()
    if asked.as_json:
        emit(document(told))
    elif asked.quiet < 2:
        emit(screen(told, asked.quiet))
    return exit_code(told)


DEMOS: dict[str, Callable[[Asked], int]] = {"digits": digits, "road-signs": road_signs}
