"""What an admission holds is given back once: after the view, after its exception, after the last byte of a stream."""

from asyncio import CancelledError
from collections.abc import Callable, Iterator
from typing import Any, Unpack

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.middleware import RateLimitMiddleware
from django_ratelimit_gcra.state import RateLimitState
from ratelimit_core import Admission, Bucket, Config, Limiter
from ratelimit_core.answers import Result
from ratelimit_core.limiter import Buckets, Options, Who
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

DONE = Result()


class Holding(Admission):
    """An admission that has something to give back."""

    __slots__ = ()

    @property
    def holds(self) -> bool:
        return self.allowed


class HoldingLimiter(Limiter):
    """`settled` are the buckets of what was given back."""

    def __init__(self) -> None:
        buckets = [Bucket("read", quota="60/m:10"), Bucket("write", quota="20/m:3")]
        super().__init__(Config(buckets), MemoryStore(ManualClock()))
        self.settled: list[str] = []
        self.results: list[Result] = []

    def admit(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Admission:
        return holding(super().admit(who, bucket, cost, **options))

    async def aadmit(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Admission:
        return holding(await super().aadmit(who, bucket, cost, **options))

    def settle(self, admission: Admission, result: Result = DONE, prior: Admission | None = None) -> bool:
        self.settled.append("+".join(decision.bucket for decision in admission.decisions))
        self.results.append(result)
        return True

    async def asettle(self, admission: Admission, result: Result = DONE, prior: Admission | None = None) -> bool:
        return self.settle(admission, result, prior)


def holding(plain: Admission) -> Holding:
    return Holding(plain.config, plain.decisions, plain.marks, plain.route, plain.note, plain.kept)


@pytest.fixture
def limiter() -> HoldingLimiter:
    return HoldingLimiter()


@pytest.fixture
def request_(limiter: HoldingLimiter) -> HttpRequest:
    request = RequestFactory().get("/")
    request.ratelimit = RateLimitState(limiter)  # type: ignore[attr-defined]  # as the first door does
    return request


def middleware_around(view: Callable[[HttpRequest], Any]) -> Any:
    """The middleware as Django calls it, without the layers in between."""

    def inner(request: HttpRequest) -> Any:
        return middleware.process_view(request, view, (), {}) or view(request)

    middleware = RateLimitMiddleware(inner)
    return middleware


def async_middleware_around(view: Callable[[HttpRequest], Any]) -> Any:
    async def inner(request: HttpRequest) -> Any:
        return await middleware.aprocess_view(request, view, (), {}) or await view(request)

    middleware = RateLimitMiddleware(inner)
    return middleware


DOORS: list[Callable[..., Any]] = [middleware_around, lambda view: view]
ASYNC_DOORS: list[Callable[..., Any]] = [async_middleware_around, lambda view: view]
NAMES = ["middleware", "decorator"]


@pytest.mark.parametrize("door", DOORS, ids=NAMES)
def test_a_view_settles_once_and_before_its_response_leaves(
    limiter: HoldingLimiter, request_: HttpRequest, door: Callable[..., Any]
) -> None:
    @ratelimit("read")
    def view(request: HttpRequest) -> HttpResponse:
        assert limiter.settled == []
        return HttpResponse()

    door(view)(request_)
    assert limiter.settled == ["read"]


@pytest.mark.parametrize("door", ASYNC_DOORS, ids=NAMES)
async def test_an_async_view_settles_once(
    limiter: HoldingLimiter, request_: HttpRequest, door: Callable[..., Any]
) -> None:
    @ratelimit("read")
    async def view(request: HttpRequest) -> HttpResponse:
        assert limiter.settled == []
        return HttpResponse()

    await door(view)(request_)
    assert limiter.settled == ["read"]


@pytest.mark.parametrize("door", DOORS, ids=NAMES)
@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_whatever_ends_a_view_settles(
    limiter: HoldingLimiter, request_: HttpRequest, door: Callable[..., Any], error: type[BaseException]
) -> None:
    @ratelimit("read")
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    with pytest.raises(error):
        door(view)(request_)
    assert limiter.settled == ["read"]


@pytest.mark.parametrize("door", ASYNC_DOORS, ids=NAMES)
async def test_whatever_ends_an_async_view_settles(
    limiter: HoldingLimiter, request_: HttpRequest, door: Callable[..., Any]
) -> None:
    @ratelimit("read")
    async def view(request: HttpRequest) -> HttpResponse:
        raise SystemError

    with pytest.raises(SystemError):
        await door(view)(request_)
    assert limiter.settled == ["read"]


@pytest.mark.parametrize("door", DOORS, ids=NAMES)
@pytest.mark.django_db
def test_a_stream_settles_once_with_its_last_byte(
    limiter: HoldingLimiter, request_: HttpRequest, door: Callable[..., Any]
) -> None:
    def chunks() -> Iterator[str]:
        yield "a"
        assert limiter.settled == []
        yield "b"

    @ratelimit("read")
    def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(chunks())

    response = door(view)(request_)
    assert list(response) == [b"a", b"b"]
    assert limiter.settled == ["read"]
    response.close()
    assert limiter.settled == ["read"]
    assert response.closed
    assert limiter.results == [Result(200, (("Content-Type", "text/html; charset=utf-8"),), None)]


async def test_an_async_stream_settles_when_it_is_closed(limiter: HoldingLimiter, request_: HttpRequest) -> None:
    @ratelimit("read")
    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter(["a"]))

    response = await async_middleware_around(view)(request_)
    assert limiter.settled == []
    response.close()
    assert limiter.settled == ["read"]


@pytest.mark.parametrize("door", DOORS, ids=NAMES)
def test_a_refusal_has_nothing_to_settle(
    limiter: HoldingLimiter, request_: HttpRequest, door: Callable[..., Any]
) -> None:
    view = ratelimit("write", cost=9)(lambda request: HttpResponse())
    assert door(view)(request_).status_code == 413
    assert limiter.settled == []


def test_nothing_asked_is_nothing_to_settle(limiter: HoldingLimiter, request_: HttpRequest) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise LookupError

    request_.method = "OPTIONS"
    with pytest.raises(LookupError):
        middleware_around(view)(request_)
    assert limiter.settled == []


async def test_nothing_asked_is_nothing_to_settle_on_an_event_loop(
    limiter: HoldingLimiter, request_: HttpRequest
) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        raise LookupError

    request_.method = "OPTIONS"
    with pytest.raises(LookupError):
        await async_middleware_around(view)(request_)
    assert limiter.settled == []


def test_two_labelled_views_in_one_request_settle_together(limiter: HoldingLimiter, request_: HttpRequest) -> None:
    @ratelimit("write")
    def inner(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @ratelimit("read")
    def outer(request: HttpRequest) -> HttpResponse:
        response = inner(request)
        assert limiter.settled == []
        return response

    outer(request_)
    assert limiter.settled == ["read+write"]


async def test_two_labelled_async_views_in_one_request_settle_together(
    limiter: HoldingLimiter, request_: HttpRequest
) -> None:
    @ratelimit("write")
    async def inner(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @ratelimit("read")
    async def outer(request: HttpRequest) -> HttpResponse:
        response = await inner(request)
        assert limiter.settled == []
        return response

    await outer(request_)
    assert limiter.settled == ["read+write"]


class Interrupted(HoldingLimiter):
    """The request is cancelled while it asks for its second bucket."""

    async def aadmit(self, who: Who, bucket: Buckets, cost: int = 1, **options: Unpack[Options]) -> Admission:
        if "write" in bucket:
            raise CancelledError
        return await super().aadmit(who, bucket, cost, **options)


@pytest.mark.parametrize("door", ASYNC_DOORS, ids=NAMES)
async def test_what_the_first_bucket_holds_is_given_back_when_the_second_is_not_reached(
    request_: HttpRequest, door: Callable[..., Any]
) -> None:
    @ratelimit("read")
    @ratelimit("write", scope="s")
    async def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    limiter = Interrupted()
    request_.ratelimit = RateLimitState(limiter)  # type: ignore[attr-defined]  # as the first door does
    with pytest.raises(CancelledError):
        await door(view)(request_)
    assert limiter.settled == ["read"]
