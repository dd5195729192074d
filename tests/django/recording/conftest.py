"""Databases for the recorder: SQLite and PostgreSQL, with real transactions."""

from typing import Any

import pytest

from django_ratelimit_gcra.recording import Recorder
from ratelimit_core.testing import ManualClock
from tests.django.recording.events import NOW_US


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    name = str(tmp_path_factory.mktemp("sqlite") / "recorded.sqlite3")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": {"timeout": 5}}


@pytest.fixture
def recorder(database: str, settings: Any) -> Recorder:
    """A sink of the test's own; what it writes is new to retention, whatever year the test plays in."""
    settings.RATE_LIMIT_RECORD_DAYS = 3650
    return Recorder(clock=ManualClock(NOW_US))
