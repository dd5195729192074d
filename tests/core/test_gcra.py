"""The arithmetic alone: the laws of a rate limit, for every quota and every history of a clock that runs forward."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import ConfigurationError, Quota, gcra
from ratelimit_core.gcra import Meter

START_US = 1_767_225_600_000_000
History = list[tuple[int, int]]


@dataclass
class Budget:
    """One key of one quota: what a store does, in four lines."""

    quota: Quota
    tat: int | None = None
    admitted: list[tuple[int, int]] = field(default_factory=list)

    def room(self, now_us: int, cost: int = 1) -> int:
        return gcra.measure(self.tat, now_us, self.quota.tolerance_us, self.quota.interval_us * cost)

    def ask(self, now_us: int, cost: int = 1) -> bool:
        room_us = self.room(now_us, cost)
        if room_us >= 0 and cost:
            self.tat = gcra.arrival(room_us, now_us, self.quota.tolerance_us)
            self.admitted.append((now_us, cost))
        return room_us >= 0

    def meter(self, now_us: int) -> Meter:
        return gcra.meter(self.room(now_us, 0), self.quota.interval_us, self.quota.tolerance_us)

    def after(self, history: History) -> int:
        """Live through pauses and costs; returns the time at the end."""
        now_us = START_US
        for pause_us, cost in history:
            now_us += pause_us
            self.ask(now_us, cost)
        return now_us


@st.composite
def quotas(draw: st.DrawFn) -> Quota:
    """From one a day to 100,000 a second, with the rates that are no divisor of their period among them."""
    period_us = draw(st.sampled_from([1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000]))
    # below a hundred microseconds between units their rounding can exceed the one per cent a quota may lose
    rates = st.integers(1, min(10_000, period_us // 100)) | st.sampled_from([1, 3, 7, 60, 100_000])
    rate = draw(rates.filter(lambda rate: (-(-period_us // rate) * rate - period_us) * 100 <= period_us))
    return Quota(rate, period_us, draw(st.integers(1, 50)))


def histories(quota: Quota, costs: int = 3) -> st.SearchStrategy[History]:
    """Pauses about the emission interval: none, exact, a little less and more, long ones."""
    interval_us = quota.interval_us
    exact = st.sampled_from([0, 0, 1, interval_us - 1, interval_us, interval_us + 1, quota.tolerance_us])
    pause = exact | st.integers(0, 3 * interval_us)
    return st.lists(st.tuples(pause, st.integers(0, costs)), max_size=60)


quota_and_history = quotas().flatmap(lambda quota: st.tuples(st.just(quota), histories(quota)))


@given(quota_and_history, st.data())
def test_no_window_admits_more_than_burst_and_what_it_earned(lived: tuple[Quota, History], data: st.DataObject) -> None:
    budget = Budget(lived[0])
    budget.after(lived[1])
    window_us = data.draw(st.integers(1, 10 * budget.quota.tolerance_us))
    most = budget.quota.burst + -(-window_us // budget.quota.interval_us) - 1
    for start_us, _ in budget.admitted:
        inside = sum(cost for at_us, cost in budget.admitted if start_us <= at_us < start_us + window_us)
        assert inside <= most


@given(quota_and_history, st.integers(1, 50))
def test_waiting_exactly_as_told_is_admitted_and_a_microsecond_less_is_refused(
    lived: tuple[Quota, History], cost: int
) -> None:
    budget = Budget(lived[0])
    now_us = budget.after(lived[1])
    cost = min(cost, budget.quota.burst)
    wait_us = -budget.room(now_us, cost)
    if wait_us <= 0:
        assert budget.ask(now_us, cost)
        return
    assert not budget.ask(now_us + wait_us - 1, cost)
    assert budget.ask(now_us + wait_us, cost)


@given(quota_and_history)
def test_remaining_units_pass_and_not_one_more(lived: tuple[Quota, History]) -> None:
    budget = Budget(lived[0])
    now_us = budget.after(lived[1])
    remaining = budget.meter(now_us).remaining
    assert [budget.ask(now_us) for _ in range(remaining + 1)] == [True] * remaining + [False]


@given(quota_and_history)
def test_after_the_reset_the_whole_burst_passes_and_not_before(lived: tuple[Quota, History]) -> None:
    budget = Budget(lived[0])
    now_us = budget.after(lived[1])
    reset_us = budget.meter(now_us).reset_after_us
    if reset_us:
        assert budget.meter(now_us + reset_us - 1).remaining < budget.quota.burst
    assert budget.ask(now_us + reset_us, budget.quota.burst)


@given(quota_and_history)
def test_a_refusal_and_a_free_request_change_nothing(lived: tuple[Quota, History]) -> None:
    budget = Budget(lived[0])
    now_us = budget.after(lived[1])
    before = budget.tat
    assert not budget.ask(now_us, budget.quota.burst + 1)
    assert budget.ask(now_us, 0)
    assert budget.tat == before


@given(quotas(), st.integers(1, 40))
def test_nobody_on_schedule_is_refused(quota: Quota, requests: int) -> None:
    """Limiters that count in float seconds refuse up to half of these."""
    budget = Budget(Quota(quota.rate, quota.period_us, 1))
    assert all(budget.ask(START_US + number * quota.interval_us) for number in range(requests))


@given(quotas(), st.integers(0, 1 << 60), st.integers(1, 5))
def test_no_stored_time_makes_a_debt_beyond_the_tolerance(quota: Quota, tat: int, cost: int) -> None:
    """Neither a clock that jumped back nor the key of a larger quota of yesterday names a wait without end."""
    budget = Budget(quota, tat)
    assert 0 <= budget.room(START_US, 0) <= quota.tolerance_us
    assert -budget.room(START_US, cost) <= quota.interval_us * cost


@given(quota_and_history, st.integers(0, 5))
def test_the_meter_reads_the_same_before_and_after_what_was_not_charged(
    lived: tuple[Quota, History], cost: int
) -> None:
    quota = lived[0]
    budget = Budget(quota)
    now_us = budget.after(lived[1])
    increment_us = quota.interval_us * cost
    read = gcra.meter(budget.room(now_us, cost), quota.interval_us, quota.tolerance_us, increment_us)
    assert read == budget.meter(now_us)


@pytest.mark.parametrize(
    ("tat", "cost", "room_us"),
    [
        pytest.param(None, 1, 90, id="idle"),
        pytest.param(1_000, 1, 90, id="earned back at this very moment"),
        pytest.param(1_001, 1, 89, id="a microsecond of debt"),
        pytest.param(1_090, 1, 0, id="the last unit"),
        pytest.param(1_091, 1, -1, id="a microsecond too early"),
        pytest.param(1_100, 1, -10, id="nothing left"),
        pytest.param(9_999, 1, -10, id="debt beyond the tolerance"),
        pytest.param(500, 10, 0, id="the whole burst"),
        pytest.param(None, 11, -10, id="more than the burst"),
        pytest.param(1_100, 0, 0, id="free"),
    ],
)
def test_the_room_at_time_1000_of_ten_units_ten_apart(tat: int | None, cost: int, room_us: int) -> None:
    assert gcra.measure(tat, 1_000, 100, 10 * cost) == room_us


def test_what_is_stored_is_the_debt_from_now() -> None:
    assert gcra.arrival(90, 1_000, 100) == 1_010
    assert gcra.meter(95, 10, 100) == Meter(remaining=9, reset_after_us=5, room_us=95)


def test_a_quota_that_the_arithmetic_can_not_keep_is_no_quota() -> None:
    with pytest.raises(ConfigurationError):
        Quota(rate=700_000, period_us=1_000_000, burst=1)
