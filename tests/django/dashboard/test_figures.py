"""Figures: what is there, in few words; what is rare is shown where it happens only."""

from datetime import UTC, datetime

import pytest

from django_ratelimit_gcra.dashboard.figures import described, figures, seconds
from django_ratelimit_gcra.shadow import BucketReport, Point

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def report(**counts: int) -> BucketReport:
    zero = dict.fromkeys(("requests", "enforced", "blocked", "would_block", "replayed", "degraded", "lost"), 0)
    values = {**zero, **counts}
    return BucketReport(
        "read",
        NOW,
        NOW,
        **values,
        wait_p50_s=None,
        wait_p95_s=None,
        series=[],
        routes=[],
        identities=[],
        looks_like=None,
        sentence="",
    )


def test_what_is_rare_is_shown_where_it_happens() -> None:
    usual = ["Requests", "Would block", "Blocked", "Retry-After", "Degraded"]
    assert [one.name for one in figures(report())] == usual
    found = figures(report(requests=10, replayed=2, lost=3))
    assert [(one.name, one.value) for one in found[5:]] == [("Replayed", "2"), ("Not kept", "3")]


def test_only_what_is_there_is_coloured() -> None:
    looks = [one.look for one in figures(report(requests=10, blocked=1, degraded=1))]
    assert looks == ["", "", "blocked", "", "blocked"]
    assert [one.note for one in figures(report(requests=10, blocked=1))][2] == "1 request"


@pytest.mark.parametrize(
    ("wait", "words"),
    [(None, "none"), (0.5, "0.5 s"), (12.345, "12.3 s"), (119, "119 s"), (300, "5.0 min"), (7_200, "2.0 h")],
)
def test_waits_are_words(wait: float | None, words: str) -> None:
    assert seconds(wait) == words


def test_a_chart_is_told_to_those_who_do_not_see_it() -> None:
    assert described([]) == "Nothing was recorded."
    series = [Point(NOW, 5, 1, 0), Point(NOW.replace(hour=3), 1_000, 0, 2)]
    assert described(series) == (
        "1,005 requests, 1 of them blocked, 2 would have been. The busiest bar begins at 01 Mar 03:00: 1,000 requests."
    )
