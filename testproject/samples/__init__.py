"""Views of every shape that a limiter meets. They exist for the tests and do nothing for the demo.

``calls`` counts how often each view really ran, by its name in ``urls.py``.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

__all__ = ["called", "calls", "reset"]

calls: Counter[str] = Counter()
_lock = Lock()


def called(name: str) -> None:
    """Count one run of a view; views run in several threads."""
    with _lock:
        calls[name] += 1


def reset() -> None:
    """Forget the counts, before a test."""
    with _lock:
        calls.clear()
