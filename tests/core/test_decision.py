"""What a decision says of itself, whatever the mode it was taken in."""

import pytest

from ratelimit_core import Bucket, Config, Decision, Identity, Limiter, Mode, RateLimited, Verdict
from ratelimit_core.decision import seconds
from ratelimit_core.testing import ScriptedStore

NOW_US = 1_767_225_600_000_000
ALICE = Identity.user("alice")
READ = Bucket("read", quota="60/m:10")


def decided(room_us: int, mode: Mode = Mode.ENFORCE, cost: int = 1) -> Decision:
    config = Config(buckets=[Bucket("read", quota="60/m:10", mode=mode, canary_percent=100)])
    return Limiter(config, ScriptedStore([(NOW_US, room_us)])).admit(ALICE, "read", cost).decision


@pytest.mark.parametrize(
    ("us", "whole"), [(0, 1), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (12_000_000, 12)]
)
def test_seconds_are_rounded_up_and_at_least_one(us: int, whole: int) -> None:
    assert seconds(us) == whole


@pytest.mark.parametrize("room_us", [10_000_000, 0, -1, -10_000_000])
@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.CANARY, Mode.ENFORCE])
def test_would_block_and_allowed_never_exclude_each_other(room_us: int, mode: Mode) -> None:
    decision = decided(room_us, mode)
    assert decision.allowed or not decision.would_block
    assert decision.would_block == (decision.verdict is not Verdict.ALLOWED and mode is Mode.SHADOW)
    assert decision.enforced == (mode is not Mode.SHADOW)
    assert decision.mode is mode
    assert (decision.retry_after_us is None) == decision.allowed


def test_a_wait_of_a_microsecond_is_a_wait() -> None:
    decision = decided(-1)
    assert (decision.retry_after_us, decision.retry_after) == (1, 1)


def test_the_states_show_each_quota_as_it_stands() -> None:
    config = Config(buckets=[Bucket("pair", quotas=("6/m:2", "60/h:6"))])  # type: ignore[arg-type]  # text is read
    limiter = Limiter(config, ScriptedStore([(NOW_US, 10_000_000, 300_000_000), (NOW_US, -4_000_000, 300_000_000)]))
    passed, refused = (limiter.admit(ALICE, "pair").decision.states() for _ in range(2))
    assert [(one.label, one.burst, one.remaining, one.reset_after_us, one.wait_us) for one in passed] == [
        (None, 2, 1, 10_000_000, 0),
        ("3600s", 6, 5, 60_000_000, 0),
    ]
    assert [(one.remaining, one.reset_after_us, one.wait_us) for one in refused] == [
        (0, 14_000_000, 4_000_000),
        (6, 0, 0),
    ]


def test_an_admission_of_a_plain_bucket_holds_nothing() -> None:
    admission = Limiter(Config(buckets=[READ]), ScriptedStore([(NOW_US, 0)])).admit(ALICE, "read")
    assert not admission.holds
    assert admission.allowed


def test_rate_limited_says_why_and_when_to_come_back() -> None:
    limiter = Limiter(Config(buckets=[READ]), ScriptedStore([(NOW_US, -1_500_000), (NOW_US, 0)]))
    error = RateLimited(limiter.admit(ALICE, "read"))
    assert str(error) == "rate_limited by bucket 'read'; try again in 2 s"
    assert error.decision is error.admission.decision
    assert str(RateLimited(limiter.admit(ALICE, "read", cost=11))) == "cost_too_large by bucket 'read'"
