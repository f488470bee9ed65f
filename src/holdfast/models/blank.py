"""Networks of names and shapes only."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DRAWN = frozenset({Tensor.normal_, Tensor.uniform_})


class _Undrawn(TorchFunctionMode):
    """Weights without memory are not drawn: torch loads its compiler, two seconds, to work out that nothing happens."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in DRAWN and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def blank() -> Iterator[None]:
    """What is built inside has parameters without memory and without values."""
    with torch.device("meta"), _Undrawn():
        yield
