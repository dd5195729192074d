"""Timing a store: the one place where its calls are measured, for sinks that want to know."""

import time
from collections.abc import Callable

from ratelimit_core.commands import Command, Reply
from ratelimit_core.drive import Store
from ratelimit_core.errors import StoreError
from ratelimit_core.events import OPS, StoreEvent


class TimedStore:
    """A store each of whose calls is told of, once it has ended; what it replies and raises is untouched."""

    __slots__ = ("_store", "_tell")

    def __init__(self, store: Store, tell: Callable[[StoreEvent], None]) -> None:
        self._store = store
        self._tell = tell

    def execute(self, command: Command, /) -> Reply:
        """Carry out one command from a thread; raises StoreError."""
        started_ns = time.perf_counter_ns()
        try:
            reply = self._store.execute(command)
        except StoreError as error:
            self._told(command, started_ns, error.kind)
            raise
        self._told(command, started_ns)
        return reply

    async def aexecute(self, command: Command, /) -> Reply:
        """Carry out one command from an event loop; raises StoreError."""
        started_ns = time.perf_counter_ns()
        try:
            reply = await self._store.aexecute(command)
        except StoreError as error:
            self._told(command, started_ns, error.kind)
            raise
        self._told(command, started_ns)
        return reply

    def _told(self, command: Command, started_ns: int, error: str | None = None) -> None:
        seconds = (time.perf_counter_ns() - started_ns) / 1_000_000_000
        self._tell(StoreEvent(OPS[type(command)], seconds, error))

    def describe(self) -> dict[str, object]:
        """What the store says of itself."""
        return self._store.describe()

    def close(self) -> None:
        """Close the store's connections."""
        self._store.close()

    async def aclose(self) -> None:
        """Close the store's connections, those of the running loop included."""
        await self._store.aclose()
