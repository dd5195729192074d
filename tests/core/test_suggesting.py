"""Suggestions: the smallest quota that leaves almost everybody alone, found without trying them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import Quota
from ratelimit_core.simulate import Arrival, Suggestion, largest_burst, needed_bursts, outliers, replay, suggest
from tests.core.traffic import START_US, traffic

RATE = Quota.parse("60/m:10")
SECOND_US = 1_000_000


def crowd(count: int, size: int = 5) -> list[Arrival]:
    """People who load one page of that many requests."""
    return [Arrival(START_US + number, f"user:{number}") for number in range(count) for _ in range(size)]


def loop(name: str, requests: int, pause_us: int) -> list[Arrival]:
    """Somebody who asks and asks."""
    return [Arrival(START_US + number * pause_us, name) for number in range(requests)]


def together(*groups: list[Arrival]) -> list[Arrival]:
    return sorted((arrival for group in groups for arrival in group), key=lambda arrival: arrival.at_us)


def suggested(arrivals: list[Arrival], rate: Quota = RATE, most_touched: float = 0.001) -> Suggestion:
    found = suggest(arrivals, rate, most_touched)
    assert found is not None
    return found


def test_the_smallest_burst_that_touches_few_enough_is_suggested_and_still_cuts_the_worst() -> None:
    arrivals = together(crowd(2_000, size=14), loop("user:bot", 400, 500_000))
    found = suggested(arrivals)
    assert (str(found.quota), found.touched, found.identities) == ("60/m:14", 1, 2_001)
    assert (found.worst, found.worst_before, found.worst_after) == ("user:bot", 400, 400 - 187)


@pytest.mark.parametrize(("identities", "touched"), [(1_000, 0), (1_001, 1), (2_000, 1), (2_001, 2), (10, 0)])
def test_fewer_than_one_in_a_thousand_is_meant_exactly(identities: int, touched: int) -> None:
    arrivals = together(crowd(identities - 3), *(loop(f"user:bot{n}", 20 + n, 0) for n in range(3)))
    found = suggested(arrivals)
    assert found.touched == touched
    assert found.quota.burst == 22 - touched


@given(st.integers(0, 1_000), st.sampled_from([0.0, 0.001, 0.03, 0.05, 0.5, 1.0]), st.integers(1, 12))
def test_a_suggestion_is_the_smallest_burst_that_touches_fewer(seed: int, share: float, burst: int) -> None:
    arrivals = traffic(seed, identities=12, span_s=60)
    rate = Quota.parse("60/m", burst)
    found = suggest(arrivals, rate, share)
    assert found is not None
    touched = replay(arrivals, [found.quota]).touched
    assert found.touched == touched
    assert touched == 0 or touched / 12 < share
    if found.quota.rate == rate.rate and found.quota.burst > 1:
        one_less = replay(arrivals, [Quota.parse("60/m", found.quota.burst - 1)])
        assert one_less.touched / 12 >= share


def test_if_no_sensible_burst_does_the_smallest_rate_that_makes_one_do_is_suggested() -> None:
    """Ten units a second against one: the rate is what must change."""
    arrivals = together(crowd(100), loop("user:app", 36_000, 100_000))
    found = suggested(arrivals)
    assert (found.quota.rate, found.quota.period_us, found.touched) == (591, RATE.period_us, 0)
    assert found.quota.burst <= largest_burst(RATE) == 600
    assert needed_bursts(arrivals, Quota(590, RATE.period_us, 1))["user:app"] > 600
    assert (found.worst, found.worst_before, found.worst_after) == ("user:app", 36_000, 36_000)


def test_nothing_is_suggested_where_nothing_sensible_does() -> None:
    assert suggest([], RATE) is None
    assert suggest(loop("user:1", 601, 0), RATE) is None  # at one moment: no rate helps
    assert suggest(loop("user:1", 600, 0), RATE) is not None
    assert suggest(loop("user:1", 1_200_000 // 100, 100), RATE) is None  # ten thousand a second


def test_a_period_in_which_the_rate_can_not_be_had_suggests_nothing() -> None:
    rate = Quota(1, 50, 1)
    arrivals = loop("user:1", 1_000, 8)
    assert suggest(arrivals, rate) is None


def test_who_is_left_aside_does_not_raise_the_limit() -> None:
    """Two loops among 300 are more than one in a thousand; nobody wants a limit that lets them through."""
    loops = [loop(f"user:bot{n}", 3_600, 500_000) for n in range(2)]
    arrivals = together(crowd(298, size=12), *loops)
    assert outliers(arrivals, RATE) == ["user:bot0", "user:bot1"]
    assert suggested(arrivals).quota.rate > 90
    found = suggest(arrivals, RATE, aside=outliers(arrivals, RATE))
    assert found is not None
    assert (str(found.quota), found.touched, found.identities) == ("60/m:12", 2, 300)
    assert (found.worst, found.worst_before) == ("user:bot0", 3_600)
    assert found.worst_after == 1_811
    assert suggest(arrivals, RATE, aside={arrival.identity for arrival in arrivals}) is None


def test_many_who_need_too_much_are_no_outliers() -> None:
    arrivals = together(crowd(38), *(loop(f"user:app{n}", 3_600, 500_000) for n in range(2)))
    assert len(outliers(arrivals, RATE)) == 2
    assert outliers(together(arrivals, loop("user:app2", 3_600, 500_000)), RATE) == []


def test_the_worst_is_who_would_be_refused_most_then_who_is_refused_most_now_and_else_who_asks_most() -> None:
    crowded, hasty = crowd(2_000), loop("user:hasty", 30, 0)
    slow = loop("user:slow", 90, 900_000)
    arrivals = together(crowded, hasty, slow)
    found = suggested(arrivals, Quota.parse("60/m:2"))
    assert (str(found.quota), found.worst, found.worst_before, found.worst_after) == ("60/m:5", "user:hasty", 30, 5)
    nobody = suggest(together(hasty, slow), Quota.parse("60/m:2"))
    assert nobody is not None
    assert (nobody.touched, nobody.worst, nobody.worst_after) == (0, "user:hasty", 30)
    assert suggested(together(hasty, slow), Quota.parse("60/m:30")).worst == "user:slow"
    assert suggested(together(hasty, loop("user:hardly", 30, 0)), Quota.parse("60/m:30")).worst == "user:hardly"


def test_a_burst_is_sensible_up_to_ten_periods_units_or_ten_times_the_present() -> None:
    assert largest_burst(Quota.parse("60/m:10")) == 600
    assert largest_burst(Quota.parse("5/h:100")) == 1_000
    slow = Quota.parse("1/3000d:1")
    assert largest_burst(slow) == 8
    assert Quota(slow.rate, slow.period_us, largest_burst(slow)).burst == 8
