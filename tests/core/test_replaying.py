"""Replays: they refuse what a brute force in fractions refuses, and what enforcement on a store refuses."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import Bucket, Config, ConfigurationError, Identity, Limiter, Quota
from ratelimit_core.simulate import Arrival, curve, needed_bursts, replay, smallest_burst
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock
from tests.core import brute
from tests.core.traffic import START_US, plain, traffic
from tests.doors import access_log

PERIODS = {1: "s", 60: "m", 3_600: "h", 86_400: "d"}
SECOND_US = 1_000_000


def random_limit(rng: random.Random) -> brute.Limit:
    return (
        rng.choice([1, 3, 5, 7, 20, 60, 77, 600]),
        rng.choice([1, 60, 60, 60, 3_600]),
        rng.choice([*range(1, 30), 200]),
    )


def quota(limit: brute.Limit) -> Quota:
    return Quota.parse(f"{limit[0]}/{PERIODS[limit[1]]}:{limit[2]}")


@pytest.mark.parametrize("seed", range(20))
def test_a_replay_refuses_to_everybody_what_the_brute_force_refuses(seed: int) -> None:
    rng = random.Random(seed)
    limit = random_limit(rng)
    arrivals = traffic(seed, most_cost=rng.choice([1, 1, 3]))
    found = replay(arrivals, [quota(limit)])
    assert found.refused_by == brute.refused_by(plain(arrivals), [limit])
    assert found.requests_by == Counter(arrival.identity for arrival in arrivals)
    assert (found.requests, found.identities) == (len(arrivals), 40)
    assert (found.refused, found.touched) == (sum(found.refused_by.values()), len(found.refused_by))


def test_the_random_pairs_of_these_tests_refuse_some_and_not_all() -> None:
    shares = []
    for seed in range(20):
        found = replay(traffic(seed), [quota(random_limit(random.Random(seed)))])
        shares.append(found.touched / found.identities)
    assert sum(0 < share < 1 for share in shares) > 10


@pytest.mark.parametrize("limits", [[(60, 60, 10)], [(6, 60, 6), (24, 86_400, 24)], [(7, 3_600, 9)]])
def test_a_real_log_is_refused_as_the_brute_force_refuses_it(limits: list[brute.Limit]) -> None:
    log = access_log.read_copy()
    arrivals = [Arrival(request.time * SECOND_US, request.address) for request in log]
    expected = brute.refused_by([(Fraction(request.time), request.address, 1) for request in log], limits)
    assert replay(arrivals, [quota(limit) for limit in limits]).refused_by == expected
    assert expected.total() > 60


@pytest.mark.parametrize("seed", range(10))
def test_several_quotas_charge_all_or_none(seed: int) -> None:
    rng = random.Random(seed)
    limits = [random_limit(rng) for _ in range(rng.choice([2, 3]))]
    arrivals = traffic(seed, most_cost=2)
    found = replay(arrivals, [quota(limit) for limit in limits])
    assert found.refused_by == brute.refused_by(plain(arrivals), limits)


@pytest.mark.parametrize("quotas", [["20/m:6"], ["5/m:3", "60/h:10"]])
def test_a_replay_refuses_what_enforcement_on_a_store_refuses(quotas: list[str]) -> None:
    arrivals = traffic(7, most_cost=3)
    clock = ManualClock()
    limiter = Limiter(
        Config(buckets=[Bucket("chat", quotas=[Quota.parse(text) for text in quotas])]), MemoryStore(clock)
    )
    refused: Counter[str] = Counter()
    for at_us, identity, cost in arrivals:
        clock.set_us(at_us)
        if not limiter.admit(Identity.user(identity), "chat", cost).allowed:
            refused[identity] += 1
    assert replay(arrivals, [Quota.parse(text) for text in quotas]).refused_by == refused
    assert refused


@pytest.mark.parametrize("quotas", [["1/d:3"], ["1/d:3", "60/m:9"]])
def test_what_costs_nothing_is_never_refused_and_what_costs_more_than_the_burst_always(quotas: list[str]) -> None:
    arrivals = [Arrival(START_US, "user:1", cost) for cost in (3, 0, 4, 0, 3)]
    found = replay(arrivals, [Quota.parse(text) for text in quotas])
    assert (found.requests, found.refused) == (5, 2)


def test_without_quotas_or_arrivals_nothing_is_refused() -> None:
    arrivals = traffic(1)
    assert replay(arrivals, []).refused == 0
    assert replay([], [Quota.parse("1/d:1")]) == (0, 0, 0, 0, {}, {})
    assert smallest_burst([], Quota.parse("1/d:1")) == 1
    assert curve([], Quota.parse("1/d:1"), [1, 2]) == [(1, (0, 0, 0, 0, {}, {})), (2, (0, 0, 0, 0, {}, {}))]


def test_arrivals_may_come_one_by_one() -> None:
    arrivals = traffic(3)
    assert replay(iter(arrivals), [Quota.parse("20/m:3")]) == replay(arrivals, [Quota.parse("20/m:3")])


@pytest.mark.parametrize("seed", range(5))
def test_every_point_of_a_curve_is_a_replay(seed: int) -> None:
    arrivals = traffic(seed, most_cost=1 + seed % 3)
    rate = Quota.parse("20/m:99", name="slow")
    bursts = [1, 2, 3, 5, 8, 13, 21, 34, 55, 500]
    expected = [(burst, replay(arrivals, [Quota.parse("20/m", burst)])) for burst in bursts]
    assert curve(arrivals, rate, bursts) == expected


def test_a_curve_has_no_point_below_one() -> None:
    with pytest.raises(ConfigurationError, match="burst = 0"):
        curve(traffic(1), Quota.parse("20/m:3"), [0])


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_burst_is_that_which_trying_them_all_finds(seed: int) -> None:
    arrivals = traffic(seed, identities=8, most_cost=1 + seed % 2)
    rate = Quota.parse("60/m:1")
    assert smallest_burst(arrivals, rate) == brute.smallest_burst(plain(arrivals), 60, 60)


visits = st.lists(st.tuples(st.integers(0, 3 * SECOND_US), st.integers(0, 4)), max_size=40)


def lived(pauses: list[tuple[int, int]]) -> list[Arrival]:
    """Arrivals of one identity, from pauses and costs."""
    at_us = START_US
    arrivals = []
    for pause_us, cost in pauses:
        at_us += pause_us
        arrivals.append(Arrival(at_us, "user:1", cost))
    return arrivals


@given(visits, st.integers(1, 50), st.sampled_from([1, 7, 60, 300]))
def test_whom_a_burst_touches_is_told_exactly_by_the_burst_that_is_needed(
    pauses: list[tuple[int, int]], burst: int, units: int
) -> None:
    arrivals = lived(pauses)
    limit = Quota(units, 60 * SECOND_US, burst)
    needed = needed_bursts(arrivals, limit).get("user:1", 1)
    assert (replay(arrivals, [limit]).touched == 1) == (needed > burst)


@given(visits, st.integers(1, 49), st.sampled_from([1, 7, 60, 300]))
def test_a_larger_burst_touches_nobody_whom_a_smaller_one_leaves_alone(
    pauses: list[tuple[int, int]], burst: int, units: int
) -> None:
    arrivals = lived(pauses)
    smaller, larger = (replay(arrivals, [Quota(units, 60 * SECOND_US, one)]) for one in (burst, burst + 1))
    assert larger.touched <= smaller.touched


@given(visits, st.integers(1, 300))
def test_a_higher_rate_needs_no_larger_burst(pauses: list[tuple[int, int]], units: int) -> None:
    arrivals = lived(pauses)
    slow, fast = (smallest_burst(arrivals, Quota(one, 60 * SECOND_US, 1)) for one in (units, units + 1))
    assert fast <= slow


@given(st.lists(st.integers(0, 3 * SECOND_US), max_size=60), st.integers(1, 20), st.sampled_from([1, 7, 60, 300]))
def test_where_all_cost_the_same_a_larger_burst_refuses_no_more(pauses: list[int], burst: int, units: int) -> None:
    arrivals = lived([(pause_us, 1) for pause_us in pauses])
    smaller, larger = (replay(arrivals, [Quota(units, 60 * SECOND_US, one)]) for one in (burst, burst + 1))
    assert larger.refused <= smaller.refused


def test_where_costs_differ_a_larger_burst_can_refuse_more() -> None:
    """Why nothing here searches for a number of refusals by halves."""
    arrivals = [Arrival(START_US, "user:1", cost) for cost in (3, 1, 1)]
    refused = {burst: replay(arrivals, [Quota.parse("1/d", burst)]).refused for burst in (2, 3)}
    assert refused == {2: 1, 3: 2}
