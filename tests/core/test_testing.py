"""Test mode: on by code only, off where real requests are served."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from ratelimit_core import Bucket, Config, CostError, Identity, Limiter, Mode, RequestInfo, StoreError
from ratelimit_core.commands import Peek
from ratelimit_core.errors import TestModeError
from ratelimit_core.testing import (
    ManualClock,
    RecordingSink,
    ScriptedStore,
    enforcing,
    is_testing,
    refuse_testing,
    set_testing,
)

ALICE = Identity.user("alice")
BUCKETS = (
    Bucket("read", quota="60/m:10", mode=Mode.SHADOW),
    Bucket("pay", quota="5/m:1", require_user=True),
    Bucket("off", quota="5/m:1", mode=Mode.OFF),
)


@pytest.fixture
def limiter() -> Limiter:
    """A limiter whose own store must not be asked."""
    return Limiter(Config(buckets=BUCKETS), ScriptedStore())


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    assert not is_testing()
    yield
    refuse_testing(None)
    set_testing(False)


# --- set_testing


def test_in_test_mode_nothing_is_refused_and_every_header_is_there(limiter: Limiter) -> None:
    set_testing(True)
    answers = [limiter.admit(ALICE, "pay") for _ in range(50)]
    assert all(answer.allowed for answer in answers)
    assert [name for name, _ in limiter.headers(answers[-1])] == [
        *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Policy"),
        *("RateLimit-Policy", "RateLimit"),
    ]


def test_in_test_mode_everybody_is_always_idle(limiter: Limiter) -> None:
    set_testing(True)
    assert {limiter.admit(ALICE, "read").decision.remaining for _ in range(50)} == {9}
    assert not any(limiter.admit(ALICE, "read").decision.would_block for _ in range(50))
    assert limiter.reset(ALICE) == 0


async def test_in_test_mode_async_admissions_are_the_same(limiter: Limiter) -> None:
    set_testing(True)
    assert {(await limiter.aadmit(ALICE, "read")).decision.remaining for _ in range(20)} == {9}


def test_in_test_mode_off_stays_off_and_nobody_is_sent_to_sign_in(limiter: Limiter) -> None:
    set_testing(True)
    assert limiter.admit(ALICE, "off").decision.limit is None
    anonymous = limiter.admit(RequestInfo(peer="203.0.113.9"), "pay")
    assert anonymous.allowed
    assert anonymous.decision.would_block


def test_test_mode_hides_no_wrong_call(limiter: Limiter) -> None:
    set_testing(True)
    with pytest.raises(CostError):
        limiter.admit(ALICE, "read", cost=-1)


def test_test_mode_can_be_left_again(limiter: Limiter) -> None:
    set_testing(True)
    assert is_testing()
    set_testing(False)
    assert not is_testing()
    with pytest.raises(AssertionError, match="no reply was prepared"):
        limiter.admit(ALICE, "read")


def test_no_variable_switches_test_mode_on() -> None:
    names = ("TESTING", "TEST", "TEST_MODE", "DEBUG")
    with pytest.warns(UserWarning, match="no such setting"):
        config = Config.from_env({f"RATE_LIMIT_{name}": "true" for name in names})
    assert config == Config.default()
    assert not is_testing()
    assert "PYTEST_CURRENT_TEST" in os.environ  # nor does running under a test runner


# --- enforcing


def test_enforcing_limits_for_real_on_a_clock_that_stands_still(limiter: Limiter) -> None:
    with enforcing() as clock:
        assert [limiter.admit(ALICE, "read").allowed for _ in range(11)] == [True] * 10 + [False]
        assert limiter.admit(ALICE, "pay").allowed
        assert limiter.admit(ALICE, "pay").decision.retry_after == 12
        clock.advance_us(12_000_000 - 1)
        assert not limiter.admit(ALICE, "pay").allowed
        clock.advance_us(1)
        assert limiter.admit(ALICE, "pay").allowed
        assert limiter.admit(ALICE, "off").decision.mode is Mode.OFF


def test_enforcing_takes_a_clock_and_starts_with_full_budgets(limiter: Limiter) -> None:
    clock = ManualClock(1_000_000)
    for _ in range(2):
        with enforcing(clock) as given:
            assert given is clock
            assert [limiter.admit(ALICE, "pay").allowed for _ in range(2)] == [True, False]


@pytest.mark.parametrize("fields", [{"shadow": True}, {"shadow_flags": {"pay": True}}])
def test_enforcing_overrules_shadow_flags(fields: dict[str, object]) -> None:
    limits = Limiter(Config(buckets=BUCKETS, **fields), ScriptedStore())  # type: ignore[arg-type]  # of its fields
    with enforcing():
        assert [limits.admit(ALICE, "pay").allowed for _ in range(2)] == [True, False]


def test_enforcing_inside_test_mode_ends_with_test_mode(limiter: Limiter) -> None:
    set_testing(True)
    with enforcing():
        assert [limiter.admit(ALICE, "pay").allowed for _ in range(2)] == [True, False]
    assert limiter.admit(ALICE, "pay").allowed


def test_enforcing_ends_with_an_error_too() -> None:
    with pytest.raises(LookupError), enforcing():
        raise LookupError
    assert not is_testing()


# --- refused where real requests are served


def test_a_serving_process_refuses_test_mode() -> None:
    refuse_testing("get_wsgi_application")
    with pytest.raises(TestModeError, match=r"this process serves real requests \(get_wsgi_application\)"):
        set_testing(True)
    with pytest.raises(TestModeError), enforcing():
        pytest.fail("the block ran")
    assert not is_testing()
    set_testing(False)  # what is off may be switched off


def test_a_process_in_test_mode_refuses_to_serve() -> None:
    set_testing(True)
    with pytest.raises(TestModeError, match=r"test mode is on in a process that serves .* \(get_asgi_application\)"):
        refuse_testing("get_asgi_application")


def test_a_refusal_can_be_taken_back_for_a_test_environment() -> None:
    refuse_testing("get_wsgi_application")
    refuse_testing(None)
    set_testing(True)
    assert is_testing()


# --- the pieces


def test_a_clock_is_moved_by_hand_forwards_and_backwards() -> None:
    clock = ManualClock()
    assert clock.now_us() == 0
    clock.advance_us(5)
    clock.advance_us(2)
    assert clock.now_us() == 7
    clock.set_us(3)
    assert clock.now_us() == 3


def test_a_recording_sink_keeps_its_events() -> None:
    sink = RecordingSink()
    with enforcing():
        limits = Limiter(Config(buckets=BUCKETS), ScriptedStore(), sinks=[sink])
        limits.admit(ALICE, "read")
    assert [event.identity for event in sink.events] == ["user:alice"]


def test_a_script_is_followed_in_order_and_says_when_it_is_over() -> None:
    store = ScriptedStore([(1, 2), StoreError("timeout", "slow"), (3,)])
    question = Peek(())
    assert store.execute(question) == (1, 2)
    with pytest.raises(StoreError, match="timeout: slow"):
        store.execute(question)
    assert store.describe() == {"kind": "scripted", "replies": 1}
    assert asyncio.run(store.aexecute(question)) == (3,)
    with pytest.raises(AssertionError, match=r"no reply was prepared for Peek\(charges=\(\)\)"):
        store.execute(question)
    assert store.commands == [question] * 4


async def test_a_script_has_nothing_to_close() -> None:
    store = ScriptedStore([(1,)])
    store.close()
    await store.aclose()
    assert store.execute(Peek(())) == (1,)
