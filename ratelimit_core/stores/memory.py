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
import time
import weakref

from ratelimit_core import gcra
from ratelimit_core.clock import Clock, SystemClock
from ratelimit_core.commands import (
    Acquire,
    Charge,
    Command,
    Finding,
    Peek,
    Renew,
    Reply,
    Resolve,
    Settle,
    Shield,
    Shielded,
)
from ratelimit_core.errors import check_counts
from ratelimit_core.identity import Identity
from ratelimit_core.stores import sight
from ratelimit_core.stores.shields import Shields

_SLOT_US = 1_000_000
_LOOKS = 4
_EVICTION_LOOKS = 64


class MemoryStore:
    """One dictionary of key to TAT (epoch microseconds), at most `max_keys`; leases and records beside it.

    Of leases and idempotency records it keeps at most `max_shields` and refuses further ones while all are live.
    """

    def __init__(self, clock: Clock | None = None, max_keys: int = 2_000_000, max_shields: int = 100_000) -> None:
        check_counts(max_keys=max_keys, max_shields=max_shields)
        self._clock = SystemClock() if clock is None else clock
        self._max_keys = max_keys
        self._tats: dict[str, int] = {}
        self._filed: dict[int, list[str]] = {}
        self._slots: list[int] = []
        self._evicted = 0
        self._shields = Shields(max_shields)
        self._lock = threading.Lock()
        _forked.add(self)

    def execute(self, command: Command, /) -> Reply:
        """Carry out one command; raises StoreError only for a shield when too many are live."""
        with self._lock:
            return self._execute(command, self._clock.now_us())

    async def aexecute(self, command: Command, /) -> Reply:
        """The same from an event loop; the lock is held for microseconds."""
        return self.execute(command)

    def describe(self) -> dict[str, object]:
        """Counts for operators."""
        return {
            "kind": "memory",
            "keys": len(self._tats),
            "max_keys": self._max_keys,
            "evicted": self._evicted,
            "shields": len(self._shields),
        }

    def look(self, namespace: str, identity: Identity, seconds: float) -> sight.Sight:
        """What there is of an identity, after at most so many seconds."""
        until_s = time.monotonic() + seconds
        with self._lock:
            every = [*self._tats, *self._shields.keys()]
        found, complete = sight.chosen(every, namespace, identity, until_s)
        with self._lock:
            now_us = self._clock.now_us()
            things = [(key, self._tats.get(key) or self._shields.seen(key, now_us)) for key in found]
        return sight.sorted_out(now_us, things, complete)

    def close(self) -> None:
        """Nothing to close; what was counted stays."""

    async def aclose(self) -> None:
        """Nothing to close."""

    def _execute(self, command: Command, now_us: int) -> Reply:
        if isinstance(command, Acquire):
            rooms = self._measure(command, now_us)
            if command.shield is not None:
                return self._shielded(command, command.shield, rooms, now_us)
            self._charge(command, rooms, now_us)
            return (now_us, *[room_us for group in rooms for room_us in group])
        if isinstance(command, Peek):
            return (now_us, *self._rooms(command.charges, now_us))
        if isinstance(command, Settle):
            return (now_us, *self._shields.settle(command, now_us))
        if isinstance(command, Resolve):
            return (now_us, self._shields.resolve(command, now_us))
        if isinstance(command, Renew):
            return (now_us, *self._shields.renew(command.shield, now_us))
        return (now_us, sum(self._reset(key, now_us) for key in command.keys))

    def _measure(self, command: Acquire, now_us: int) -> list[list[int]]:
        return [self._rooms(group, now_us) for group in (command.charges, *command.observed)]

    def _charge(self, command: Acquire, rooms: list[list[int]], now_us: int, but: int | None = None) -> None:
        """Write the groups that fit, without the group `but`; nothing at all where the first does not."""
        lost = not _fits(rooms[0]) or but == 0
        for index, group in enumerate((command.charges, *command.observed)):
            if lost or index == but or not _fits(rooms[index]):
                self._bound(group, now_us)
            else:
                self._write(group, rooms[index], now_us)

    def _bound(self, charges: tuple[Charge, ...], now_us: int) -> None:
        """Store the clamp of a debt that no charge of this quota left: else waiting would never end it."""
        for key, tolerance_us, increment_us in charges:
            if increment_us and self._tats.get(key, 0) > now_us + tolerance_us:
                self._tats[key] = now_us + tolerance_us

    def _shielded(self, command: Acquire, shield: Shield, rooms: list[list[int]], now_us: int) -> Shielded:
        """First the record, then every quota, then the lease; what refuses first keeps its group from being charged."""
        group = 0 if shield.at is None else shield.at + 1
        finding, generation, answer, wait_us, fence = Finding.HELD, 0, b"", 0, 0
        if shield.claim is not None:
            finding, generation, answer = self._shields.find(shield.claim, now_us)
            if finding is not Finding.HELD and group == 0:
                finding, wait_us = self._replay(shield.claim.replay, finding, now_us)
        if finding is Finding.HELD:
            if not _fits(rooms[group]) or not _fits(rooms[0]):
                finding = Finding.NOT_REACHED
            elif shield.lease is not None:
                free = self._shields.fence(shield.lease, now_us)
                finding = Finding.LEASED_OUT if free is None else Finding.HELD
                fence = free or 0
        if finding is Finding.HELD:
            generation = self._shields.hold(shield, now_us, fence, generation)
        self._charge(command, rooms, now_us, None if finding in (Finding.HELD, Finding.NOT_REACHED) else group)
        flat = (now_us, *(room_us for left in rooms for room_us in left))
        return Shielded(flat, finding, wait_us, fence, generation, answer if finding is Finding.REPLAY else b"")

    def _replay(self, charge: Charge, finding: Finding, now_us: int) -> tuple[Finding, int]:
        """An answer that costs nothing else costs one unit of the replay quota."""
        rooms = self._rooms((charge,), now_us)
        if not _fits(rooms):
            return Finding.REPLAY_LIMITED, -rooms[0]
        self._write((charge,), rooms, now_us)
        return finding, 0

    def _reset(self, key: str, now_us: int) -> bool:
        """Forget a key; its TAT becomes one long past and stays filed, so that no key is ever filed twice."""
        tat = self._tats.get(key)
        if tat is not None:
            self._tats[key] = 0
        return self._shields.forget(key) or (tat is not None and tat > now_us)

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
        tat = self._tats[key]
        if tat <= now_us:
            del self._tats[key]
        elif refile and not (evict and tat // _SLOT_US <= slot):
            self._file(key, tat)
        else:
            del self._tats[key]
            self._evicted += 1

    def _renew_lock(self) -> None:
        if self._lock.locked():  # by a thread that was in the middle of filing
            self._filed.clear()
            self._slots.clear()
            for key, tat in self._tats.items():
                self._file(key, tat)
        self._lock = threading.Lock()


def _fits(rooms: list[int]) -> bool:
    return min(rooms, default=0) >= 0


_forked: "weakref.WeakSet[MemoryStore]" = weakref.WeakSet()


def _after_fork() -> None:
    """Another thread may have held a lock at the moment of the fork; it does not exist in the child."""
    for store in _forked:
        store._renew_lock()  # noqa: SLF001  # our own


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_after_fork)
