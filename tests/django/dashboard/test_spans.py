"""Spans: bars that keep still while time goes on, and the last of which holds this moment."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ratelimit_gcra.dashboard.spans import SPANS, Span, chosen

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("moment", [NOON, NOON - timedelta(microseconds=1), NOON + timedelta(microseconds=1)])
def test_the_last_bar_holds_this_moment(span: Span, moment: datetime) -> None:
    since, until = span.ending(moment)
    assert until - since == span.length == span.points * span.bar
    assert until - span.bar <= moment < until


@given(st.integers(10**15, 4 * 10**15), st.sampled_from(SPANS))
def test_bars_keep_still(at_us: int, span: Span) -> None:
    now = datetime.fromtimestamp(at_us / 1_000_000, UTC)
    (first, _), (second, _) = span.ending(now), span.ending(now + timedelta(seconds=1))
    assert second - first in {timedelta(0), span.bar}
    assert first.timestamp() % span.bar.total_seconds() == 0


def test_an_unknown_span_is_the_first() -> None:
    assert chosen("7d").length == timedelta(days=7)
    assert chosen(None) is chosen("'") is SPANS[0]
