"""What was taken from memory and is not in the database yet: bounded, so that an outage costs records, not the process.

Rows are kept by their unique key and added up, so an outage grows them by minutes and not by flushes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from django_ratelimit_gcra.recording.packing import pack
from django_ratelimit_gcra.recording.sampling import Batch
from django_ratelimit_gcra.recording.tally import LOST, REQUESTS, WORST, Person, Place, worst

_MOST_ROWS = 20_000
_MOST_SAMPLES = 5_000
_MOST_BYTES = 16 * 1024 * 1024

Key = tuple[str, int, str]
"""A bucket, a minute since the epoch, a route or an identity: in the order in which rows are written."""

Spelling = Callable[[str], str]
"""How an identity is written down."""


class Sample(NamedTuple):
    """A row of arrivals."""

    bucket: str
    minute: int
    share: float
    arrivals: int
    data: bytes


class Unsent:
    """Rows to be written, and those of the last minutes' identities that were: of a minute only so many are."""

    def __init__(self) -> None:
        self.counts: dict[Key, list[int]] = {}
        self.people: dict[Key, Person] = {}
        self.samples: list[Sample] = []
        self._written: dict[Place, set[str]] = {}

    def add_counts(self, taken: Mapping[Place, Mapping[str, list[int]]]) -> None:
        """Add what was counted by route."""
        for (minute, bucket), routes in taken.items():
            for route, counts in routes.items():
                key = bucket, minute, route
                before = self.counts.get(key)
                self.counts[key] = counts if before is None else list(map(sum, zip(before, counts, strict=True)))

    def add_people(self, taken: Mapping[Place, dict[str, Person]], spelled: Spelling) -> None:
        """Add the worst identities of each minute, those of it that are written already before all others."""
        newest = max((minute for minute, _ in taken), default=0)
        self._written = {place: who for place, who in self._written.items() if place[0] >= newest - 1}
        for (minute, bucket), people in taken.items():
            written = self._written.setdefault((minute, bucket), set())
            for identity, person in worst(people, len(people)):
                name = spelled(identity)
                if name in written or len(written) < WORST:
                    written.add(name)
                    self._add_person((bucket, minute, name), person)

    def add_samples(self, bucket: str, batches: Iterable[Batch]) -> None:
        """Pack and add arrivals."""
        for batch in batches:
            for minute, visits in batch.minutes():
                number = sum(map(len, visits.values()))
                self.samples.append(Sample(bucket, minute, batch.share, number, pack(visits)))

    def trim(self) -> Counter[str]:
        """Let the oldest go where there is too much; returns the events, refusals and arrivals lost, by bucket."""
        lost: Counter[str] = Counter()
        for key in _oldest(self.counts, len(self.counts) - _MOST_ROWS):
            counts = self.counts.pop(key)
            lost[key[0]] += counts[REQUESTS]
            self._pass_on(key[0], counts[LOST])
        for key in _oldest(self.people, len(self.people) - _MOST_ROWS):
            lost[key[0]] += self.people.pop(key).refused
        size = sum(len(sample.data) for sample in self.samples)
        while len(self.samples) > _MOST_SAMPLES or size > _MOST_BYTES:
            sample = self.samples.pop(0)
            size -= len(sample.data)
            lost[sample.bucket] += sample.arrivals
        return lost

    def clear(self) -> None:
        """All of it is written."""
        self.counts, self.people, self.samples = {}, {}, []

    def _pass_on(self, bucket: str, lost: int) -> None:
        """What a row that goes knew of losses, the newest row of its bucket knows from now on."""
        newest = next((key for key in reversed(self.counts) if key[0] == bucket), None) if lost else None
        if newest is not None:
            self.counts[newest][LOST] += lost

    def _add_person(self, key: Key, person: Person) -> None:
        before = self.people.setdefault(key, person)
        if before is not person:
            before.requests += person.requests
            before.blocked += person.blocked
            before.would_block += person.would_block


def _oldest(rows: Mapping[Key, object], number: int) -> list[Key]:
    """The first keys that were put in; none for a negative number."""
    return list(islice(rows, max(0, number)))
