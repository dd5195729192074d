"""Work beside the requests: started once, never in tests unless asked, tried again after a failure, done at the end."""

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_ratelimit_gcra.background import Background
from tests import databases, polling

SOON_S = 10.0


class Work:
    """Counts its calls, and fails the first `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.called = threading.Semaphore(0)
        self._failures = failures

    def __call__(self) -> None:
        self.calls += 1
        self.called.release()
        if self.calls <= self._failures:
            raise ValueError("the database is gone")

    def wait(self) -> None:
        assert self.called.acquire(timeout=SOON_S), "the work was not done"


def test_nothing_runs_in_a_test_environment() -> None:
    background = Background("test", Work(), every_s=0)
    background.start()
    assert not background.running


def test_it_works_again_and_again_in_one_thread() -> None:
    work = Work()
    background = Background("test", work, every_s=0.001)
    for _ in range(5):
        background.start(in_tests=True)
    assert [thread.name for thread in threading.enumerate()].count("ratelimit-test") == 1
    for _ in range(3):
        work.wait()
    background.stop()
    assert not background.running


def test_it_can_be_woken_and_works_a_last_time_when_it_is_stopped() -> None:
    work = Work()
    background = Background("test", work, every_s=3600)
    background.start(in_tests=True)
    background.wake()
    work.wait()
    before = work.calls
    background.stop()
    assert work.calls == before + 1
    background.start(in_tests=True)
    assert not background.running


def test_stopping_what_never_started_does_nothing() -> None:
    work = Work()
    Background("test", work, every_s=3600).stop()
    assert work.calls == 0


def test_a_failure_is_logged_once_and_the_work_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(failures=3)
    background = Background("test", work, every_s=0.001)
    with caplog.at_level(logging.WARNING, "django_ratelimit_gcra"):
        background.start(in_tests=True)
        for _ in range(5):
            work.wait()
        background.stop()
    assert [record.getMessage() for record in caplog.records].count(
        "The limiter's test failed; it is tried again, and this is not logged again."
    ) == 1


def forked(background: Background, work: Callable[[], object]) -> bytes:
    """What a child says that is forked while the work is being done."""
    background.start(in_tests=True)
    background.wake()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.write(write, str(work()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    background.stop()
    return os.read(read, 100)


@pytest.mark.parametrize(("patience_s", "seen"), [(10.0, b"True"), (0.0, b"False")])
def test_a_fork_waits_until_the_work_is_done_but_not_for_ever(
    patience_s: float, seen: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that inherits an open connection reads SQLite as it was, or ends the parent's session."""
    monkeypatch.setattr("django_ratelimit_gcra.background._FORK_S", patience_s)
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(0.3)
        done.set()

    background = Background("test", work, every_s=3600)
    background.start(in_tests=True)
    background.wake()
    assert begun.wait(SOON_S)
    assert forked(background, done.is_set) == seen
    assert background.busy.acquire(timeout=SOON_S), "the parent goes on"


@pytest.mark.django_db
def test_between_two_works_no_connection_is_open(tmp_path: Path) -> None:
    used: list[BaseDatabaseWrapper] = []

    def work() -> None:
        used.append(connections["default"])
        used[-1].ensure_connection()

    with databases.unmigrated({"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "one.sqlite3")}):
        background = Background("test", work, every_s=3600)
        background.start(in_tests=True)
        background.wake()
        polling.until(lambda: bool(used) and used[-1].connection is None, "the connection to be closed")
        background.stop()


def test_a_child_of_a_fork_has_no_thread_and_starts_its_own() -> None:
    background = Background("test", Work(), every_s=3600)
    background.start(in_tests=True)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        inherited = background.running
        background.start(in_tests=True)
        os.write(write, f"{inherited} {background.running}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"False True"
    background.stop()


def test_a_servers_sigterm_is_heard_first_and_the_server_hears_of_it_all_the_same() -> None:
    heard: list[str] = []
    work = Work()
    background = Background("test", work, every_s=3600)
    idle = Background("idle", Work(), every_s=3600)
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(f"server, work done {work.calls > 0}"))
    try:
        background.start(in_tests=True)
        Background("another", Work(), every_s=3600).start(in_tests=True)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ["server, work done True"]
    assert background.ending
    assert not idle.running
    calls = work.calls
    for _ in range(3):  # it goes on until the process ends, and without being woken
        work.wait()
    background.stop()
    assert work.calls > calls


def test_a_signal_that_nobody_handles_is_left_alone() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        background = Background("test", Work(), every_s=3600)
        background.start(in_tests=True)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        background.stop()
    finally:
        signal.signal(signal.SIGTERM, before)
