"""Changes of policy at run time: how the rows that `switching` writes reach every process that serves.

A thread beside the requests looks once a second. Where the processes share a Redis they are told through it, and the
database is asked only when the mark there has changed, when Redis can't say, and every half minute in any case; else
the database is asked each second. No request waits for any of it, and none is ever without a policy: what can't be
read leaves in force what was read last.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

from django.db import Error, connections, router
from django.db.models import Q
from django.utils import timezone

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.background import Background
from django_ratelimit_gcra.layers import Layer, read
from ratelimit_core import Config, ConfigurationError, keys

_log = logging.getLogger("django_ratelimit_gcra")
_EVERY_S = 1.0
_UNTOLD_S = 30.0
_LONGEST_PAUSE_S = 5.0
_FIRST_LOOK_S = 2.0
_COLUMNS = ("pk", "bucket", "mode", "canary_percent", "quotas", "reason", "by", "created", "expires")
_UNREADABLE = (Error, ValueError, TypeError)  # the last two: a column that holds what Django can't read


@runtime_checkable
class Signalling(Protocol):
    """A store through which processes tell each other something."""

    def signal(self, key: str) -> bool: ...

    def signalled(self, key: str) -> object: ...


class State(NamedTuple):
    """How this process stands: the changes in force, rows that can't be used, and what became of the last look."""

    layers: tuple[Layer, ...]
    broken: Mapping[int, str]
    failure: str | None
    failures: int
    refreshed: datetime | None
    watching: bool


class Reading(NamedTuple):
    """The layers that the rows make, newest first, and by row why another can't be used; of which rows and settings."""

    layers: tuple[Layer, ...] = ()
    broken: Mapping[int, str] = MappingProxyType({})
    rows: Sequence[Mapping[str, Any]] = ()
    base: Config | None = None


class _Watch:
    """What this process has read so far. Readers may overlap: an earlier one never replaces what a later one found."""

    def __init__(self, reading: Reading) -> None:
        self._lock = threading.Lock()
        self._begun = self._adopted = 0
        self._mark: object = None
        self._due_s = self._not_before_s = -1.0
        self._pause_s = 0.0
        self.looked = threading.Event()
        self.reading = reading
        self.failure: str | None = None
        self.failures = 0
        self.refreshed: datetime | None = None

    def begin_anew(self, reading: Reading) -> None:
        """Keep what was read, and nothing else: locks and failures may be those of the parent of a fork."""
        self.__init__(reading)  # type: ignore[misc]  # every name that refers to it must see it

    def look(self) -> None:
        """What the thread does once a second."""
        try:
            mark, now_s = _mark(), time.monotonic()
            told = mark is None or mark != self._mark
            if now_s >= self._not_before_s and (told or now_s >= self._due_s):
                self._read(mark, now_s)
        finally:
            self.looked.set()

    def _read(self, mark: object, now_s: float) -> None:
        if self.refresh():
            self._mark, self._pause_s, self._due_s = mark, 0.0, now_s + _UNTOLD_S
        else:
            self._pause_s = min(max(_EVERY_S, self._pause_s * 2), _LONGEST_PAUSE_S)
            self._due_s = self._not_before_s = now_s + self._pause_s

    def refresh(self) -> bool:
        """Read the rows and adopt what they say; False where they can't be read, and all stays as it was."""
        if not _has_database():
            return True
        with self._lock:
            self._begun += 1
            begun = self._begun
        try:
            found = _load(self.reading)
        except _UNREADABLE as error:
            self._failed(error)
            return False
        with self._lock:
            if begun > self._adopted:
                self._adopted = begun
                self._adopt(found)
        return True

    def _adopt(self, found: Reading) -> None:
        for pk, why in found.broken.items():
            if self.reading.broken.get(pk) != why:
                _log.error("Policy override %s can't be used, and what was in force stays: %s", pk, why)
        if self.failure is not None:
            _log.warning("The policy overrides can be read again.")
        self.failure, self.refreshed = None, timezone.now()
        if found.layers != self.reading.layers:
            _log.info("Policy overrides in force: %s.", ", ".join(str(one.pk) for one in found.layers) or "none")
            runtime.adopt(found.layers)
        self.reading = found

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.failure is None:
            _log.error("The policy overrides can't be read; the last good policy stays in force: %s", error)
        self.failure = f"{type(error).__name__}: {error}"


_watch = _Watch(Reading())
_background = Background("watch on policy overrides", _watch.look, _EVERY_S)


def watch() -> None:
    """Have this process follow the changes; cheap enough for a request's path. A worker that doesn't serve calls it."""
    _background.start()


def serve() -> None:
    """Told where requests are about to be served: follow the changes, and wait a little for those that there are."""
    watch()
    if _background.running and not _watch.looked.is_set():
        _background.wake()
        _watch.looked.wait(_FIRST_LOOK_S)


def refresh() -> bool:
    """Read the rows now and adopt what they say; False where they can't be read, and all stays as it was."""
    return _watch.refresh()


def forget() -> None:
    """As in a process that has read nothing yet: for tests, whose rows are rolled back."""
    _watch.begin_anew(Reading())
    runtime.adopt(())


def state() -> State:
    """How this process stands."""
    seen = _watch
    return State(
        runtime.layers(), seen.reading.broken, seen.failure, seen.failures, seen.refreshed, _background.running
    )


def load() -> tuple[Layer, ...]:
    """The layers as the rows stand now, newest first; raises django.db.Error."""
    return _load(_watch.reading).layers


def tell() -> bool:
    """Adopt what was just written here, and tell the processes that share the Redis; False where that can't be done."""
    _watch.refresh()
    store = runtime.limiter().store
    if not isinstance(store, Signalling) or store.signal(keys.policy(runtime.base_config().namespace)):
        return True
    _log.warning("Redis can't be told of a changed policy: other processes may notice in %d s only.", _UNTOLD_S)
    return False


def alias() -> str:
    """The database of the rows: where they are written they are read, and no replica is late."""
    from django_ratelimit_gcra.models import PolicyOverride

    return router.db_for_write(PolicyOverride)


def _load(known: Reading) -> Reading:
    """Read every row that stands. One that can't be used keeps the meaning that it had here before, if it had one."""
    from django_ratelimit_gcra.models import PolicyOverride

    base = runtime.base_config()
    standing = Q(undone=None) & (Q(expires=None) | Q(expires__gt=timezone.now()))
    rows = list(PolicyOverride.objects.using(alias()).filter(standing).order_by("-pk").values(*_COLUMNS))
    if base is known.base and rows == known.rows:
        return known  # it is read every second, and hardly ever changes
    good = {layer.pk: layer for layer in known.layers}
    layers: list[Layer] = []
    broken: dict[int, str] = {}
    for row in rows:
        try:
            layers.append(read(row, base))
        except ConfigurationError as error:
            broken[row["pk"]] = str(error)
            layers += [good[row["pk"]]] if row["pk"] in good else []
    return Reading(tuple(layers), broken, rows, base)


def _mark() -> object:
    """What changes when somebody tells us; None where nobody can."""
    store = runtime.limiter().store
    return store.signalled(keys.policy(runtime.base_config().namespace)) if isinstance(store, Signalling) else None


def _has_database() -> bool:
    return connections[alias()].vendor != "unknown"


def _after_fork() -> None:
    """A child of a process that serves is about to serve: it must not wait for its first request to look."""
    serves = _watch.looked.is_set()
    _watch.begin_anew(_watch.reading)
    if serves:
        _background.start()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
