"""The management commands: what they print, what they leave alone, and how they fail."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from django_ratelimit_gcra import runtime
from ratelimit_core import Bucket, Identity, Quota, RequestInfo
from ratelimit_core.testing import ManualClock, enforcing
from tests.servers import ServerUnderTest

pytestmark = pytest.mark.django_db

NOBODY_THERE = "redis://somebody:hunter2@127.0.0.1:1/0?password=hunter3"
ALICE = Identity.user(42)


def run(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def failing(name: str, *arguments: str) -> tuple[str, str]:
    """What a command printed before it failed, and why it did."""
    out = StringIO()
    with pytest.raises(CommandError) as failed:
        call_command(name, *arguments, stdout=out, stderr=out)
    return out.getvalue(), str(failed.value)


def status() -> Any:
    out = StringIO()
    call_command("ratelimit_status", "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


@pytest.fixture
def on_redis(settings: Any, redis_server: ServerUnderTest, namespace: str) -> ServerUnderTest:
    """The process's limiter on a real server."""
    settings.RATE_LIMIT_STORE_URL = redis_server.url
    settings.RATE_LIMIT_NAMESPACE = namespace
    return redis_server


# ratelimit_status


def test_status_shows_every_bucket_with_quotas_mode_and_shields() -> None:
    buckets = by_name(status()["buckets"])
    assert list(buckets) == ["auth_bootstrap", "read", "write", "financial"]
    assert buckets["read"] == {
        "name": "read",
        "quotas": ["60/m:10"],
        "quotas_override": None,
        "mode": "shadow",
        "mode_source": "default",
        "canary_percent": 0,
        "identify": "user",
        "store_down": "open",
        "shields": [],
    }
    assert buckets["financial"]["shields"] == ["user required", "1 at once for 30 s", "idempotency derived"]
    assert buckets["financial"]["store_down"] == "closed"


def test_status_prints_the_same_for_people() -> None:
    printed = run("ratelimit_status").splitlines()
    row = next(line for line in printed if line.startswith("  financial"))
    assert " ".join(row.split()) == (
        "financial enforce default 5/m:1 user closed user required, 1 at once for 30 s, idempotency derived"
    )
    assert any(line.split() == ["RATE_LIMIT_IPV6_PREFIX", "64", "default"] for line in printed)
    assert any("all anonymous clients share one address" in line for line in printed)


def test_status_names_the_source_of_every_value(settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "RATE_LIMIT_IPV6_PREFIX=56\nRATE_LIMIT_NAMESPACE=file\nRATE_LIMIT_SHADOW_READ=false\nRATE_LIMIT_UNDECORATED=\n"
    )
    monkeypatch.setenv("RATE_LIMIT_NAMESPACE", "variable")
    monkeypatch.setenv("RATE_LIMIT_TRUSTED_PROXIES", "private")
    monkeypatch.setenv("RATE_LIMIT_REDIS_URL", "memory://")
    settings.BASE_DIR = tmp_path
    settings.RATE_LIMIT_TRUSTED_PROXIES = ["192.0.2.1"]
    settings.RATE_LIMIT_DRAFT_FIELDS = None
    found = status()
    shown = {row["name"]: (row["value"], row["source"]) for row in found["settings"]}
    assert shown["RATE_LIMIT_IPV6_PREFIX"] == (56, ".env")
    assert shown["RATE_LIMIT_NAMESPACE"] == ("variable", "variable")
    assert shown["RATE_LIMIT_TRUSTED_PROXIES"] == (["192.0.2.1"], "setting")
    assert shown["RATE_LIMIT_STORE_URL"] == ("memory://", "variable RATE_LIMIT_REDIS_URL")
    assert shown["RATE_LIMIT_UNDECORATED"] == ("shadow", "default")
    assert shown["RATE_LIMIT_DRAFT_FIELDS"] == (True, "default")
    assert by_name(found["buckets"])["read"]["mode_source"] == "RATE_LIMIT_SHADOW_READ (.env)"


def test_status_names_what_gave_each_mode(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"read": {"mode": "canary", "canary_percent": 12.5}}
    settings.RATE_LIMIT_SHADOW_AUTH = False
    assert by_name(status()["buckets"])["auth_bootstrap"]["mode_source"] == "RATE_LIMIT_SHADOW_AUTH (setting)"
    assert "canary 12.5 %  RATE_LIMIT_BUCKETS (setting)" in run("ratelimit_status")
    settings.RATE_LIMIT_SHADOW = True
    assert by_name(status()["buckets"])["read"]["mode_source"] == "RATE_LIMIT_SHADOW (setting)"
    settings.RATE_LIMIT_ENABLED = False
    modes = [(row["mode"], row["mode_source"]) for row in status()["buckets"]]
    assert modes == [("off", "RATE_LIMIT_ENABLED (setting)")] * 4


def test_status_prints_the_object_that_enforcement_reads() -> None:
    with enforcing():
        assert {row["mode"] for row in status()["buckets"]} == {"enforce"}


def test_status_shows_the_rules_the_most_exact_first(settings: Any) -> None:
    settings.RATE_LIMIT_RULES = [
        {"bucket": "read", "path": "/api/"},
        {"bucket": "write", "pattern": "/api/v[12]/", "methods": ["POST"]},
    ]
    assert [(rule["bucket"], rule["path"], rule["pattern"], rule["methods"]) for rule in status()["rules"]] == [
        ("write", None, "/api/v[12]/", ["POST"]),
        ("read", "/api/", None, None),
    ]
    assert "  bucket write, pattern /api/v[12]/, methods POST" in run("ratelimit_status")


@pytest.mark.parametrize(
    ("quota", "text"),
    [
        ("60/m:10", "60/m:10"),
        ("5/30s:1", "5/30s:1"),
        ("100/h:50", "100/h:50"),
        ("3/2d:1", "3/2d:1"),
        (Quota(1, 1_500, 2), "1/1500us:2"),
    ],
)
def test_status_writes_a_quota_as_settings_do(settings: Any, quota: Any, text: str) -> None:
    settings.RATE_LIMIT_BUCKETS = {"chat": Bucket("chat", quota=quota)}
    assert by_name(status()["buckets"])["chat"]["quotas"] == [text]


def test_status_asks_the_store_and_shows_its_breaker(on_redis: ServerUnderTest) -> None:
    found = status()["store"]
    assert (found["kind"], found["breaker"]) == ("redis", "closed")
    assert found["now_us"] > 1_700_000_000_000_000
    assert on_redis.keys() == {}


def test_status_fails_when_the_store_cant_be_reached_after_saying_all_it_knows(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = NOBODY_THERE
    printed, error = failing("ratelimit_status")
    assert "the store can't be reached: " in error
    assert "financial" in printed
    assert "breaker" in printed


def test_status_shows_no_password(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = NOBODY_THERE
    printed, error = failing("ratelimit_status")
    assert "redis://127.0.0.1:1/0" in printed
    assert "hunter2" not in printed + error
    assert "hunter3" not in printed + error


def test_status_shows_the_door_s_own_settings_but_no_token(settings: Any) -> None:
    settings.RATE_LIMIT_METRICS_TOKEN = "t0ken-of-the-tests"
    shown = {row["name"]: (row["value"], row["source"]) for row in status()["settings"]}
    assert shown["RATE_LIMIT_METRICS"] == (True, "setting")
    assert shown["RATE_LIMIT_METRICS_TOKEN"] == ("(set)", "setting")
    assert settings.RATE_LIMIT_METRICS_TOKEN not in run("ratelimit_status")


def test_status_counts_forwarding_headers_that_were_ignored(settings: Any, namespace: str) -> None:
    settings.RATE_LIMIT_NAMESPACE = namespace
    runtime.limiter().admit(RequestInfo(peer="10.0.0.1", forwarded_for=("203.0.113.9",)), "read")
    runtime.limiter().admit(RequestInfo(), "read")
    assert status()["counts"] == {"forwarded_ignored": 1, "no_peer": 1, "sink_errors": 0}


def test_status_says_that_memory_is_each_process_s_own(on_redis: ServerUnderTest, settings: Any) -> None:
    assert "memory of its own" not in run("ratelimit_status")
    settings.RATE_LIMIT_STORE_URL = "memory://"
    for command in (["ratelimit_status"], ["ratelimit_explain", "--user=1"], ["ratelimit_reset", "--user=1"]):
        assert "memory of its own" in run(*command)


def test_status_works_on_a_site_whose_checks_fail(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings.RATE_LIMIT_TRUSTED_PROXIES = "0.0.0.0/0"
    execute_from_command_line(["manage.py", "ratelimit_status"])
    assert "0.0.0.0/0" in capsys.readouterr().out


# ratelimit_explain


def test_explain_shows_identity_key_and_what_is_left(on_redis: ServerUnderTest, namespace: str) -> None:
    runtime.limiter().admit(ALICE, "read", 4)
    printed = run("ratelimit_explain", "--user=42", "--bucket=read").splitlines()
    assert printed[0] == "identity: user:42"
    assert "  mode: shadow, not enforced for this identity" in printed
    assert f"  key: {namespace}:rl:read:{{user:42}} (6 of 10 left)" in printed
    assert "  next request: admitted" in printed
    assert "write" not in "".join(printed)


def test_explain_shows_a_refusal_and_its_exact_wait() -> None:
    with enforcing(ManualClock(1_700_000_000_000_000)) as clock:
        runtime.limiter().admit(ALICE, "write", 3)
        clock.advance_us(500_000)
        printed = run("ratelimit_explain", "--user=42", "--bucket=write")
    assert "limit: 3, remaining: 0, full again in 8.5 s" in printed
    assert "next request: refused: rate_limited, admitted in 2.5 s" in printed


def test_explain_shows_what_shadow_would_have_refused(settings: Any, namespace: str) -> None:
    settings.RATE_LIMIT_SHADOW = True
    settings.RATE_LIMIT_NAMESPACE = namespace
    runtime.limiter().admit(ALICE, "write", 3)
    assert "next request: let through, would be refused: rate_limited, admitted in " in run(
        "ratelimit_explain", "--user=42", "--bucket=write"
    )


def test_explain_says_whether_a_canary_enforces_for_this_identity(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"read": {"mode": "canary", "canary_percent": 50}}
    found = {line for n in range(40) for line in run("ratelimit_explain", f"--user={n}", "--bucket=read").splitlines()}
    assert "  mode: canary, enforced for this identity" in found
    assert "  mode: canary, not enforced for this identity" in found


def test_explain_goes_through_all_buckets_and_writes_nothing(on_redis: ServerUnderTest) -> None:
    runtime.limiter().admit(ALICE, "read")
    before = set(on_redis.keys())
    printed = run("ratelimit_explain", "--user=42")
    assert [name for name in runtime.limiter().config.policies if f"\n{name} (" in printed] == [
        "auth_bootstrap",
        "read",
        "write",
        "financial",
    ]
    assert set(on_redis.keys()) == before


def test_explain_shows_every_quota_of_a_bucket(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"two": {"quotas": ["10/m:5", "100/h:20"]}}
    printed = run("ratelimit_explain", "--key=job", "--bucket=two")
    assert "ratelimit:rl:two:{key:job} (5 of 5 left)" in printed
    assert "ratelimit:rl:two:{key:job}#3600s (20 of 20 left)" in printed


def test_explain_of_a_scope_looks_at_its_own_budget(settings: Any, namespace: str) -> None:
    settings.RATE_LIMIT_NAMESPACE = namespace
    runtime.limiter().admit(ALICE, "read", scope="room-7")
    assert "{user:42}|room-7 (9 of 10 left)" in run("ratelimit_explain", "--user=42", "--bucket=read", "--scope=room-7")
    assert "{user:42} (10 of 10 left)" in run("ratelimit_explain", "--user=42", "--bucket=read")


@pytest.mark.parametrize(
    ("given", "identity"),
    [
        ("203.0.113.9", "ip:203.0.113.9"),
        ("::ffff:203.0.113.9", "ip:203.0.113.9"),
        ("2001:db8::7", "ip:2001:db8::/64"),
        ("2001:db8::/64", "ip:2001:db8::/64"),
        ("10.0.0.1", "ip:10.0.0.1"),
        ("unknown", "ip:unknown"),
    ],
)
def test_explain_names_an_address_as_enforcement_does(settings: Any, given: str, identity: str) -> None:
    settings.RATE_LIMIT_TRUSTED_PROXIES = "private"
    assert f"identity: {identity}" in run("ratelimit_explain", f"--ip={given}", "--bucket=read").splitlines()


def test_explain_says_that_an_address_has_no_user(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = "memory://"
    assert "next request: refused: user_required\n" in run(
        "ratelimit_explain", "--ip=203.0.113.9", "--bucket=financial"
    )


def test_explain_says_that_a_bucket_charges_addresses(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"read": {"identify": "address"}}
    note = "this bucket charges addresses; ask with --ip"
    assert note in run("ratelimit_explain", "--user=42", "--bucket=read")
    assert note not in run("ratelimit_explain", "--ip=203.0.113.9", "--bucket=read")


def test_explain_says_that_the_store_is_not_asked_with_the_kill_switch(settings: Any) -> None:
    settings.RATE_LIMIT_ENABLED = False
    settings.RATE_LIMIT_STORE_URL = NOBODY_THERE
    printed = run("ratelimit_explain", "--user=42", "--bucket=read")
    assert "  next request: admitted; the store is not asked" in printed
    assert "  key: ratelimit:rl:read:{user:42}\n" in printed


def test_explain_fails_when_the_store_cant_be_reached(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = NOBODY_THERE
    printed, error = failing("ratelimit_explain", "--user=42")
    assert "refused: store_down" in printed
    assert "the store can't be reached" in error


# ratelimit_reset


def test_reset_forgets_one_bucket_of_one_user(on_redis: ServerUnderTest) -> None:
    for name in ("read", "write"):
        runtime.limiter().admit(ALICE, name)
        runtime.limiter().admit(Identity.user(43), name)
    before = len(on_redis.keys())
    assert run("ratelimit_reset", "--user=42", "--bucket=read") == "read: user:42: 1 quota forgotten\n"
    assert len(on_redis.keys()) == before - 1
    assert runtime.limiter().peek(ALICE, "read", cost=0).remaining == 10
    assert runtime.limiter().peek(ALICE, "write", cost=0).remaining == 2
    assert runtime.limiter().peek(Identity.user(43), "read", cost=0).remaining == 9


def test_reset_of_all_buckets_says_what_there_was(on_redis: ServerUnderTest, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"two": {"quotas": ["10/m:5", "100/h:20"]}}
    runtime.limiter().admit(RequestInfo(peer="203.0.113.9"), ["read", "two"])
    assert run("ratelimit_reset", "--ip=203.0.113.9").splitlines() == [
        "auth_bootstrap: ip:203.0.113.9: nothing was spent",
        "read: ip:203.0.113.9: 1 quota forgotten",
        "write: ip:203.0.113.9: nothing was spent",
        "financial: ip:203.0.113.9: nothing was spent",
        "two: ip:203.0.113.9: 2 quotas forgotten",
    ]
    assert on_redis.keys() == {}


def test_reset_of_a_scope_leaves_the_others(on_redis: ServerUnderTest) -> None:
    for scope in ("room-7", "room-8", None):
        runtime.limiter().admit(Identity.key("job"), "read", scope=scope)
    assert run("ratelimit_reset", "--key=job", "--bucket=read", "--scope=room-7") == (
        "read: key:job (scope 'room-7'): 1 quota forgotten\n"
    )
    assert len(on_redis.keys()) == 2


def test_reset_fails_when_the_store_cant_be_reached(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = NOBODY_THERE
    _, error = failing("ratelimit_reset", "--user=42", "--bucket=read")
    assert "read: nothing was forgotten, the store can't be reached" in error


# Bad input


@pytest.mark.parametrize("command", ["ratelimit_explain", "ratelimit_reset"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user=42", "--bucket=red"], "--bucket = 'red' doesn't exist; the buckets are auth_bootstrap, read, write"),
        (["--user=fortytwo"], "--user = 'fortytwo' is no primary key of auth.User"),
        (["--user="], "--user = '' is no primary key of auth.User"),
        (["--ip=example.org"], "--ip = 'example.org' is no address"),
        (["--ip="], "--ip = '' is no address"),
        (["--key="], "--key = '' names nobody"),
        ([], "one of the arguments --user --ip --key is required"),
        (["--user=1", "--ip=203.0.113.9"], "not allowed with argument --user"),
    ],
)
def test_what_cant_be_used_is_named(command: str, arguments: list[str], message: str) -> None:
    assert message in failing(command, *arguments)[1]
