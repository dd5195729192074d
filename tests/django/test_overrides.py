"""How rows become the policy that is enforced, and what keeps it when rows or database are broken."""

import logging
import os
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_ratelimit_gcra import overrides, runtime
from django_ratelimit_gcra.models import PolicyOverride
from django_ratelimit_gcra.state import state_of
from ratelimit_core import Bucket, Identity, Mode
from ratelimit_core.config import Override, Source
from ratelimit_core.testing import ManualClock, enforcing
from tests import databases
from tests.django.switches import (
    ENFORCE,
    OFF,
    SHADOW,
    TENTH,
    held,
    in_an_hour,
    mode,
    quotas,
    row,
    switch,
    undo,
)
from tests.servers import ServerUnderTest

pytestmark = pytest.mark.django_db

OVERRIDDEN = Source.OVERRIDE


def statuses(client: Client, times: int) -> list[int]:
    return [client.get("/samples/plain/").status_code for _ in range(times)]


# --- what is enforced


def test_a_switch_is_enforced_and_undone(fresh: Any, client: Client) -> None:
    """Others had overrides that only the introspection endpoint read: it reported changes that never happened."""
    assert statuses(client, 11) == [200] * 11
    enforced = switch("read", ENFORCE)
    assert statuses(client, 2) == [429, 429]
    assert client.get("/samples/plain/")["Retry-After"]
    undo(enforced)
    assert statuses(client, 2) == [200, 200]


def test_quotas_are_switched_without_resetting_anybody(fresh: Any, client: Client) -> None:
    switch("read", ENFORCE)
    assert statuses(client, 5) == [200] * 5
    changed = switch("read", quotas("60/d:6"))
    assert statuses(client, 2) == [200, 429]
    assert client.get("/samples/plain/")["X-RateLimit-Limit"] == "6"
    undo(changed)
    assert statuses(client, 5) == [200] * 4 + [429]


async def _aget() -> int:
    return (await AsyncClient().get("/samples/async/")).status_code


@pytest.mark.django_db(transaction=True)
async def test_an_event_loop_enforces_it_too(fresh: Any) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(switch)("read", Override(Mode.ENFORCE, quotas=quotas("1/d:1").quotas))
    assert [await _aget(), await _aget()] == [200, 429]


def test_rest_framework_enforces_it_too(fresh: Any, settings: Any, client: Client) -> None:
    settings.ROOT_URLCONF = "tests.django.rest"
    assert client.get("/function/").status_code == 200
    switch("write", quotas("1/d:1"))
    assert client.get("/function/").status_code == 429


def test_a_bucket_that_is_off_asks_nothing_and_the_kill_switch_switches_all_off(fresh: Any, client: Client) -> None:
    switch("read", OFF)
    assert "X-RateLimit-Limit" not in client.get("/samples/plain/")
    row("", mode="off")
    overrides.refresh()
    assert client.get("/samples/plain/")["X-RateLimit-Policy"] == "off"
    assert mode("financial") == (Mode.OFF, Source.KILL_SWITCH)


def test_a_request_keeps_the_configuration_that_it_met(fresh: Any, rf: Any) -> None:
    request = rf.get("/samples/plain/")
    before = state_of(request).limiter
    switch("read", ENFORCE)
    assert state_of(request).limiter is before
    assert before.config.policy("read").mode is Mode.SHADOW
    assert state_of(rf.get("/")).limiter.config.policy("read").mode is Mode.ENFORCE


def test_no_request_asks_the_database(fresh: Any, client: Client) -> None:
    switch("read", ENFORCE, expires=in_an_hour())
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert statuses(client, 12)[-1] == 429
    assert len(queries) == 0


def test_test_mode_enforces_what_was_switched_to_shadow(clock: ManualClock, client: Client) -> None:
    switch("read", Override(Mode.SHADOW, quotas=quotas("60/m:2").quotas))
    assert statuses(client, 3) == [200, 200, 429]


# --- which row counts


def test_the_newest_word_on_mode_and_on_quotas_counts_each_for_itself(settings: Any) -> None:
    """Else a change of quotas an hour after "enforce" would have put the bucket back into shadow."""
    first = switch("read", Override(Mode.ENFORCE, quotas=quotas("10/m:1").quotas))
    second = switch("read", quotas("20/m:2"))
    assert (mode("read"), held("read")) == ((Mode.ENFORCE, OVERRIDDEN), ["20/m:2"])
    third = switch("read", TENTH)
    assert (mode("read"), held("read")) == ((Mode.CANARY, OVERRIDDEN), ["20/m:2"])
    undo(first)
    assert (mode("read"), held("read")) == ((Mode.CANARY, OVERRIDDEN), ["20/m:2"])
    undo(third)
    assert (mode("read"), held("read")) == ((Mode.SHADOW, Source.BUCKET), ["20/m:2"])
    undo(second)
    assert held("read") == ["60/m:10"]


def test_a_share_goes_with_its_mode(settings: Any) -> None:
    switch("read", TENTH)
    switch("read", ENFORCE)
    switch("read", quotas("20/m:2"))
    policy = runtime.limiter().config.policy("read")
    assert (policy.mode, policy.bucket.canary_percent) == (Mode.ENFORCE, 0)


def test_an_override_beats_the_flags_of_the_settings(settings: Any) -> None:
    settings.RATE_LIMIT_SHADOW = True
    settings.RATE_LIMIT_SHADOW_WRITE = True
    switch("write", ENFORCE)
    assert (mode("write"), mode("read")) == ((Mode.ENFORCE, OVERRIDDEN), (Mode.SHADOW, Source.SHADOW))


def test_settings_that_switch_the_limiter_off_are_stronger_than_any_row(settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = False
    switch("read", ENFORCE)
    assert mode("read") == (Mode.OFF, Source.KILL_SWITCH)


def test_other_settings_are_laid_under_what_was_switched(settings: Any) -> None:
    switch("read", ENFORCE)
    settings.RATE_LIMIT_BUCKETS = {"read": {"quota": "7/m", "burst": 7}}
    assert (mode("read"), held("read")) == ((Mode.ENFORCE, OVERRIDDEN), ["7/m:7"])


def test_what_is_in_force_without_rows_is_the_very_limiter_of_the_settings() -> None:
    before = runtime.limiter()
    undo(switch("read", ENFORCE))
    assert runtime.limiter() is before


# --- deadlines


def test_a_row_ends_at_its_own_deadline_and_what_stood_before_stands_again(monkeypatch: pytest.MonkeyPatch) -> None:
    switch("read", TENTH)
    ends = timezone.now() + timedelta(hours=1)
    switch("read", ENFORCE, expires=ends)
    assert mode("read")[0] is Mode.ENFORCE
    monkeypatch.setattr("time.time", lambda: ends.timestamp() - 0.001)
    assert mode("read")[0] is Mode.ENFORCE
    monkeypatch.setattr("time.time", ends.timestamp)
    assert mode("read")[0] is Mode.CANARY


def test_a_row_ends_although_the_database_is_gone(monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> None:
    ends = timezone.now() + timedelta(hours=1)
    switch("read", ENFORCE, expires=ends)
    monkeypatch.setattr("time.time", ends.timestamp)
    with django_db_blocker.block():
        assert mode("read") == (Mode.SHADOW, Source.BUCKET)


def test_a_row_that_has_expired_is_not_read_again() -> None:
    row(expires=timezone.now() - timedelta(seconds=1))
    overrides.refresh()
    assert overrides.state().layers == ()


def test_a_site_without_time_zones_reads_its_own_moments(settings: Any) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Asia/Tokyo"
    from django_ratelimit_gcra import switching

    switching.switch("read", ENFORCE, "an hour", "me", expires=timezone.now() + timedelta(hours=1))
    overrides.refresh()
    (layer,) = overrides.state().layers
    assert layer.expires is not None
    assert abs((layer.expires - layer.created) - timedelta(hours=1)) < timedelta(seconds=5)
    assert mode("read")[0] is Mode.ENFORCE


# --- broken rows, and no database


BROKEN: list[dict[str, Any]] = [
    {"bucket": "reed"},
    {"mode": "enfroce"},
    {"mode": ""},
    {"canary_percent": 101.0},
    {"quotas": ["60/m"]},
    {"quotas": ["60/m:10", 7]},
    {"quotas": "60/m:10"},
    {"quotas": {"quota": "60/m:10"}},
    {"quotas": []},
    {"quotas": ["0/m:10"]},
    {"bucket": "", "mode": "enforce"},
    {"bucket": "", "mode": None},
    {"bucket": "", "mode": "off", "quotas": ["60/m:10"]},
]


@pytest.mark.parametrize("columns", BROKEN, ids=str)
def test_a_broken_row_leaves_the_last_good_policy_in_force(columns: dict[str, Any], caplog: Any) -> None:
    """Others lost every override to one typo."""
    switch("write", SHADOW)
    switch("read", Override(Mode.ENFORCE, quotas=quotas("7/m:7").quotas))
    broken = row(**columns)
    with caplog.at_level(logging.ERROR, "django_ratelimit_gcra"):
        for _ in range(3):
            assert overrides.refresh()
    assert (mode("write")[0], mode("read")[0], held("read")) == (Mode.SHADOW, Mode.ENFORCE, ["7/m:7"])
    assert list(overrides.state().broken) == [broken.pk]
    assert len(caplog.records) == 1, "it is said once"
    assert f"override {broken.pk}" in caplog.text


def test_a_broken_row_stops_no_later_switch_nor_the_kill_switch() -> None:
    row(mode="enfroce")
    switch("read", ENFORCE)
    assert mode("read")[0] is Mode.ENFORCE
    row("", mode="off")
    overrides.refresh()
    assert mode("read") == (Mode.OFF, Source.KILL_SWITCH)


def test_a_good_row_that_is_broken_by_hand_keeps_its_meaning() -> None:
    switched = switch("read", ENFORCE)
    PolicyOverride.objects.update(mode="enfroce")
    assert overrides.refresh()
    assert mode("read")[0] is Mode.ENFORCE
    assert list(overrides.state().broken) == [switched.pk]
    PolicyOverride.objects.update(mode="canary")
    overrides.refresh()
    assert mode("read")[0] is Mode.CANARY
    assert overrides.state().broken == {}


def test_a_row_of_a_bucket_that_a_deployment_removed_is_left_aside(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"chat": Bucket("chat", quota="60/m:10")}
    switch("chat", SHADOW)
    switch("read", ENFORCE)
    settings.RATE_LIMIT_BUCKETS = {}
    assert mode("read")[0] is Mode.ENFORCE
    assert overrides.refresh()
    assert mode("read")[0] is Mode.ENFORCE
    assert "the buckets are auth_bootstrap" in str(overrides.state().broken)


def test_without_a_database_the_last_good_policy_stays_and_it_is_said_once(
    settings: Any, caplog: Any, tmp_path: Any, django_db_blocker: Any
) -> None:
    switch("read", ENFORCE)
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}
    with caplog.at_level(logging.WARNING, "django_ratelimit_gcra"), databases.unmigrated(empty):
        assert [overrides.refresh() for _ in range(3)] == [False] * 3
        assert mode("read")[0] is Mode.ENFORCE
        state = overrides.state()
        assert (state.failures, len(caplog.records)) == (3, 1)
        assert "no such table" in str(state.failure)
    overrides.refresh()
    assert overrides.state().failure is None
    assert "can be read again" in caplog.text


def test_json_that_does_not_parse_is_a_broken_row(settings: Any) -> None:
    """Where a database lets it in at all."""
    switch("read", ENFORCE)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA ignore_check_constraints = ON")
        cursor.execute("UPDATE django_ratelimit_gcra_policyoverride SET quotas = '[60/m'")
        assert overrides.refresh()
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    assert mode("read")[0] is Mode.ENFORCE
    assert "a list such as" in str(overrides.state().broken)


def test_a_column_that_django_can_not_read_leaves_all_as_it_was(settings: Any) -> None:
    switch("read", ENFORCE)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_ratelimit_gcra_policyoverride SET expires = '2999-99-99 99:99:99'")
    assert not overrides.refresh()
    assert mode("read")[0] is Mode.ENFORCE
    assert "ValueError" in str(overrides.state().failure)


def test_a_site_without_a_database_has_its_settings(django_db_blocker: Any) -> None:
    with databases.unmigrated({"ENGINE": "django.db.backends.dummy", "NAME": ""}):
        assert overrides.refresh()
        overrides._watch.look()
    assert overrides.state().failure is None


# --- the watch


class Redis:
    """The process's limiter on a real server, and how often the database is asked."""

    def __init__(self) -> None:
        overrides.forget()

    def looks(self) -> int:
        """How many queries one look of the thread costs."""
        with CaptureQueriesContext(connection) as queries:
            overrides._watch.look()
        return len(queries)


@pytest.fixture
def on_redis(settings: Any, redis_server: ServerUnderTest, namespace: str) -> Redis:
    settings.RATE_LIMIT_STORE_URL = f"{redis_server.url}?patient_deadline_ms=20000"
    settings.RATE_LIMIT_NAMESPACE = namespace
    return Redis()


def test_with_redis_the_database_is_asked_when_somebody_says_so(on_redis: Redis) -> None:
    assert [on_redis.looks() for _ in range(3)] == [1, 0, 0]
    row()
    assert on_redis.looks() == 0
    overrides.tell()
    assert on_redis.looks() == 1
    assert mode("read")[0] is Mode.ENFORCE


def test_with_redis_the_database_is_asked_every_half_minute_whoever_wrote_there(
    on_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_redis.looks()
    row()
    due_s = overrides._watch._due_s
    monkeypatch.setattr("time.monotonic", lambda: due_s)
    assert on_redis.looks() == 1
    assert mode("read")[0] is Mode.ENFORCE


def test_without_redis_the_database_is_asked_each_time(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = "memory://"
    assert [Redis().looks() for _ in range(3)] == [1, 1, 1]


def test_with_redis_gone_the_database_is_asked_each_time(settings: Any, caplog: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    assert [Redis().looks() for _ in range(3)] == [1, 1, 1]
    row()
    assert not overrides.tell()
    assert mode("read")[0] is Mode.ENFORCE
    assert "can't be told" in caplog.text


def test_a_database_that_fails_is_left_alone_for_a_moment(
    settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RATE_LIMIT_STORE_URL = "memory://"
    now_s = 1_000_000.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    overrides.forget()
    tried = []
    with databases.unmigrated({"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty.sqlite3")}):
        for _ in range(30):
            before = overrides.state().failures
            overrides._watch.look()
            tried.append(overrides.state().failures - before)
            now_s += 1
    assert tried[:9] == [1, 1, 0, 1, 0, 0, 0, 1, 0]
    assert sum(tried) == 8


def test_a_reader_that_began_earlier_does_not_undo_what_a_later_one_found(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = overrides._watch
    found: list[bool] = []
    load = overrides._load

    def slow(known: overrides.Reading) -> overrides.Reading:
        early = load(known)
        monkeypatch.setattr(overrides, "_load", load)
        row()
        found.append(watch.refresh())
        return early

    monkeypatch.setattr(overrides, "_load", slow)
    assert watch.refresh()
    assert found == [True]
    assert mode("read")[0] is Mode.ENFORCE


def test_nothing_runs_in_tests_unless_asked(client: Client) -> None:
    client.get("/samples/plain/")
    overrides.serve()
    assert not overrides.state().watching


def test_a_child_of_a_fork_keeps_what_was_read() -> None:
    switch("read", ENFORCE)
    overrides._watch._lock.acquire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        free = overrides._watch._lock.acquire(blocking=False)
        os.write(write, f"{free} {mode('read')[0]}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    overrides._watch._lock.release()
    assert os.read(read, 100) == b"True enforce"


def test_the_shell_reads_the_rows_first(fresh: Any) -> None:
    row("write", mode="off")
    call_command("ratelimit_explain", "--user=7", "--bucket=write")
    assert mode("write")[0] is Mode.OFF


def test_who_is_limited_in_code_is_limited_by_what_was_switched(fresh: Any) -> None:
    switch("write", quotas("1/d:1"))
    admit = [runtime.limiter().admit(Identity.user("job"), "write").allowed for _ in range(2)]
    assert admit == [True, False]


def test_enforcing_lies_over_what_was_switched_off() -> None:
    switch("read", OFF)
    with enforcing():
        assert mode("read")[0] is Mode.OFF
        assert mode("write")[0] is Mode.ENFORCE
