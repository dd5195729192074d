"""A structured log of what an operator may want to look at: refusals, doubts, losses, failures of the store.

Each kind of line, of each bucket, is written at most `most` times in `interval_s` seconds; what was left out is
counted, and the next line of its kind says how much that was. So neither a flood nor an outage writes a line for each
request.

A record's message ends with the fields as JSON in plain ASCII, and carries them as `record.ratelimit`, a dict, for
formatters that write JSON themselves. Texts of strangers are escaped and cut: nothing in them ends a line, turns its
direction or is markup.
"""

import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import NamedTuple

from ratelimit_core.commands import Outcome
from ratelimit_core.events import DecisionEvent, Event, SettleEvent, StoreEvent

LONGEST = 200
_MARKUP = str.maketrans({"<": r"\x3c", ">": r"\x3e", "&": r"\x26"})

Fields = dict[str, str | int | float | bool | None]


class _Kind(NamedTuple):
    """One kind of line."""

    name: str
    level: int
    message: str


_REFUSED = _Kind("refused", logging.INFO, "Refused: %s")
_WOULD_BLOCK = _Kind("would_block", logging.INFO, "Would be refused: %s")
_UNKNOWN = _Kind("outcome_unknown", logging.WARNING, "An outcome is unknown: %s")
_LOST = _Kind("lease_lost", logging.WARNING, "A lease or claim was lost: %s")
_STORE = _Kind("store_error", logging.WARNING, "A call of the store failed: %s")


class _Window:
    """What was written of one kind in the present interval, and what was left out since the last line."""

    __slots__ = ("left_out", "started_ns", "written")

    def __init__(self, started_ns: int) -> None:
        self.started_ns = started_ns
        self.written = 0
        self.left_out = 0


class LogSink:
    """A sink that writes to `logger`, without one to `ratelimit_core.events`; `identities=False` leaves out who it was.

    Its handlers must not wait, as on any request's path: for a slow one use logging's QueueHandler.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        most: int = 5,
        interval_s: float = 10.0,
        identities: bool = True,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._logger = logging.getLogger("ratelimit_core.events") if logger is None else logger
        self._most = most
        self._interval_ns = int(interval_s * 1_000_000_000)
        self._identities = identities
        self._monotonic_ns = monotonic_ns
        self._windows: dict[tuple[str, str], _Window] = {}
        self.begin_anew()
        _forked.add(self)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, DecisionEvent):
            if event.blocked:
                self._write(_WOULD_BLOCK if event.would_block else _REFUSED, event.bucket, event)
        elif isinstance(event, StoreEvent):
            if event.error is not None:
                self._write(_STORE, event.error, event)
        elif isinstance(event, SettleEvent) and not event.observed:
            if event.lost:
                self._write(_LOST, event.bucket, event)
            if event.claimed and event.outcome is Outcome.UNKNOWN:
                self._write(_UNKNOWN, event.bucket, event)

    def begin_anew(self) -> None:
        """A child of a fork: its parent's lock may be held for ever."""
        self._lock = threading.Lock()

    def _write(self, kind: _Kind, of: str, event: Event) -> None:
        if not self._logger.isEnabledFor(kind.level):
            return
        left_out = self._turn((kind.name, of))
        if left_out is None:
            return
        said: Fields = {"kind": kind.name, **_fields(event), "left_out": left_out}
        if not self._identities:
            said = {name: value for name, value in said.items() if name not in ("identity", "scope")}
        self._logger.log(kind.level, kind.message, json.dumps(said), extra={"ratelimit": said})

    def _turn(self, of: tuple[str, str]) -> int | None:
        """How many lines were left out since the last, if there is room for another one now."""
        now_ns = self._monotonic_ns()
        with self._lock:
            window = self._windows.get(of)
            if window is None:
                window = self._windows[of] = _Window(now_ns)
            if now_ns - window.started_ns >= self._interval_ns:
                window.started_ns, window.written = now_ns, 0
            if window.written >= self._most:
                window.left_out += 1
                return None
            window.written += 1
            left_out, window.left_out = window.left_out, 0
            return left_out


def _fields(event: Event) -> Fields:
    if isinstance(event, StoreEvent):
        return {"op": event.op, "error": event.error, "seconds": event.seconds}
    if isinstance(event, SettleEvent):
        return {
            "bucket": event.bucket,
            "identity": _safe(event.identity),
            "route": _safe(event.route),
            "outcome": event.outcome.name.lower(),
            "lost": event.lost,
        }
    return {
        "bucket": event.bucket,
        "verdict": event.verdict.value,
        "layer": event.layer.value,
        "mode": event.mode.value,
        "enforced": event.enforced,
        "degraded": event.degraded,
        "identity": _safe(event.identity),
        "scope": _safe(event.scope),
        "route": _safe(event.route),
        "cost": event.cost,
        "limit": event.limit,
        "wait_s": event.wait_us / 1_000_000,
    }


def _safe(text: str | None) -> str | None:
    """A stranger's text: what does not print is escaped, as are markup and quotes, and what is long is cut."""
    if text is None:
        return None
    cut = repr(text[:LONGEST])[1:-1].translate(_MARKUP)
    return cut if len(text) <= LONGEST else f"{cut}... ({len(text)} characters)"


_forked: "weakref.WeakSet[LogSink]" = weakref.WeakSet()


def _after_fork() -> None:
    for sink in _forked:
        sink.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_after_fork)
