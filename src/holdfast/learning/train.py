"""Training a network: stochastic gradient descent with Nesterov momentum, one cycle, label smoothing, averaged weights.

Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)", 1983; label smoothing:
Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, arXiv:1512.00567.
"""

import copy
import dataclasses
import functools
import math
import pathlib
import re
import time
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.core.params import Count, Fraction, Natural, NonNegative, Positive, Share
from holdfast.core.progress import BatchDone, Listener, Note, RunDone, RunStarted, silent
from holdfast.core.records import digest
from holdfast.data.dataset import Dataset
from holdfast.learning.attacked import Attacked, attacked
from holdfast.learning.augment import Augmentation, named
from holdfast.learning.judging import Alarm, Alert, Judged, present
from holdfast.learning.learner import Learner, enough
from holdfast.learning.norms import estimate, norms
from holdfast.learning.objective import CrossEntropy, Objective, Step
from holdfast.learning.precision import Precision, narrow, wants_bfloat16
from holdfast.learning.processes import Processes, processes
from holdfast.learning.schedule import scheduled
from holdfast.learning.state import State, begin
from holdfast.models.borrow import borrowed
from holdfast.models.model import Model
from holdfast.models.networks import build
from holdfast.models.settle import settle
from holdfast.models.source import source_of
from holdfast.models.torch_module import Normalized
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box, space_of
from holdfast.threats.tables.tabular import Tabular

Factory = Callable[[tuple[int, ...], int], nn.Module]
Perturb = Callable[[Callable[[Tensor], Tensor], Tensor, Tensor, Generator], Tensor | None]
Judge = Callable[[Model, Dataset], float | Judged]
Retract = Callable[[nn.Module], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Learner):
    """Gradient descent on the cross-entropy; the model returned has the running average of the weights.

    Args:
        network: A name of `holdfast.models.networks`, or a function (shape, classes) -> module that returns logits.
        width: Of a network by name; 0 for its default.
        depth: Of a network by name; 0 for its default.
        start: A model to start from instead of random weights; network, width and depth are then not used.
        epochs: Passes over the data.
        batch: Samples in a step; the rest of a pass that fills no batch is left out.
        rate: Highest learning rate of the cycle.
        momentum: Of the gradient.
        weight_decay: Of weights, not of norms and biases.
        smoothing: Share of the label that is spread over all classes.
        average: Decay of the running average of the weights; 0 for the last weights.
        equal_from: Share of the epochs after which the equal average of the weights at the ends of epochs takes the
            place of the running one, its batch norms with statistics of their own; 1 for never.
        tail: Rate from then on, as a share of the highest; 0 for the cycle to its end.
        augment: Names joined by "+" (`shift`, `affine`, `light`), or a function (x, generator) -> x.
        normalize: Take off the training data's mean and divide by its deviation, per channel, inside the model.
        perturb: A function (logits of x, x, y, generator) -> x that makes a step's inputs harder, or None to leave
            them as they are; the network it asks is frozen and in evaluation mode, a copy with its norms folded
            where that agrees (`learning.attacked`). One with a method `after(judgments so far)` is asked for the
            function of each epoch; the same goes for the judge.
        objective: What a step minimizes, a function of a `learning.objective.Step`.
        retract: A function of the network that changes its weights in place after each step, or None.
        replays: Steps in a row on each batch; a pass over the data then takes so many times as long.
        patience: Epochs without a better validation score after which to stop, with the best weights; 0 to go on to the
            end and take the last.
        holdout: Share of the data to validate on, where patience is given and `fit` gets no validation part.
        judge: A function (model, validation part) -> score, or a `learning.judging.Judged`; accuracy unless given.
        alarms: Functions of all judgments so far that may tell something, or end the training.
        checkpoint: File to continue from and write after every epoch, or a folder where each training has its own.
        precision: Of the layers' products, in the steps and in the copy that attacks ask (weights, losses and judgments
            stay float32): "float32", "bfloat16", or "auto" for bfloat16 where the processor has instructions for it,
            which is then part of what the result depends on.
        device: Where to train; the model comes back on the CPU. "accelerate" for the processes that accelerate or
            torchrun has started, which share out the rows of each batch (`learning.processes`); their number does not
            enter a checkpoint's identity.
    """

    network: str | Factory = "cnn"
    width: Natural = 0
    depth: Natural = 0
    start: Model | None = None
    epochs: Count = 30
    batch: Count = 128
    rate: Positive = 0.1
    momentum: Share = 0.9
    weight_decay: NonNegative = 5e-4
    smoothing: Share = 0.1
    average: Share = 0.997
    equal_from: Share = 1.0
    tail: Share = 0.0
    augment: str | Augmentation = ""
    normalize: bool = True
    perturb: Perturb | None = None
    objective: Objective = CrossEntropy()
    retract: Retract | None = None
    replays: Count = 1
    patience: Natural = 0
    holdout: Fraction = 0.1
    judge: Judge | None = None
    alarms: tuple[Alarm, ...] = ()
    checkpoint: str = ""
    precision: Precision = "float32"
    device: str = "cpu"

    def fit(
        self, dataset: Dataset, seed: int = 0, on_event: Listener = silent, validation: Dataset | None = None
    ) -> Model:
        """A settled model. Same data, configuration, seed, machine and number of threads: the same bits, also resumed.

        Args:
            dataset: What to learn from.
            seed: Seeds every random number; the global random state stays as it is.
            on_event: Told after every epoch; may raise `holdfast.Stop`, after which the checkpoint continues.
            validation: What to choose the epoch by, where patience is given.

        Raises:
            ModelError: HF218 where the loss is not finite, HF219 for a checkpoint of another training, HF220 for data
                (one sample, one class) or an augmentation that cannot be, HF202 and HF216 for a network that cannot be
                built, HF258 for batches too small for so many processes, HF259 where processes no longer hold the same.
            MissingExtra: HF701 for device="accelerate" where that is not installed.
        """
        enough(dataset)
        if self.patience and validation is None:
            dataset, validation = dataset.divide(1 - self.holdout, seed)
        identity = self._identity(dataset, seed)
        began, team = time.perf_counter(), processes(self.device)
        with torch.random.fork_rng(None if team.device.type == "cuda" else []), team.leaving():
            torch.manual_seed(_mixed(seed, -1))
            mean, std = self.scaling(dataset)
            work = _Work(self, dataset, seed, mean, std, team)
            state = begin(self._network(dataset).to(team.device), self.rate, self.momentum, self.weight_decay)
            if self.checkpoint:
                state.restore(self._file(identity), identity)
            team.same("data, settings, checkpoint or first weights", lambda: identity.encode() + state.digest())
            team.tell(on_event, RunStarted("train", self.checkpoint, self.epochs, ("train",)))
            while state.epoch < self.epochs and not self._finished(state):
                work.epoch(state)
                team.same(f"the weights after epoch {state.epoch}", state.digest)
                self._after(state, work, identity, validation, on_event)
            team.tell(on_event, RunDone(self.checkpoint, True, time.perf_counter() - began))
            return work.model(state.average, state.chosen)

    def _after(
        self, state: State, work: "_Work", identity: str, validation: Dataset | None, on_event: Listener
    ) -> None:
        """Validate, write the checkpoint, then tell: who stops the training here loses nothing."""
        held = judged = 0
        alerts: list[Alert] = []
        team, part = work.team, validation if self.patience else None
        if part is not None:
            found = team.decided(lambda: self._judged(work.model(copy.deepcopy(state.average)), part, state))
            held, judged = round(found.score * found.samples), found.samples
            state.validated(found)
            alerts = team.decided(lambda: self._alerts(state))
            state.ended = any(alert.stop for alert in alerts)
        if self.checkpoint:
            team.decided(lambda: state.save(self._file(identity), identity))
        notes = [Note(alert.text, alert.code) for alert in alerts]
        if self._finished(state) and not state.ended:
            text = f"no better validation score for {self.patience} epochs; epoch {state.best_epoch} was taken"
            notes.append(Note(text))
        team.tell(on_event, *notes, BatchDone("train", state.epoch, self.epochs, held, judged))

    def _judged(self, model: Model, validation: Dataset, state: State) -> Judged:
        judge: Judge = _accuracy if self.judge is None else present(self.judge, state.judged)
        found = judge(model, validation)
        return found if isinstance(found, Judged) else Judged(found, len(validation))

    def _alerts(self, state: State) -> list[Alert]:
        return [alert for alarm in self.alarms if (alert := alarm(state.judged)) is not None]

    def _finished(self, state: State) -> bool:
        return state.ended or (bool(self.patience) and state.epoch - state.best_epoch >= self.patience)

    def _network(self, dataset: Dataset) -> nn.Module:
        if self.start is not None:
            return copy.deepcopy(_inside(self.start).net).requires_grad_(True)
        shape = tuple(dataset.x.shape[1:])
        if not isinstance(self.network, str):
            return self.network(shape, dataset.n_classes)
        options = {key: value for key, value in (("width", self.width), ("depth", self.depth)) if value}
        return build(self.network, shape=shape, classes=dataset.n_classes, **options)

    def scaling(self, dataset: Dataset) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        """What is taken off the inputs inside the model and what they are divided by, per channel; None for nothing."""
        if self.start is not None:
            return _inside(self.start).mean, _inside(self.start).std
        if not self.normalize:
            return None, None
        rest = [d for d in range(dataset.x.dim()) if d != 1]
        mean, std = dataset.x.double().mean(rest), dataset.x.double().std(rest)
        std = torch.where(std > 1e-6 * std.max().clamp(min=1e-12), std, 1.0)
        return tuple(mean.float().tolist()), tuple(std.float().tolist())

    def space_for(self, dataset: Dataset) -> Box:
        """What an input of the model will be: a row of a table where the data have a schema and `start` knows of it."""
        rows = self.start is None or isinstance(self.start.space, Tabular)
        return dataset.space if rows else space_of(dataset.x, dataset.bounds)

    def _file(self, identity: str) -> pathlib.Path:
        """The checkpoint: in a folder it is named by all that the result depends on."""
        path = pathlib.Path(self.checkpoint)
        return path / f"{identity}.pt" if path.is_dir() else path

    def _identity(self, dataset: Dataset, seed: int) -> str:
        """A digest of everything that the result depends on, but for the machine."""
        said = {f.name: _said(getattr(self, f.name)) for f in dataclasses.fields(self)}
        for free in ("checkpoint", "device"):
            del said[free]
        groups = None if dataset.groups is None else dataset.groups.tolist()
        return digest({"settings": said, "seed": seed, "data": list(dataset.digests), "groups": groups})


class _Work:
    """One training's data and settings, ready for its steps."""

    def __init__(self, how: Train, data: Dataset, seed: int, mean: Any, std: Any, team: Processes):
        self.how, self.data, self.seed, self.mean, self.std, self.team = how, data, seed, mean, std, team
        self.augment = named(how.augment, data.space) if isinstance(how.augment, str) else how.augment
        self.device = team.device
        self.fast = wants_bfloat16(how.precision, self.device)
        self.size = min(how.batch, len(data))
        team.enough(self.size)
        self.per_epoch = len(data) // self.size
        late = how.epochs if how.equal_from == 1 else how.epochs - 1  # at least one epoch counts where any should
        self.equal_from = min(math.ceil(how.equal_from * how.epochs - 1e-9), late)  # epochs before the equal average
        self.groups = None if data.groups is None else torch.unique(data.groups, return_inverse=True)[1]
        self.perturb = how.perturb
        self.copy: Attacked | None = None

    def epoch(self, state: State) -> None:
        """One pass over the data; every random number depends on the seed and the epoch only."""
        draw = Generator().manual_seed(_mixed(self.seed, state.epoch))
        torch.manual_seed(_mixed(self.seed, state.epoch))  # for layers that draw, such as dropout
        self.team.seed(_mixed(self.seed, state.epoch))
        state.net.train()
        self.perturb = present(self.how.perturb, state.judged)
        self.copy = None if self.perturb is None else self._copied(state.net)
        order = torch.randperm(len(self.data), generator=draw)[: self.per_epoch * self.size]
        for k, rows in enumerate(torch.split(order, self.size)):
            x, y = self.data.x[rows], self.data.y[rows].to(self.device)
            x = (x if self.augment is None else self.augment(x, draw)).to(self.device)
            groups = None if self.groups is None else self.groups[rows].to(self.device)
            for again in range(self.how.replays):
                self._step(state, x, y, draw, (state.epoch * self.per_epoch + k) * self.how.replays + again, groups)
        state.epoch += 1
        if state.epoch > self.equal_from:
            state.count()
            self._settle_norms(state)

    def _settle_norms(self, state: State) -> None:
        """Statistics of the equal average's batch norms, from a pass over the data, augmented but not perturbed."""
        if not norms(state.average):
            return
        draw = Generator().manual_seed(_mixed(self.seed, -1 - state.epoch))
        order = torch.randperm(len(self.data), generator=draw)[: self.per_epoch * self.size]
        batches = (self.data.x[rows] for rows in torch.split(order, self.size))
        shown = (x if self.augment is None else self.augment(x, draw) for x in batches)
        estimate(state.average, lambda x: self._logits(state.average, x), (x.to(self.device) for x in shown))

    def _step(
        self, state: State, x: Tensor, y: Tensor, draw: Generator, step: int, groups: Tensor | None = None
    ) -> None:
        steps, how = self.how.epochs * self.per_epoch * self.how.replays, self.how
        for group in state.optimizer.param_groups:
            group["lr"] = scheduled(step, steps, how.rate, self.equal_from / how.epochs, how.tail)
        loss = self.how.objective(
            Step(
                net=state.net,
                logits=self.team.shared(lambda inputs: self._logits(state.net, inputs), state.net),
                x=x,
                harder=self._harder(state.net, x, y, draw),
                y=y,
                smoothing=self.how.smoothing,
                classes=self.data.n_classes,
                done=step / steps,
                draw=draw,
                memory=state.memory,
                whole=self.team.whole,
                groups=groups,
            )
        )
        if not bool(torch.isfinite(loss)):
            raise ModelError(
                "HF218",
                f"The training diverged in epoch {state.epoch + 1}",
                seen=f"loss {float(loss.detach())}",
                fix=f"rate={self.how.rate / 10:g}",
            )
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()
        self.team.level(state.net)
        if how.retract is not None:
            how.retract(state.net)
        if state.epoch < self.equal_from:
            state.follow(how.average, step)

    def _harder(self, net: nn.Module, x: Tensor, y: Tensor, draw: Generator) -> Tensor:
        if self.perturb is None:
            return x
        quick = self.copy.refresh(net) if self.copy is not None else None
        with borrowed(*[] if quick is not None else [net]):
            asked = self.team.shared(quick or (lambda inputs: self._logits(net, inputs)))
            found = self.perturb(asked, x, y, draw)
        return x if found is None else found.detach().to(x)

    def _copied(self, net: nn.Module) -> Attacked | None:
        """What attacks ask in this epoch; a new copy each time, so that a resumed training is the same."""
        space, like = self.data.space, self.data.x[:1].to(self.device)
        return attacked(Normalized(net, self.mean, self.std), space, like, self.fast)

    def _logits(self, net: nn.Module, x: Tensor) -> Tensor:
        ask = Normalized(net, self.mean, self.std)
        return narrow(ask, x) if self.fast else ask(x)

    def model(self, net: nn.Module, weights: dict[str, Tensor] | None = None) -> Model:
        """A settled model on the CPU."""
        if weights is not None:
            net.load_state_dict(weights)
        name = self.how.network if isinstance(self.how.network, str) else type(net).__name__
        made = wrap(
            net.cpu().eval(),
            self.how.space_for(self.data),
            output="logits",
            mean=self.mean,
            std=self.std,
            name=name,
            classes=self.data.n_classes,
        )
        return settle(made, self.data.x)


def _inside(model: Model) -> Normalized:
    source = source_of(model)
    if source is None or not isinstance(source.ask, Normalized):
        raise ModelError("HF220", "A training starts from a wrapped torch module only", seen=repr(model))
    return source.ask


def _accuracy(model: Model, part: Dataset) -> float:
    return float((model.predict(part.x) == part.y).double().mean())


def _mixed(seed: int, epoch: int) -> int:
    return int(digest(f"train {seed} {epoch}")[:15], 16)


def _said(value: Any) -> Any:
    """A setting as text: functions by their names, models by their numbers, records by the fields that are compared."""
    if isinstance(value, tuple):
        return [_said(one) for one in value]
    if isinstance(value, Model):
        return None if value.parameters is None else value.parameters().hex()
    kind = value if isinstance(value, type) else type(value)
    if dataclasses.is_dataclass(value) and kind is not value:
        compared = [f.name for f in dataclasses.fields(value) if f.compare]
        return {"": kind.__qualname__, **{name: _said(getattr(value, name)) for name in compared}}
    if isinstance(value, functools.partial):
        return {"": "partial", "of": _said(value.func), "with": [_said(value.args), _said(value.keywords)]}
    if isinstance(value, dict):
        return {str(key): _said(one) for key, one in value.items()}
    if isinstance(value, types.FunctionType) and "<" in value.__qualname__:  # one of many with the same name
        cells = [_said(cell.cell_contents) for cell in value.__closure__ or ()]
        code = [value.__code__.co_code.hex(), *map(_told, value.__code__.co_consts), *value.__code__.co_names]
        return [f"{value.__module__}.{value.__qualname__}", *code, *cells]
    if callable(value):
        name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', kind.__qualname__)}"
        plain = value is kind or isinstance(value, types.FunctionType | types.BuiltinFunctionType | nn.Module)
        return name if plain else [name, _said(dict(getattr(value, "__dict__", {})))]
    return value if value is None or isinstance(value, str | int | float) else _told(value)


def _told(value: Any) -> str:
    """A value as text without its place in memory, which the next process does not share."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
