"""Waiting for something outside this process: bounded, and never for time to pass in the limiter."""

import time
from collections.abc import Callable
from threading import Event


def until(answers: Callable[[], bool], what: str, seconds: float = 20, every: float = 0.01) -> None:
    """Returns when `answers()` is true; raises TimeoutError, naming `what`, after so many seconds."""
    deadline = time.monotonic() + seconds
    while not answers():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        Event().wait(every)
