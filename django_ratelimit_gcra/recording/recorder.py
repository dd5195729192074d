"""The sink: counts in memory on the request's path, and writes in a thread of its own.

An event costs a few look-ups under a lock that is held for no longer; the database is never touched for a request.
"""

import os
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock

from django_ratelimit_gcra.background import Background
from django_ratelimit_gcra.conf import RECORD_DAYS, RECORD_IDENTITIES, Identities
from django_ratelimit_gcra.recording import names, retention, rolling, writing
from django_ratelimit_gcra.recording.sampling import Batch, Sampler
from django_ratelimit_gcra.recording.tally import Tally
from django_ratelimit_gcra.recording.unsent import Unsent
from ratelimit_core import DecisionEvent
from ratelimit_core.buckets import Mode
from ratelimit_core.clock import Clock, SystemClock
from ratelimit_core.events import Layer

_FLUSH_S = 5.0
_ARRIVALS_S = 60.0
_MINUTE_US = 60_000_000


class Recorder:
    """A sink for `Limiter(sinks=[...])`.

    `on_drop` is called with the number of events (refusals, arrivals) that could not be kept or written. `clock` dates
    what was decided without asking a store.
    """

    _rolled_up: datetime

    def __init__(self, on_drop: Callable[[int], None] | None = None, clock: Clock | None = None) -> None:
        self.on_drop = on_drop
        self._clock = SystemClock() if clock is None else clock
        self._writer = Background("recorder", self._work, _FLUSH_S)
        self.begin_anew()
        _known.add(self)

    def __call__(self, event: object, /) -> None:
        if not isinstance(event, DecisionEvent):
            return
        self._writer.start()
        identity = names.bounded(event.identity)
        now_us = event.now_us or self._clock.now_us()
        with self._lock:
            lost = self._keep(event, identity, now_us)
        if lost:
            self._tell(lost)

    @property
    def dropped(self) -> int:
        """How many events this process could not keep, wholly or in part."""
        return self._dropped

    def flush(self, *, closed: bool = False) -> None:
        """Write what was recorded; with `closed` identities and arrivals only once their minute is over.

        Raises what the database raises: then all of it is kept, within bounds, for the next time.
        """
        with self._flushing:
            self._take(RECORD_IDENTITIES.value(), closed=closed)
            try:
                writing.write(self._unsent)
            except Exception:  # whatever it is, what was not written is kept within bounds; raised again
                self._trim()
                raise
            self._unsent.clear()
            days = RECORD_DAYS.value()
            retention.trickle(days)
            now = writing.moment(self._clock.now_us() // _MINUTE_US)
            self._rolled_up = rolling.roll_up(max(self._rolled_up, now - timedelta(days=days)), now)

    def begin_anew(self) -> None:
        """Forget everything: what a fork copied is its parent's to write, whose locks may be held for ever."""
        self._lock = Lock()
        self._flushing = Lock()
        self._tally = Tally()
        self._samplers: dict[str, Sampler] = {}
        self._unsent = Unsent()
        self._dropped = 0
        self._arrivals_due_s = time.monotonic() + _ARRIVALS_S
        self._rolled_up = datetime.min.replace(tzinfo=UTC)
        self._hash = partial(names.keyed_hash, names.hash_key())

    def _keep(self, event: DecisionEvent, identity: str, now_us: int) -> int:
        """Count and sample under the lock; returns what is lost."""
        minute = now_us // _MINUTE_US
        lost = self._tally.count(event, identity, minute)
        if (event.layer is Layer.NONE or event.layer is Layer.QUOTA) and event.mode is not Mode.OFF:
            sampler = self._samplers.get(event.bucket)
            if sampler is None:
                sampler = self._samplers[event.bucket] = Sampler(self._hash)
            scope = event.scope
            missed = sampler.add((identity, None if scope is None else names.bounded(scope)), now_us, event.cost)
            if missed:
                self._tally.lose(event.bucket, minute, missed)
                lost += missed
        self._dropped += lost
        return lost

    def _take(self, identities: Identities, *, closed: bool) -> None:
        """Move what is in memory to what is to be written."""
        with self._lock:
            counts = self._tally.take_counts()
            people = self._tally.take_people(self._clock.now_us() // _MINUTE_US if closed else None)
            arrivals: dict[str, list[Batch]] = {}
            if not closed or time.monotonic() >= self._arrivals_due_s:
                self._arrivals_due_s = time.monotonic() + _ARRIVALS_S
                arrivals = {bucket: sampler.take() for bucket, sampler in self._samplers.items()}
        self._unsent.add_counts(counts)
        if identities is not Identities.NONE:
            self._unsent.add_people(people, names.storable if identities is Identities.PLAIN else self._hashed)
        for bucket, batches in arrivals.items():
            self._unsent.add_samples(bucket, batches)

    def _trim(self) -> None:
        """Keep what couldn't be written within bounds; what is lost by that stands in a later row."""
        lost = self._unsent.trim()
        with self._lock:
            for bucket, number in lost.items():
                self._tally.lose(bucket, self._clock.now_us() // _MINUTE_US, number)
            self._dropped += lost.total()
        if lost:
            self._tell(lost.total())

    def _hashed(self, identity: str) -> str:
        return names.hashed(identity, self._hash)

    def _work(self) -> None:
        self.flush(closed=not self._writer.ending)

    def _tell(self, lost: int) -> None:
        if self.on_drop is not None:
            self.on_drop(lost)


_known: "weakref.WeakSet[Recorder]" = weakref.WeakSet()


def _after_fork() -> None:
    for recorder in _known:
        recorder.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
