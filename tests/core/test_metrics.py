"""What Prometheus is told: every metric by its name and labels, from closed sets, at 0 before traffic."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ratelimit_core import (
    Bucket,
    Config,
    ConfigurationError,
    DecisionEvent,
    Identity,
    Limiter,
    Mode,
    RequestInfo,
    SettleEvent,
    StoreError,
    StoreEvent,
    Verdict,
)
from ratelimit_core import families as known
from ratelimit_core.answers import Result
from ratelimit_core.commands import Finding, Outcome, Reply, Shielded
from ratelimit_core.events import OPS, Layer
from ratelimit_core.metrics import PrometheusSink, exposition
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, ScriptedStore
from testproject.bootstrap import ROOT

NOW_US = 1_767_225_600_000_000
ALICE = Identity.user("alice")
CONFIG = Config.default()
BUCKETS = ("auth_bootstrap", "read", "write", "financial")
FLAGS = ("true", "false")


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


@pytest.fixture
def sink(registry: CollectorRegistry) -> PrometheusSink:
    """A sink of the default configuration."""
    return PrometheusSink(Config.default(), registry)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """A sample as it stands; None where there is none."""
    return registry.get_sample_value(name, labels)


def samples(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """Every sample of a name, by its label values."""
    found = (sample for family in registry.collect() for sample in family.samples if sample.name == name)
    return {tuple(sample.labels.values()): sample.value for sample in found}


def parsed(registry: CollectorRegistry) -> Iterable[Metric]:
    """What a scraper reads."""
    _, body = exposition(registry)
    return text_string_to_metric_families(body.decode())


def decided(bucket: str = "financial", verdict: Verdict = Verdict.ALLOWED, **more: Any) -> DecisionEvent:
    refused = verdict not in (Verdict.ALLOWED, Verdict.REPLAY)
    fields: dict[str, Any] = {
        "bucket": bucket,
        "layer": Layer.NONE,
        "verdict": verdict,
        "mode": Mode.ENFORCE,
        "enforced": True,
        "allowed": verdict is Verdict.ALLOWED,
        "blocked": refused,
        "would_block": False,
        "degraded": False,
        "identity": "user:alice",
        "route": "pay/",
        "cost": 1,
        "limit": 1,
        "remaining": 0,
        "wait_us": 0,
        "now_us": NOW_US,
    }
    return DecisionEvent(**{**fields, **more})


def financial(registry: CollectorRegistry, *replies: Reply | StoreError, shadow: bool | None = None) -> Limiter:
    config = Config.from_settings({"RATE_LIMIT_SHADOW": shadow}, {})
    return Limiter(config, ScriptedStore(replies), sinks=[PrometheusSink(config, registry)])


# --- before traffic


def test_every_metric_of_the_list_is_there_with_its_labels(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    found = {
        sample.name: tuple(name for name in sample.labels if name != "le")
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    histograms = {
        f"{name}_{part}": labels
        for name, labels in {"rl_retry_after_seconds": ("bucket",), "rl_store_seconds": ("op",)}.items()
        for part in ("bucket", "count", "sum")
    }
    assert found == histograms | {
        "rl_requests_total": ("bucket", "shadow", "blocked"),
        "rl_concurrency_blocked_total": ("route",),
        "idem_cache_hits_total": (),
        "idem_cache_misses_total": (),
        "rl_idempotency_total": ("outcome",),
        "rl_store_errors_total": ("kind",),
        "rl_degraded_total": ("bucket", "policy"),
        "rl_lease_lost_total": (),
        "rl_breaker_open": (),
        "rl_shadow_dropped_total": (),
        "rl_policy_info": ("bucket", "mode", "quota", "store_down"),
        "rl_build_info": ("version",),
    }


def test_no_series_first_appears_at_one(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    """`increase()` sees no step from nothing to 1: what can be known beforehand stands at 0."""
    zeros: dict[str, set[tuple[str, ...]]] = {
        "rl_requests_total": {(bucket, shadow, flag) for bucket in BUCKETS for shadow in FLAGS for flag in FLAGS},
        "rl_retry_after_seconds_count": {(bucket,) for bucket in BUCKETS},
        "rl_concurrency_blocked_total": {("other",)},
        "idem_cache_hits_total": {()},
        "idem_cache_misses_total": {()},
        "rl_idempotency_total": {(outcome,) for outcome in known.OUTCOMES},
        "rl_store_seconds_count": {(op,) for op in OPS.values()},
        "rl_store_errors_total": {(kind,) for kind in known.KINDS},
        "rl_degraded_total": {("auth_bootstrap", "open"), ("read", "open"), ("write", "open"), ("financial", "closed")},
        "rl_lease_lost_total": {()},
        "rl_breaker_open": {()},
        "rl_shadow_dropped_total": {()},
    }
    for name, expected in zeros.items():
        assert samples(registry, name) == dict.fromkeys(expected, 0.0), name


def test_a_route_s_series_stands_at_zero_before_its_first_block(
    registry: CollectorRegistry, sink: PrometheusSink
) -> None:
    sink(decided(route="pay/<int:pk>/"))
    sink(decided("read", route="search/"))
    assert samples(registry, "rl_concurrency_blocked_total") == {("other",): 0, ("pay/<int:pk>/",): 0}


def test_the_policies_in_force_and_the_version_are_shown(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    assert samples(registry, "rl_policy_info") == {
        ("auth_bootstrap", "shadow", "100/m:20", "open"): 1,
        ("read", "shadow", "60/m:10", "open"): 1,
        ("write", "enforce", "20/m:3", "open"): 1,
        ("financial", "enforce", "5/m:1", "closed"): 1,
    }
    ((version,),) = samples(registry, "rl_build_info")
    assert version[0].isdigit()


def test_nothing_is_registered_by_an_import() -> None:
    script = (
        "import ratelimit_core.metrics, prometheus_client\n"
        "print([name for name in prometheus_client.REGISTRY._names_to_collectors if name.startswith(('rl_', 'idem_'))])"
    )
    assert printed(script) == "[]"


# --- decisions


@pytest.mark.parametrize("enforced", [True, False])
@pytest.mark.parametrize("verdict", [Verdict.ALLOWED, Verdict.RATE_LIMITED, Verdict.REPLAY])
def test_a_request_is_counted_once_by_what_was_found_and_whether_it_was_enforced(
    registry: CollectorRegistry, sink: PrometheusSink, verdict: Verdict, enforced: bool
) -> None:
    sink(decided("write", verdict, enforced=enforced))
    counted = {labels: count for labels, count in samples(registry, "rl_requests_total").items() if count}
    blocked = "true" if verdict is Verdict.RATE_LIMITED else "false"
    assert counted == {("write", "false" if enforced else "true", blocked): 1}


def test_no_wait_is_observed_for_what_was_allowed(registry: CollectorRegistry) -> None:
    """The p95 of a histogram that is fed with zeros is 0."""
    clock = ManualClock(NOW_US)
    config = Config(buckets=[Bucket("write", quota="1/m:1")])
    limiter = Limiter(config, MemoryStore(clock), sinks=[PrometheusSink(config, registry)])
    for _ in range(9):
        assert limiter.admit(ALICE, "write").allowed
        clock.advance_us(60_000_000)
    assert value(registry, "rl_retry_after_seconds_count", bucket="write") == 0
    limiter.admit(ALICE, "write")
    clock.advance_us(48_000_001)
    assert limiter.admit(ALICE, "write").decision.retry_after == 12
    assert value(registry, "rl_retry_after_seconds_count", bucket="write") == 1
    assert value(registry, "rl_retry_after_seconds_sum", bucket="write") == 12


def test_a_refusal_that_waiting_does_not_help_has_no_wait(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink(decided(verdict=Verdict.KEY_REUSED))
    sink(decided(verdict=Verdict.COST_TOO_LARGE))
    assert value(registry, "rl_retry_after_seconds_count", bucket="financial") == 0


@pytest.mark.parametrize("wait_s", [12, 45, 299])
def test_waits_are_told_apart_up_to_five_minutes(
    registry: CollectorRegistry, sink: PrometheusSink, wait_s: int
) -> None:
    """Buckets that end at 10 s show a p95 of 10 s, whatever the waits are."""
    sink(decided(verdict=Verdict.RATE_LIMITED, wait_us=wait_s * 1_000_000))
    counts = samples(registry, "rl_retry_after_seconds_bucket")
    mine = {float(le): count for (bucket, le), count in counts.items() if bucket == "financial"}
    assert max(bound for bound in mine if bound != float("inf")) == 300
    assert mine == {bound: bound >= wait_s for bound in mine}


def test_a_wait_in_shadow_is_observed_too(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink(decided("read", Verdict.RATE_LIMITED, enforced=False, would_block=True, wait_us=1_500_000))
    assert value(registry, "rl_retry_after_seconds_sum", bucket="read") == 2


def test_every_block_of_a_bucket_that_needs_a_user_is_a_verified_user_s(registry: CollectorRegistry) -> None:
    """An alert on verified users reads these very labels; anonymous requests must not fire it."""
    limiter = financial(registry, Shielded((NOW_US, -12_000_000), Finding.NOT_REACHED, 0, 0, 0, b""))
    anonymous = limiter.admit(RequestInfo(peer="203.0.113.9"), "financial", fingerprint="f")
    assert anonymous.decision.verdict is Verdict.USER_REQUIRED
    labels = {"bucket": "financial", "shadow": "false", "blocked": "true"}
    assert value(registry, "rl_requests_total", **labels) == 0
    limiter.admit(ALICE, "financial", fingerprint="f")
    assert value(registry, "rl_requests_total", **labels) == 1


def test_a_bucket_that_is_off_is_counted_as_not_enforced(registry: CollectorRegistry) -> None:
    config = Config.from_settings({"RATE_LIMIT_ENABLED": False}, {})
    Limiter(config, ScriptedStore(), sinks=[PrometheusSink(config, registry)]).admit(ALICE, "write")
    assert value(registry, "rl_requests_total", bucket="write", shadow="true", blocked="false") == 1


@pytest.mark.parametrize(("bucket", "policy"), [("read", "open"), ("financial", "closed")])
def test_a_decision_without_the_store_is_counted_with_its_policy(
    registry: CollectorRegistry, bucket: str, policy: str
) -> None:
    limiter = financial(registry, StoreError("refused", "gone"))
    limiter.admit(ALICE, bucket, idempotency_key="k", fingerprint="f")
    assert samples(registry, "rl_degraded_total")[bucket, policy] == 1


def test_a_bucket_of_another_configuration_is_counted_all_the_same(
    registry: CollectorRegistry, sink: PrometheusSink
) -> None:
    sink(decided("elsewhere", degraded=True))
    sink(decided("elsewhere"))
    assert value(registry, "rl_requests_total", bucket="elsewhere", shadow="false", blocked="false") == 2
    assert value(registry, "rl_degraded_total", bucket="elsewhere", policy="unknown") == 1


# --- routes


def test_routes_are_counted_by_their_template(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    for route in ("pay/<int:pk>/", "pay/<int:pk>/", None):
        sink(decided(verdict=Verdict.CONCURRENCY_LIMITED, route=route, wait_us=1_000_000))
    found = samples(registry, "rl_concurrency_blocked_total")
    assert found == {("other",): 0, ("pay/<int:pk>/",): 2, ("unknown",): 1}


def test_no_more_than_200_routes_are_told_apart(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    for number in range(1_000):
        sink(decided(verdict=Verdict.CONCURRENCY_LIMITED, route=f"pay/{number}/"))
    sink(decided(verdict=Verdict.CONCURRENCY_LIMITED, route="pay/7/"))
    found = samples(registry, "rl_concurrency_blocked_total")
    assert len(found) == 201
    assert (found["pay/7/",], found["other",], sum(found.values())) == (2, 800, 1_001)


HOSTILE = '"} 1\nrl_requests_total{bucket="forged"} 9\n<script>\U0001f4b8\u202e\udc80\\' + "x" * 10_000


def test_a_hostile_route_breaks_no_scrape(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink(decided(verdict=Verdict.CONCURRENCY_LIMITED, route=HOSTILE))
    found = [sample for family in parsed(registry) for sample in family.samples]
    (route,) = (one.labels["route"] for one in found if one.name == "rl_concurrency_blocked_total" and one.value)
    assert len(route) == 200
    assert "forged" not in {one.labels.get("bucket") for one in found}


# --- shields


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Verdict.REPLAY, "replay"),
        (Verdict.IN_PROGRESS, "in_progress"),
        (Verdict.KEY_REUSED, "key_reused"),
        (Verdict.OUTCOME_UNKNOWN, "outcome_unknown"),
        (Verdict.KEY_REQUIRED, "key_required"),
        (Verdict.KEY_MALFORMED, "key_malformed"),
        (Verdict.BODY_TOO_LARGE, "body_too_large"),
    ],
)
def test_what_a_look_up_found_is_counted(
    registry: CollectorRegistry, sink: PrometheusSink, verdict: Verdict, outcome: str
) -> None:
    sink(decided(verdict=verdict))
    assert {labels for labels, count in samples(registry, "rl_idempotency_total").items() if count} == {(outcome,)}
    assert value(registry, "idem_cache_hits_total") == (verdict is Verdict.REPLAY)
    assert value(registry, "idem_cache_misses_total") == 0


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (Outcome.COMPLETED, "completed"),
        (Outcome.DECLINED, "declined"),
        (Outcome.RELEASED, "released"),
        (Outcome.UNKNOWN, "unknown"),
    ],
)
@pytest.mark.parametrize("claimed", [True, False])
def test_how_a_claim_ended_is_counted_but_not_how_a_lease_alone_did(
    registry: CollectorRegistry, sink: PrometheusSink, outcome: Outcome, counted: str, claimed: bool
) -> None:
    sink(SettleEvent("financial", "user:alice", "pay/", outcome, lost=False, observed=False, claimed=claimed))
    assert value(registry, "rl_idempotency_total", outcome=counted) == claimed
    assert value(registry, "rl_lease_lost_total") == 0


@pytest.mark.parametrize("shadow", [None, True])
def test_a_payment_is_a_miss_a_completion_and_in_shadow_neither(
    registry: CollectorRegistry, shadow: bool | None
) -> None:
    held = Shielded((NOW_US, 0), Finding.HELD, 0, 7, 3, b"")
    limiter = financial(registry, held, (NOW_US, 0, 1), held, shadow=shadow)
    limiter.settle(limiter.admit(ALICE, "financial", fingerprint="f"), Result(201))
    counted = [
        value(registry, "idem_cache_misses_total"),
        value(registry, "rl_idempotency_total", outcome="completed"),
        value(registry, "rl_lease_lost_total"),
    ]
    assert counted == [shadow is None] * 3


def test_every_verdict_and_outcome_has_its_place() -> None:
    """A new verdict must be thought of here."""
    elsewhere = {
        Verdict.ALLOWED,
        Verdict.RATE_LIMITED,
        Verdict.CONCURRENCY_LIMITED,
        Verdict.USER_REQUIRED,
        Verdict.COST_TOO_LARGE,
        Verdict.STORE_DOWN,
    }
    assert set(Verdict) == elsewhere | set(known.LOOKUPS)
    assert set(Outcome) == set(known.ENDINGS)


# --- the store


def test_calls_of_the_store_are_timed_by_what_they_were_for(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink(StoreEvent("settle", 0.003))
    sink(StoreEvent("settle", 0.06, "timeout"))
    assert value(registry, "rl_store_seconds_count", op="settle") == 2
    assert value(registry, "rl_store_seconds_bucket", op="settle", le="0.005") == 1
    assert value(registry, "rl_store_errors_total", kind="timeout") == 1


def test_what_the_open_breaker_answers_makes_no_store_look_fast(
    registry: CollectorRegistry, sink: PrometheusSink
) -> None:
    sink(StoreEvent("admit", 0.000_001, "breaker_open"))
    assert value(registry, "rl_store_seconds_count", op="admit") == 0
    assert value(registry, "rl_store_errors_total", kind="breaker_open") == 1


def test_a_kind_of_failure_that_nobody_heard_of_is_counted_as_another(
    registry: CollectorRegistry, sink: PrometheusSink
) -> None:
    sink(StoreEvent("admit", 0.1, "of a store of your own"))
    assert value(registry, "rl_store_errors_total", kind="other") == 1


def test_the_breaker_is_shown_open_until_the_store_answers(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    shown = []
    for error in (None, "timeout", "breaker_open", "breaker_open", "timeout", None, None, "breaker_open"):
        sink(StoreEvent("admit", 0.001, error))
        shown.append(value(registry, "rl_breaker_open"))
    assert shown == [0, 0, 1, 1, 1, 0, 0, 1]


# --- configuration and reloads


def test_a_policy_that_was_replaced_goes_to_zero(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink.policy(
        Config.default({"read": {"mode": "canary", "canary_percent": 10}, "new": {"quotas": ["1/s:1", "5/h:2"]}})
    )
    found = samples(registry, "rl_policy_info")
    assert found["read", "shadow", "60/m:10", "open"] == 0
    assert found["read", "canary", "60/m:10", "open"] == 1
    assert found["new", "enforce", "1/s:1,5/h:2", "open"] == 1
    assert value(registry, "rl_requests_total", bucket="new", shadow="false", blocked="true") == 0
    sink.policy(Config.default())
    back = samples(registry, "rl_policy_info")
    assert back["read", "shadow", "60/m:10", "open"] == 1
    assert back["read", "canary", "60/m:10", "open"] == back["new", "enforce", "1/s:1,5/h:2", "open"] == 0


def test_a_second_sink_on_the_same_registry_goes_on_counting(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink(decided("write"))
    again = PrometheusSink(Config.default({"write": {"mode": "shadow"}}), registry)
    again(decided("write"))
    sink(decided("write"))
    assert value(registry, "rl_requests_total", bucket="write", shadow="false", blocked="false") == 3
    found = samples(registry, "rl_policy_info")
    assert (found["write", "enforce", "20/m:3", "open"], found["write", "shadow", "20/m:3", "open"]) == (0, 1)


def test_a_reloaded_module_goes_on_counting_on_the_default_registry() -> None:
    script = (
        "import importlib\n"
        "from ratelimit_core import Config, StoreEvent, metrics\n"
        "for _ in range(2):\n"
        "    metrics.PrometheusSink(Config.default())(StoreEvent('admit', 0.1, 'busy'))\n"
        "    importlib.reload(metrics)\n"
        "print([line for line in metrics.exposition()[1].decode().splitlines() if '\"busy\"' in line][0])"
    )
    assert printed(script) == 'rl_store_errors_total{kind="busy"} 2.0'


def test_what_the_records_dropped_is_counted(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    sink.dropped(3)
    assert value(registry, "rl_shadow_dropped_total") == 3


def test_what_is_no_event_is_ignored(sink: PrometheusSink) -> None:
    sink("another kind of event")  # type: ignore[arg-type]  # a later version's


# --- exposition


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics"),
    ],
)
def test_the_exposition_parses_in_the_format_that_was_asked_for(
    registry: CollectorRegistry, sink: PrometheusSink, accept: str, kind: str
) -> None:
    sink(decided(verdict=Verdict.RATE_LIMITED, wait_us=12_000_000))
    content_type, body = exposition(registry, accept)
    assert content_type.startswith(kind)
    parse = openmetrics.text_string_to_metric_families if "openmetrics" in kind else text_string_to_metric_families
    names = {family.name for family in parse(body.decode())}
    assert {"rl_requests", "rl_policy_info", "idem_cache_hits"} <= names


def test_the_default_registry_is_exposed_without_another() -> None:
    assert b"python_info" in exposition()[1]


# --- several processes


def printed(script: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        text=True,
        check=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.strip()


SEVERAL = """
import os
from ratelimit_core import Config, StoreEvent
from ratelimit_core.metrics import PrometheusSink, exposition
sink = PrometheusSink(Config.default())            # as with gunicorn --preload
sink(StoreEvent("admit", 0.1, "busy"))
for number in range(3):
    if not (child := os.fork()):
        sink.policy(Config.default({"read": {"mode": "enforce"}}))
        for _ in range(number + 1):
            sink(StoreEvent("admit", 0.1, "busy"))
        if number == 1:
            sink(StoreEvent("admit", 0.1, "breaker_open"))
        os._exit(0)
    os.waitpid(child, 0)
print(exposition()[1].decode())
"""


def test_several_processes_are_one_exposition(tmp_path: Path) -> None:
    lines = printed(SEVERAL, {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}).splitlines()
    assert 'rl_store_errors_total{kind="busy"} 7.0' in lines
    assert 'rl_store_errors_total{kind="corrupt"} 0.0' in lines
    assert "rl_breaker_open 1.0" in lines
    assert 'rl_requests_total{blocked="true",bucket="financial",shadow="false"} 0.0' in lines
    policies = {line for line in lines if line.startswith("rl_policy_info") and 'bucket="read"' in line}
    assert policies == {
        'rl_policy_info{bucket="read",mode="enforce",quota="60/m:10",store_down="open"} 1.0',
        'rl_policy_info{bucket="read",mode="shadow",quota="60/m:10",store_down="open"} 0.0',
    }


def test_a_process_that_ends_leaves_what_it_counted_and_takes_what_it_was(tmp_path: Path) -> None:
    """A management command must not have the last word on the policy."""
    script = (
        "from ratelimit_core import Config, StoreEvent\n"
        "from ratelimit_core.metrics import PrometheusSink\n"
        "PrometheusSink(Config.default())(StoreEvent('admit', 0.1, 'breaker_open'))"
    )
    printed(script, {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)})
    assert {path.name.partition("_")[0] for path in tmp_path.iterdir()} == {"counter", "histogram"}


def test_the_directory_of_several_processes_is_read_instead_of_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry, sink: PrometheusSink
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert exposition(registry)[1] == b""


def test_a_directory_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere/metrics")
    with pytest.raises(ConfigurationError, match=r"PROMETHEUS_MULTIPROC_DIR = '/nowhere/metrics' .* a directory"):
        PrometheusSink(Config.default(), registry)


def test_every_family_is_used(registry: CollectorRegistry, sink: PrometheusSink) -> None:
    listed: Sequence[str] = [one.name for one in vars(known).values() if isinstance(one, known.Family)]
    found = {family.name for family in parsed(registry)}
    assert {name.removesuffix("_total") for name in listed} == {name for name in found if not name.endswith("_created")}
