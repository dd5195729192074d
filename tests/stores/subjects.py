"""The matrix of stores: every kind, with both faces, behind one small surface."""

import asyncio
from itertools import count
from typing import Any

from ratelimit_core.commands import Acquire, Charge, Command, Peek, Reply, Shielded
from ratelimit_core.drive import Store
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

# Odd, and large enough for a rounded integer to show.
START_US = 1_793_456_789_012_345
_numbers = count()


class Subject:
    """One store on a hand-moved clock; `execute` goes through its sync face or its async one."""

    def __init__(self, store: Store, clock: ManualClock, runner: asyncio.Runner | None, client: Any = None) -> None:
        self.store = store
        self.clock = clock
        self.client = client
        self._runner = runner

    def ask(self, command: Command) -> Reply:
        if self._runner is None:
            return self.store.execute(command)
        return self._runner.run(self.store.aexecute(command))

    def execute(self, command: Command) -> tuple[int, ...]:
        """Carry out a command that is answered by numbers alone."""
        reply = self.ask(command)
        assert not isinstance(reply, Shielded)
        return reply

    def acquire(self, *charges: Charge, observed: tuple[tuple[Charge, ...], ...] = ()) -> tuple[int, ...]:
        """The rooms alone."""
        return self.execute(Acquire(charges, observed))[1:]

    def peek(self, *charges: Charge) -> tuple[int, ...]:
        """The rooms alone."""
        return self.execute(Peek(charges))[1:]

    def stored(self) -> dict[str, object]:
        """Everything that the store keeps, whatever it is."""
        if isinstance(self.store, MemoryStore):
            return dict(self.store._tats)
        return {key.decode(): self.client.get(key) for key in self.client.keys("*")}


def fresh_key() -> str:
    """A key that nobody has used."""
    return f"s:rl:api:{{user:{next(_numbers)}}}"
