"""The laws of GCRA, on every kind of store, for a clock that does not run backwards."""

from itertools import combinations_with_replacement
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimit_core import Quota
from ratelimit_core.commands import Charge
from tests.stores.subjects import Subject, fresh_key

DAY_US = 86_400_000_000

# The store stays; every example uses a key of its own.
lawful = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Step(NamedTuple):
    """Time that passes, in emission intervals and microseconds, and what is asked for then, in shares of the burst."""

    intervals: int
    us: int
    cost: int


def quota(rate: int, period_us: int, burst: int) -> Quota:
    return Quota(rate, period_us, burst)


# From one a day to 100,000 a second.
quotas = st.one_of(
    st.builds(quota, st.sampled_from([1, 2, 24]), st.just(DAY_US), st.integers(1, 5)),
    st.builds(quota, st.integers(1, 600), st.just(60_000_000), st.integers(1, 12)),
    st.builds(quota, st.sampled_from([1_000, 50_000, 100_000]), st.just(1_000_000), st.integers(1, 50)),
)
steps = st.builds(Step, st.sampled_from([0, 0, 0, 1, 2, 9]), st.integers(-2, 2), st.integers(0, 4))


def charge(quota: Quota, key: str, cost: int = 1) -> Charge:
    return Charge(key, quota.tolerance_us, quota.interval_us * cost)


def pass_time(subject: Subject, quota: Quota, step: Step) -> None:
    subject.clock.advance_us(max(0, step.intervals * quota.interval_us + step.us))


@lawful
@given(quota=quotas, history=st.lists(steps, max_size=25))
def test_no_window_holds_more_than_the_burst_and_what_it_earned(
    sync_subject: Subject, quota: Quota, history: list[Step]
) -> None:
    key, admitted = fresh_key(), []
    for step in history:
        pass_time(sync_subject, quota, step)
        if min(sync_subject.acquire(charge(quota, key, step.cost))) >= 0:
            admitted.append((sync_subject.clock.now_us(), step.cost))
    for first, last in combinations_with_replacement(range(len(admitted)), 2):
        window_us = admitted[last][0] - admitted[first][0] + 1
        units = sum(cost for _, cost in admitted[first : last + 1])
        assert units <= quota.burst - 1 - (-window_us // quota.interval_us)


@lawful
@given(quota=quotas, history=st.lists(steps, max_size=8), cost=st.integers(1, 5))
def test_waiting_exactly_as_told_is_admitted_and_a_microsecond_less_is_not(
    sync_subject: Subject, quota: Quota, history: list[Step], cost: int
) -> None:
    key = fresh_key()
    asked = charge(quota, key, min(cost, quota.burst))
    for step in history:
        pass_time(sync_subject, quota, step)
        sync_subject.acquire(charge(quota, key, step.cost))
    rooms = [min(sync_subject.acquire(asked)) for _ in range(quota.burst + 1)]
    room_us = rooms[-1]
    assert room_us < 0, "a refusal changes nothing, so the last one is refused like the first"
    sync_subject.clock.advance_us(-room_us - 1)
    assert sync_subject.acquire(asked) == (-1,)
    sync_subject.clock.advance_us(1)
    assert sync_subject.acquire(asked) == (0,)


@lawful
@given(quota=quotas, history=st.lists(steps, max_size=12))
def test_as_many_units_pass_as_remain_and_not_one_more(
    sync_subject: Subject, quota: Quota, history: list[Step]
) -> None:
    key = fresh_key()
    for step in history:
        pass_time(sync_subject, quota, step)
        sync_subject.acquire(charge(quota, key, step.cost))
    (room_us,) = sync_subject.peek(charge(quota, key, 0))
    remaining = room_us // quota.interval_us
    assert 0 <= remaining <= quota.burst
    one = charge(quota, key)
    passed = [min(sync_subject.acquire(one)) >= 0 for _ in range(remaining + 1)]
    assert passed == [True] * remaining + [False]


@lawful
@given(quota=quotas, other=quotas, history=st.lists(steps, max_size=12))
def test_a_refusal_changes_nothing(sync_subject: Subject, quota: Quota, other: Quota, history: list[Step]) -> None:
    key, beside = fresh_key(), fresh_key()
    for step in history:
        pass_time(sync_subject, quota, step)
        reads = (charge(quota, key, 0), charge(other, beside, 0))
        before = sync_subject.peek(*reads)
        asked = (charge(quota, key, step.cost), charge(other, beside))
        if min(sync_subject.acquire(*asked, observed=(asked[:1],))) < 0:
            assert sync_subject.peek(*reads) == before
