"""`holdfast harden MODEL DATA`: make a model withstand more, and measure before and after."""

import dataclasses
import pathlib
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.cli import options
from holdfast.cli.codes import ExitCode
from holdfast.cli.output import following, tell, write
from holdfast.cli.terminal import emit, say
from holdfast.core.errors import UsageError

if TYPE_CHECKING:
    from holdfast.data.dataset import Splits
    from holdfast.evaluation.defending.harden import Hardened
    from holdfast.models.model import Model

NETWORK, FOLDER = "hardened.safetensors", "hardened"
ROWS = "each row after hardening, what broke it and how far that was"
FILES = (".skops", ".json", ".ubj", ".txt", ".cbm")
PAGES = (".html", ".md")

Threat = Annotated[str, typer.Option("--threat", metavar="THREAT", help="Such as linf:8/255; a radius is needed.")]
Recipe = Annotated[
    str,
    typer.Option("--recipe", metavar="NAME", help="'adversarial_training(steps=3)', adversarial-rounds, ..., or auto."),
]
Budget = Annotated[str, typer.Option("--budget", metavar="TIME", help="Of the training: 90s, 10m, 1h30m.")]
Epochs = Annotated[
    int,
    typer.Option("--epochs", metavar="N", min=0, show_default=False, help="Of a network: as many, not what fits."),
]
Out = Annotated[
    str,
    typer.Option(
        "-o", "--out", metavar="OUT", help="Of a network a .safetensors file, of a table a folder; the same continues."
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="P",
        help="Of a network's training: float32, bfloat16, or auto, the faster that serves.",
    ),
]
Size = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Of a network: samples in a training step.")]


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
    precision: Precision = "auto",
    evade: options.Evade = "",
    threshold: options.Threshold = "",
    profile: options.Profile = "",
    seed: options.Seed = 0,
    bounds: options.Bounds = "",
    schema: options.Schema = "",
    label: options.Label = "",
    show_rows: options.ShowRows = False,
    trust: options.Trust = "",
    out: Out = "",
    as_json: options.Json = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
    log: options.Log = "",
    debug: options.Debug = False,
) -> int:
    """Train MODEL on, or learn it anew, from the training part of DATA; audit it before and after, row by row."""
    from holdfast.cli.interrupt import announced
    from holdfast.cli.progress import Show
    from holdfast.cli.subject import default_threat, load_model, shown, space_of
    from holdfast.data import load
    from holdfast.evaluation.defending.dividing import misplaced
    from holdfast.models.estimators import estimator_of

    limits = options.bounds_of(bounds)
    splits = load(data, bounds=limits, profile=profile, schema=schema or None, label=label)
    splits = dataclasses.replace(splits, test=shown(splits.test)) if show_rows else splits
    cut = (threshold, splits.test.classes)
    source = load_model(model, trust, limits or space_of(splits.test), *cut)
    given = estimator_of(source)
    if given is None and splits.test.schema is not None:  # networks are trained on codes inside their bounds
        source = load_model(model, trust, limits or splits.test.bounds, *cut)
    misplaced(given is not None, epochs, evade, precision)
    under = threat or default_threat(splits.test, profile)
    question: dict[str, str | bool] = {"--threat": under, "--evade": evade, "--threshold": threshold}
    question |= {"--profile": profile, "--bounds": bounds, "--schema": schema, "--label": label}
    question["--show-rows"] = show_rows
    told = Told(model, data, question, source, splits, out or (NETWORK if given is None else FOLDER), as_json, quiet)
    words = _words({**question, "-o": told.out})
    asked: dict[str, Any] = {"threat": under, "recipe": recipe, "budget": budget, "suite": suite, "seed": seed}
    asked |= {"limit": limit or None, "command": shlex.join(["holdfast", "harden", model, data, *words])}
    with options.log_file(log) as lines, Show(-1 if quiet else max(verbose, 1), lines) as show:
        asked["on_event"] = announced(show, bool(quiet))
        if given is None:
            return told.network(epochs=epochs, batch=batch, precision=precision, **asked)
        return told.estimator(given, evade=evade, **asked)


@dataclasses.dataclass(frozen=True, eq=False)
class Told:
    """What is hardened, and where what comes of it goes.

    Args:
        name, data: As the command line has them.
        question: Options that an audit of the result needs too.
    """

    name: str
    data: str
    question: dict[str, str | bool]
    source: "Model"
    splits: "Splits"
    out: str
    as_json: bool
    quiet: int

    def network(self, **asked: Any) -> int:
        """A network, and its page."""
        from holdfast.evaluation.defending.harden import harden
        from holdfast.report.comparison import page

        file = file_of(self.out)
        found = harden(self.source, self.splits, out=file.with_suffix(".runs"), **asked)
        note = written(found, self.name, file, asked["threat"])
        tell(found.comparison, lambda shown: page(shown, listed=False), self.as_json, self.quiet)
        if not self.quiet:
            say(f"Model: {file}{note}")
        if not note:
            self.go_on(str(file), file.with_suffix(".runs") / "after", asked["suite"])
        return ExitCode.PASSED

    def estimator(self, given: Any, **asked: Any) -> int:
        """An estimator, its page in the terminal and beside its audits."""
        from holdfast.evaluation.defending.estimator import harden_estimator
        from holdfast.report.hardening import page, render
        from holdfast.report.run import Run

        folder, file = places(self.out)
        of: dict[str, Any] = {"name": self.source.name, "threshold": self.source.threshold}
        found = harden_estimator(given, self.splits, out=folder, file=file, **of, **asked)
        for run in (found.before, found.after):
            if run is not None:
                Run(run).report(run / "report.html")
        for ending in PAGES:
            write(str(folder / f"hardening{ending}"), render(found.report, ending, linked=True))
        tell(found.report, page, self.as_json, self.quiet)
        if not self.quiet:
            say(f"Page: {folder / 'hardening.html'}")
            say(f"Model: {found.file}" if found.file is not None else "Model: none, see the notes")
        if found.file is not None:
            self.go_on(str(found.file), folder / "after", asked["suite"], found.report.trust)
        return ExitCode.PASSED

    def go_on(self, file: str, after: pathlib.Path, suite: str, trust: bool = False) -> None:
        """What to ask next of the model in a file."""
        if self.as_json or self.quiet:
            return
        longer = {"--suite": "" if suite == "standard" else "standard", "--trust": file if trust else ""}
        words = ["holdfast", "audit", file, self.data, *_words({**self.question, **longer})]
        why = "the whole test part" if suite == "standard" else "the whole test part under a longer search"
        emit(
            "\n".join(["", *following([(shlex.join(words), why), (f"holdfast show {shlex.quote(str(after))}", ROWS)])])
        )


def _words(options_of: dict[str, Any]) -> list[str]:
    """Options that have a value, or none but are set, as words of a command line."""
    return [word for name, value in options_of.items() if value for word in (name, value) if word is not True]


def places(out: str) -> tuple[pathlib.Path, pathlib.Path | None]:
    """The folder of a hardened estimator, and its file where one was named.

    Raises:
        UsageError: HF820 for a file of a kind that holds no estimator.
    """
    path = pathlib.Path(out)
    if path.suffix in FILES:
        return path.with_suffix(".runs"), path
    if path.suffix in (".safetensors", ".pt", ".pth", ".pkl", ".joblib", ".onnx", ".keras", *PAGES):
        raise UsageError(
            "HF820",
            "Estimators are not written as such a file",
            seen=path.name,
            expected=f"a folder, or a file ending in {', '.join(FILES)}",
            fix=f"-o {shlex.quote(path.stem or 'hardened')}",
        )
    return path, None


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
        told["precision"] = found.choice.precision
        cut = "" if found.model.threshold is None else found.model.threshold.text(card.class_names)
        save_model(found.net, file, dataclasses.replace(card, threshold=cut, more={**card.more, "hardened": told}))
        return ""
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in found.net.state_dict().items()}
    write_atomic(file, safetensors.torch.save(tensors, metadata={"format": "pt"}))
    return " (weights alone: the source has no card that names its network)"
