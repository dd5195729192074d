"""Records of decisions over forks, shutdowns and outages of the database: what was decided stands there once."""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Sum
from pytest_django.plugin import DjangoDbBlocker

from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording import Recorder, unsent
from ratelimit_core.testing import ManualClock
from tests import databases
from tests.django.recording.events import MINUTE_US, NOW_US, refused
from tests.polling import until
from tests.postgres import PostgresServer
from tests.sites import SiteFactory


def recorded(database: str) -> Counter[str]:
    """Requests by table of what a site wrote."""
    places = {"decisionminute": "requests", "identityminute": "requests", "arrivalsample": "arrivals"}
    with closing(sqlite3.connect(database)) as connection:
        return Counter(
            {
                table: connection.execute(f"SELECT sum({column}) FROM django_ratelimit_gcra_{table}").fetchone()[0]  # noqa: S608 - names from above
                for table, column in places.items()
            }
        )


def test_what_several_workers_decided_is_written_when_they_end(site: SiteFactory, tmp_path: Path) -> None:
    """Preloaded workers are forks; each writes its own, and all of it at the end."""
    running = site("gunicorn", "--workers=3", "--preload", env={"RATE_LIMIT_BUCKETS": '{"read": {"quota": "1/h:1"}}'})
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=running.url, timeout=30, limits=limits) as client:
        for _ in range(60):
            assert client.get("/instructors/").status_code == 200
    running.stop()
    found = recorded(running._env["TESTPROJECT_DB"])
    assert found["decisionminute"] == found["arrivalsample"] == 60
    assert found["identityminute"] > 50  # a store in memory for each worker: the first request of each passes


def test_a_server_that_ends_by_the_signal_itself_writes_before(site: SiteFactory) -> None:
    """As uvicorn does: nothing registered with atexit runs."""
    running = site("uvicorn")
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for _ in range(20):
            assert client.get("/instructors/").status_code == 200
    running.stop()
    found = recorded(running._env["TESTPROJECT_DB"])
    assert found["decisionminute"] == found["arrivalsample"] == 20


@pytest.fixture
def server(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[PostgresServer]:
    """A PostgreSQL server of the test's own."""
    with PostgresServer() as server, django_db_blocker.unblock(), databases.installed(server.settings):
        yield server


@contextmanager
def outage(server: PostgresServer) -> Iterator[None]:
    """Every connection is cut, and no new one is let in."""
    name = server.settings["NAME"]
    with server._connect() as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        connections[DEFAULT_DB_ALIAS].close()  # this thread's own
        try:
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def requests() -> int:
    return int(DecisionMinute.objects.aggregate(sum=Sum("requests"))["sum"] or 0)


def test_the_writer_outlives_an_outage_of_the_database_and_counts_what_it_costs(
    server: PostgresServer, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.RATE_LIMIT_RECORD_DAYS = 3650
    monkeypatch.setattr(unsent, "_MOST_ROWS", 10)
    told: list[int] = []
    recorder = Recorder(told.append, ManualClock(NOW_US))
    recorder._writer.start(in_tests=True)
    recorder(refused())
    recorder._writer.wake()
    until(lambda: requests() == 1, "the first record")
    with outage(server), caplog.at_level(logging.WARNING, "django_ratelimit_gcra"):
        for minute in range(30):
            recorder(refused(after_us=minute * MINUTE_US))
        for failures in range(1, 4):
            recorder._writer.wake()
            until(lambda: recorder._writer._failing and recorder.dropped >= 20, f"failure {failures}")
    logged = [record.getMessage() for record in caplog.records]
    assert [message for message in logged if "recorder" in message] == [
        "The limiter's recorder failed; it is tried again, and this is not logged again."
    ]
    recorder(refused(after_us=29 * MINUTE_US))
    recorder._writer.wake()
    until(lambda: not recorder._writer._failing, "the database to be back")
    recorder._writer.stop()
    lost = DecisionMinute.objects.aggregate(sum=Sum("lost"))["sum"]
    assert sum(told) == recorder.dropped == lost > 0
    assert 1 < requests() < 32
    assert IdentityMinute.objects.filter(minute__gt=DecisionMinute.objects.earliest("minute").minute).exists()
