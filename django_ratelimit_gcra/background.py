"""Work beside the requests: a daemon thread that does one thing every so often, for as long as the process lives.

It is started by whoever needs it, as often as they like; after a fork the child starts its own. Nothing runs in a test
environment, where `work` is called by hand. At the end of the process the work is done once more.

uvicorn ends by the very signal that it was sent, and then nothing registered with `atexit` runs. So where a server
listens to SIGTERM and a thread is started from the main one, as in an event loop, the threads hear of it first.

No connection to the database is open while nothing is being done, and a fork waits until that is so: in a child an open
one shows SQLite's write-ahead log as it was at the fork, for as long as it lives, and ends the parent's session at
PostgreSQL when it is closed.
"""

import atexit
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from types import FrameType

from django.db import connections

from django_ratelimit_gcra.serving import in_test_environment

_log = logging.getLogger("django_ratelimit_gcra")
_LAST_S = 5.0
_HURRIED_S = 1.0
_HURRY_S = 0.1
_FORK_S = 1.0


class Background:
    """Calls `work` every `every_s` seconds. What it raises is logged once a streak, and it is called again."""

    def __init__(self, name: str, work: Callable[[], object], every_s: float) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        self._thread: threading.Thread | None = None
        self.begin_anew()
        _known.add(self)
        atexit.register(_end, weakref.ref(self))

    @property
    def running(self) -> bool:
        """Whether the thread was started in this process."""
        return self._thread is not None

    @property
    def ending(self) -> bool:
        """Whether the work that is done now may be the last."""
        return self._stopping or self._hurrying

    def start(self, *, in_tests: bool = False) -> None:
        """Start the thread unless it runs; cheap enough for a request's path."""
        if self._thread is None and (in_tests or not in_test_environment()):
            with self._lock:
                if self._thread is None and not self._stopping:
                    self._thread = threading.Thread(target=self._run, name=f"ratelimit-{self._name}", daemon=True)
                    self._thread.start()
                    _listen()

    def wake(self) -> None:
        """Do the work now rather than later."""
        self._wanted.set()

    def hurry(self) -> threading.Event:
        """Do the work now, and again and again: the process is about to end. The event says that it was done once."""
        self._hurrying = True
        self._wanted.set()
        return self._hurried

    def stop(self) -> None:
        """End the thread, and do the work a last time if there was one; it does not start again."""
        with self._lock:
            self._stopping, thread = True, self._thread
            self._wanted.set()
        if thread is not None:
            thread.join(_LAST_S)
            self._thread = None

    def _run(self) -> None:
        while not self._stopping:
            self._wanted.wait(min(self._every_s, _HURRY_S) if self._hurrying else self._every_s)
            self._wanted.clear()
            hurrying = self._hurrying
            with self.busy:
                self._work_once()
                connections.close_all()
            if hurrying:
                self._hurried.set()

    def _work_once(self) -> None:
        try:
            self._work()
            self._failing = False
        except Exception:  # noqa: BLE001  # nobody above could do anything about it: it is logged, and tried again
            if not self._failing:
                _log.warning(
                    "The limiter's %s failed; it is tried again, and this is not logged again.",
                    self._name,
                    exc_info=True,
                )
            self._failing = True

    def begin_anew(self) -> None:
        """A child of a fork has no thread but its own, and its parent's locks may be held for ever."""
        self._thread = None
        self._lock = threading.Lock()
        self.busy = threading.Lock()
        self._wanted = threading.Event()
        self._hurried = threading.Event()
        self._hurrying = False
        self._stopping = False
        self._failing = False


def _listen() -> None:
    """Hear of SIGTERM before the server that handles it; where nobody does, it ends the process as ever."""
    before = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return
    if not (isinstance(before, partial) and before.func is _hurry_all):
        signal.signal(signal.SIGTERM, partial(_hurry_all, before))


def _hurry_all(then: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None) -> None:
    deadline_s = time.monotonic() + _HURRIED_S
    for done in [background.hurry() for background in list(_known) if background.running]:
        done.wait(deadline_s - time.monotonic())
    then(number, frame)


def _end(found: "weakref.ref[Background]") -> None:
    background = found()
    if background is not None:
        background.stop()


_known: "weakref.WeakSet[Background]" = weakref.WeakSet()
_paused = threading.local()


def _before_fork() -> None:
    """Wait until no work is being done; a database that hangs must not keep a process from forking."""
    _paused.locks = [one.busy for one in list(_known) if one.running and one.busy.acquire(timeout=_FORK_S)]


def _in_parent() -> None:
    for lock in _paused.locks:
        lock.release()


def _in_child() -> None:
    for background in _known:
        background.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
