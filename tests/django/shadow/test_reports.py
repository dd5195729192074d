"""Reports: what is added up over which time, percentiles, who is worst and what that looks like."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from django_ratelimit_gcra.shadow import LooksLike, Point, Share, report, timeline
from django_ratelimit_gcra.shadow.reading import Span, percentile, rows_of
from tests.django.shadow.rows import NOW, decisions, identity

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def test_a_report_adds_up_what_lies_in_its_span_and_bucket() -> None:
    decisions(61, 1_000, would_block=1_000)
    decisions(0, 1_000, would_block=1_000)
    decisions(5, 1_000, bucket="write", would_block=1_000)
    decisions(60, 10, enforced=4, blocked=1, would_block=2, wait_1=2, wait_5=1)
    decisions(1, 20, route="/b/", replayed=3, degraded=2, lost=7)
    decisions(1, 5, would_block=1, wait_more=1)
    found = report("read", NOW - HOUR, NOW)
    assert (found.bucket, found.since, found.until) == ("read", NOW - HOUR, NOW)
    assert (found.requests, found.enforced, found.blocked, found.would_block) == (35, 4, 1, 3)
    assert (found.replayed, found.degraded, found.lost, found.refused) == (3, 2, 7, 4)
    assert [point for point in found.series if point.requests] == [
        Point(NOW - HOUR, 10, 1, 2),
        Point(NOW - MINUTE, 25, 0, 1),
    ]
    assert len(found.series) == 60
    assert found.routes == [Share("/a/", 4, 1.0, 15)]


def test_an_empty_report_has_a_series_of_nothing() -> None:
    found = report("read", NOW - HOUR, NOW, points=6)
    assert [point.start for point in found.series] == [NOW - HOUR + at * 10 * MINUTE for at in range(6)]
    assert (found.requests, found.wait_p50_s, found.wait_p95_s, found.looks_like) == (0, None, None, None)
    assert (found.routes, found.identities, found.sentence) == ([], [], "No refusals.")


@pytest.mark.parametrize(("hours", "points"), [(1, 60), (24, 60), (168, 60), (1, 7), (1, 1), (0, 60), (0.01, 60)])
def test_stretches_are_whole_minutes_and_hold_every_minute_once(hours: float, points: int) -> None:
    since = NOW - timedelta(hours=hours, seconds=13)
    span = Span(since, NOW, points)
    assert 1 <= len(span.starts) <= points
    minute = since.replace(second=0, microsecond=0)
    while minute < NOW:
        at = span.at(minute)
        assert span.starts[at] <= minute
        assert at == len(span.starts) - 1 or minute < span.starts[at + 1]
        minute += MINUTE


@pytest.mark.parametrize(
    ("waits", "share", "expected"),
    [
        ([0] * 9, 0.5, None),
        ([10, 0, 0, 0, 0, 0, 0, 0, 0], 0.5, 0.5),
        ([0, 0, 4, 0, 0, 0, 0, 0, 0], 0.5, 3.5),
        ([5, 0, 0, 0, 5, 0, 0, 0, 0], 0.5, 1.0),
        ([5, 0, 0, 0, 5, 0, 0, 0, 0], 0.95, 28.0),
        ([0, 0, 0, 0, 0, 0, 0, 0, 3], 0.5, 300.0),
        ([1, 1, 1, 1, 1, 1, 1, 1, 92], 0.95, 300.0),
    ],
)
def test_percentiles_come_from_the_columns(waits: list[int], share: float, expected: float | None) -> None:
    assert percentile(waits, share) == pytest.approx(expected)


def test_waits_are_those_of_refusals_alone() -> None:
    decisions(1, 10_000)
    decisions(2, 10, would_block=2, wait_30=2)
    found = report("read", NOW - HOUR, NOW)
    assert found.wait_p50_s == pytest.approx(20)
    assert found.wait_p95_s == pytest.approx(29)


# --- who


def test_one_identity_with_most_of_the_refusals_is_a_loop() -> None:
    decisions(1, 500, would_block=100)
    identity("user:1", 60)
    for number in range(2, 42):
        identity(f"user:{number}", 1)
    found = report("read", NOW - HOUR, NOW)
    assert found.identities[0] == Share("user:1", 60, 0.6, 60)
    assert len(found.identities) == 20
    assert found.looks_like is LooksLike.LOOP
    assert found.sentence == (
        "1 identity with 60 % of all refusals: this looks like a retry loop, not like a limit that is too low."
    )


def test_fifty_with_two_percent_each_are_a_limit_that_is_too_low() -> None:
    decisions(1, 500, would_block=100)
    for number in range(50):
        identity(f"user:{number}", 2)
    found = report("read", NOW - HOUR, NOW)
    assert found.looks_like is LooksLike.TOO_LOW
    assert found.sentence == (
        "50 identities refused, the worst with 2 % of all refusals: this looks like a limit that is too low."
    )


def test_one_that_is_refused_now_and_then_is_no_loop() -> None:
    decisions(1, 500, would_block=10)
    identity("ip:198.51.100.1", 10, requests=200)
    found = report("read", NOW - HOUR, NOW)
    assert found.looks_like is LooksLike.TOO_LOW
    assert "only 5 % of their requests" in found.sentence


def test_refusals_of_nobody_in_particular_say_so() -> None:
    decisions(1, 500, would_block=10)
    found = report("read", NOW - HOUR, NOW)
    assert (found.looks_like, found.sentence) == (
        None,
        "10 requests refused; by whom is not recorded, or will be when their minute is over.",
    )


def test_shares_are_of_all_refusals_and_never_more_than_all() -> None:
    decisions(1, 100, would_block=10)
    identity("user:1", 4)
    identity("user:2", 1)
    assert [share.share for share in report("read", NOW - HOUR, NOW).identities] == [0.4, 0.1]
    identity("user:1", 45, minutes_ago=2)
    assert [share.share for share in report("read", NOW - HOUR, NOW).identities] == [0.98, 0.02]


def test_sentences_name_nobody() -> None:
    decisions(1, 100, would_block=10)
    identity("user:<b>", 10)
    assert "user" not in report("read", NOW - HOUR, NOW).sentence


def test_a_time_line_is_of_one_identity() -> None:
    identity("user:1", 3, requests=7, minutes_ago=30)
    identity("user:1", 1, requests=2, minutes_ago=29, blocked=1)
    identity("user:2", 9, minutes_ago=30)
    line = timeline("read", "user:1", NOW - HOUR, NOW, points=6)
    assert [point for point in line if point.requests] == [Point(NOW - 30 * MINUTE, 9, 1, 4)]
    assert len(line) == 6


# --- speed


def plan(rows: Any) -> str:
    return str(rows.explain())


def test_reports_and_time_lines_are_read_through_indexes() -> None:
    from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute
    from django_ratelimit_gcra.shadow.reading import REFUSED

    assert connection.vendor == "sqlite"
    span = NOW - HOUR, NOW
    for model in (DecisionMinute, IdentityMinute, ArrivalSample):
        assert "(bucket=? AND minute>? AND minute<?)" in plan(rows_of(model, "read", *span))
    assert "ratelimit_decision_refused" in plan(rows_of(DecisionMinute, "read", *span).filter(REFUSED))
    of_one = rows_of(IdentityMinute, "read", *span).filter(identity="user:1")
    assert "ratelimit_identity_line (bucket=? AND identity=? AND minute>? AND minute<?)" in plan(of_one)
    for model in (DecisionMinute, IdentityMinute, ArrivalSample):
        old = model._default_manager.filter(minute__lt=NOW).order_by("minute")
        assert "(minute<?)" in plan(old)
