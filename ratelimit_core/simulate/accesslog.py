"""Web servers' logs in the Common or Combined format, plain or compressed, as requests in order of time.

Such a log has whole seconds: requests of one second count as simultaneous, so a replay of it refuses rather more than
a limiter would have.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ratelimit_core.errors import RateLimitError

# Nothing is tried twice (`++`): a line is read in time proportional to its length, whatever a client sent.
_LINE = re.compile(
    r"(\S+) \S+ (.*?) \[(\d\d)/([A-Z][a-z][a-z])/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] "
    r'"([A-Za-z_-]++) ((?:[^"\\\s]|\\.)++)[^"]*+"'
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_GZIP = b"\x1f\x8b"
_LONGEST_LINE = 1 << 16
_SECOND_US = 1_000_000

Told = Callable[[int, float], None]
"""Told now and then how many lines were read, and what share of the file that is (0 where it has no size)."""


class LogError(RateLimitError):
    """A log can't be read."""


class Logged(NamedTuple):
    """One request: epoch microseconds, the client's address (or name), the user or None, method, path without query."""

    at_us: int
    address: str
    user: str | None
    method: str
    path: str


def read_line(line: str) -> Logged | None:
    """The request that a line tells of; None for a line that tells of none."""
    found = _LINE.match(line)
    if found is None:
        return None
    address, user, day, month, year, hour, minute, second, sign, hours, minutes, method, target = found.groups()
    minute_us = _minute_us(year, month, day, hour, minute, sign, hours, minutes)
    if minute_us is None or second > "60":  # a leap second is one
        return None
    path = target.partition("?")[0]
    at_us = minute_us + int(second) * _SECOND_US
    return Logged(at_us, address, None if user in ("-", '""') else user, method.upper(), path)


@lru_cache(maxsize=1_024)
def _minute_us(
    year: str, month: str, day: str, hour: str, minute: str, sign: str, hours: str, minutes: str
) -> int | None:
    """A minute in epoch microseconds; None for one that no calendar has. A log has few of them, and many seconds."""
    try:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(-offset if sign == "-" else offset)
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), tzinfo=zone)
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1)


def read_lines(path: Path, told: Told, every: int = 20_000) -> Iterator[str]:
    """The lines of a log, decompressed by what it begins with, not by its name; raises LogError.

    A longer line than any server writes is cut into several.
    """
    count = 0
    try:
        with path.open("rb") as raw:
            size = path.stat().st_size if raw.seekable() else 0
            compressed = raw.peek(2)[:2] == _GZIP
            source = gzip.GzipFile(fileobj=raw) if compressed else raw
            while line := source.readline(_LONGEST_LINE):
                count += 1
                if count % every == 0:
                    told(count, raw.tell() / size if size else 0.0)
                yield line.decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise LogError(f"{path} can't be read{f' after line {count}' if count else ''}: {reason}") from error
