"""Live state: whoever may see identities looks somebody up; whoever may reset resets, with a reason."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from django_ratelimit_gcra import runtime
from ratelimit_core import Identity, RequestInfo
from ratelimit_core.answers import Result
from ratelimit_core.testing import ManualClock
from tests.django.dashboard.conftest import PLACE, Staff
from tests.django.switches import WHY

pytestmark = pytest.mark.django_db
LIVE = f"{PLACE}live/"
ALICE = f"{LIVE}?kind=user&value=42"


def page(client: Client, place: str = ALICE) -> str:
    response = client.get(place)
    assert response.status_code == 200
    return response.content.decode()


def key(found: str, what: str) -> str:
    """The key behind the button of a row."""
    row = re.search(rf'<tr><td>{what}</td>(?:(?!</tr>).)*name="key" value="([^"]+)"', found, re.DOTALL)
    assert row is not None
    return row[1]


@pytest.fixture
def spent(clock: ManualClock) -> None:
    """User 42 has read once, and pays."""
    limiter = runtime.limiter()
    limiter.admit(Identity.user(42), "read")
    limiter.admit(Identity.user(42), "financial", fingerprint="f" * 64, route="pay/")


def test_budgets_leases_and_claims_are_shown(staff: Staff, spent: None) -> None:
    found = page(staff("view_identities"))
    assert "9 of 10 left" in found
    assert "full again at 15 Jan 08:00:01 (in 1 s)" in found
    assert "3 of 3 left" in found
    assert "<td>lease</td>" in found
    assert "pay/" in found
    assert "in progress, tried since 15 Jan 08:00:00" in found
    assert 'name="key"' not in found


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("identity=user:42", "user:42"),
        ("kind=ip&value=203.0.113.9", "ip:203.0.113.9"),
        ("kind=ip&value=2001:db8::1", "ip:2001:db8::/64"),
        ("identity=ip:2001:db8::/64", "ip:2001:db8::/64"),
        ("kind=key&value=login:ann", "key:login:ann"),
    ],
)
def test_somebody_is_spelled_as_a_request_would_be_charged(query: str, said: str, staff: Staff) -> None:
    assert f'<bdi title="{said}">{said}</bdi>' in page(staff("view_identities"), f"{LIVE}?{query}")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kind=user&value=alice", "This is no primary key of auth.User."),
        ("kind=user&value=", "Who: This field is required."),
        ("kind=ip&value=nowhere", "This is no address"),
        ("identity=nonsense", "Kind: Select a valid choice."),
    ],
)
def test_nobody_is_looked_up_who_can_not_be(query: str, said: str, staff: Staff) -> None:
    found = page(staff("view_identities"), f"{LIVE}?{query}")
    assert said in found
    assert "By the store" not in found


def test_each_is_reset_with_a_reason(staff: Staff, spent: None) -> None:
    client = staff("view_identities", "reset_live", "change_idempotencyrecord")
    found = page(client)
    for what in ("quota 60s", "lease"):
        said = client.post(ALICE, {"key": key(found, what), "reason": WHY}, follow=True).content.decode()
        assert "Reset of user:42: forgotten." in said
    after = page(client)
    assert "10 of 10 left" in after
    assert "<td>lease</td>" not in after
    assert [WHY in entry.get_change_message() for entry in LogEntry.objects.all()] == [True, True]


def test_a_claim_in_doubt_is_released_by_those_who_may_resolve(staff: Staff, clock: ManualClock) -> None:
    limiter = runtime.limiter()
    admission = limiter.admit(Identity.user(42), "financial", fingerprint="f" * 64, route="pay/")
    limiter.settle(admission, Result(raised=True))
    without = staff("view_identities", "reset_live")
    claim = key(page(without), "claim")
    assert without.post(ALICE, {"key": claim, "reason": WHY}).status_code == 403
    client = staff("view_identities", "reset_live", "change_idempotencyrecord")
    said = client.post(ALICE, {"key": claim, "reason": WHY}, follow=True).content.decode()
    assert "released: the same request may run again" in said


@pytest.mark.parametrize(
    ("data", "said"),
    [({"reason": ""}, "say why"), ({"reason": WHY, "key": "ratelimit:rl:read:{user:43}"}, "is no key of user:42")],
)
def test_nothing_is_reset_without_a_reason_or_of_somebody_else(
    staff: Staff, spent: None, data: dict[str, str], said: str
) -> None:
    client = staff("view_identities", "reset_live")
    found = page(client)
    response = client.post(ALICE, {"key": key(found, "quota 60s"), **data}, follow=True)
    assert said in response.content.decode()
    assert not LogEntry.objects.exists()


def test_who_may_only_look_resets_nothing(staff: Staff, spent: None) -> None:
    client = staff("view_identities")
    data = {"key": "ratelimit:rl:read:{user:42}", "reason": WHY}
    assert client.post(ALICE, data).status_code == 403
    assert "9 of 10 left" in page(client)


def test_scopes_have_rows_of_their_own(staff: Staff, clock: ManualClock) -> None:
    runtime.limiter().admit(Identity.user(42), "write", scope="room-7")
    assert "write, scope room-7" in page(staff("view_identities"))


def test_what_is_only_observed_says_so(staff: Staff, fresh: Any) -> None:
    fresh.RATE_LIMIT_SHADOW_FINANCIAL = True
    runtime.limiter().admit(Identity.user(42), "financial", fingerprint="f" * 64, route="pay/")
    assert "lease, observed only" in page(staff("view_identities"))


def test_a_store_that_is_down_is_said(staff: Staff, settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    client = staff("view_identities", "reset_live")
    assert "The store can&#x27;t be asked" in page(client)
    said = client.post(ALICE, {"key": "ratelimit:rl:read:{user:42}", "reason": WHY}, follow=True).content.decode()
    assert "Nothing was reset" in said


def test_a_user_of_the_site_is_found_by_primary_key(staff: Staff, clock: ManualClock) -> None:
    somebody = User.objects.create_user("somebody")
    runtime.limiter().admit(RequestInfo(peer="203.0.113.9", user=Identity.user(somebody.pk)), "read")
    assert "9 of 10 left" in page(staff("view_identities"), f"{LIVE}?kind=user&value={somebody.pk}")
