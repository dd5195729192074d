"""The middleware in and around Starlette applications."""

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from asgi_ratelimit import RateLimitMiddleware, Rule
from asgi_ratelimit.scope import ASGIApp
from ratelimit_core import Bucket, Limiter
from tests.asgi.driving import limiter_of

ORIGIN = "https://shop.example"


class ByHeader(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        name = conn.headers.get("x-user")
        return None if name is None else (AuthCredentials(), SimpleUser(name))


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def streamed(request: Request) -> Response:
    return StreamingResponse(iter(["one ", "two"]))


async def missing(request: Request) -> Response:
    raise HTTPException(404, headers={"X-Why": "missing"})


async def broken(request: Request) -> Response:
    raise RuntimeError("on purpose")


ROUTES = [
    Route("/", hello),
    Route("/streamed", streamed),
    Route("/missing", missing),
    Route("/broken", broken),
]


def starlette(limiter: Limiter) -> Starlette:
    """Authentication and CORS outside, as they must be: the limiter charges the user."""
    return Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(CORSMiddleware, allow_origins=[ORIGIN], expose_headers=["Retry-After"]),
            Middleware(AuthenticationMiddleware, backend=ByHeader()),
            Middleware(RateLimitMiddleware, limiter=limiter),
        ],
    )


def client_of(app: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://testserver")


async def test_the_user_that_starlette_authenticated_is_charged() -> None:
    async with client_of(starlette(limiter_of(Bucket("read", quota="1/m:1")))) as client:
        statuses = [(await client.get("/", headers={"X-User": name})).status_code for name in ("ann", "bob", "ann")]
        assert statuses == [200, 200, 429]
        assert (await client.get("/")).status_code == 200


async def test_a_refusal_carries_cors_headers_and_a_preflight_costs_nothing() -> None:
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    async with client_of(starlette(limiter_of(Bucket("read", quota="1/m:1")))) as client:
        for _ in range(3):
            assert (await client.options("/", headers=preflight)).status_code == 200
        assert (await client.get("/", headers={"Origin": ORIGIN})).status_code == 200
        refused = await client.get("/", headers={"Origin": ORIGIN})
    assert refused.status_code == 429
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/streamed", 200), ("/missing", 404), ("/nowhere", 404)])
async def test_the_headers_stand_on_what_the_application_answers(path: str, status: int) -> None:
    async with client_of(starlette(limiter_of())) as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (status, "9")


async def test_around_the_application_the_headers_stand_on_its_500_too() -> None:
    async with client_of(RateLimitMiddleware(Starlette(routes=ROUTES), limiter_of())) as client:
        answer = await client.get("/broken")
    assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (500, "9")


async def test_inside_a_mount_the_rules_speak_of_the_mounted_paths() -> None:
    limited = Middleware(RateLimitMiddleware, limiter=limiter_of(), rules=[Rule("write", path="/pay")], default=None)
    shop = Starlette(routes=[Route("/pay", hello), Route("/", hello)], middleware=[limited])
    async with client_of(Starlette(routes=[Mount("/shop", shop), Route("/pay", hello)])) as client:
        answers = [await client.get(path) for path in ("/shop/pay", "/shop/", "/pay")]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.headers.get("x-ratelimit-policy") for answer in answers] == ["write", None, None]
