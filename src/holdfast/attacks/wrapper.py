"""What wrappers share: each is an attack whose needs, norms and kind are those of what it wraps."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from holdfast.attacks.attack import Attack


class Derived:
    """A class attribute of Attack that an instance reads from what it wraps; the class itself answers for any.

    Args:
        join: Wrapped attacks -> value.
        any_: What the class answers.
    """

    def __init__(self, join: Callable[[tuple[Attack, ...]], Any], any_: Any):
        self.join, self.any = join, any_

    def __get__(self, wrapper: "Wrapper | None", kind: type) -> Any:
        return self.any if wrapper is None else self.join(wrapper.inner)


@dataclasses.dataclass(frozen=True)
class Wrapper(Attack):
    """An attack made of attacks: it needs what any of them needs and serves the norms that all of them serve.

    It looks for the nearest success if all of them do; else it needs a radius. It is scheduled if any of them is.
    """

    needs: ClassVar[Any] = Derived(lambda inner: frozenset[str]().union(*(a.needs for a in inner)), frozenset())
    norms: ClassVar[Any] = Derived(
        lambda inner: tuple(p for p in inner[0].norms if all(p in a.norms for a in inner)), ()
    )
    tables: ClassVar[Any] = Derived(lambda inner: all(a.tables for a in inner), False)
    minimal: ClassVar[Any] = Derived(lambda inner: all(a.minimal for a in inner), False)
    scheduled: ClassVar[Any] = Derived(lambda inner: any(a.scheduled for a in inner), False)

    @property
    @abc.abstractmethod
    def inner(self) -> tuple[Attack, ...]:
        """What is wrapped, in the order it runs."""

    def passes(self) -> int:
        """Questions all of them ask for a row at most, each once."""
        return sum(attack.passes() for attack in self.inner)
