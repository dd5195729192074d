"""A bucket as its page shows it: a few figures with their words, a chart, a table."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone
from django.utils.safestring import SafeString

from django_ratelimit_gcra.dashboard.charts import Frame, Layer, bars
from django_ratelimit_gcra.dashboard.scales import percent
from django_ratelimit_gcra.shadow import BucketReport, Point


class Figure(NamedTuple):
    """A number, what it is, and what stands in small letters beneath; `look` colours it."""

    name: str
    value: str
    note: str = ""
    look: str = ""


def figures(report: BucketReport) -> list[Figure]:
    """What a bucket did, in the order in which one asks."""
    return list(_figures(report))


def _figures(report: BucketReport) -> Iterator[Figure]:
    yield Figure("Requests", f"{report.requests:,}", f"{percent(_share(report.enforced, report.requests))} enforced")
    yield _refusals("Would block", report.would_block, report, "would")
    yield _refusals("Blocked", report.blocked, report, "blocked")
    waits = (report.wait_p50_s, report.wait_p95_s)
    yield Figure("Retry-After", seconds(waits[0]), f"95 %: {seconds(waits[1])}" if waits[1] is not None else "")
    yield Figure(
        "Degraded", percent(_share(report.degraded, report.requests)), look="blocked" if report.degraded else ""
    )
    if report.replayed:
        yield Figure("Replayed", f"{report.replayed:,}", "an earlier answer, again")
    if report.lost:
        yield Figure("Not kept", f"{report.lost:,}", "events that recording dropped", "would")


def _refusals(name: str, number: int, report: BucketReport, look: str) -> Figure:
    share = percent(_share(number, report.requests))
    return Figure(name, share, f"{number:,} request{'' if number == 1 else 's'}", look if number else "")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def seconds(value: float | None) -> str:
    """A wait in words; None is no wait at all."""
    if value is None:
        return "none"
    if value >= 3_600:
        return f"{value / 3_600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 120 else f"{value:.3g} s"


def traffic(frame: Frame, series: Sequence[Point], since: datetime, until: datetime) -> SafeString:
    """The chart of a series: what passed, what would not have, what did not."""
    layers = [
        Layer("passed", "passed", [max(0, point.requests - point.blocked - point.would_block) for point in series]),
        Layer("would be blocked", "would", [point.would_block for point in series]),
        Layer("blocked", "blocked", [point.blocked for point in series]),
    ]
    return bars(frame, [timezone.localtime(point.start) for point in series], layers, since, until)


def described(series: Sequence[Point]) -> str:
    """A chart in a sentence, for those who don't see it."""
    requests = sum(point.requests for point in series)
    if not requests:
        return "Nothing was recorded."
    busiest = max(series, key=lambda point: point.requests)
    refused = sum(point.blocked for point in series), sum(point.would_block for point in series)
    return (
        f"{requests:,} requests, {refused[0]:,} of them blocked, {refused[1]:,} would have been. "
        f"The busiest bar begins at {timezone.localtime(busiest.start):%d %b %H:%M}: {busiest.requests:,} requests."
    )
