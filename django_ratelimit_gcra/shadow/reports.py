"""What a bucket did within a span of time: totals, a series, routes, the worst identities, and what that looks like."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Point(NamedTuple):
    """A stretch of a series: what was asked since `start`, refused, and would have been but for the mode."""

    start: datetime
    requests: int
    blocked: int
    would_block: int


class Share(NamedTuple):
    """A route's or an identity's part in all refusals, in shadow or not.

    `requests` are all of a route's; of an identity's those in the minutes in which it was among the worst.
    """

    name: str
    refused: int
    share: float
    requests: int


class LooksLike(StrEnum):
    """What refusals most probably come from: a client that goes on regardless, or a limit that is too low."""

    LOOP = "loop"
    TOO_LOW = "too_low"


@dataclass(frozen=True, slots=True)
class BucketReport:
    """`blocked` were refused, `would_block` would have been; a refusal is in one of the two. Waits are of both."""

    bucket: str
    since: datetime
    until: datetime
    requests: int
    enforced: int
    blocked: int
    would_block: int
    replayed: int
    degraded: int
    lost: int
    wait_p50_s: float | None
    wait_p95_s: float | None
    series: Sequence[Point]
    routes: Sequence[Share]
    identities: Sequence[Share]
    looks_like: LooksLike | None
    sentence: str

    @property
    def refused(self) -> int:
        """Refused, in shadow or not."""
        return self.blocked + self.would_block


def report(bucket: str, since: datetime, until: datetime, points: int = 60, most: int = 20) -> BucketReport:
    """What was recorded of a bucket from `since` until just before `until`, with the `most` worst of each kind."""
    raise NotImplementedError


def timeline(bucket: str, identity: str, since: datetime, until: datetime, points: int = 60) -> list[Point]:
    """One identity over time, as spelled in a report; only minutes in which it was among the worst are known."""
    raise NotImplementedError
