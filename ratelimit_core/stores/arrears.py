"""What a store could not be told: settlements are said again until they are heard, in one thread of the process.

A lease and a claim that nobody ends are held until their deadline, and then the outcome reads as unknown: of a request
that was answered, or, where a frozen server carries out what it was sent before, of one whose handler never started.
A settlement compares its token, so saying it twice changes nothing. That is true of no other command.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from ratelimit_core.commands import Command, Reply, Settle
from ratelimit_core.errors import StoreError

_PAUSE_S = 1.0
_LONGEST_S = 600.0
_MOST = 1_000  # each may carry an answer of 64 KiB


class _Debt(NamedTuple):
    settle: Settle
    until_s: float


class Arrears:
    """The settlements of one store that failed; `tell` carries one out, and raises StoreError.

    At most 1,000 are kept, for ten minutes. Without `background` there is no thread, and `pay()` is called by hand.
    """

    def __init__(
        self,
        tell: Callable[[Command], Reply],
        monotonic_s: Callable[[], float] = time.monotonic,
        pause_s: float = _PAUSE_S,
        *,
        background: bool = True,
    ) -> None:
        self._tell = tell
        self._monotonic_s = monotonic_s
        self._pause_s = pause_s
        self._background = background
        self._owed: list[_Debt] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def owe(self, command: Command, error: StoreError) -> None:
        """Take note of a command that failed; only of a settlement that may be heard another time."""
        if not isinstance(command, Settle) or error.kind == "corrupt":
            return
        with self._lock:
            if len(self._owed) < _MOST:
                self._owed.append(_Debt(command, self._monotonic_s() + _LONGEST_S))
            if self._background and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ratelimit-arrears", daemon=True)
                self._thread.start()

    def pay(self) -> int:
        """Say everything once more, until the store fails again; returns how many settlements are left."""
        with self._lock:
            owed, self._owed = self._owed, []
        now_s = self._monotonic_s()
        left = [debt for debt in owed if now_s < debt.until_s]
        while left and self._heard(left[0].settle):
            del left[0]
        with self._lock:
            self._owed = (left + self._owed)[:_MOST]
            return len(self._owed)

    def _heard(self, settle: Settle) -> bool:
        try:
            self._tell(settle)
        except StoreError as error:
            return error.kind == "corrupt"
        return True

    def _run(self) -> None:
        try:
            while self._waits():
                self.pay()
        finally:  # also where a store broke its promise: the next debt starts a thread anew
            with self._lock:
                self._thread = None

    def _waits(self) -> bool:
        """Wait a moment; False, and no thread any more, when nothing is owed."""
        with self._lock:
            if not self._owed:
                self._thread = None
                return False
        time.sleep(self._pause_s)
        return True
