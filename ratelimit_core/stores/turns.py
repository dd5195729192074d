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
from contextlib import suppress
from types import TracebackType
from typing import Generic, TypeVar

from ratelimit_core.breaker import Breaker
from ratelimit_core.errors import StoreError

Thing = TypeVar("Thing")
_LOOKS = 4
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
        self._made = 0
        self._idle: list[Thing] = []
        self._answered_s = time.monotonic()
        self._changed = threading.Condition()
        breaker.on_open(self._wake_all)

    def take(self) -> Thing:
        """Wait for a turn; raise StoreError when the breaker opens or nothing moves any more."""
        with self._changed:
            since_s = time.monotonic()
            while not self._idle:
                if self._made < self._size:
                    thing = self._make()
                    self._made += 1
                    return thing
                if not self._breaker.is_open:
                    self._changed.wait(self._turn_s)
                if self._breaker.is_open:
                    raise self._breaker.error()
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

    def each_idle(self, act: Callable[[Thing], None]) -> None:
        """Do something with everything that is not in use, before anybody takes it."""
        with self._changed:
            for thing in self._idle:
                act(thing)

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
        self._waiting: deque[tuple[float, asyncio.Future[Thing]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._answered_s = self._late_s = self._loop.time()
        self._watched = False

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
        self._waiting.append((self._loop.time(), turn))
        if not self._watched:
            self._watch()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(turn.result(), answered=False)
            raise

    def give(self, thing: Thing, answered: bool) -> None:
        """End a turn and begin the next waiter's."""
        if answered:
            self._answered_s = self._loop.time()
        if self._breaker.is_open:
            self._give_up()
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(thing)
                return
        self._idle.append(thing)

    def all(self) -> list[Thing]:
        """Everything that was made, in use or not."""
        return list(self._made)

    def take_idle(self) -> list[Thing]:
        """Take everything that is not in use; give it back."""
        idle, self._idle = self._idle, []
        return idle

    def wake_all(self) -> None:
        """End every wait; may be called from any thread."""
        with suppress(RuntimeError):  # it is closed: nobody waits
            self._loop.call_soon_threadsafe(self._give_up)

    def _give_up(self) -> None:
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(self._breaker.error())

    def _watch(self) -> None:
        """While somebody waits: look a few times a turn."""
        self._watched = bool(self._waiting)
        if self._watched:
            due_s = self._loop.time() + self._turn_s / _LOOKS
            self._loop.call_at(due_s, self._look, due_s)

    def _look(self, due_s: float) -> None:
        """Let go who waited in vain; where the loop itself was late, replies may be unread, and waiting starts anew."""
        now_s = self._loop.time()
        if now_s - due_s > _LAG_S:
            self._late_s = now_s
        while self._waiting and self._gives_up(now_s, *self._waiting[0]):
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(_busy())
        self._watch()

    def _gives_up(self, now_s: float, since_s: float, turn: "asyncio.Future[Thing]") -> bool:
        quiet_s = now_s - max(since_s, self._answered_s)
        in_vain = quiet_s >= self._turn_s and now_s - self._late_s >= self._turn_s
        return turn.done() or in_vain or quiet_s >= self._turn_s + _LONGEST_LAG_S


class Deadline:
    """`asyncio.timeout` that blames the store only: while the loop itself is late, the reply may be waiting unread.

    It looks a few times; a look that comes late does not count, but only so many times: a loop that is always late
    must not make a frozen store cost more than a few deadlines.
    """

    def __init__(self, seconds: float) -> None:
        self._step_s = seconds / _LOOKS
        self._loop = asyncio.get_running_loop()
        self._scope = asyncio.timeout(None)
        self._looks = self._excuses = _LOOKS

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._arm()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._scope.__aexit__(kind, error, at)

    def _arm(self) -> None:
        due_s = self._loop.time() + self._step_s
        self._timer = self._loop.call_at(due_s, self._look, due_s)

    def _look(self, due_s: float) -> None:
        now_s = self._loop.time()
        if self._excuses and now_s - due_s > _LAG_S:
            self._excuses -= 1
        else:
            self._looks -= 1
        if self._looks:
            self._arm()
        else:
            self._scope.reschedule(now_s)
