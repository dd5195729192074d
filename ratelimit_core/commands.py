"""What a flow asks of a store. A store executes commands; it decides nothing."""

from collections.abc import Generator
from typing import NamedTuple, TypeVar


class Charge(NamedTuple):
    """One quota of one identity: its key, tolerance and the increment T x cost, in microseconds.

    An increment of 0 reads the quota and never writes.
    """

    key: str
    tolerance_us: int
    increment_us: int


class Acquire(NamedTuple):
    """Charge all of `charges` or none; then each group of `observed` on its own, all of a group or none.

    Where one of `charges` does not fit nothing is written at all. `patient` commands may take the longer deadline.
    The reply is `(now_us, room_us, ...)`: the store's time and, in the order given, the room that each charge
    leaves or, when negative, lacks.
    """

    charges: tuple[Charge, ...]
    observed: tuple[tuple[Charge, ...], ...] = ()
    patient: bool = False

    def all_charges(self) -> tuple[Charge, ...]:
        """Every charge in the order of the reply."""
        return self.charges + tuple(charge for group in self.observed for charge in group)


class Peek(NamedTuple):
    """What `Acquire` of these charges would reply now; writes nothing."""

    charges: tuple[Charge, ...]


class Reset(NamedTuple):
    """Forget these keys. The reply is `(now_us, number of keys that existed)`."""

    keys: tuple[str, ...]


class Local(NamedTuple):
    """Ask the process's own in-memory store instead: no I/O, for decisions made without the store."""

    command: Acquire | Peek


Command = Acquire | Peek | Reset
Reply = tuple[int, ...]
Result = TypeVar("Result")
Flow = Generator[Command | Local, Reply, Result]
