"""Where a request dies: a header names the point, and the process kills itself when it comes there."""

import os
import signal
from contextvars import ContextVar

from ratelimit_core.events import DecisionEvent, Event, SettleEvent

_point: ContextVar[str] = ContextVar("point", default="")


def doom(point: str) -> None:
    """From here on this request dies when it comes there; no name, no death."""
    _point.set(point)


def at(point: str) -> None:
    """Die if the request says so."""
    if _point.get() == point:
        os.kill(os.getpid(), signal.SIGKILL)


def sink(event: Event, /) -> None:
    """Hears of each admission and each settling right after it."""
    if isinstance(event, SettleEvent):
        at("after settling")
    elif isinstance(event, DecisionEvent) and event.allowed:
        at("after the claim")


class MortalCommit:
    """Mixed into a database backend."""

    def _commit(self) -> None:
        at("before the commit")
        super()._commit()  # type: ignore[misc]  # the backend's
        at("after the commit")
