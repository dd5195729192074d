"""Two days of a site's requests: 297 people, an office behind one address, and two clients that go on regardless."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
SPAN_US = 47 * HOUR_US

OFFICE = "198.51.100.1"
POLLER = "192.0.2.1"
SCRAPER = "192.0.2.2"
ABUSERS = frozenset({POLLER, SCRAPER})


class Request(NamedTuple):
    """When, in microseconds since the beginning, and from where."""

    after_us: int
    address: str


def two_days(seed: int = 4) -> list[Request]:
    """The same for the same seed, in order of time."""
    lots = Random(seed)
    requests = [request for number in range(297) for request in _person(lots, f"203.0.{number // 250}.{number % 250}")]
    for _ in range(20):
        requests += [Request(after_us, OFFICE) for after_us in _visit(lots, 9 * HOUR_US + lots.randrange(HOUR_US))]
    requests += [Request(20 * HOUR_US + number * SECOND_US // 2, POLLER) for number in range(700)]
    requests += [Request(30 * HOUR_US + number * SECOND_US // 5, SCRAPER) for number in range(500)]
    return sorted(requests)


def _person(lots: Random, address: str) -> Iterator[Request]:
    """A visit or two."""
    for _ in range(lots.randint(1, 2)):
        for after_us in _visit(lots, lots.randrange(SPAN_US)):
            yield Request(after_us, address)


def _visit(lots: Random, at_us: int) -> Iterator[int]:
    """Pages with their fan-out of requests, and the time to read between them."""
    for _ in range(lots.randint(1, 2)):
        for number in range(lots.randint(3, 8)):
            yield at_us + number * lots.randint(5_000, 90_000)
        at_us += lots.randint(5, 90) * SECOND_US
