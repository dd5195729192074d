"""Live state: what somebody has spent and holds, and what becomes of it when an operator resets it."""

import logging
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command

from django_ratelimit_gcra import live, runtime
from ratelimit_core import ConfigurationError, Identity, StoreError, Verdict
from ratelimit_core.answers import Result
from ratelimit_core.limiter import Overlay
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.sight import Sight, State
from ratelimit_core.testing import ManualClock, ScriptedStore
from tests.django.switches import WHY, user
from tests.servers import ServerUnderTest

pytestmark = pytest.mark.django_db

ALICE = Identity.user(42)
PRINT = "f" * 64
NOW_US = 1_800_000_000_000_000
SECOND = 1_000_000


def pay(route: str | None = None, fingerprint: str = PRINT) -> Any:
    return runtime.limiter().admit(ALICE, "financial", route=route, fingerprint=fingerprint)


def budgets(bucket: str, found: live.Live | None = None) -> dict[tuple[str | None, str], tuple[int, int | None]]:
    """Remaining and seconds until full, by scope and label."""
    found = found or live.live(ALICE)
    return {
        (one.scope, one.label): (one.remaining, one.tat_us and (one.tat_us - found.now_us) // SECOND)
        for one in found.budgets
        if one.bucket == bucket
    }


def test_every_bucket_is_shown_also_those_that_are_full(clock: ManualClock) -> None:
    runtime.limiter().admit(ALICE, "read", 4)
    runtime.limiter().admit(ALICE, "write", scope="room-7")
    found = live.live(ALICE)
    assert (found.identity, found.now_us, found.leases, found.claims, found.complete) == (ALICE, NOW_US, (), (), True)
    assert budgets("read") == {(None, "60s"): (6, 4)}
    assert budgets("auth_bootstrap") == {(None, "60s"): (20, None)}
    assert budgets("write") == {(None, "60s"): (3, None), ("room-7", "60s"): (2, 3)}
    assert budgets("financial") == {(None, "60s"): (1, None), (None, "replays"): (20, None)}


def test_every_quota_and_every_replay_is_shown(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"two": {"quotas": ["10/m:5", "100/h:20"]}}
    runtime.limiter().admit(ALICE, "two", scope="x")
    assert budgets("two") == {
        (None, "60s"): (5, None),
        (None, "3600s"): (20, None),
        ("x", "60s"): (4, 6),
        ("x", "3600s"): (19, 36),
    }
    runtime.limiter().settle(pay(), Result(200))
    assert pay().decision.verdict is Verdict.REPLAY
    assert budgets("financial") == {(None, "60s"): (0, 12), (None, "replays"): (19, 1)}
    settings.RATE_LIMIT_BUCKETS = {"two": {"quotas": ["10/m:5"]}}
    assert list(budgets("two")) == [(None, "60s"), ("x", "60s")], "a quota that is no more has no numbers"
    settings.RATE_LIMIT_BUCKETS = {}
    assert budgets("two") == {}


def test_a_debt_of_a_longer_quota_reads_as_the_present_one_would_take_it(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"read": {"quota": "1/h", "burst": 10}}
    runtime.limiter().admit(ALICE, "read", 10)
    settings.RATE_LIMIT_BUCKETS = {"read": {"quota": "60/m", "burst": 10}}
    assert budgets("read") == {(None, "60s"): (0, 10)}


def test_leases_are_shown_by_route_and_claims_by_name(clock: ManualClock) -> None:
    route = "bookings/<int:booking>/pay/"
    pay(route)
    found = live.live(ALICE)
    ((_, shown, shadow, holders),) = found.leases
    assert (shadow, [holder.deadline_us for holder in holders]) == (False, [NOW_US + 30 * SECOND])
    assert shown.startswith("~") or shown == route
    ((_, name, shadow, state, since_us, until_us),) = found.claims
    assert (len(name), shadow, state) == (64, False, State.IN_PROGRESS)
    assert (since_us, until_us) == (NOW_US, NOW_US + 30 * SECOND)


def test_a_route_of_the_site_is_shown_as_it_is_written(clock: ManualClock) -> None:
    pay("samples/raising/<str:failure>/")
    (lease,) = live.live(ALICE).leases
    assert lease.route == "samples/raising/<str:failure>/"


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_both_stores_show_the_same(kind: str, fresh: Any, redis_server: ServerUnderTest) -> None:
    fresh.RATE_LIMIT_STORE_URL = "memory://" if kind == "memory" else f"{redis_server.url}?deadline_ms=20000"
    runtime.limiter().admit(ALICE, "read", 4)
    runtime.limiter().admit(ALICE, "write", scope="room-7")
    pay("pay/")
    found = live.live(ALICE)
    assert found.complete
    assert budgets("read", found)[None, "86400s"][0] == 6
    assert budgets("write", found)["room-7", "86400s"][0] == 2
    assert [(lease.route, len(lease.holders)) for lease in found.leases] == [("pay/", 1)]
    assert [claim.state for claim in found.claims] == [State.IN_PROGRESS]


def test_a_search_that_was_cut_short_says_so(clock: ManualClock) -> None:
    runtime.limiter().admit(ALICE, "read", 4)
    found = live.live(ALICE, seconds=-1)
    assert not found.complete
    assert budgets("read", found) == {(None, "60s"): (6, 4)}, "what has a known key is never missed"


def test_a_store_that_can_not_be_looked_into_says_so(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ratelimit_core.limiter.overlay", Overlay(ScriptedStore(), lambda config: config))
    with pytest.raises(StoreError, match="ScriptedStore"):
        live.live(ALICE)


# --- resetting


def test_a_budget_is_forgotten_alone(clock: ManualClock, caplog: Any) -> None:
    runtime.limiter().admit(ALICE, "read", 4)
    runtime.limiter().admit(ALICE, "write", scope="room-7")
    narrowed = next(one for one in live.live(ALICE).budgets if one.scope)
    with caplog.at_level(logging.WARNING, "django_ratelimit_gcra"):
        assert live.reset(ALICE, narrowed.key, WHY, "me") == "forgotten"
    assert caplog.messages == [f"user:42: {narrowed.key}: forgotten: {WHY} (by me)"]
    assert live.reset(ALICE, "ratelimit:rl:auth_bootstrap:{user:42}", WHY, "me") == "there was nothing"
    assert budgets("write") == {(None, "60s"): (3, None)}
    assert budgets("read") == {(None, "60s"): (6, 4)}
    assert live.reset_bucket(ALICE, "read", WHY, "me") == 1
    assert budgets("read") == {(None, "60s"): (10, None)}


def test_a_lease_is_freed_and_its_holder_loses_it(clock: ManualClock) -> None:
    held = pay("pay/")
    (lease,) = live.live(ALICE).leases
    assert live.reset(ALICE, lease.key, WHY, "me") == "forgotten"
    assert live.live(ALICE).leases == ()
    assert not runtime.limiter().settle(held)


def test_a_claim_in_doubt_is_released_and_one_that_is_worked_on_stays(clock: ManualClock) -> None:
    first = pay()
    (claim,) = live.live(ALICE).claims
    assert live.reset(ALICE, claim.key, WHY, "me").startswith("it is being worked on, and stays")
    runtime.limiter().settle(first, Result(raised=True))
    clock.advance_us(60 * SECOND)
    assert pay().decision.verdict is Verdict.OUTCOME_UNKNOWN
    assert live.reset(ALICE, claim.key, WHY, "me") == "released: the same request may run again"
    again = pay()
    assert again.allowed
    assert again.held[0].generation == first.held[0].generation, "to a foreign processor it is the same attempt"


def test_an_answer_is_forgotten(clock: ManualClock) -> None:
    runtime.limiter().settle(pay(), Result(200))
    clock.advance_us(60 * SECOND)
    (claim,) = live.live(ALICE).claims
    assert claim.state is State.COMPLETED
    assert live.reset(ALICE, claim.key, WHY, "me") == "its answer is forgotten: the same request runs again"
    assert live.reset(ALICE, claim.key, WHY, "me") == "there was nothing"
    assert pay().decision.verdict is Verdict.ALLOWED


def test_nothing_is_reset_without_a_reason_or_by_another_s_key(clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError, match="reason = ' '"):
        live.reset(ALICE, "ratelimit:rl:read:{user:42}", " ", "me")
    with pytest.raises(ConfigurationError, match="reason = ''"):
        live.reset_bucket(ALICE, "read", "", "me")
    with pytest.raises(ConfigurationError, match="bucket = 'reed'"):
        live.reset_bucket(ALICE, "reed", WHY, "me")
    for key in ("ratelimit:rl:read:{user:4}", "ratelimit:policy", "sessions:{user:42}"):
        with pytest.raises(ValueError, match="is no key of user:42"):
            live.reset(ALICE, key, WHY, "me")


def test_a_user_needs_permissions_and_is_written_down(clock: ManualClock) -> None:
    runtime.limiter().settle(pay(), Result(200))
    nobody, resetter = user("switch_policy"), user("reset_live")
    both = user("reset_live", "change_idempotencyrecord")
    (claim,) = live.live(ALICE).claims
    budget = "ratelimit:rl:financial:{user:42}"
    for attempt in (
        lambda: live.reset(ALICE, budget, WHY, "x", user=nobody),
        lambda: live.reset_bucket(ALICE, "financial", WHY, "x", user=nobody),
        lambda: live.reset(ALICE, claim.key, WHY, "x", user=resetter),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    assert not LogEntry.objects.exists()
    live.reset(ALICE, budget, WHY, "x", user=resetter)
    live.reset(ALICE, claim.key, WHY, "x", user=both)
    assert [(one.user_id, one.object_repr) for one in LogEntry.objects.order_by("pk")] == [
        (resetter.pk, "user:42"),
        (both.pk, "user:42"),
    ]
    assert LogEntry.objects.earliest("pk").change_message == f"{budget}: forgotten: {WHY}"


# --- ratelimit_explain


def explain(*arguments: str) -> list[str]:
    out = StringIO()
    call_command("ratelimit_explain", "--user=42", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue().splitlines()


def test_explain_shows_scopes_leases_and_records(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"seen": {"quota": "6/m", "burst": 6}}
    runtime.limiter().admit(ALICE, "write", scope="room-7")
    held = pay("pay/")
    clock.advance_us(5 * SECOND)
    shown = explain("--bucket=write")
    assert "scope room-7 of write: 3 of 3 left" not in shown
    assert "lease on pay/: 1 held, for 25 s unless renewed" in shown
    name = held.held[0].shield.claim.key.partition("|")[2]
    assert f"record {name}: in progress since 5 s, for 25 s more" in shown
    runtime.limiter().admit(ALICE, "write", scope="room-7")
    assert "scope room-7 of write: 2 of 3 left" in explain()


class Hasty(MemoryStore):
    """A store that has no time, or fails."""

    fails = False

    def look(self, namespace: str, identity: Identity, seconds: float) -> Sight:
        if self.fails:
            raise StoreError("timeout", "too slow")
        return super().look(namespace, identity, -1)


def test_explain_says_when_it_did_not_see_all(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Hasty(ManualClock(NOW_US))
    monkeypatch.setattr("ratelimit_core.limiter.overlay", Overlay(store, lambda config: config))
    runtime.limiter().admit(ALICE, "read")
    assert "The search was cut short: there may be more scopes, leases and records than these." in explain()
    store.fails = True
    with pytest.raises(CommandError, match="leases and records can't be searched for"):
        explain()
