"""Counts decisions: by minute, bucket and route for everybody, by minute, bucket and identity to find the worst.

No lock, no clock, no database. What an event costs is a handful of look-ups; what is kept is bounded, and what no
longer fits is told by number.
"""

from bisect import bisect_left
from collections.abc import Iterator
from heapq import nlargest

from django_ratelimit_gcra.recording.names import storable
from ratelimit_core import DecisionEvent, Verdict

WAITS_S = (1, 2, 5, 10, 30, 60, 120, 300)
WAIT_COLUMNS = (*(f"wait_{bound}" for bound in WAITS_S), "wait_more")
COUNTS = ("requests", "enforced", "blocked", "would_block", "replayed", "degraded", *WAIT_COLUMNS, "lost")
REQUESTS, ENFORCED, BLOCKED, WOULD_BLOCK, REPLAYED, DEGRADED, FIRST_WAIT = range(7)
LOST = len(COUNTS) - 1
OTHER_ROUTES = "other"
WORST = 200  # rows of a minute and bucket

_BOUNDS_US = tuple(bound * 1_000_000 for bound in WAITS_S)
_MOST_ROUTES = 200
_MOST_PEOPLE = 5_000
_KEPT_PEOPLE = 1_000
_MOST_PLACES = 1_000  # that nobody took

Place = tuple[int, str]
"""A minute since the epoch, and a bucket."""


class Person:
    """What one identity asked and was refused; `route` is where most of that was, by majority vote."""

    __slots__ = ("blocked", "requests", "route", "votes", "would_block")

    def __init__(self, route: str = "") -> None:
        self.requests = 0
        self.blocked = 0
        self.would_block = 0
        self.route = route
        self.votes = 0

    @property
    def refused(self) -> int:
        """Refused, in shadow or not."""
        return self.blocked + self.would_block

    def refuse(self, route: str, *, allowed: bool) -> None:
        """Count a refusal."""
        if allowed:
            self.would_block += 1
        else:
            self.blocked += 1
        if route == self.route:
            self.votes += 1
        elif self.votes:
            self.votes -= 1
        else:
            self.route, self.votes = route, 1


class Tally:
    """What was decided and not yet taken."""

    def __init__(self) -> None:
        self._newest = 0
        self._routes: dict[str | None, str] = {}
        self._counts: dict[Place, dict[str, list[int]]] = {}
        self._people: dict[Place, dict[str, Person]] = {}

    def count(self, event: DecisionEvent, identity: str, minute: int) -> int:
        """Count a decision; returns how many events were lost, or can no longer be told by identity."""
        place = minute, event.bucket
        if len(self._people) >= _MOST_PLACES and place not in self._people:
            return 1
        route = self._routes.get(event.route)
        if route is None:
            route = self._name(event.route)
        counts = self._counts_of(place, route)
        counts[REQUESTS] += 1
        counts[ENFORCED] += event.enforced
        counts[DEGRADED] += event.degraded
        people = self._people.get(place)
        if people is None:
            people = self._people[place] = {}
            self._newest = max(self._newest, minute)
        person = people.get(identity)
        if person is None:
            person = people[identity] = Person(route)
        person.requests += 1
        if event.verdict is not Verdict.ALLOWED:
            self._refuse(event, route, counts, person)
        if len(people) <= _MOST_PEOPLE:
            return 0
        lost = self._forget(place)
        counts[LOST] += lost
        return lost

    def lose(self, bucket: str, minute: int, number: int) -> None:
        """Write down that of so many events something is missing."""
        self._counts_of((minute, bucket), "")[LOST] += number

    def take_counts(self) -> dict[Place, dict[str, list[int]]]:
        """The counts by place and route; they start anew."""
        taken, self._counts = self._counts, {}
        return taken

    def take_people(self, minute: int | None = None) -> dict[Place, dict[str, Person]]:
        """The identities by place; those of minutes that are over, if it is this `minute` now, or all of them."""
        over = float("inf") if minute is None else max(minute, self._newest)
        taken = {place: people for place, people in self._people.items() if place[0] < over}
        self._people = {place: people for place, people in self._people.items() if place not in taken}
        return taken

    def _counts_of(self, place: Place, route: str) -> list[int]:
        routes = self._counts.get(place)
        if routes is None:
            routes = self._counts[place] = {}
        counts = routes.get(route)
        if counts is None:
            counts = routes[route] = [0] * len(COUNTS)
        return counts

    def _name(self, route: str | None) -> str:
        """A route as it is written down; after so many in one process the others are one."""
        if len(self._routes) >= _MOST_ROUTES:
            return OTHER_ROUTES
        self._routes[route] = storable(route or "")
        return self._routes[route]

    def _refuse(self, event: DecisionEvent, route: str, counts: list[int], person: Person) -> None:
        if event.verdict is Verdict.REPLAY:
            counts[REPLAYED] += 1
            return
        counts[WOULD_BLOCK if event.allowed else BLOCKED] += 1
        if event.wait_us > 0:
            counts[FIRST_WAIT + bisect_left(_BOUNDS_US, event.wait_us)] += 1
        person.refuse(route, allowed=event.allowed)

    def _forget(self, place: Place) -> int:
        """Keep the worst so far; returns the refusals of the others."""
        people = self._people[place]
        self._people[place] = dict(nlargest(_KEPT_PEOPLE, people.items(), key=_refused))
        return sum(person.refused for person in people.values()) - sum(
            person.refused for person in self._people[place].values()
        )


def worst(people: dict[str, Person], most: int) -> Iterator[tuple[str, Person]]:
    """The identities that were refused, those refused most first."""
    for identity, person in nlargest(most, people.items(), key=_refused):
        if person.refused:
            yield identity, person


def _refused(item: tuple[str, Person]) -> int:
    return item[1].refused
