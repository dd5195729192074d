"""Arrivals against quotas, decided as a store decides them: by `ratelimit_core.gcra`, and nothing refused is charged.

A curve needs no replay of everybody. As long as an identity is never refused its debt does not depend on the burst, so
one pass without any limit finds the most that it ever owed, and with it the *burst it needs*: with that burst or more
nothing of it is refused, with any smaller one something is. So whom a burst touches is exact for every burst at once,
and monotone. How many requests are refused is not, where costs differ: what a larger burst admits may leave no room
for several smaller ones. Only the touched are replayed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

from ratelimit_core import gcra
from ratelimit_core.quota import Quota


class Arrival(NamedTuple):
    """One request: when (epoch microseconds), whose, and how many units it costs."""

    at_us: int
    identity: str
    cost: int = 1


class Replayed(NamedTuple):
    """What quotas did. `touched` identities had at least one request refused: those of `refused_by`."""

    requests: int
    identities: int
    refused: int
    touched: int
    refused_by: Mapping[str, int]
    requests_by: Mapping[str, int]


Visits = Sequence[Arrival]
"""One identity's requests, in order of time."""


def replay(arrivals: Iterable[Arrival], quotas: Sequence[Quota]) -> Replayed:
    """Decide about arrivals, in order of time; several quotas charge all or none, and a refusal charges nothing."""
    visits_by = by_identity(arrivals)
    found = {identity: refusals(visits, quotas) for identity, visits in visits_by.items()}
    return _replayed(visits_by, {identity: refused for identity, refused in found.items() if refused})


def curve(arrivals: Sequence[Arrival], rate: Quota, bursts: Iterable[int]) -> list[tuple[int, Replayed]]:
    """What each of these bursts would have done, at the rate of `rate`; raises ConfigurationError for one below 1."""
    visits_by = by_identity(arrivals)
    needed = needed_by(visits_by, rate)
    points = []
    for burst in bursts:
        quotas = (replace(rate, burst=burst),)
        touched = [identity for identity, need in needed.items() if need > burst]
        refused_by = {identity: refusals(visits_by[identity], quotas) for identity in touched}
        points.append((burst, _replayed(visits_by, refused_by)))
    return points


def smallest_burst(arrivals: Sequence[Arrival], rate: Quota) -> int:
    """The smallest burst that refuses nothing, at the rate of `rate`."""
    return max(needed_bursts(arrivals, rate).values(), default=1)


def needed_bursts(arrivals: Iterable[Arrival], rate: Quota) -> dict[str, int]:
    """The smallest burst that refuses nothing to an identity, for each of them, at the rate of `rate`."""
    return needed_by(by_identity(arrivals), rate)


def by_identity(arrivals: Iterable[Arrival]) -> dict[str, list[Arrival]]:
    """Everybody's visits."""
    visits_by: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        visits_by[arrival.identity].append(arrival)
    return dict(visits_by)


def needed_by(visits_by: Mapping[str, Visits], rate: Quota) -> dict[str, int]:
    """`needed_bursts` of visits."""
    return {identity: needed_burst(visits, rate.interval_us) for identity, visits in visits_by.items()}


def needed_burst(visits: Visits, interval_us: int) -> int:
    """The most that one identity's requests ever owed, in units, rounded up; 1 is the smallest burst there is."""
    measure, arrival = gcra.measure, gcra.arrival
    unlimited_us = interval_us * sum([visit.cost for visit in visits])
    rooms = [unlimited_us]
    tat = None
    for at_us, _, cost in visits:
        room_us = measure(tat, at_us, unlimited_us, interval_us * cost)
        tat = arrival(room_us, at_us, unlimited_us)
        rooms.append(room_us)
    return max(1, -((min(rooms) - unlimited_us) // interval_us))


def refusals(visits: Visits, quotas: Sequence[Quota]) -> int:
    """How many of one identity's requests these quotas refuse."""
    if len(quotas) != 1:
        return _refusals_of_several(visits, quotas)
    measure, arrival = gcra.measure, gcra.arrival
    interval_us, tolerance_us = quotas[0].interval_us, quotas[0].tolerance_us
    tat = None
    refused = 0
    for at_us, _, cost in visits:
        room_us = measure(tat, at_us, tolerance_us, interval_us * cost)
        if room_us < 0:
            refused += 1
        elif cost:
            tat = arrival(room_us, at_us, tolerance_us)
    return refused


def _refusals_of_several(visits: Visits, quotas: Sequence[Quota]) -> int:
    intervals = [quota.interval_us for quota in quotas]
    tolerances = [quota.tolerance_us for quota in quotas]
    tats: list[int | None] = [None] * len(quotas)
    refused = 0
    for at_us, _, cost in visits:
        increments = [interval_us * cost for interval_us in intervals]
        rooms = list(map(gcra.measure, tats, repeat(at_us), tolerances, increments))
        if min(rooms, default=0) < 0:
            refused += 1
        elif cost:
            tats = list(map(gcra.arrival, rooms, repeat(at_us), tolerances))
    return refused


def _replayed(visits_by: Mapping[str, Visits], refused_by: Mapping[str, int]) -> Replayed:
    requests_by = {identity: len(visits) for identity, visits in visits_by.items()}
    refused = sum(refused_by.values())
    return Replayed(sum(requests_by.values()), len(requests_by), refused, len(refused_by), refused_by, requests_by)
