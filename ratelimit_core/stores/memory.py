"""A store in this process's memory: thread-safe, bounded, usable from asyncio because it never waits.

Keys are forgotten when their deadline has passed. A key is filed once under the second in which its first deadline
falls; each write of a new key looks at a few due ones, drops the dead and files the living under their present
deadline. So the work of forgetting is spread over the writes, and no request pays for a sweep.

When the limit on keys is reached expired keys go first, then the live key whose filed deadline is nearest: the one
that loses least. A live key that had to go is counted in `describe()["evicted"]`.
"""

import heapq
import os
import threading
import weakref

from ratelimit_core import gcra
from ratelimit_core.clock import Clock, SystemClock
from ratelimit_core.commands import Acquire, Charge, Command, Peek, Reply
from ratelimit_core.errors import ConfigurationError

_SLOT_US = 1_000_000
_LOOKS = 4
_EVICTION_LOOKS = 64


class MemoryStore:
    """Everything in one dictionary of key to TAT (epoch microseconds), at most `max_keys` of them."""

    def __init__(self, clock: Clock | None = None, max_keys: int = 2_000_000) -> None:
        if isinstance(max_keys, bool) or not isinstance(max_keys, int) or max_keys < 1:
            raise ConfigurationError("max_keys", max_keys, "a whole number, at least 1")
        self._clock = SystemClock() if clock is None else clock
        self._max_keys = max_keys
        self._tats: dict[str, int] = {}
        self._filed: dict[int, list[str]] = {}
        self._slots: list[int] = []
        self._evicted = 0
        self._lock = threading.Lock()
        _forked.add(self)

    def execute(self, command: Command, /) -> Reply:
        """Carry out one command; never raises."""
        with self._lock:
            return self._execute(command, self._clock.now_us())

    async def aexecute(self, command: Command, /) -> Reply:
        """The same from an event loop; the lock is held for microseconds."""
        return self.execute(command)

    def describe(self) -> dict[str, object]:
        """Counts for operators."""
        return {"kind": "memory", "keys": len(self._tats), "max_keys": self._max_keys, "evicted": self._evicted}

    def close(self) -> None:
        """Nothing to close; what was counted stays."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def _execute(self, command: Command, now_us: int) -> Reply:
        if isinstance(command, Acquire):
            return self._acquire(command, now_us)
        if isinstance(command, Peek):
            return (now_us, *self._rooms(command.charges, now_us))
        return (now_us, sum(self._tats.pop(key, None) is not None for key in command.keys))

    def _acquire(self, command: Acquire, now_us: int) -> Reply:
        groups = (command.charges, *command.observed)
        rooms = [self._rooms(group, now_us) for group in groups]
        if all(room_us >= 0 for room_us in rooms[0]):
            for group, left in zip(groups, rooms, strict=True):
                if all(room_us >= 0 for room_us in left):
                    self._write(group, left, now_us)
        return (now_us, *(room_us for left in rooms for room_us in left))

    def _rooms(self, charges: tuple[Charge, ...], now_us: int) -> list[int]:
        return [gcra.measure(self._tats.get(key), now_us, tau, increment) for key, tau, increment in charges]

    def _write(self, charges: tuple[Charge, ...], rooms: list[int], now_us: int) -> None:
        for (key, tolerance_us, increment_us), room_us in zip(charges, rooms, strict=True):
            if not increment_us:
                continue
            tat = gcra.arrival(room_us, now_us, tolerance_us)
            if key not in self._tats:
                self._forget(now_us)
                self._file(key, tat)
            self._tats[key] = tat

    def _file(self, key: str, tat: int) -> None:
        slot = tat // _SLOT_US
        if slot not in self._filed:
            self._filed[slot] = []
            heapq.heappush(self._slots, slot)
        self._filed[slot].append(key)

    def _take_filed(self) -> tuple[int, str]:
        """Take a key out of the earliest slot."""
        slot = self._slots[0]
        keys = self._filed[slot]
        key = keys.pop()
        if not keys:
            del self._filed[slot]
            heapq.heappop(self._slots)
        return slot, key

    def _forget(self, now_us: int) -> None:
        for _ in range(_LOOKS):
            if not self._slots or self._slots[0] >= now_us // _SLOT_US:
                break
            self._look(now_us, refile=True)
        looks = _EVICTION_LOOKS
        while len(self._tats) >= self._max_keys:
            self._look(now_us, refile=looks > 0, evict=True)
            looks -= 1

    def _look(self, now_us: int, refile: bool, evict: bool = False) -> None:
        """Decide about the key that was filed earliest: dead, filed anew because it lives longer, or evicted."""
        slot, key = self._take_filed()
        tat = self._tats.get(key)
        if tat is None:
            return
        if tat <= now_us:
            del self._tats[key]
        elif refile and not (evict and tat // _SLOT_US <= slot):
            self._file(key, tat)
        else:
            del self._tats[key]
            self._evicted += 1

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


_forked: "weakref.WeakSet[MemoryStore]" = weakref.WeakSet()


def _after_fork() -> None:
    """Another thread may have held a lock at the moment of the fork; it does not exist in the child."""
    for store in _forked:
        store._renew_lock()


os.register_at_fork(after_in_child=_after_fork)
