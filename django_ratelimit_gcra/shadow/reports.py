"""What a bucket did within a span of time: totals, a series, routes, the worst identities, and what that looks like."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import add
from typing import NamedTuple

from django.db.models import QuerySet

from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording.tally import BLOCKED, COUNTS, REQUESTS, WAIT_COLUMNS, WOULD_BLOCK
from django_ratelimit_gcra.shadow.causes import LooksLike, verdict
from django_ratelimit_gcra.shadow.reading import (
    REFUSED,
    Refused,
    Share,
    Span,
    percentile,
    refused_identities,
    rows_of,
    shares,
    sums,
)

_SHOWN = ("requests", "blocked", "would_block")
_TOTALS = tuple(name for name in COUNTS if name not in WAIT_COLUMNS)


class Point(NamedTuple):
    """A stretch of a series: what was asked since `start`, refused, and would have been but for the mode."""

    start: datetime
    requests: int
    blocked: int
    would_block: int


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
    rows = rows_of(DecisionMinute, bucket, since, until)
    span = Span(since, until, points)
    series = span.series(rows, _TOTALS)
    totals = dict(zip(_TOTALS, map(sum, zip(*series, strict=True)), strict=True))
    refused = totals["blocked"] + totals["would_block"]
    routes, waits = _refusals(rows)
    identities, number = shares(refused_identities(bucket, since, until), most, refused)
    looks_like, sentence = verdict(refused, number, identities)
    return BucketReport(
        bucket=bucket,
        since=since,
        until=until,
        **totals,
        wait_p50_s=percentile(waits, 0.50),
        wait_p95_s=percentile(waits, 0.95),
        series=[
            Point(start, counts[REQUESTS], counts[BLOCKED], counts[WOULD_BLOCK])
            for start, counts in zip(span.starts, series, strict=True)
        ],
        routes=shares(routes, most)[0],
        identities=identities,
        looks_like=looks_like,
        sentence=sentence,
    )


def timeline(bucket: str, identity: str, since: datetime, until: datetime, points: int = 60) -> list[Point]:
    """One identity over time, as spelled in a report; only minutes in which it was among the worst are known."""
    span = Span(since, until, points)
    rows = rows_of(IdentityMinute, bucket, since, until).filter(identity=identity)
    return [Point(start, *counts) for start, counts in zip(span.starts, span.series(rows, _SHOWN), strict=True)]


def _refusals(rows: "QuerySet[DecisionMinute]") -> tuple[list[Refused], list[int]]:
    """The routes on which something was refused, and the waits of all refusals."""
    routes, waits = [], [0] * len(WAIT_COLUMNS)
    for route, *counts in sums(rows.filter(REFUSED), "route", (*_SHOWN, *WAIT_COLUMNS)):
        requests, blocked, would_block, *own = counts
        routes.append(Refused(route, requests, blocked + would_block))
        waits = list(map(add, waits, own))
    return routes, waits
