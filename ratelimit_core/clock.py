"""Where time comes from. Everything inside counts epoch microseconds."""

import time
from typing import Protocol


class Clock(Protocol):
    """Anything that tells epoch microseconds."""

    def now_us(self) -> int: ...


class SystemClock:
    """The epoch as it was at the start, plus the monotonic clock: it never runs backwards."""

    __slots__ = ("_base_ns",)

    def __init__(self) -> None:
        self._base_ns = time.time_ns() - time.monotonic_ns()

    def now_us(self) -> int:
        """Epoch microseconds."""
        return (self._base_ns + time.monotonic_ns()) // 1_000
