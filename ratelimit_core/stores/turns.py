"""Whose turn it is on a bounded number of connections, for threads and for event loops, and how long it may take.

A turn has no deadline of its own while the store goes on answering: ten thousand admissions that arrive at once are
all decided. When nothing was answered for `turn_us` a waiter gives up, and when the breaker opens all of them do, at
once.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from ratelimit_core.breaker import Breaker
from ratelimit_core.errors import StoreError

Thing = TypeVar("Thing")
_LAG_S = 0.01
_LONGEST_LAG_S = 5.0


def _busy() -> StoreError:
    return StoreError("busy", "every connection is in use and none was answered in time")


class Turns(Generic[Thing]):
    """At most `size` things, made when needed, for threads."""

    def __init__(self, size: int, make: Callable[[], Thing], breaker: Breaker, turn_us: int) -> None:
        self._size = size
        self._make = make
        self._breaker = breaker
        self._turn_s = turn_us / 1_000_000
        self._made: list[Thing] = []
        self._idle: list[Thing] = []
        self._answered_s = time.monotonic()
        self._changed = threading.Condition()
        breaker.on_open(self._wake_all)

    def take(self) -> Thing:
        """Wait for a turn; raise StoreError when the breaker opens or nothing moves any more."""
        with self._changed:
            since_s = time.monotonic()
            while not self._idle:
                if len(self._made) < self._size:
                    self._made.append(self._make())
                    return self._made[-1]
                if self._breaker.is_open:
                    raise self._breaker.error()
                self._changed.wait(self._turn_s)
                if not self._idle and time.monotonic() - max(since_s, self._answered_s) >= self._turn_s:
                    raise _busy()
            return self._idle.pop()

    def give(self, thing: Thing, answered: bool) -> None:
        """End a turn."""
        with self._changed:
            self._idle.append(thing)
            if answered:
                self._answered_s = time.monotonic()
            self._changed.notify()

    def all(self) -> list[Thing]:
        """Everything that was made."""
        return list(self._made)

    def _wake_all(self) -> None:
        with self._changed:
            self._changed.notify_all()


class LoopTurns(Generic[Thing]):
    """The same for one event loop; turns are given in the order of asking."""

    def __init__(self, size: int, make: Callable[[], Thing], breaker: Breaker, turn_us: int) -> None:
        self._size = size
        self._make = make
        self._breaker = breaker
        self._turn_s = turn_us / 1_000_000
        self._made: list[Thing] = []
        self._idle: list[Thing] = []
        self._waiting: deque[asyncio.Future[Thing]] = deque()
        self._loop = asyncio.get_running_loop()
        self._answered_s = self._loop.time()

    async def take(self) -> Thing:
        """Wait for a turn; raise StoreError when the breaker opens or nothing moves any more."""
        if self._idle:
            return self._idle.pop()
        if len(self._made) < self._size:
            self._made.append(self._make())
            return self._made[-1]
        if self._breaker.is_open:
            raise self._breaker.error()
        turn: asyncio.Future[Thing] = self._loop.create_future()
        self._waiting.append(turn)
        late = self._loop.call_later(self._turn_s, self._late, turn, self._loop.time())
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(turn.result(), answered=False)
            raise
        finally:
            late.cancel()

    def give(self, thing: Thing, answered: bool) -> None:
        """End a turn and begin the next waiter's."""
        if answered:
            self._answered_s = self._loop.time()
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(thing)
                return
        self._idle.append(thing)

    def all(self) -> list[Thing]:
        """Everything that was made."""
        return list(self._made)

    def wake_all(self) -> None:
        """End every wait; may be called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._give_up)

    def _give_up(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(self._breaker.error())

    def _late(self, turn: "asyncio.Future[Thing]", since_s: float) -> None:
        if turn.done():
            return
        left_s = max(since_s, self._answered_s) + self._turn_s - self._loop.time()
        if left_s > 0:
            self._loop.call_later(left_s, self._late, turn, since_s)
        else:
            turn.set_exception(_busy())


class Deadline:
    """`asyncio.timeout` that blames the store only: while the loop itself is late, the reply may be waiting unread."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._give_up_s = self._loop.time() + max(_LONGEST_LAG_S, 2 * self._seconds)
        self._arm()

    async def __aexit__(self, *exc_info: object) -> bool | None:
        self._timer.cancel()
        return await self._scope.__aexit__(*exc_info)

    def _arm(self) -> None:
        self._due_s = self._loop.time() + self._seconds
        self._timer = self._loop.call_at(self._due_s, self._fire)

    def _fire(self) -> None:
        now_s = self._loop.time()
        if now_s - self._due_s > _LAG_S and now_s < self._give_up_s:
            self._arm()
        else:
            self._scope.reschedule(now_s)
