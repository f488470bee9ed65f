"""`holdfast harden MODEL DATA`: train a model on so that it withstands more, and measure before and after."""

import dataclasses
import pathlib
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.output import tell
from holdfast.cli.terminal import say
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.evaluation.defending.harden import Hardened

Threat = Annotated[str, typer.Option("--threat", metavar="THREAT", help="Such as linf:8/255; a radius is needed.")]
Recipe = Annotated[
    str, typer.Option("--recipe", metavar="NAME", help="A trained defense, 'adversarial_training(steps=3)', or auto.")
]
Budget = Annotated[str, typer.Option("--budget", metavar="TIME", help="Of the training: 90s, 10m, 1h30m.")]
Epochs = Annotated[
    int, typer.Option("--epochs", metavar="N", min=0, show_default=False, help="As many, instead of what fits.")
]
Out = Annotated[
    str, typer.Option("-o", "--out", metavar="FILE", help="The hardened model, .safetensors; the same file continues.")
]
Size = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Samples in a training step.")]


def command(
    model: options.Model,
    data: options.Data,
    threat: Threat = "",
    recipe: Recipe = "auto",
    budget: Budget = "10m",
    epochs: Epochs = 0,
    suite: options.Suite = "quick",
    limit: options.Limit = 500,
    batch: Size = 128,
    seed: options.Seed = 0,
    bounds: options.Bounds = "",
    trust: options.Trust = "",
    out: Out = "hardened.safetensors",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    log: options.Log = "",
    debug: options.Debug = False,
) -> int:
    """Train MODEL on, on the training part of DATA; audit it on the test part before and after, sample by sample."""
    from holdfast.cli.interrupt import announced
    from holdfast.cli.progress import Show
    from holdfast.cli.subject import default_threat, load_model
    from holdfast.data import load
    from holdfast.evaluation.defending.harden import harden
    from holdfast.report.comparison import page

    file = file_of(out)
    splits = load(data, bounds=options.bounds_of(bounds))
    source = load_model(model, trust, options.bounds_of(bounds) or splits.test.bounds)
    under = threat or default_threat(splits.test)
    with options.log_file(log) as lines, Show(-1 if quiet else max(verbose, 1), lines) as show:
        found = harden(
            source,
            splits,
            threat=under,
            out=file.with_suffix(".runs"),
            recipe=recipe,
            budget=budget,
            epochs=epochs,
            suite=suite,
            limit=limit or None,
            batch=batch,
            seed=seed,
            on_event=announced(show, bool(quiet)),
            command=f"holdfast harden {shlex.quote(model)} {shlex.quote(data)} --threat {under} -o {shlex.quote(out)}",
        )
    note = written(found, model, file, under)
    tell(found.comparison, page, as_json, quiet)
    if not quiet:
        say(f"Model: {file}{note}")
    return ExitCode.PASSED


def file_of(out: str) -> pathlib.Path:
    """Where the model goes.

    Raises:
        UsageError: HF820 for a file of another kind.
    """
    file = pathlib.Path(out)
    if file.suffix != ".safetensors":
        raise UsageError(
            "HF820",
            "Models are written as safetensors",
            seen=file.name,
            expected="NAME.safetensors",
            fix="-o model.safetensors",
        )
    return file


def written(found: "Hardened", model: str, file: pathlib.Path, threat: str) -> str:
    """Write the model, with the card of the one that it was made from; what is missing where that has none."""
    import safetensors.torch

    from holdfast.core.files import write_atomic
    from holdfast.models.files import card_beside, save_model

    card = card_beside(model)
    if card is not None and card.network:
        told = {"from": model, "recipe": found.choice.recipe, "epochs": found.choice.epochs, "threat": threat}
        save_model(found.net, file, dataclasses.replace(card, more={**card.more, "hardened": told}))
        return ""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in found.net.state_dict().items()}
    write_atomic(file, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    return " (weights alone: the source has no card that names its network)"
