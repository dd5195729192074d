"""A circuit breaker: after a few failures in a row the store is not asked for a while, then probed by one request."""

import threading
import time
from collections.abc import Callable

from ratelimit_core.errors import StoreError


class Breaker:
    """Opens after `threshold` failures in a row, for `cooldown_us`; then lets one probe through at a time.

    Thread-safe. `on_open` callbacks run in the thread that opened it, so that whoever waits for a turn can give up.
    """

    def __init__(
        self, threshold: int = 3, cooldown_us: int = 1_000_000, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._threshold = threshold
        self._cooldown_us = cooldown_us
        self._monotonic_ns = monotonic_ns
        self._failures = 0
        self._closed_again_us: int | None = None
        self._opened = 0
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether the store is left alone, but for probes."""
        return self._closed_again_us is not None

    @property
    def opened(self) -> int:
        """How many times it opened."""
        return self._opened

    def on_open(self, callback: Callable[[], None]) -> None:
        """Have `callback` called each time the breaker opens."""
        self._callbacks.append(callback)

    def check(self) -> None:
        """Pass, or raise StoreError while open; after the cooldown the first caller passes as the probe."""
        until_us = self._closed_again_us
        if until_us is None:
            return
        now_us = self._monotonic_ns() // 1_000
        if now_us < until_us:
            raise self.error(until_us - now_us)
        with self._lock:
            if self._closed_again_us is None:  # it closed meanwhile
                return
            if self._closed_again_us != until_us:  # another one is the probe
                raise self.error()
            self._closed_again_us = now_us + self._cooldown_us

    def error(self, wait_us: int | None = None) -> StoreError:
        """What a request is told while the breaker is open."""
        return StoreError(
            "breaker_open", "the store failed and is left alone for a moment", wait_us or self._cooldown_us
        )

    def succeeded(self) -> None:
        """The store answered."""
        if self._failures or self._closed_again_us is not None:
            with self._lock:
                self._failures = 0
                self._closed_again_us = None

    def failed(self) -> None:
        """The store did not answer."""
        with self._lock:
            self._failures += 1
            opens = self._closed_again_us is None and self._failures >= self._threshold
            if opens or self._closed_again_us is not None:
                self._closed_again_us = self._monotonic_ns() // 1_000 + self._cooldown_us
            self._opened += opens
        if opens:
            for callback in self._callbacks:
                callback()
