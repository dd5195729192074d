"""For tests of applications that use this limiter, and for our own.

    clock = ManualClock()
    with enforcing(clock):              # real decisions on a clock that stands still until moved
        ...
        clock.advance_us(12_000_000)

    set_testing(True)                   # full headers, nothing refused, no store

Test mode is switched on by code only, and refused in a process that serves real requests.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ratelimit_core import limiter as _limiter
from ratelimit_core.buckets import Mode
from ratelimit_core.commands import Acquire, Command, Peek, Renew, Reply
from ratelimit_core.config import Config
from ratelimit_core.errors import StoreError, TestModeError
from ratelimit_core.events import DecisionEvent, Event, SettleEvent, StoreEvent
from ratelimit_core.stores import MemoryStore

__all__ = ["ManualClock", "RecordingSink", "ScriptedStore", "enforcing", "is_testing", "refuse_testing", "set_testing"]


class ManualClock:
    """A clock that is moved by hand; epoch microseconds."""

    def __init__(self, start_us: int = 0) -> None:
        self._now_us = start_us

    def now_us(self) -> int:
        """The time it was set to."""
        return self._now_us

    def advance_us(self, us: int) -> None:
        """Move it on."""
        self._now_us += us

    def set_us(self, now_us: int) -> None:
        """Move it to a moment, earlier ones included."""
        self._now_us = now_us


class RecordingSink:
    """A sink that keeps decisions in `.events`, settled shields in `.endings`, calls of the store in `.calls`."""

    def __init__(self) -> None:
        self.events: list[DecisionEvent] = []
        self.endings: list[SettleEvent] = []
        self.calls: list[StoreEvent] = []

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, DecisionEvent):
            self.events.append(event)
        elif isinstance(event, SettleEvent):
            self.endings.append(event)
        else:
            self.calls.append(event)


class ScriptedStore:
    """A store that gives prepared replies in order (a StoreError is raised) and keeps the commands in `.commands`."""

    def __init__(self, replies: Iterable[Reply | StoreError] = ()) -> None:
        self._replies = list(replies)
        self.commands: list[Command] = []

    def execute(self, command: Command, /) -> Reply:
        """The next reply; raises AssertionError when there is none left.

        A renewal comes from a thread of its own, at its own time: it is answered outside the script.
        """
        if isinstance(command, Renew):
            return 0, 1, 1
        self.commands.append(command)
        if not self._replies:
            raise AssertionError(f"no reply was prepared for {command!r}")
        reply = self._replies.pop(0)
        if isinstance(reply, StoreError):
            raise reply
        return reply

    async def aexecute(self, command: Command, /) -> Reply:
        """The same."""
        return self.execute(command)

    def describe(self) -> dict[str, object]:
        """What is left of the script."""
        return {"kind": "scripted", "replies": len(self._replies)}

    def close(self) -> None:
        """Nothing to close."""

    async def aclose(self) -> None:
        """Nothing to close."""


class _Process:
    """What a door said about this process: through what it serves real requests, if it does."""

    serves: str | None = None


class _IdleStore(MemoryStore):
    """A store in which nobody has ever spent anything: it answers every question and keeps nothing."""

    def execute(self, command: Command, /) -> Reply:
        """The answer to the first request of an idle identity."""
        return super().execute(Peek(command.all_charges()) if isinstance(command, Acquire) else command)


def set_testing(on: bool) -> None:
    """Switch test mode on or off for the whole process: real headers, nothing refused, no store.

    Raises TestModeError in a process that serves real requests.
    """
    _lay(_limiter.Overlay(_IdleStore(), _observing) if on else None)


def is_testing() -> bool:
    """Whether test mode, or `enforcing`, is on."""
    return _limiter.overlay is not None


@contextmanager
def enforcing(clock: ManualClock | None = None) -> Iterator[ManualClock]:
    """Enforce every bucket that is not off, in a fresh memory store on a hand-moved clock, for a block.

    Raises TestModeError in a process that serves real requests.
    """
    chosen = ManualClock() if clock is None else clock
    before = _limiter.overlay
    _lay(_limiter.Overlay(MemoryStore(chosen), _enforcing))
    try:
        yield chosen
    finally:
        _lay(before)


def refuse_testing(reason: str | None) -> None:
    """Told by a door that this process serves real requests; raises TestModeError if test mode is on already."""
    _Process.serves = reason
    if reason is not None and is_testing():
        raise TestModeError(f"test mode is on in a process that serves real requests ({reason})")


def _lay(overlay: "_limiter.Overlay | None") -> None:
    if overlay is not None and _Process.serves is not None:
        raise TestModeError(f"test mode is refused: this process serves real requests ({_Process.serves})")
    _limiter.overlay = overlay


def _observing(config: Config) -> Config:
    return _all_in(config, Mode.SHADOW)


def _enforcing(config: Config) -> Config:
    return _all_in(config, Mode.ENFORCE)


def _all_in(config: Config, mode: Mode) -> Config:
    buckets = tuple(bucket if bucket.mode is Mode.OFF else replace(bucket, mode=mode) for bucket in config.buckets)
    return replace(config, buckets=buckets, shadow=None, shadow_flags={}, overrides={})
