"""A real log through the Django and the ASGI door: every decision equals that of a model that shares no code.

The model knows nothing but which requests it admitted and when. For each new one it pours all of them, one after the
other, into a leaking bucket, in fractions of a unit, and looks whether one more would overflow.
"""

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import pytest
from django.test import Client, override_settings

from asgi_ratelimit import RateLimitMiddleware, Rule
from asgi_ratelimit.scope import Scope
from ratelimit_core import Config, Limiter
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, enforcing
from tests.asgi.driving import Hello, drive
from tests.doors import access_log
from tests.doors.access_log import Logged

PROXY = "10.1.2.3"
BUCKETS = {
    "read": {"quotas": ["6/m:6", "24/d:24"], "mode": "enforce"},
    "write": {"quota": "20/m:3"},
    "slides": {"quota": "7/m:9"},
}
# (units, seconds, burst) of the same, for the model
QUOTAS = {"read": [(6, 60, 6), (24, 86_400, 24)], "write": [(20, 60, 3)], "slides": [(7, 60, 9)]}


class Answer(NamedTuple):
    """What a client sees of a decision; all None where the limiter leaves the request alone."""

    status: int
    limit: int | None = None
    remaining: int | None = None
    reset: int | None = None
    retry_after: int | None = None


class Model:
    """The times of the admitted requests, by bucket and address."""

    def __init__(self) -> None:
        self.admitted: dict[tuple[str, str], list[int]] = {}

    def answer(self, request: Logged) -> Answer:
        """Decide about one request, in epoch seconds."""
        if request.method == "OPTIONS":
            return Answer(200)
        bucket = bucket_of(request)
        times = self.admitted.setdefault((bucket, request.address), [])
        levels = [level(times, request.time, units, seconds) for units, seconds, _ in QUOTAS[bucket]]
        over = max(
            (filled + 1 - burst) * rest(units, seconds)
            for filled, (units, seconds, burst) in zip(levels, QUOTAS[bucket], strict=True)
        )
        if over <= 0:
            times.append(request.time)
            levels = [filled + 1 for filled in levels]
        return self._seen(bucket, request.time, levels, max(over, Fraction(0)))

    def _seen(self, bucket: str, now: int, levels: list[Fraction], wait: Fraction) -> Answer:
        empty_at = [
            now + filled * rest(units, seconds)
            for filled, (units, seconds, _) in zip(levels, QUOTAS[bucket], strict=True)
        ]
        left = [floor(burst - filled) for filled, (_, _, burst) in zip(levels, QUOTAS[bucket], strict=True)]
        tightest = min(range(len(left)), key=lambda at: (left[at], -empty_at[at]))
        retry_after = max(1, ceil(wait)) if wait else None
        reset = max(ceil(max(empty_at)), now + (retry_after or 0))
        return Answer(429 if wait else 200, QUOTAS[bucket][tightest][2], left[tightest], reset, retry_after)


def rest(units: int, seconds: int) -> Fraction:
    """Seconds from one unit to the next: whole microseconds, rounded up."""
    return Fraction(-(-seconds * 1_000_000 // units), 1_000_000)


def level(times: list[int], now: int, units: int, seconds: int) -> Fraction:
    """How full the bucket is after all those requests, leaking one unit every `rest`."""
    gap = rest(units, seconds)
    filled, before = Fraction(0), 0
    for time in times:
        filled = max(Fraction(0), filled - (time - before) / gap) + 1
        before = time
    return max(Fraction(0), filled - (now - before) / gap)


def bucket_of(request: Logged) -> str:
    if request.path == "/presentations" or request.path.startswith("/presentations/"):
        return "slides"
    return "read" if request.method in {"GET", "HEAD"} else "write"


@pytest.fixture(scope="module")
def log() -> list[Logged]:
    return access_log.read_copy()


@pytest.fixture(scope="module")
def expected(log: list[Logged]) -> list[Answer]:
    model = Model()
    return [model.answer(request) for request in log]


def seen(status: int, headers: Mapping[str, str]) -> Answer:
    """A response in the model's words; `headers` has lower-case names or knows no case."""
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
    return Answer(status, *(int(headers[name]) if name in headers else None for name in names))


def test_the_log_is_worth_the_trouble(log: list[Logged], expected: list[Answer]) -> None:
    assert len(log) == len(expected) == 10_000
    assert [request.time for request in log] == sorted(request.time for request in log)
    statuses = Counter((bucket_of(request), answer.status) for request, answer in zip(log, expected, strict=True))
    assert min(statuses["read", 429], statuses["slides", 429]) > 200
    assert len({answer.limit for answer in expected}) == 5  # each quota is the tightest one at times, and none is


def test_the_copy_is_the_log_where_the_log_is_at_hand(log: list[Logged]) -> None:
    original = access_log.read_log() if access_log.LOG.exists() else log
    assert log == original


def test_the_django_door_decides_every_request_as_the_model_does(log: list[Logged], expected: list[Answer]) -> None:
    settings = override_settings(
        ROOT_URLCONF="tests.doors.urls",
        MIDDLEWARE=["django_ratelimit_gcra.middleware.RateLimitMiddleware"],
        RATE_LIMIT_BUCKETS=BUCKETS,
        RATE_LIMIT_RULES=[{"bucket": "slides", "path": "/presentations"}],
        RATE_LIMIT_UNDECORATED="mode",
        RATE_LIMIT_TRUSTED_PROXIES=["10.0.0.0/8"],
    )
    with settings, enforcing(ManualClock()) as clock:
        client = Client(REMOTE_ADDR=PROXY)
        for request, answer in zip(log, expected, strict=True):
            clock.set_us(request.time * 1_000_000)
            response = client.generic(request.method, request.path, headers={"x-forwarded-for": request.address})
            assert (request, seen(response.status_code, response.headers)) == (request, answer)


async def test_the_asgi_door_decides_every_request_as_the_model_does(log: list[Logged], expected: list[Answer]) -> None:
    def by_method(scope: Scope) -> str:
        return "read" if scope["method"] in {"GET", "HEAD"} else "write"

    clock = ManualClock()
    config = Config(buckets=Config.default(BUCKETS).buckets, trusted_proxies=("10.0.0.0/8",))
    limiter = Limiter(config, MemoryStore(clock))
    limited = RateLimitMiddleware(Hello(), limiter, [Rule("slides", path="/presentations")], default=by_method)
    for request, answer in zip(log, expected, strict=True):
        clock.set_us(request.time * 1_000_000)
        forwarded = [("X-Forwarded-For", request.address)]
        exchange = await drive(limited, request.path, request.method, headers=forwarded, client=(PROXY, 1))
        assert (request, seen(exchange.status, exchange.headers)) == (request, answer)
