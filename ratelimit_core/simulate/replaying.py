"""Arrivals against quotas, decided as a store decides them: by `ratelimit_core.gcra`, and nothing refused is charged.

A curve needs no replay of everybody. As long as an identity is never refused its debt does not depend on the burst, so
one pass without any limit finds the most that it ever owed, and with it the *burst it needs*: with that burst or more
nothing of it is refused, with any smaller one something is. So whom a burst touches is exact for every burst at once,
and monotone. How many requests are refused is not, where costs differ: what a larger burst admits may leave no room
for several smaller ones. Only the touched are replayed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ratelimit_core import gcra
from ratelimit_core.quota import Quota

# More than any debt: 2^51 us of tolerance are the most that a quota may have.
_UNLIMITED_US = 1 << 80


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


Visits = Sequence[tuple[int, int]]
"""One identity's requests in order of time: when, and at what cost."""


def replay(arrivals: Iterable[Arrival], quotas: Sequence[Quota]) -> Replayed:
    """Decide about arrivals, in order of time; several quotas charge all or none, and a refusal charges nothing."""
    limits = [(quota.interval_us, quota.tolerance_us) for quota in quotas]
    tats_by: dict[str, Sequence[int | None]] = {}
    nothing_owed: Sequence[int | None] = [None] * len(limits)
    requests_by: dict[str, int] = {}
    refused_by: dict[str, int] = {}
    for at_us, identity, cost in arrivals:
        requests_by[identity] = requests_by.get(identity, 0) + 1
        tats = tats_by.get(identity, nothing_owed)
        rooms = [
            gcra.measure(tat, at_us, tolerance_us, interval_us * cost)
            for tat, (interval_us, tolerance_us) in zip(tats, limits, strict=True)
        ]
        if min(rooms, default=0) < 0:
            refused_by[identity] = refused_by.get(identity, 0) + 1
        elif cost:
            charged = zip(rooms, limits, strict=True)
            tats_by[identity] = [gcra.arrival(room_us, at_us, tolerance_us) for room_us, (_, tolerance_us) in charged]
    return _replayed(requests_by, refused_by)


def curve(arrivals: Sequence[Arrival], rate: Quota, bursts: Iterable[int]) -> list[tuple[int, Replayed]]:
    """What each of these bursts would have done, at the rate of `rate`; raises ConfigurationError for one below 1."""
    visits_by = by_identity(arrivals)
    needed = {identity: needed_burst(visits, rate.interval_us) for identity, visits in visits_by.items()}
    requests_by = {identity: len(visits) for identity, visits in visits_by.items()}
    points = []
    for burst in bursts:
        quota = replace(rate, burst=burst)
        touched = [identity for identity, need in needed.items() if need > burst]
        refused_by = {identity: refusals(visits_by[identity], quota) for identity in touched}
        points.append((burst, _replayed(requests_by, refused_by)))
    return points


def smallest_burst(arrivals: Sequence[Arrival], rate: Quota) -> int:
    """The smallest burst that refuses nothing, at the rate of `rate`."""
    return max(needed_bursts(arrivals, rate).values(), default=1)


def needed_bursts(arrivals: Iterable[Arrival], rate: Quota) -> dict[str, int]:
    """The smallest burst that refuses nothing to an identity, for each of them, at the rate of `rate`."""
    return {identity: needed_burst(visits, rate.interval_us) for identity, visits in by_identity(arrivals).items()}


def by_identity(arrivals: Iterable[Arrival]) -> dict[str, list[tuple[int, int]]]:
    """Everybody's visits."""
    visits_by: dict[str, list[tuple[int, int]]] = {}
    for at_us, identity, cost in arrivals:
        visits = visits_by.get(identity)
        if visits is None:
            visits = visits_by[identity] = []
        visits.append((at_us, cost))
    return visits_by


def needed_burst(visits: Visits, interval_us: int) -> int:
    """The units that one identity's requests ever owed, rounded up; at least 1, the smallest burst there is."""
    tat = None
    most_us = 0
    for at_us, cost in visits:
        room_us = gcra.measure(tat, at_us, _UNLIMITED_US, interval_us * cost)
        tat = gcra.arrival(room_us, at_us, _UNLIMITED_US)
        most_us = max(most_us, tat - at_us)
    return max(1, -(-most_us // interval_us))


def refusals(visits: Visits, quota: Quota) -> int:
    """How many of one identity's requests a quota refuses."""
    interval_us, tolerance_us = quota.interval_us, quota.tolerance_us
    tat = None
    refused = 0
    for at_us, cost in visits:
        room_us = gcra.measure(tat, at_us, tolerance_us, interval_us * cost)
        if room_us < 0:
            refused += 1
        elif cost:
            tat = gcra.arrival(room_us, at_us, tolerance_us)
    return refused


def _replayed(requests_by: Mapping[str, int], refused_by: Mapping[str, int]) -> Replayed:
    refused = sum(refused_by.values())
    return Replayed(sum(requests_by.values()), len(requests_by), refused, len(refused_by), refused_by, requests_by)
