"""The recorder behind the Django door: there by default, off by a setting, and never in a request's way."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from django_ratelimit_gcra import runtime, shadow
from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording import Recorder, recorder
from ratelimit_core import ConfigurationError, Verdict
from ratelimit_core.testing import ManualClock
from tests.django.recording.events import decided


@pytest.fixture(autouse=True)
def forgetful() -> Any:
    """The process's own recorder, new before and after."""
    recorder.begin_anew()
    yield
    recorder.begin_anew()
    recorder.on_drop = None


@pytest.mark.django_db
def test_a_request_is_recorded_without_a_query_of_ours(clock: ManualClock, django_assert_num_queries: Any) -> None:
    clock.set_us(round(timezone.now().timestamp()) * 1_000_000)
    with django_assert_num_queries(0):
        statuses = [Client().get("/samples/plain/").status_code for _ in range(15)]
    assert statuses == [200] * 10 + [429] * 5
    recorder.flush()
    (row,) = DecisionMinute.objects.all()
    assert (row.bucket, row.route, row.requests, row.enforced, row.blocked) == ("read", "samples/plain/", 15, 15, 5)
    assert IdentityMinute.objects.get().identity == "ip:127.0.0.1"
    assert ArrivalSample.objects.get().arrivals == 15


def test_it_is_there_unless_a_setting_says_no(settings: Any) -> None:
    runtime.limiter()
    assert recorder in runtime._runtime._told
    settings.RATE_LIMIT_RECORD = False
    runtime.limiter()
    assert recorder not in runtime._runtime._told


def test_the_metrics_count_what_it_loses(settings: Any) -> None:
    settings.RATE_LIMIT_METRICS = True
    runtime.limiter()
    assert recorder.on_drop is not None
    settings.RATE_LIMIT_METRICS = False
    runtime.limiter()
    assert recorder.on_drop is None


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("RATE_LIMIT_RECORD", "ture", "1, true, yes or on"),
        ("RATE_LIMIT_RECORD_IDENTITIES", "secret", "'plain', 'hashed' or 'none'"),
        ("RATE_LIMIT_RECORD_DAYS", "0", "a whole number of days, 1 to 3650"),
        ("RATE_LIMIT_RECORD_DAYS", True, "a whole number of days"),
        ("RATE_LIMIT_RECORD_DAYS", "1.5", "a whole number of days"),
        ("RATE_LIMIT_RECORD_DAYS", "3651", "a whole number of days"),
    ],
)
def test_settings_that_cannot_be_read_stop_the_start(settings: Any, name: str, value: object, accepted: str) -> None:
    setattr(settings, name, value)
    with pytest.raises(ConfigurationError, match=accepted) as failed:
        runtime.limiter()
    assert name in str(failed.value)


def test_both_databases_report_what_was_recorded(recorder: Recorder, database: str) -> None:
    """The fixture's own recorder, on SQLite and on PostgreSQL."""
    assert connection.vendor == database
    now = timezone.now()
    now_us = round(now.timestamp()) * 1_000_000 - 600_000_000
    for number in range(30):
        recorder(decided("user:1", Verdict.RATE_LIMITED, wait_us=4_000_000, now_us=now_us))
        recorder(decided(f"user:{number}", now_us=now_us + number))
    recorder.flush()
    span = now - timedelta(hours=1), now + timedelta(minutes=1)
    found = shadow.report("read", *span)
    assert (found.requests, found.would_block, found.wait_p50_s) == (60, 30, 3.5)
    assert sum(point.requests for point in found.series) == 60
    assert found.identities == [shadow.Share("user:1", 30, 1.0, 31)]
    assert found.routes == [shadow.Share("/a/", 30, 1.0, 60)]
    assert sum(point.would_block for point in shadow.timeline("read", "user:1", *span)) == 30
    assert len(shadow.arrivals("read", *span).arrivals) == 60
    assert not shadow.readiness("read", runtime.limiter().config).ready
