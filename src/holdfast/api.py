"""The verbs in Python, with the names and defaults they have in the shell."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, overload

from torch import nn

from holdfast.attacks.attack import Attack
from holdfast.core.errors import UsageError
from holdfast.core.progress import Listener, silent
from holdfast.data.dataset import Dataset, Splits, pair
from holdfast.evaluation import comparison
from holdfast.evaluation import corruptions as measured
from holdfast.evaluation import gate as gating
from holdfast.evaluation.comparing.places import subjects
from holdfast.evaluation.comparing.records import ModelComparison
from holdfast.evaluation.comparing.work import compare_models as models_compared
from holdfast.evaluation.comparison import Comparison
from holdfast.evaluation.corruptions import Corruptions
from holdfast.evaluation.decide import decided
from holdfast.evaluation.defending.dividing import assumed, misplaced
from holdfast.evaluation.defending.estimator import HardenedEstimator, harden_estimator
from holdfast.evaluation.defending.harden import Hardened
from holdfast.evaluation.defending.harden import harden as hardened
from holdfast.evaluation.defending.protocol import Protocol, settled
from holdfast.evaluation.defending.protocol import read as read_protocol
from holdfast.evaluation.defending.records import DefenseComparison
from holdfast.evaluation.defending.subject import as_model, inside, opened_for
from holdfast.evaluation.defending.work import compare_defenses as compared
from holdfast.evaluation.evading import in_direction, of_source
from holdfast.evaluation.gate import Gate
from holdfast.evaluation.policy import read as read_policy
from holdfast.evaluation.store import Folder
from holdfast.evaluation.suites import Suite
from holdfast.learning.precision import Precision
from holdfast.models.estimators import is_estimator
from holdfast.models.model import Model
from holdfast.models.settle import wrapped
from holdfast.report.models import written
from holdfast.report.run import Run
from holdfast.threats.profiles.profile import Profile
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.threats import Threat


def audit(
    model: Model,
    data: Dataset | tuple[Any, Any],
    *,
    threat: str | Threat | Sequence[str | Threat],
    suite: str | Suite | Attack | Sequence[Attack] = "standard",
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    batch: int = 256,
    limit: int | None = None,
    budget: str | None = None,
    deadline: str | None = None,
    decide: str | None = None,
    expect_accuracy: float | None = None,
    transfer_to: Model | Sequence[Model] | None = None,
    subset_seed: int | None = None,
    replay: Run | str | os.PathLike[str] | None = None,
    hardest_of: Run | str | os.PathLike[str] | None = None,
    evade: str = "",
    new: bool = False,
    on_event: Listener = silent,
) -> Run:
    """Attack every sample and say how the model breaks, with exact intervals.

    Args:
        model: What `hf.wrap` returned.
        data: A Dataset, or a pair `(x, y)` in the model's own units.
        threat: One threat or several: `hf.Linf(8/255)` or `"linf:8/255"`.
        suite: `quick`, `frugal`, `standard`, a text such as `"pgd(steps=10)+square"`, or attacks in their order.
        seed: Of every random draw.
        out: The run folder; the same call continues it. Without it: a temporary one that goes with the returned object.
        batch: Rows sent through the model at once; changes memory and speed, not results.
        limit: A seeded simple random subset of so many samples, drawn with `subset_seed`, else with `seed`.
        budget: A time, `"10m"`: one batch is measured, and as many samples are used as surely fit.
        deadline: A time, `"10m"`: then the running batch is the last; the run is partial, the same call continues it.
        decide: A question, `"empirical_robust_accuracy >= 0.5"`: stop as soon as the samples answer it.
        expect_accuracy: Clean accuracy you know of; another one stops the run before any attack.
        transfer_to: Models to which the adversarial inputs are shown afterwards.
        subset_seed: Of the subset that `limit` draws.
        replay: An earlier run: its adversarial inputs are tried before all attacks, one query a sample.
        hardest_of: A baseline. Up to half of the samples are those it held most narrowly: first, in no rate.
        evade: One direction alone, `"fraud:legitimate"`, `"dos,probe:normal"`: samples of the first classes, which
            shall pass for one of the second; clean accuracy is recall, success the evasion rate; both by `per_class`.
        new: Begin a folder of its own beside one that is taken.
        on_event: Told of progress; may raise `hf.Stop`.

    Raises:
        ModelError, DataError, ThreatError: HF240, HF230 the model; HF1xx the data; HF3xx threats and attacks.
        UsageError: HF826 question, HF827 budget or deadline, HF828 a run that would replay itself.
        IntegrityError, ResourceError: HF4xx the folder or the run to replay; HF5xx the disk.
    """
    asked = {name: value for name, value in locals().items() if name not in ("model", "data", "out", "evade")}
    whole = _dataset(model, data)
    others = [transfer_to] if isinstance(transfer_to, Model) else transfer_to or ()
    asked["transfer_to"] = [in_direction(other, whole, evade) for other in others] or None
    runs = {"replay": replay, "hardest_of": hardest_of}
    asked |= {name: run.folder.path if isinstance(run, Run) else run for name, run in runs.items()}
    with _folder(out) as folder:
        found = decided(in_direction(model, whole, evade), of_source(whole, evade), out=folder, **asked)
    return Run(found, temporary=out is None)


def corruptions(
    model: Model,
    data: Dataset | tuple[Any, Any],
    *,
    names: Sequence[str] = (),
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    seed: int = 0,
    limit: int | None = None,
    batch: int = 256,
    on_event: Listener = silent,
) -> Corruptions:
    """Count the right answers under the 15 common corruptions: noise, blur, weather, digital damage.

    Not an attack: nobody chooses the change to fool the model. Cost: one forward pass for each sample, corruption and
    severity. Numbers as in CIFAR-10-C (sides up to 64 pixels) or ImageNet-C; frost has a texture of our own.

    Args:
        model: What `hf.wrap` returned.
        data: A Dataset of pictures, or a pair `(x, y)` in the model's own units.
        names: Corruptions, all 15 unless given.
        severities: Of 1 to 5.
        seed: Of the random numbers of the corruptions.
        limit: A seeded simple random subset of so many samples.
        batch: Rows sent through the model at once.
        on_event: Told after every corruption; may raise `hf.Stop`.

    Returns:
        Rates for every corruption and severity, `.clean`, and `.mean` with an interval over samples.

    Raises:
        DataError: HF102 where the samples are no pictures, HF120 where there are none.
        ParameterError: HF001 for an unknown corruption or severity.
    """
    asked: dict[str, Any] = {name: value for name, value in locals().items() if name not in ("model", "data")}
    return measured.corruptions(model, _dataset(model, data), **asked)


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Read the run in a folder.

    Raises:
        IntegrityError: HF407 where there is no run.
    """
    return Run(folder)


def compare(*runs: Run | str | os.PathLike[str], common: bool = False) -> Comparison:
    """Compare runs with the first one, sample by sample: exact McNemar test, interval of the difference.

    Args:
        runs: Runs or run folders over the same samples, threats and attacks; at least two.
        common: Compare what all runs share where samples or threats differ, instead of refusing.

    Raises:
        UsageError: HF821 for fewer than two runs.
        IntegrityError: HF413 where they cannot be compared, HF407 where there is no run.
    """
    return comparison.compare([_opened(run) for run in runs], common)


def compare_models(
    models: Sequence[Model | str | os.PathLike[str]],
    data: Dataset | tuple[Any, Any],
    out: str | os.PathLike[str],
    *,
    threat: str | Threat | Sequence[str | Threat],
    suite: str | Suite | Attack | Sequence[Attack] = "standard",
    seed: int = 0,
    batch: int = 256,
    limit: int | None = None,
    subset_seed: int | None = None,
    evade: str = "",
    on_event: Listener = silent,
) -> ModelComparison:
    """Audit models of any library on the same rows under the same threats, and compare them row by row.

    Args:
        models: What `hf.wrap` returned, model files, folders, or addresses of endpoints; of files the bounds are those
            of the data. What runs code when it is opened is loaded with `hf.load_model(path, trust=...)` first.
        data: A Dataset, or a pair `(x, y)` in the units of the first model, which is then no file.
        out: The folder of all runs; the same call continues, also with more models. `comparison.html` is the page.
        threat: One threat or several: `hf.Linf(8/255)` or `"linf:8/255"`.
        suite: As in `audit`; a suite by name adapts to what each model shows.
        seed: Of every random draw.
        batch: Rows sent through a model at once.
        limit: A seeded simple random subset of so many samples, the same for all models.
        subset_seed: Of the subset that `limit` draws, else `seed`.
        evade: One direction alone, as in `audit`.
        on_event: Told of progress; may raise `hf.Stop`.

    Returns:
        Rows, the best first, each with rates, recall by class, cost, masking verdict and its paired difference from
        the best. A model that cannot be opened or attacked stands in `left_out`, and the others go on.

    Raises:
        DataError, ThreatError: HF120 no samples; HF3xx a threat that cannot be read.
        UsageError: HF804 a pair `(x, y)` without a Model, HF811, HF812 a suite, HF821 no model.
        IntegrityError: HF401, HF417, HF418 for a folder that is taken.
    """
    whole = _dataset(next((m for m in models if isinstance(m, Model)), None), data)
    asked = {name: value for name, value in locals().items() if name not in ("models", "data", "whole", "evade")}
    given = subjects(models, whole, lambda model: in_direction(model, whole, evade))
    found = models_compared(given, of_source(whole, evade), **asked)
    written(found)
    return found


def compare_defenses(
    protocol: Protocol | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    data: Splits | None = None,
    on_event: Listener = silent,
) -> DefenseComparison:
    """Train, fit and attack what a protocol names; say what each defense buys and costs, and which to take.

    Args:
        protocol: A YAML file, or a `Protocol` made in Python.
        out: The folder of all runs and models; the same call continues, also with more defenses.
        data: The data; loaded by the protocol's name unless given.
        on_event: Told of progress; may raise `hf.Stop`.

    Returns:
        The comparison, also `comparison.json` in the folder; `complete` is false after Ctrl-C or Stop.

    Raises:
        UsageError: HF830 to HF833 for what the protocol says.
        IntegrityError: HF401, HF416, HF417 for a folder that is taken.
        DataError: HF107 to HF109 for data that do not exist or cannot be divided.
    """
    asked = settled(protocol) if isinstance(protocol, Protocol) else read_protocol(pathlib.Path(protocol))
    return compared(asked, out, data=data, on_event=on_event)


@overload
def harden(
    model: nn.Module,
    data: Dataset | Splits,
    *,
    threat: str | Threat | Profile,
    recipe: str = "auto",
    budget: str = "10m",
    epochs: int = 0,
    suite: str = "quick",
    limit: int | None = 500,
    batch: int = 128,
    precision: Precision = "auto",
    evade: str = "",
    seed: int = 0,
    trust: str | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Listener = silent,
) -> tuple[nn.Module, Hardened]: ...
@overload
def harden(
    model: Any,
    data: Dataset | Splits,
    *,
    threat: str | Threat | Profile,
    recipe: str = "auto",
    budget: str = "10m",
    epochs: int = 0,
    suite: str = "quick",
    limit: int | None = 500,
    batch: int = 128,
    precision: Precision = "auto",
    evade: str = "",
    seed: int = 0,
    trust: str | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Listener = silent,
) -> tuple[Any, Any]: ...
def harden(
    model: Any,
    data: Dataset | Splits,
    *,
    threat: str | Threat | Profile,
    recipe: str = "auto",
    budget: str = "10m",
    epochs: int = 0,
    suite: str = "quick",
    limit: int | None = 500,
    batch: int = 128,
    precision: Precision = "auto",
    evade: str = "",
    seed: int = 0,
    trust: str | None = None,
    out: str | os.PathLike[str] | None = None,
    on_event: Listener = silent,
) -> tuple[Any, Hardened | HardenedEstimator]:
    """Make a model withstand more, a network by more training, an estimator by learning anew; audit before and after.

    Args:
        model: A torch network that takes inputs in the data's own units; a classifier of scikit-learn, XGBoost,
            LightGBM or CatBoost, or a Pipeline, fitted or not; a model file; or what `hf.wrap` returned. It stays.
        data: Splits, or one Dataset, of which a fifth is kept for the audits.
        threat: What it shall withstand, `"linf:8/255"`, `hf.Table(features=2)`, or a profile, `hf.profile("malware")`.
        recipe: A trained defense as text, `"adversarial_training(steps=3)"`, `"adversarial_rounds"`, or "auto".
        budget: Time of the training, kept to within an epoch or a round; the audits come on top.
        epochs: Of a network: passes over the data, whatever they cost; 0 for as many as fit.
        suite: Of the audits.
        limit: Samples of the audits, a seeded random subset.
        batch: Of a network: samples in a training step.
        precision: Of a network: "float32", "bfloat16", or "auto" for bfloat16 where processor and network stand it.
        evade: Of an estimator: one direction alone, `"fraud:legitimate"`; the first class is attacked and audited.
        seed: Of everything random.
        trust: The file, where `model` is one and opening it runs code.
        out: A folder for audits, checkpoints and an estimator's file, where the same call continues; else temporary.
        on_event: Told of progress; may raise `hf.Stop`.

    Returns:
        The hardened network or estimator, and its `choice`, `comparison`, `findings`, `to_frame()`, `model`; `file`.

    Raises:
        UsageError: HF827 the budget, HF830, HF831, HF834 the recipe, HF835 for what cannot be hardened.
        ModelError: HF208 no classifier, HF222 rows that it cannot learn from, HF260 a threat without a radius.
    """
    asked: dict[str, Any] = {"recipe": recipe, "budget": budget, "suite": suite, "limit": limit, "seed": seed}
    under, known = assumed(threat, data)
    opened = opened_for(known, model, trust)
    given, name, cut = inside(opened)
    misplaced(estimator := is_estimator(given), epochs, evade, precision)
    with contextlib.ExitStack() as stack:
        temporary = out or stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-"))
        asked |= {"threat": under, "on_event": on_event, "out": pathlib.Path(temporary)}
        found: Hardened | HardenedEstimator
        if estimator:
            found = harden_estimator(given, known, evade=evade, name=name, keep=bool(out), threshold=cut, **asked)
        else:
            found = hardened(as_model(opened, known), known, epochs=epochs, batch=batch, precision=precision, **asked)
    made = found.estimator if isinstance(found, HardenedEstimator) else found.net
    return made, found if out is not None else dataclasses.replace(found, before=None, after=None)


def gate(
    run: Run | str | os.PathLike[str],
    policy: str | os.PathLike[str] = "holdfast.toml",
    *,
    baseline: Run | str | os.PathLike[str] | None = None,
    common: bool = False,
) -> Gate:
    """Hold a run against the rules of a policy file.

    Args:
        run: A run or its folder.
        policy: The TOML file.
        baseline: The run that rules with `max_regression` compare with.
        common: Compare with the baseline on what both hold, where samples or threats differ.

    Raises:
        UsageError: HF822, HF823 a policy that cannot be read; HF824 a rule about what is not there.
        IntegrityError: HF413 where run and baseline cannot be compared; HF411 where the run was changed.
    """
    against = None if baseline is None else _opened(baseline)
    return gating.gate(_opened(run), read_policy(pathlib.Path(policy)), against, common)


def _opened(run: Run | str | os.PathLike[str]) -> Folder:
    return run.folder if isinstance(run, Run) else Folder(pathlib.Path(run))


def _dataset(model: Model | None, data: Dataset | tuple[Any, Any]) -> Dataset:
    """The data as a Dataset; a pair takes the model's bounds, or its schema."""
    if isinstance(data, Dataset):
        return data
    if model is None:
        fix = "hf.Dataset(x, y, bounds=(0, 1)), or hf.data.load(...)"
        raise UsageError("HF804", "Nobody says what the inputs of these models may be", seen="(x, y)", fix=fix)
    space = wrapped(model).space
    x, y = pair(data)
    return Dataset(x, y, schema=space.schema) if isinstance(space, Tabular) else Dataset(x, y, bounds=space.bounds)


@contextlib.contextmanager
def _folder(out: str | os.PathLike[str] | None) -> Iterator[pathlib.Path]:
    """The run folder; a temporary one is removed where the run fails."""
    if out is not None:
        yield pathlib.Path(out)
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
