"""`holdfast check policy|model|baseline`: what can be said of files at once, for commit hooks. Nothing is attacked."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.options import Quiet
from holdfast.cli.terminal import clean, emit
from holdfast.core.errors import HoldfastError, IntegrityError, ModelError, UsageError

Files = Annotated[list[str] | None, typer.Argument(metavar="FILES", help="Policies, model files, or baseline folders.")]


def command(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="policy, model or baseline.")],
    files: Files = None,
    policy: Annotated[
        str, typer.Option("--policy", metavar="FILE", help="Of a baseline: the rules that it is held against.")
    ] = "holdfast.toml",
    quiet: Quiet = 0,
) -> int:
    """Check FILES: policies against their schema; models for pickles and pinned hashes; baselines against the policy.

    Without FILES: holdfast.toml, what SHA256SUMS names, or the folder baseline. Exit code 1 where one does not pass.
    """
    from holdfast.models.pinned import PINS

    checks: dict[str, tuple[Callable[[pathlib.Path], None], Sequence[str]]] = {
        "policy": (policy_file, ("holdfast.toml",)),
        "model": (model_file, (PINS,)),
        "baseline": (lambda folder: baseline_folder(folder, pathlib.Path(policy)), ("baseline",)),
    }
    if kind not in checks:
        raise UsageError(
            "HF807",
            f"There is no check {kind!r}",
            expected=", ".join(checks),
            fix=nearest(kind, list(checks)) or "holdfast check policy holdfast.toml",
        )
    look, usual = checks[kind]
    paths, bad = [pathlib.Path(file) for file in files or usual], 0
    if kind == "model":
        paths = pinned_too(paths)
    for path in paths:
        try:
            look(path)
        except HoldfastError as error:
            bad += 1
            if quiet < 2:
                emit(clean(error.line(), ""))
    if not quiet:
        emit(f"{kind}: {len(paths) - bad} of {len(paths)} {'file' if len(paths) == 1 else 'files'} passed")
    return ExitCode.FAILED if bad else ExitCode.PASSED


def pinned_too(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The model files and files of pins, each of these with what it names behind it."""
    from holdfast.models.pinned import PINS, listed

    found = [file for path in paths for file in ([path, *listed(path)] if path.name == PINS else [path])]
    return list(dict.fromkeys(found))


def policy_file(path: pathlib.Path) -> None:
    """Hold a policy against its schema.

    Raises:
        UsageError: HF822, HF823.
    """
    from holdfast.evaluation.policy import read
    from holdfast.threats.written import spelled

    read(path, spelled)


def model_file(path: pathlib.Path) -> None:
    """Refuse a model file that may run code, or whose hash is not pinned, and a file of pins that pins nothing.

    Raises:
        ModelError: HF212 where it cannot be read, HF213 a pickle, HF288 a hash that is not pinned or another one.
    """
    from holdfast.models.pinned import PINS, SAFE, content, pickled, pin, unread

    try:
        if path.name == PINS:
            _pins_file(path, unread(path))
            return
        why = pickled(path)
        if why:
            raise ModelError("HF213", f"'{path}' is refused: {why}", fix=SAFE)
        pinned, where = pin(path)
        found = content(path)
    except OSError as error:
        raise ModelError("HF212", f"'{path}' cannot be read", seen=error.strerror or type(error).__name__) from error
    beside = path.parent / PINS if where is None else where
    if pinned != found:
        raise ModelError(
            "HF288",
            f"'{path}' is another file than the one that is pinned" if pinned else f"No {PINS} pins '{path}'",
            seen=f"SHA-256 {found}",
            expected=f"{pinned} by {beside}" if pinned else f"a line in {PINS} beside it or in a folder above",
            fix=f"if it is the one you want, its line in {beside}, as sha256sum writes it",
        )


def _pins_file(path: pathlib.Path, line: str) -> None:
    """Refuse a file of pins with a line that cannot be read: the file it is about would not be looked at."""
    if line:
        raise ModelError(
            "HF288",
            f"'{path}' has a line that pins nothing",
            seen=line,
            expected="64 hexadecimal digits, two spaces, and a name",
            fix="write it with sha256sum",
        )


def baseline_folder(path: pathlib.Path, policy: pathlib.Path) -> None:
    """Hold a baseline against the policy whose rules compare with it.

    Raises:
        UsageError: HF822, HF823 a policy that cannot be read; HF824 a rule that the baseline cannot serve.
        IntegrityError: HF405, HF407, HF408, HF414 a baseline that is torn; HF415 one that is not fit.
    """
    from holdfast.evaluation import comparable
    from holdfast.evaluation.baseline import doubt
    from holdfast.evaluation.policy import read
    from holdfast.evaluation.store import Folder
    from holdfast.evaluation.summary import RESULT_VERSION
    from holdfast.threats.written import spelled

    rules, folder = read(policy, spelled).rules, Folder(path)
    why, version = doubt(folder), folder.summary.result_version
    if not why and version != RESULT_VERSION:
        why = f"it was made by a version that counts differently (result version {version}, now {RESULT_VERSION})"
    if why:
        raise IntegrityError(
            "HF415", f"The run in '{path}' is not fit to be a baseline", seen=why, fix="holdfast baseline update RUN"
        )
    held = comparable.read(folder).held
    for rule in rules:
        if rule.max_regression is not None and rule.level != "off" and rule.threat and rule.threat not in held:
            raise UsageError(
                "HF824",
                f"The policy '{policy}' compares with '{path}' under {rule.threat}, and that is none of its threats",
                seen=", ".join(held),
                fix=f"holdfast audit MODEL DATA --threat {rule.threat}, then: holdfast baseline update RUN",
            )
