"""Databases for the recorder: SQLite and PostgreSQL, with real transactions."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from django_ratelimit_gcra.recording import Recorder
from ratelimit_core.testing import ManualClock
from tests import databases
from tests.django.recording.events import NOW_US
from tests.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    name = str(tmp_path_factory.mktemp("sqlite") / "recorded.sqlite3")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {"timeout": 5}}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A database of its own."""
    sqlite = request.param == "sqlite"
    chosen = request.getfixturevalue("sqlite") if sqlite else request.getfixturevalue("postgres").settings
    with django_db_blocker.unblock(), databases.installed(chosen):
        yield request.param


@pytest.fixture
def recorder(database: str, settings: Any) -> Recorder:
    """A sink of the test's own; what it writes is new to retention, whatever year the test plays in."""
    settings.RATE_LIMIT_RECORD_DAYS = 3650
    return Recorder(clock=ManualClock(NOW_US))
