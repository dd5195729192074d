"""What the tests of the Django door share."""

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django.plugin import DjangoDbBlocker

from django_ratelimit_gcra import overrides
from ratelimit_core.testing import ManualClock, enforcing
from testproject import samples
from tests import databases
from tests.postgres import PostgresServer


@pytest.fixture(autouse=True)
def _no_overrides() -> Iterator[None]:
    """What one test switched is no other test's policy: rows are rolled back, memory is not."""
    yield
    state = overrides.state()
    if state.layers or state.broken or state.failure:
        overrides.forget()


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """Every bucket enforced, in a fresh store, on a clock that stands still until it is moved."""
    samples.reset()
    with enforcing(ManualClock(1_800_000_000_000_000)) as chosen:
        yield chosen


@pytest.fixture
def fresh(settings: Any, namespace: str) -> Any:
    """The settings' own modes, nothing spent yet; what is spent comes back so slowly that no test sees it."""
    samples.reset()
    settings.RATE_LIMIT_NAMESPACE = namespace
    settings.RATE_LIMIT_BUCKETS = {"read": {"quota": "60/d", "burst": 10}, "write": {"quota": "20/d", "burst": 3}}
    return settings


@pytest.fixture
def places(settings: Any) -> None:
    """The addresses of `tests.django.places`."""
    settings.ROOT_URLCONF = "tests.django.places"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One real server for all that want it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """A database of its own with real transactions; the module says in a fixture `sqlite` which SQLite that is."""
    sqlite = request.param == "sqlite"
    chosen = request.getfixturevalue("sqlite") if sqlite else request.getfixturevalue("postgres").settings
    with django_db_blocker.unblock(), databases.installed(chosen):
        yield request.param
