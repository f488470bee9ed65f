"""Training on several processes through Hugging Face accelerate: all see the whole batch, each asks its own rows.

All draw the same batches from the same seeds and go through the same recipe; only the passes of the network are shared
out (`learning.shares`). The first process alone judges, writes and tells, and says to the others what it found.
"""

import atexit
import contextlib
import dataclasses
import datetime
import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.core.progress import Event, Listener
from holdfast.core.records import digest
from holdfast.learning.objective import At, Logits
from holdfast.learning.shares import gather, lend, split

T = TypeVar("T")
LEAST = 2  # rows of each process: a batch norm learns nothing from one
PATIENCE = datetime.timedelta(days=1)  # who waits for a long judgment; a process that died is noticed at once


@dataclasses.dataclass(frozen=True, eq=False)
class Processes:
    """The processes of a training, seen from one of them; where it is alone, nothing is split, sent or copied.

    Batch norms see the rows of their process only; their running statistics are averaged over the processes after each
    step. Layers that draw random numbers, such as dropout, draw others in each process.

    Args:
        device: Where this one computes.
        rank: Which one this is; the first, 0, is the main one.
        count: How many there are.
        chance: States of the random numbers that the network's own layers draw here.
        agreed: Errors that were raised in every process.
    """

    device: torch.device
    rank: int = 0
    count: int = 1
    chance: list[Tensor] = dataclasses.field(default_factory=list)
    agreed: list[BaseException] = dataclasses.field(default_factory=list)

    def enough(self, rows: int) -> None:
        """Refuse a batch that cannot be shared out.

        Raises:
            ModelError: HF258 where it has fewer than two rows a process.
        """
        if self.count > 1 and rows < LEAST * self.count:
            raise ModelError(
                "HF258",
                "A batch has too few rows for so many processes",
                seen=f"{rows} rows, {self.count} processes",
                expected=f"{LEAST} rows a process or more",
                fix=f"batch={LEAST * self.count} or more, and as many samples; or fewer processes",
            )

    def shared(self, logits: Logits, net: nn.Module | None = None) -> Logits:
        """The same scores of a whole batch, of which this process computes its rows; differentiable to any order.

        Args:
            logits: Scores of a batch `(rows, ...)`.
            net: The network that they ask, where gradients in its weights are wanted.
        """
        return logits if self.count == 1 else lambda x: self._scores(logits, net, x)

    def _scores(self, logits: Logits, net: nn.Module | None, x: Tensor) -> Tensor:
        if net is None and len(x) < LEAST * self.count:  # part of a batch, under attack: not worth sharing
            return logits(x)
        self.enough(len(x))
        own = split(self, x)
        held = {} if net is None else {name: p for name, p in net.named_parameters() if p.requires_grad}
        if net is not None and held:
            logits = At(net, logits, dict(zip(held, lend(self, list(held.values())), strict=True)))
        with self._own_chance():
            scores = logits(own)
        return self.whole(scores, len(x))

    def whole(self, own: Tensor, rows: int) -> Tensor:
        """A batch `(rows, ...)` from what every process has found for its rows."""
        return own if self.count == 1 else gather(self, own, rows)

    def seed(self, seed: int) -> None:
        """Begin the random numbers of the network's own layers anew, others in each process."""
        if self.count > 1:
            with self._forked():
                torch.manual_seed(int(digest(f"process {seed} {self.rank}")[:15], 16))
                self.chance[:] = self._states()

    @torch.no_grad()
    def level(self, net: nn.Module) -> None:
        """Average the buffers that differ, running statistics of batch norms most of all."""
        buffers = [b for b in net.buffers() if b.is_floating_point() and b.numel()]
        if self.count == 1 or not buffers:
            return
        for dtype in dict.fromkeys(b.dtype for b in buffers):
            some = [b for b in buffers if b.dtype == dtype]
            found = torch.stack(self.collect(torch.cat([b.reshape(-1) for b in some])))
            mean = torch.where((found == found[0]).all(0), found[0], found.mean(0))
            for buffer, value in zip(some, torch.split(mean, [b.numel() for b in some]), strict=True):
                buffer.copy_(value.reshape(buffer.shape))

    def decided(self, decide: Callable[[], T]) -> T:
        """What the main process decides, in every process; what it raises, too."""
        if self.count == 1:
            return decide()
        said: list[Any] = [None, None]
        if self.rank == 0:
            try:
                said[0] = decide()
            except BaseException as error:  # whatever it is: the others wait
                said[1] = error
        mine = said[1]
        said[1] = None if mine is None else _sendable(mine)
        with _noticed():
            torch.distributed.broadcast_object_list(said, src=0, device=self.device)
        if said[1] is not None:
            self.agreed[:] = [mine or said[1]]
            raise self.agreed[0]
        found: T = said[0]
        return found

    def tell(self, on_event: Listener, *events: Event) -> None:
        """Tell the listener of the main process; where it raises `Stop`, every process stops."""

        def told() -> None:
            for event in events:
                on_event(event)

        self.decided(told)

    def same(self, what: str, held: Callable[[], bytes]) -> None:
        """Make sure that all processes hold the same; where this one is alone, it is not asked.

        Raises:
            ModelError: HF259 where they do not.
        """
        if self.count == 1:
            return
        mine = hashlib.blake2b(held(), digest_size=16).digest()
        found = self.collect(torch.tensor(list(mine), dtype=torch.uint8, device=self.device))
        apart = [str(k) for k, one in enumerate(found) if not torch.equal(one, found[0])]
        if apart:
            error = ModelError(
                "HF259",
                "The processes of this training have parted",
                seen=f"{what} of process {', '.join(apart)} differ from those of process 0",
                expected="the same data, settings and seed in every process, on machines of one kind",
            )
            self.agreed[:] = [error]
            raise error

    @contextlib.contextmanager
    def leaving(self) -> Iterator[None]:
        """Who ends alone, by an interrupt or an error, closes its connections, so that the others do not wait for it.

        On accelerators that is left to the program that started the processes: it ends them all when one has died.
        """
        try:
            yield
        except BaseException as error:
            alike = isinstance(error, ModelError) and error.code != "HF259"  # every process finds the same
            if not alike and not any(error is one for one in self.agreed):
                self._close()
            raise

    def collect(self, own: Tensor) -> list[Tensor]:
        """The tensors of all processes, of one shape and type, in order; they travel as bytes."""
        sent = own.detach().contiguous().reshape(-1).view(torch.uint8)
        found = [torch.empty_like(sent) for _ in range(self.count)]
        with _noticed():
            torch.distributed.all_gather(found, sent)
        return [one.view(own.dtype).reshape(own.shape) for one in found]

    def added(self, own: Tensor) -> Tensor:
        """The sum of the tensors of all processes, the same bits in each."""
        found = own.detach().clone()
        with _noticed():
            torch.distributed.all_reduce(found)
        return found

    def _close(self) -> None:
        if self.count > 1 and self.device.type == "cpu":
            _hang_up()

    @contextlib.contextmanager
    def _own_chance(self) -> Iterator[None]:
        """Random numbers of this process; afterwards those that all have in common go on where they were."""
        with self._forked():
            if self.chance:
                torch.set_rng_state(self.chance[0])
            if len(self.chance) > 1:
                torch.cuda.set_rng_state(self.chance[1], self.device)
            yield
            self.chance[:] = self._states()

    def _forked(self) -> contextlib.AbstractContextManager[None]:
        forked: contextlib.AbstractContextManager[None] = torch.random.fork_rng(
            [self.device] if self.device.type == "cuda" else []
        )
        return forked

    def _states(self) -> list[Tensor]:
        more = [torch.cuda.get_rng_state(self.device)] if self.device.type == "cuda" else []
        return [torch.get_rng_state(), *more]


def processes(device: str) -> Processes:
    """The processes that train: this one alone, or with "accelerate" those that it was started with.

    Raises:
        MissingExtra: HF701 where accelerate is not installed.
        ModelError: HF259 where others were started that accelerate does not know of, or that have ended.
    """
    if device != "accelerate":
        return Processes(torch.device(device))
    accelerate = need("accelerate", "distributed")
    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    chip = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "y", "yes", "t", "true", "on")
    cpu = forced or (wanted > 1 and (chip is None or chip.type == "mps"))  # which has no messages
    state = accelerate.PartialState(cpu=cpu, timeout=PATIENCE) if wanted > 1 else accelerate.PartialState(cpu=cpu)
    if state.num_processes < wanted or (state.num_processes > 1 and not torch.distributed.is_initialized()):
        raise ModelError(
            "HF259",
            "The processes of this training cannot reach each other",
            seen=f"{wanted} were started, accelerate knows of {state.num_processes}"
            if state.num_processes < wanted
            else "an earlier training has ended in some of them only",
            fix="start all of them again, and let holdfast be the first to call accelerate",
        )
    if state.num_processes > 1 and cpu:
        atexit.unregister(_hang_up)
        atexit.register(_hang_up)
    return Processes(
        torch.device("cpu") if state.device.type == "cpu" else state.device, state.process_index, state.num_processes
    )


def _hang_up() -> None:
    """Close the connections; gloo's threads must not outlive the interpreter.

    A process that ends on a busy machine while they run is aborted: "terminate called without an active exception".
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _noticed() -> Iterator[None]:
    """An error of a connection is one of ours."""
    try:
        yield
    except RuntimeError as error:
        raise ModelError(
            "HF259",
            "The processes of this training have parted: another one was interrupted or has failed",
            seen=str(error)[:120],
            fix="read what the other process says; with a checkpoint the training continues from its last epoch",
        ) from error


def _sendable(error: BaseException) -> BaseException:
    """The error, where it survives the way; else its text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - a user's exception may refuse in many ways
        return ModelError("HF259", "The main process has ended the training", seen=f"{type(error).__name__}: {error}")
    return error
