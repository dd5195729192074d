"""What the dashboard's tests share: somebody who may do just this, and something to look at."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.test import Client

from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from tests.django.switches import user

Staff = Callable[..., Client]
PLACE = "/admin/django_ratelimit_gcra/dashboard/"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Sentences that are kept for a while are kept for one test."""
    yield
    cache.clear()


@pytest.fixture
def staff(db: None) -> Staff:
    """`staff("switch_policy")`: a client signed in as somebody who may view the dashboard, and this."""

    def signed_in(*codenames: str, view: bool = True, checks: bool = False) -> Client:
        client = Client(enforce_csrf_checks=checks)
        client.force_login(user(*(["view_dashboard"] if view else []), *codenames))
        return client

    return signed_in


@pytest.fixture
def recorded(db: None) -> datetime:
    """Ten minutes of `read`, in shadow, with one loop; the time at which they end."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    for back in range(1, 11):
        minute = now - timedelta(minutes=back)
        DecisionMinute.objects.create(
            minute=minute, bucket="read", route="search/", requests=100, would_block=20, wait_5=20, degraded=1
        )
        for identity, refused in (("user:666", 18), (f"user:{back}", 2)):
            IdentityMinute.objects.create(
                minute=minute, bucket="read", identity=identity, route="search/", requests=30, would_block=refused
            )
    return now
