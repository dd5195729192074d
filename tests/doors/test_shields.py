"""All doors hold one lease and keep one record, where the payer, the resource and the key are the same."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from httpx import ASGITransport
from httpx import AsyncClient as HTTPClient
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.fastapi import rate_limit
from asgi_ratelimit.scope import ASGIApp, Receive, Scope, Send
from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.throttling import BucketThrottle
from ratelimit_core import Identity, Limiter, RateLimited
from ratelimit_core.commands import Outcome
from ratelimit_core.idempotency import body_digest, fingerprint
from ratelimit_core.testing import ManualClock, enforcing

ANN = Identity.user("ann")
BODY = b'{"amount": 5}'
PLACE = "/pay/"
NOW_US = 1_700_000_000_000_000
BUCKET = {
    "quota": "100/s:100",
    "concurrency": 1,
    "idempotency": "derived",
    "store_down": "closed",
    "mode": "enforce",
}
MIDDLEWARE = ["tests.doors.urls.ann_is_signed_in", "django_ratelimit_gcra.middleware.RateLimitMiddleware"]
EFFECTS: list[str] = []


class Seen(NamedTuple):
    """What a client sees; a job sees its refusal."""

    status: int
    body: bytes
    replayed: bool


Door = Callable[[Limiter, str | None], Awaitable[Seen]]


def receipt() -> str:
    EFFECTS.append("paid")
    return f"receipt {len(EFFECTS)}"


@csrf_exempt
@ratelimit(bucket="pay", lease_on="till")
def pay(request: HttpRequest) -> HttpResponse:
    return HttpResponse(receipt())


@csrf_exempt
@ratelimit(bucket="pay", lease_on="till")
async def pay_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(receipt())


class Ann(BaseAuthentication):
    """Everybody is Ann."""

    def authenticate(self, request: Request) -> tuple[Any, None]:
        return User(pk="ann"), None


class Pay(APIView):
    """A payment, limited by REST framework's own means."""

    authentication_classes = [Ann]
    throttle_classes = [BucketThrottle]
    throttle_bucket = "pay"
    throttle_lease_on = "till"

    def post(self, request: Request) -> Response:
        return Response(receipt())


def at(view: Any) -> Any:
    """Settings under which the one place runs this view."""
    return override_settings(ROOT_URLCONF=(path(PLACE[1:], view),))


def headers(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def of_django(response: Any) -> Seen:
    return Seen(response.status_code, response.content, "Idempotent-Replayed" in response.headers)


async def django_sync(limiter: Limiter, key: str | None) -> Seen:
    def ask() -> Seen:
        with at(pay):
            return of_django(Client().post(PLACE, BODY, "application/json", headers=headers(key)))

    return await asyncio.to_thread(ask)


async def django_async(limiter: Limiter, key: str | None) -> Seen:
    with at(pay_async):
        return of_django(await AsyncClient().post(PLACE, BODY, "application/json", headers=headers(key)))


async def rest_framework(limiter: Limiter, key: str | None) -> Seen:
    def ask() -> Seen:
        with at(Pay.as_view()):
            return of_django(Client().post(PLACE, BODY, "application/json", headers=headers(key)))

    return await asyncio.to_thread(ask)


async def asgi(limiter: Limiter, key: str | None) -> Seen:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": receipt().encode()})

    return await asked(around(app, limiter), key)


async def asgi_around_django(limiter: Limiter, key: str | None) -> Seen:
    with at(pay_async):
        return await asked(around(ASGIHandler(), limiter), key)


async def fastapi(limiter: Limiter, key: str | None) -> Seen:
    app = FastAPI()
    dependency = rate_limit("pay", user=lambda request: "ann", lease_on="till")
    app.add_api_route(PLACE, lambda: PlainTextResponse(receipt()), methods=["POST"], dependencies=[Depends(dependency)])
    return await asked(RateLimitMiddleware(app, limiter, default=None), key)


async def guard(limiter: Limiter, key: str | None) -> Seen:
    try:
        with limiter.guard(ANN, "pay", idempotency_key=key, fingerprint=FINGERPRINT, lease_on="till"):
            receipt()
            return Seen(200, b"", replayed=False)
    except RateLimited as refused:
        return of_job(limiter, refused)


async def async_guard(limiter: Limiter, key: str | None) -> Seen:
    try:
        async with limiter.guard(ANN, "pay", idempotency_key=key, fingerprint=FINGERPRINT, lease_on="till"):
            receipt()
            return Seen(200, b"", replayed=False)
    except RateLimited as refused:
        return of_job(limiter, refused)


FINGERPRINT = fingerprint("POST", "testserver", PLACE, "", "application/json", body_digest([BODY]))
DOORS: list[Door] = [
    django_sync,
    django_async,
    rest_framework,
    asgi,
    asgi_around_django,
    fastapi,
    guard,
    async_guard,
]
ONCE = pytest.mark.parametrize("door", DOORS)


def around(app: ASGIApp, limiter: Limiter) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, limiter, default="pay", user=lambda scope: "ann", lease_on=lambda scope: "till")


async def asked(app: ASGIApp, key: str | None) -> Seen:
    async with HTTPClient(transport=ASGITransport(app), base_url="http://testserver") as client:
        given = {"Content-Type": "application/json", **headers(key)}
        response = await client.post(PLACE, content=BODY, headers=given)
    return Seen(response.status_code, response.content, "idempotent-replayed" in response.headers)


def of_job(limiter: Limiter, refused: RateLimited) -> Seen:
    denial = limiter.denial(refused.admission)
    return Seen(denial.status, denial.body, refused.replayed)


@pytest.fixture(autouse=True)
def limiter() -> Iterator[Limiter]:
    EFFECTS.clear()
    with override_settings(RATE_LIMIT_BUCKETS={"pay": BUCKET}, MIDDLEWARE=MIDDLEWARE), enforcing(ManualClock(NOW_US)):
        yield runtime.limiter()


@ONCE
@pytest.mark.parametrize("key", [None, "k1"])
async def test_whichever_door_was_paid_at_every_other_one_knows_the_answer(
    limiter: Limiter, door: Door, key: str | None
) -> None:
    first = await door(limiter, key)
    assert (first.status, first.replayed) == (200, False)
    for other in DOORS:
        assert (other.__name__, await other(limiter, key)) == (other.__name__, Seen(200, first.body, replayed=True))
    assert EFFECTS == ["paid"]


@ONCE
async def test_a_lease_that_a_job_holds_is_held_at_every_door(limiter: Limiter, door: Door) -> None:
    async with limiter.guard(Identity.user("bob"), "pay", lease_on="till") as job:
        refused = await door(limiter, "k1")
        assert (refused.status, b"concurrency_limited" in refused.body) == (429, True)
        assert job.still_held()
    assert (await door(limiter, "k1")).status == 200
    assert EFFECTS == ["paid"]


@ONCE
async def test_a_record_that_a_job_works_on_is_in_progress_at_every_door(limiter: Limiter, door: Door) -> None:
    with limiter.guard(ANN, "pay", idempotency_key="k1", fingerprint=FINGERPRINT, lease_on="desk"):
        refused = await door(limiter, "k1")
    assert (refused.status, b"in_progress" in refused.body) == (409, True)
    assert EFFECTS == []


@ONCE
async def test_a_key_that_was_used_for_another_request_is_refused_at_every_door(limiter: Limiter, door: Door) -> None:
    with limiter.guard(ANN, "pay", idempotency_key="k1", fingerprint="another"):
        pass
    refused = await door(limiter, "k1")
    assert (refused.status, b"key_reused" in refused.body) == (422, True)
    assert EFFECTS == []


# --- guard() itself


async def test_a_block_runs_once_for_its_key_and_knows_its_fence(limiter: Limiter) -> None:
    with limiter.guard(ANN, "pay", idempotency_key="job-1") as first:
        assert (first.replayed, first.still_held(), first.admission.allowed) == (False, True, True)
    for ask in (limiter.guard(ANN, "pay", idempotency_key="job-1") for _ in range(2)):
        with pytest.raises(RateLimited) as refused:
            async with ask:
                raise AssertionError("the block was entered")
        assert (refused.value.replayed, ask.replayed, ask.fence) == (True, True, 0)
        with pytest.raises(RateLimited):
            ask.__enter__()
    async with limiter.guard(ANN, "pay", idempotency_key="job-2") as second:
        assert second.fence > first.fence > 0
        assert second.still_held()


def in_a_block(limiter: Limiter) -> None:
    with limiter.guard(ANN, "pay", idempotency_key="job-1"):
        raise ZeroDivisionError


async def in_an_async_block(limiter: Limiter) -> None:
    async with limiter.guard(ANN, "pay", idempotency_key="job-1"):
        raise ZeroDivisionError


async def test_a_block_that_raises_leaves_its_outcome_unknown_and_its_lease_free(limiter: Limiter) -> None:
    with pytest.raises(ZeroDivisionError):
        in_a_block(limiter)
    with pytest.raises(RateLimited, match="outcome_unknown") as refused:
        await in_an_async_block(limiter)
    assert not refused.value.replayed
    limiter.resolve("pay", ANN, ending=Outcome.RELEASED, idempotency_key="job-1")
    with pytest.raises(ZeroDivisionError):
        await in_an_async_block(limiter)
    with pytest.raises(RateLimited, match="outcome_unknown"):
        in_a_block(limiter)
    with limiter.guard(ANN, "pay", idempotency_key="job-2"):
        pass


async def test_a_cancelled_block_leaves_its_lease_free(limiter: Limiter) -> None:
    entered = asyncio.Event()

    async def job() -> None:
        async with limiter.guard(ANN, "pay", idempotency_key="job-1"):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(job())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with limiter.guard(ANN, "pay", idempotency_key="job-2"):
        pass
