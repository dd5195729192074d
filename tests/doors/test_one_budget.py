"""All doors spend one budget, and say the same about it in the same words."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from math import ceil
from typing import NamedTuple

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient, Client, override_settings
from fastapi import Depends, FastAPI
from httpx import ASGITransport
from httpx import AsyncClient as HTTPClient

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.fastapi import rate_limit
from asgi_ratelimit.scope import ASGIApp
from django_ratelimit_gcra import runtime
from ratelimit_core import Admission, Limiter, RateLimited, RequestInfo
from ratelimit_core.testing import ManualClock, enforcing
from tests.asgi.driving import Hello
from tests.servers import ServerUnderTest

ADDRESS = "127.0.0.1"  # what the clients of Django and httpx call themselves
NOW_US = 1_700_000_000_250_000


class Seen(NamedTuple):
    """What a client sees: the status and the limiter's headers, their names in lower case, in order."""

    status: int
    headers: list[tuple[str, str]]


Door = Callable[[Limiter], Awaitable[Seen]]


def seen(status: int, headers: Iterable[tuple[str, str]]) -> Seen:
    pairs = [(name.lower(), value) for name, value in headers]
    return Seen(status, [pair for pair in pairs if "ratelimit" in pair[0] or pair[0] == "retry-after"])


async def django_sync(limiter: Limiter) -> Seen:
    response = Client().get("/door/sync/")
    return seen(response.status_code, response.items())


async def django_async(limiter: Limiter) -> Seen:
    response = await AsyncClient().get("/door/async/")
    return seen(response.status_code, response.items())


async def django_on_asgi(limiter: Limiter) -> Seen:
    return await asked(ASGIHandler(), "/door/async/")


async def rest_framework(limiter: Limiter) -> Seen:
    response = Client().get("/door/rest/")
    return seen(response.status_code, response.items())


async def asgi(limiter: Limiter) -> Seen:
    return await asked(RateLimitMiddleware(Hello(), limiter), "/")


async def asgi_around_django(limiter: Limiter) -> Seen:
    return await asked(RateLimitMiddleware(ASGIHandler(), limiter), "/door/async/")


async def fastapi(limiter: Limiter) -> Seen:
    return await asked(fastapi_application(limiter), "/")


async def fastapi_inside_asgi(limiter: Limiter) -> Seen:
    return await asked(RateLimitMiddleware(fastapi_application(limiter), limiter), "/")


async def guard(limiter: Limiter) -> Seen:
    try:
        with limiter.guard(RequestInfo(peer=ADDRESS), "read") as entered:
            return rendered(200, entered.admission)
    except RateLimited as refused:
        return rendered(429, refused.admission)


async def async_guard(limiter: Limiter) -> Seen:
    try:
        async with limiter.guard(RequestInfo(peer=ADDRESS), "read") as entered:
            return rendered(200, entered.admission)
    except RateLimited as refused:
        return rendered(429, refused.admission)


DOORS: list[Door] = [
    django_sync,
    django_async,
    django_on_asgi,
    rest_framework,
    asgi,
    asgi_around_django,
    fastapi,
    fastapi_inside_asgi,
    guard,
    async_guard,
]


def rendered(status: int, admission: Admission) -> Seen:
    return seen(status, runtime.limiter().headers(admission))


async def asked(app: ASGIApp, path: str) -> Seen:
    async with HTTPClient(transport=ASGITransport(app), base_url="http://testserver") as client:
        response = await client.get(path)
    return seen(response.status_code, response.headers.multi_items())


def fastapi_application(limiter: Limiter) -> FastAPI:
    app = FastAPI(dependencies=[Depends(rate_limit("read", limiter=limiter))])
    app.add_api_route("/", lambda: "hello")
    return app


@pytest.fixture(autouse=True)
def addresses() -> Iterator[None]:
    with override_settings(ROOT_URLCONF="tests.doors.urls"):
        yield


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    with enforcing(ManualClock(NOW_US)) as clock:
        yield clock


def promised(spent: int, passed_us: int) -> Seen:
    """What ten units, one a second, look like when so many were spent since the first, so many microseconds ago."""
    room_us = 10_000_000 - (spent * 1_000_000 - passed_us)
    refused = room_us < 0
    remaining = max(0, room_us // 1_000_000)
    if refused:
        reset, lasts = (NOW_US + (spent - 1) * 1_000_000, 1)
    else:
        reset = NOW_US + spent * 1_000_000
        lasts = ceil(room_us / 1_000_000) if remaining else ceil((1_000_000 - room_us) / 1_000_000)
    headers = [
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", str(remaining)),
        ("x-ratelimit-reset", str(ceil(reset / 1_000_000))),
        ("x-ratelimit-policy", "read"),
        ("ratelimit-policy", '"read";q=10;w=10'),
        ("ratelimit", f'"read";r={remaining};t={lasts}'),
    ]
    return Seen(429, [*headers, ("retry-after", "1")]) if refused else Seen(200, headers)


@pytest.mark.parametrize("turn", range(len(DOORS)))
async def test_ten_units_are_ten_units_through_whatever_door_they_are_asked_for(clock: ManualClock, turn: int) -> None:
    limiter = runtime.limiter()
    doors = DOORS[turn:] + DOORS[:turn]
    for tried, door in enumerate(doors * 2):
        assert (door.__name__, await door(limiter)) == (door.__name__, promised(min(tried, 10) + 1, tried * 1_234))
        clock.advance_us(1_234)


@pytest.mark.parametrize("door", DOORS)
async def test_waiting_exactly_retry_after_is_admitted_at_every_door(clock: ManualClock, door: Door) -> None:
    limiter = runtime.limiter()
    statuses = [(await door(limiter)).status for _ in range(11)]
    clock.advance_us(1_000_000)
    statuses += [(await door(limiter)).status for _ in range(2)]
    assert statuses == [200] * 10 + [429, 200, 429]


async def test_one_budget_on_redis(redis_server: ServerUnderTest, namespace: str) -> None:
    slow = {"read": {"quota": "10/h:10", "mode": "enforce"}}
    settings = {"RATE_LIMIT_STORE_URL": redis_server.url, "RATE_LIMIT_NAMESPACE": namespace}
    with override_settings(**settings, RATE_LIMIT_BUCKETS=slow):
        limiter = runtime.limiter()
        for left, door in zip(range(9, -1, -1), DOORS, strict=True):
            answer = await door(limiter)
            assert (answer.status, dict(answer.headers)["x-ratelimit-remaining"]) == (200, str(left))
        assert {(await door(limiter)).status for door in DOORS} == {429}
        await limiter.aclose()
    assert len(redis_server.keys()) == 1


async def test_a_bucket_of_the_outer_and_one_of_the_inner_door_are_one_admission(clock: ManualClock) -> None:
    limiter = runtime.limiter()
    app = RateLimitMiddleware(ASGIHandler(), limiter, default=lambda scope: ["auth_bootstrap", "read"])
    status, headers = await asked(app, "/door/async/")
    assert status == 200
    assert dict(headers)["x-ratelimit-policy"] == "auth_bootstrap, read"
    outer = RateLimitMiddleware(ASGIHandler(), limiter, default="auth_bootstrap")
    for left in range(8, -1, -1):
        headers = (await asked(outer, "/door/async/")).headers
        assert dict(headers)["ratelimit"].startswith(f'"read";r={left};')
        assert [name for name, _ in headers] == [name for name, _ in promised(1, 0).headers]
    refused = await asked(outer, "/door/async/")
    assert refused.status == 429
    assert dict(refused.headers)["x-ratelimit-policy"] == "auth_bootstrap, read"
    assert dict(refused.headers)["retry-after"] == "1"
