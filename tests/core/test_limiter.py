"""One limiter behind every door: its four ways in, its sinks, and what it does not let reach a request."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import (
    Bucket,
    Config,
    ConfigurationError,
    Decision,
    Identity,
    Limiter,
    Mode,
    Quota,
    RateLimited,
    RequestInfo,
    StoreError,
    Verdict,
)
from ratelimit_core.buckets import StoreDown
from ratelimit_core.config import Override, Source
from ratelimit_core.events import Event
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, RecordingSink, ScriptedStore, enforcing

NOW_US = 1_767_225_600_000_000
ALICE, BOB = Identity.user("alice"), Identity.user("bob")
READ = Bucket("read", quota="60/m:10")
WRITE = Bucket("write", quota="20/m:3")
WATCHED = Bucket("watched", quota="20/m:3", mode=Mode.SHADOW)
PAY = Bucket("pay", quota="60/m:10", concurrency=1, store_down=StoreDown.CLOSED)


def limiter(*buckets: Bucket, clock: ManualClock | None = None, sinks: Iterable[RecordingSink] = ()) -> Limiter:
    store = MemoryStore(ManualClock(NOW_US) if clock is None else clock)
    return Limiter(Config(buckets=buckets or (READ, WRITE, WATCHED)), store, sinks)


def spend(limiter: Limiter, who: Identity, bucket: str, times: int) -> list[bool]:
    return [limiter.admit(who, bucket).allowed for _ in range(times)]


# --- another configuration on the same store


def test_a_limiter_of_another_configuration_shares_budgets_sinks_and_what_is_held() -> None:
    sink = RecordingSink()
    before = limiter(replace(READ, mode=Mode.SHADOW), PAY, sinks=[sink])
    after = before.using(before.config.overridden({"read": Override(Mode.ENFORCE)}))
    assert spend(before, ALICE, "read", 11) == [True] * 11
    assert spend(after, ALICE, "read", 1) == [False]
    assert [event.enforced for event in sink.events] == [False] * 11 + [True]
    assert after.store is before.store
    assert after.describe() == before.describe()
    held = before.admit(ALICE, "pay")
    assert after.still_held(held)
    assert not after.admit(ALICE, "pay").allowed
    assert after.settle(held)
    assert not before.still_held(held)


def test_who_met_the_limiter_before_keeps_its_configuration() -> None:
    before = limiter(WATCHED)
    before.using(before.config.overridden({"watched": Override(Mode.ENFORCE)}))
    assert spend(before, ALICE, "watched", 4) == [True] * 4


def test_test_mode_lies_over_what_was_changed_at_run_time() -> None:
    before = limiter(READ, WRITE, WATCHED)
    changes = {
        "read": Override(Mode.OFF),
        "write": Override(Mode.SHADOW, quotas=(Quota.parse("20/m:1"),)),
        "watched": Override(Mode.SHADOW),
    }
    with enforcing():
        assert before.config.policy("read").mode is Mode.ENFORCE
        after = before.using(before._config.overridden(changes))
        assert [policy.mode for policy in after.config.policies.values()] == [Mode.OFF, Mode.ENFORCE, Mode.ENFORCE]
        assert spend(after, ALICE, "write", 2) == [True, False]
    assert after.config.policy("watched").source is Source.OVERRIDE


# --- admitting


def test_the_burst_passes_and_the_next_one_waits() -> None:
    clock = ManualClock(NOW_US)
    limits = limiter(clock=clock)
    assert spend(limits, ALICE, "read", 11) == [True] * 10 + [False]
    clock.advance_us(1_000_000)
    assert spend(limits, ALICE, "read", 2) == [True, False]


def test_everybody_has_a_budget_of_their_own() -> None:
    limits = limiter()
    spend(limits, ALICE, "write", 4)
    assert limits.admit(BOB, "write").allowed
    assert limits.admit(ALICE, "read").allowed
    assert limits.admit(ALICE, "write", scope="room-7").allowed
    assert limits.admit(ALICE, "write", identity=Identity.key("login")).allowed


def test_two_users_behind_one_address_have_two_budgets_and_one_on_two_addresses_has_one() -> None:
    limits = limiter()
    alice, bob = (RequestInfo(peer="203.0.113.9", user=user) for user in (ALICE, BOB))
    assert [limits.admit(who, "write").allowed for who in (alice, alice, alice, bob)] == [True] * 4
    assert not limits.admit(alice._replace(peer="198.51.100.7"), "write").allowed


async def test_the_async_ways_in_share_the_budget_with_the_others() -> None:
    limits = limiter()
    assert (await limits.aadmit(ALICE, "write")).allowed
    assert limits.admit(ALICE, "write").allowed
    assert (await limits.apeek(ALICE, "write")).remaining == limits.peek(ALICE, "write").remaining == 0
    async with limits.guard(ALICE, "write") as admission:
        assert admission.decision.remaining == 0
    assert not (await limits.aadmit(ALICE, "write")).allowed
    with pytest.raises(RateLimited), limits.guard(ALICE, "write"):
        pytest.fail("the block ran")


@given(st.lists(st.tuples(st.sampled_from(["read", "write", "watched"]), st.integers(0, 4), st.integers(0, 9_000_000))))
def test_sync_and_async_take_the_same_decisions(history: list[tuple[str, int, int]]) -> None:
    def decisions(*, in_a_loop: bool) -> list[Decision]:
        clock = ManualClock(NOW_US)
        limits = limiter(clock=clock)

        async def ask(name: str, cost: int) -> Decision:
            return (await limits.aadmit(ALICE, name, cost)).decision

        told = []
        for name, cost, pause_us in history:
            clock.advance_us(pause_us)
            told.append(asyncio.run(ask(name, cost)) if in_a_loop else limits.admit(ALICE, name, cost).decision)
        return told

    assert decisions(in_a_loop=True) == decisions(in_a_loop=False)


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(["read", "write"]), min_size=1), st.integers(0, 4), st.integers(0, 4_000_000))
    )
)
def test_several_buckets_are_charged_all_or_none(history: list[tuple[set[str], int, int]]) -> None:
    clock = ManualClock(NOW_US)
    limits = limiter(clock=clock)
    for names, cost, pause_us in history:
        clock.advance_us(pause_us)
        before = {name: limits.peek(ALICE, name, cost=0).reset_after_us for name in ("read", "write")}
        admission = limits.admit(ALICE, sorted(names), cost)
        for name, interval_us in (("read", 1_000_000), ("write", 3_000_000)):
            charged = interval_us * cost if admission.allowed and name in names else 0
            assert limits.peek(ALICE, name, cost=0).reset_after_us == (before[name] or 0) + charged


def test_a_refusal_changes_nothing() -> None:
    limits = limiter()
    spend(limits, ALICE, "write", 3)
    waits = [limits.admit(ALICE, "write").decision.retry_after_us for _ in range(5)]
    assert waits == [3_000_000] * 5


def waits(limits: Limiter, clock: ManualClock) -> int:
    """How often a client that waits exactly as told is refused until it is admitted."""
    times = 0
    while (wait_us := limits.admit(ALICE, "api").decision.retry_after_us) is not None:
        clock.advance_us(wait_us)
        times += 1
        assert times < 10
    return times


def test_a_deployment_with_another_quota_locks_nobody_out_and_resets_nobody() -> None:
    clock = ManualClock(NOW_US)
    store = MemoryStore(clock)
    before, after = (Limiter(Config(buckets=[Bucket("api", quota=quota)]), store) for quota in ("10/d:5", "60/m:10"))
    assert spend(before, ALICE, "api", 6) == [True] * 5 + [False]
    assert waits(after, clock) == 1
    assert after.peek(BOB, "api").remaining == 9


def test_a_clock_that_jumps_back_locks_nobody_out() -> None:
    clock = ManualClock(NOW_US)
    limits = limiter(Bucket("api", quota="60/m:10"), clock=clock)
    spend(limits, ALICE, "api", 10)
    clock.set_us(NOW_US - 3_600_000_000)
    assert waits(limits, clock) == 1


def test_a_watched_bucket_is_charged_what_enforcement_would_have_charged() -> None:
    clock = ManualClock(NOW_US)
    limits = limiter(clock=clock)
    assert spend(limits, ALICE, "watched", 6) == [True] * 6
    assert limits.peek(ALICE, "watched").wait_us == 3_000_000  # as if the last three had been refused
    clock.advance_us(3_000_000)
    assert limits.admit(ALICE, "watched").decision.verdict is Verdict.ALLOWED


# --- peeking and forgetting


def test_peeking_says_what_would_be_and_writes_nothing() -> None:
    limits = limiter()
    assert [limits.peek(ALICE, "read").remaining for _ in range(3)] == [9, 9, 9]
    spend(limits, ALICE, "write", 3)
    assert (limits.peek(ALICE, "write").allowed, limits.peek(ALICE, "write").retry_after) == (False, 3)
    assert limits.store.describe()["keys"] == 1


def test_forgetting_gives_a_full_budget_back() -> None:
    limits = limiter()
    spend(limits, ALICE, "read", 10)
    spend(limits, ALICE, "write", 3)
    assert limits.reset(ALICE, "read") == 1
    assert (limits.peek(ALICE, "read").allowed, limits.peek(ALICE, "write").allowed) == (True, False)
    assert limits.reset(ALICE) == 1
    assert limits.peek(ALICE, "write").allowed
    assert limits.reset(ALICE, ["read", "write"]) == 0
    with pytest.raises(ConfigurationError, match=r"^bucket = 'reed' can't be used: the buckets are read"):
        limits.reset(ALICE, "reed")


def test_forgetting_keeps_to_the_scope() -> None:
    limits = limiter()
    limits.admit(ALICE, "write", scope="room-7")
    assert (limits.reset(ALICE, "write"), limits.reset(ALICE, "write", scope="room-7")) == (0, 1)


# --- guard


def test_a_guarded_block_runs_once_and_its_error_goes_through() -> None:
    limits = limiter()
    runs = []

    def job() -> None:
        with limits.guard(ALICE, "write", 2, route="/job") as admission:
            runs.append(admission)
            raise LookupError

    with pytest.raises(LookupError):
        job()
    assert [(guard.decision.remaining, guard.admission.route) for guard in runs] == [(1, "/job")]


async def test_an_awaited_block_runs_once_and_its_error_goes_through() -> None:
    limits = limiter()
    runs = []

    async def job() -> None:
        async with limits.guard(ALICE, "write") as admission:
            runs.append(admission)
            raise LookupError

    with pytest.raises(LookupError):
        await job()
    assert [admission.decision.remaining for admission in runs] == [2]


def test_a_refused_block_does_not_run_and_says_when_to_come_back() -> None:
    limits = limiter()
    spend(limits, ALICE, "write", 3)
    said = pytest.raises(RateLimited, match=r"rate_limited by bucket 'write'; try again in 3 s")
    with said as caught, limits.guard(ALICE, "write"):
        pytest.fail("the block ran")
    assert caught.value.decision.retry_after == 3


async def test_a_refused_awaited_block_does_not_run() -> None:
    limits = limiter()
    spend(limits, ALICE, "write", 3)
    with pytest.raises(RateLimited):
        async with limits.guard(ALICE, "write"):
            pytest.fail("the block ran")


def test_leaving_a_block_that_was_never_entered_gives_nothing_back() -> None:
    limiter().guard(ALICE, "write").__exit__(None, None, None)


async def test_leaving_an_awaited_block_that_was_never_entered_gives_nothing_back() -> None:
    await limiter().guard(ALICE, "write").__aexit__(None, None, None)


def test_a_watched_block_runs() -> None:
    limits = limiter()
    spend(limits, ALICE, "watched", 3)
    with limits.guard(ALICE, "watched") as admission:
        assert admission.decision.would_block


async def test_settling_a_plain_admission_asks_no_store() -> None:
    store = ScriptedStore([(NOW_US, 0)])
    limits = Limiter(Config(buckets=[READ]), store)
    admission = limits.admit(ALICE, "read")
    assert not admission.holds
    limits.settle(admission)
    await limits.asettle(admission)
    assert len(store.commands) == 1


# --- sinks


class Raising:
    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def __call__(self, event: Event, /) -> None:
        self.calls += 1
        raise self.error


@pytest.mark.parametrize(
    "error", [ValueError("full"), OSError("no disk"), TimeoutError(), StoreError("timeout", "slow")]
)
def test_a_sink_that_raises_is_counted_and_logged_once(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Raising(error), RecordingSink()
    limits = Limiter(Config(buckets=[WRITE]), MemoryStore(ManualClock(NOW_US)), sinks=[bad, good])
    assert spend(limits, ALICE, "write", 1) == [True]
    assert len(caplog.records) == 1
    assert spend(limits, ALICE, "write", 3) == [True, True, False]
    assert (bad.calls, len(good.events), len(good.calls)) == (8, 4, 4)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].exc_info is not None
    assert limits.describe()["counts"] == {"sink_errors": 8}


def test_a_slow_sink_changes_no_answer() -> None:
    """A minute passes in the sink; the decision was taken before it."""
    clock = ManualClock(NOW_US)

    def slow(event: Event, /) -> None:
        clock.advance_us(60_000_000)

    slowed = Limiter(Config(buckets=[WRITE]), MemoryStore(clock), sinks=[slow])
    plain = Limiter(Config(buckets=[WRITE]), MemoryStore(ManualClock(NOW_US)))
    assert slowed.headers(slowed.admit(ALICE, "write")) == plain.headers(plain.admit(ALICE, "write"))


async def test_sinks_hear_of_async_admissions_too() -> None:
    sink = RecordingSink()
    await limiter(sinks=[sink]).aadmit(ALICE, "read")
    assert [event.bucket for event in sink.events] == ["read"]


# --- what an operator is told


def test_a_request_without_an_address_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    limits = limiter()
    for _ in range(3):
        limits.admit(RequestInfo(), "read")
    assert [record.getMessage() for record in caplog.records] == [
        "A request has no client address; all of these share the identity ip:unknown."
    ]
    assert limits.describe()["counts"] == {"no_peer": 3}


def test_a_forwarding_header_that_is_ignored_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    limits = limiter()
    for _ in range(3):
        limits.admit(RequestInfo(peer="127.0.0.1", forwarded_for=("203.0.113.9",)), "read")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("ratelimit_core", logging.WARNING)
    assert not record.exc_info
    assert "all anonymous clients share one address" in record.getMessage()
    assert "RATE_LIMIT_TRUSTED_PROXIES" in record.getMessage()
    assert limits.describe()["counts"] == {"forwarded_ignored": 3}


def test_a_description_shows_store_and_own_store() -> None:
    limits = limiter()
    limits.admit(ALICE, "read")
    described = limits.describe()
    assert isinstance(described["store"], dict)
    assert isinstance(described["local"], dict)
    assert (described["store"]["kind"], described["store"]["keys"]) == ("memory", 1)
    assert (described["local"]["kind"], described["local"]["keys"]) == ("memory", 0)
    assert described["counts"] == {}


def test_a_ping_is_the_store_s_time_or_its_failure() -> None:
    assert limiter().ping() == NOW_US
    with pytest.raises(StoreError):
        Limiter(Config(buckets=[READ]), ScriptedStore([StoreError("timeout", "slow")])).ping()


# --- making and closing one


class Closing(ScriptedStore):
    def __init__(self) -> None:
        super().__init__()
        self.closed: list[str] = []

    def close(self) -> None:
        self.closed.append("close")

    async def aclose(self) -> None:
        self.closed.append("aclose")


async def test_closing_closes_the_store() -> None:
    store = Closing()
    limits = Limiter(Config(buckets=[READ]), store)
    limits.close()
    await limits.aclose()
    assert store.closed == ["close", "aclose"]
    await limiter().aclose()
    limiter().close()


def test_a_limiter_is_configured_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = RecordingSink()
    monkeypatch.setenv("RATE_LIMIT_SHADOW_READ", "false")
    monkeypatch.setenv("RATE_LIMIT_NAMESPACE", "shop")
    limits = Limiter.from_env(sinks=[sink])
    assert limits.config.policy("read").mode is Mode.ENFORCE
    assert limits.config.namespace == "shop"
    assert limits.store.describe()["kind"] == "memory"
    assert spend(limits, ALICE, "read", 11) == [True] * 10 + [False]
    assert len(sink.events) == 11


def test_a_store_that_can_not_be_had_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_STORE_URL", "mongodb://db")
    with pytest.raises(ConfigurationError, match=r"^RATE_LIMIT_STORE_URL = 'mongodb://db' can't be used: memory://"):
        Limiter.from_env()


def test_threads_together_spend_one_budget() -> None:
    limits = limiter(Bucket("shared", quota="1/d:100"))
    answers: list[bool] = []
    threads = [Thread(target=lambda: answers.extend(spend(limits, ALICE, "shared", 50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(answers), sum(answers)) == (400, 100)
