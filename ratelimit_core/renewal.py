"""Keeping held shields alive: one thread of the process renews each lease and claim at a third of its time to live.

A handler may take longer than its lease's TTL; a dead worker's lease must end soon. So the TTL is short and the living
renew it, up to a longest hold: a handler that hangs for ever loses its slot. A lease that was lost stays lost, and
`still_held` says so to a handler that asks before its effect.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable

from ratelimit_core.commands import Renew, Shield, numbers
from ratelimit_core.decision import Held
from ratelimit_core.drive import Store
from ratelimit_core.errors import StoreError

LONGEST_HOLD_US = 600_000_000
_IDLE_S = 10.0
_NEVER_US = 1 << 62


class _Watch:
    """One shield: who keeps it, when it is due, until when it is known to be held; monotonic microseconds."""

    __slots__ = ("due_us", "ends_us", "held", "held_until_us", "store", "ttl_us")

    def __init__(self, held: Held, store: Store, now_us: int) -> None:
        shield = held.shield
        ttls = [one.ttl_us for one in (shield.lease, shield.claim) if one is not None]
        self.held = held
        self.store = store
        self.ttl_us = min(ttls)
        self.due_us = now_us + max(1, self.ttl_us // 3)
        self.held_until_us = now_us + self.ttl_us
        self.ends_us = now_us + LONGEST_HOLD_US


class Renewer:
    """Renews what it is told to watch; `lost` is called once for each shield that could not be kept.

    Its thread ends after `idle_s` seconds without anything to watch; without `background` there is none, and
    `renew_due()` is called by hand.
    """

    def __init__(
        self,
        lost: Callable[[Held], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        idle_s: float = _IDLE_S,
        *,
        background: bool = True,
    ) -> None:
        self._lost = lost
        self._monotonic_ns = monotonic_ns
        self._idle_s = idle_s
        self._background = background
        self._wakes_us = _NEVER_US
        self._watches: dict[str, _Watch] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        _forked.add(self)

    def watch(self, held: Held, store: Store) -> None:
        """Keep a shield until it is forgotten."""
        watch = _Watch(held, store, self._now_us())
        with self._changed:
            self._watches[held.shield.token] = watch
            if self._background and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ratelimit-renewal", daemon=True)
                self._thread.start()
            if watch.due_us < self._wakes_us:
                self._changed.notify()

    def forget(self, shield: Shield) -> None:
        """Stop keeping a shield: it is about to be settled."""
        with self._changed:
            self._watches.pop(shield.token, None)

    def still_held(self, shield: Shield) -> bool:
        """Whether a shield is held as far as this process can know."""
        watch = self._watches.get(shield.token)
        return watch is not None and self._now_us() < watch.held_until_us

    def renew_due(self) -> int | None:
        """Renew what is due; returns the microseconds until the next is, or None when nothing is watched."""
        now_us = self._now_us()
        with self._changed:
            due = [watch for watch in self._watches.values() if watch.due_us <= now_us]
        for watch in due:
            self._renew(watch, now_us)
        with self._changed:
            following = self._following_us()
        return None if following is None else max(0, following - self._now_us())

    def _renew(self, watch: _Watch, now_us: int) -> None:
        shield = watch.held.shield
        if now_us >= watch.ends_us:  # not renewed any more: it is held until the deadline that the store knows
            kept = now_us < watch.held_until_us
            watch.due_us = watch.held_until_us
        else:
            watch.due_us = now_us + max(1, watch.ttl_us // 3)
            try:
                _, lease, claim = numbers(watch.store.execute(Renew(shield)))
                kept = lease >= (shield.lease is not None) and claim >= (shield.claim is not None)
                watch.held_until_us = now_us + watch.ttl_us
            except StoreError:
                kept = now_us < watch.held_until_us  # not heard of; try again while it may still be held
        if not kept:
            self._give_up(watch)

    def _give_up(self, watch: _Watch) -> None:
        with self._changed:
            known = self._watches.pop(watch.held.shield.token, None)
        if known is not None:
            self._lost(watch.held)

    def _run(self) -> None:
        try:
            while self._wait():
                self.renew_due()
        finally:  # also where a store broke its promise: the next shield starts a thread anew
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _wait(self) -> bool:
        """Wait until something is due or changes; False when there has been nothing to watch for a while."""
        with self._changed:
            due_us = self._following_us()
            self._wakes_us = _NEVER_US if due_us is None else due_us
            if due_us is not None:
                self._changed.wait(max(0, due_us - self._now_us()) / 1_000_000)
                return True
            self._changed.wait(self._idle_s)
            if not self._watches:
                self._thread = None
            return self._thread is not None

    def _following_us(self) -> int | None:
        return min((watch.due_us for watch in self._watches.values()), default=None)

    def _now_us(self) -> int:
        return self._monotonic_ns() // 1_000

    def begin_anew(self) -> None:
        """A child of a fork holds nothing of its parent's and has no thread."""
        self._watches = {}
        self._changed = threading.Condition()
        self._wakes_us = _NEVER_US
        self._thread = None


_forked: "weakref.WeakSet[Renewer]" = weakref.WeakSet()


def _after_fork() -> None:
    for renewer in _forked:
        renewer.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_after_fork)
