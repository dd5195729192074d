"""The FastAPI dependency, with the middleware and without it."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from httpx import ASGITransport, AsyncClient
from starlette.exceptions import HTTPException as StarletteHTTPException

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.fastapi import Refused, rate_limit
from asgi_ratelimit.scope import Message
from ratelimit_core import Admission, Bucket, ConfigurationError, Identity, Limiter, Mode
from ratelimit_core.commands import Outcome
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, RecordingSink
from tests.asgi.driving import Exchange, limiter_of, scope_of
from tests.asgi.holding import WatchedLimiter, leased

HEADERS = [
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-ratelimit-policy",
    "ratelimit-policy",
    "ratelimit",
]
NOT_FOUND = HTTPException(404, headers={"X-Why": "missing", "x-ratelimit-limit": "99"})


class Teapot(HTTPException):
    """An exception class of the application's own, with arguments of its own."""

    def __init__(self, *, handle: str) -> None:
        super().__init__(418, detail=handle)


class CallableEndpoint:
    async def __call__(self) -> Response:
        return PlainTextResponse("callable")


def plain() -> dict[str, str]:
    return {"view": "plain"}


async def async_plain() -> dict[str, str]:
    return {"view": "async_plain"}


def own() -> Response:
    return PlainTextResponse("own", headers={"X-Own": "1", "X-RateLimit-Limit": "99"})


async def async_own() -> Response:
    return JSONResponse({"view": "async_own"}, status_code=201, headers={"X-Own": "1"})


async def partial_own(word: str) -> Response:
    return PlainTextResponse(word)


async def streaming() -> Response:
    return StreamingResponse(iter(["one ", "two"]))


async def generated() -> AsyncIterator[str]:
    yield "one"


def generated_in_a_thread() -> Iterator[str]:
    yield "one"


def missing() -> None:
    raise NOT_FOUND


async def async_missing() -> None:
    raise NOT_FOUND


async def starlette_missing() -> None:
    raise StarletteHTTPException(404)


async def teapot() -> None:
    raise Teapot(handle="short")


async def late_dependency() -> None:
    raise HTTPException(403)


ENDPOINTS: dict[str, tuple[int, Callable[..., Any]]] = {
    "/plain": (200, plain),
    "/async-plain": (200, async_plain),
    "/own": (200, own),
    "/async-own": (201, async_own),
    "/callable": (200, CallableEndpoint()),
    "/partial": (200, partial(partial_own, word="partial")),
    "/streaming": (200, streaming),
    "/missing": (404, missing),
    "/async-missing": (404, async_missing),
    "/starlette-missing": (404, starlette_missing),
    "/teapot": (418, teapot),
}


def routed(router: FastAPI | APIRouter, dependency: Callable[..., Any]) -> None:
    """Put every endpoint behind the dependency."""
    for path, (_, endpoint) in ENDPOINTS.items():
        router.add_api_route(path, endpoint, dependencies=[Depends(dependency)], response_model=None)
    router.add_api_route("/generated", generated, dependencies=[Depends(dependency)], response_class=StreamingResponse)
    router.add_api_route(
        "/threaded", generated_in_a_thread, dependencies=[Depends(dependency)], response_class=StreamingResponse
    )
    router.add_api_route(
        "/late", plain, dependencies=[Depends(dependency), Depends(late_dependency)], response_model=None
    )


EXPECTED = {path: status for path, (status, _) in ENDPOINTS.items()} | {
    "/generated": 200,
    "/threaded": 200,
    "/late": 403,
}


def bare(limiter: Limiter) -> FastAPI:
    """Without the middleware; the limiter stands in the application's state."""
    app = FastAPI()
    app.state.ratelimit = limiter
    routed(app, rate_limit("read"))
    return app


def included(limiter: Limiter) -> FastAPI:
    """The same routes in a router of a router."""
    inner, outer, app = APIRouter(), APIRouter(), FastAPI()
    app.state.ratelimit = limiter
    routed(inner, rate_limit("read"))
    outer.include_router(inner)
    app.include_router(outer)
    return app


def on_the_router(limiter: Limiter) -> FastAPI:
    """The dependency on the inclusion instead of the routes."""
    router, app = APIRouter(), FastAPI()
    app.state.ratelimit = limiter
    routed(router, plain)
    app.include_router(router, dependencies=[Depends(rate_limit("read"))])
    return app


def mounted(limiter: Limiter) -> FastAPI:
    app = FastAPI()
    app.mount("/", bare(limiter))
    return app


def inside(limiter: Limiter) -> FastAPI:
    """With the middleware, which knows nothing of the routes."""
    app = bare(limiter)
    app.add_middleware(RateLimitMiddleware, limiter=limiter, default=None)
    return app


def inside_and_charged(limiter: Limiter) -> FastAPI:
    """With the middleware, which charges the same bucket."""
    app = bare(limiter)
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    return app


SHAPES = [bare, included, on_the_router, mounted, inside, inside_and_charged]
SITES = pytest.mark.parametrize("shape", SHAPES)


def client_of(app: FastAPI, raises: bool = True) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app, raise_app_exceptions=raises), base_url="http://testserver")


@SITES
@pytest.mark.parametrize("path", EXPECTED)
async def test_every_answer_of_a_limited_endpoint_carries_the_headers_once_and_in_order(
    shape: Callable[[Limiter], FastAPI], path: str
) -> None:
    async with client_of(shape(limiter_of())) as client:
        for left in ("9", "8"):  # the first request wraps the endpoint, the second finds it wrapped
            answer = await client.get(path)
            assert answer.status_code == EXPECTED[path]
            names = [name.decode().lower() for name, _ in answer.headers.raw]
            assert [name for name in names if "ratelimit" in name] == HEADERS
            assert answer.headers["x-ratelimit-remaining"] == left
            assert answer.headers["x-ratelimit-limit"] == "10"


@SITES
@pytest.mark.parametrize("path", ["/plain", "/async-own"])
async def test_the_eleventh_request_is_refused_with_every_header_and_the_problem_body(
    shape: Callable[[Limiter], FastAPI], path: str
) -> None:
    clock = ManualClock(1_700_000_000_000_000)
    limiter = limiter_of(clock=clock)
    async with client_of(shape(limiter)) as client:
        assert [(await client.get(path)).headers["x-ratelimit-remaining"] for _ in range(10)] == list("9876543210")
        refused = await client.get(path)
        clock.advance_us(int(refused.headers["retry-after"]) * 1_000_000)
        assert (await client.get(path)).status_code == EXPECTED[path]
    admission = limiter.admit(Identity.ip("127.0.0.1"), "read")
    denial = limiter.denial(admission)
    assert refused.status_code == 429
    assert refused.content == denial.body
    sent = [(name.decode().lower(), value.decode()) for name, value in refused.headers.raw]
    wanted = [name.lower() for name, _ in denial.headers]
    assert sorted(name for name, _ in sent) == sorted([*wanted, "content-length"])
    assert [name for name, _ in sent if "ratelimit" in name or name == "retry-after"] == [*HEADERS, "retry-after"]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers["retry-after"] == "1"


async def test_a_constant_exception_does_not_carry_the_headers_to_other_routes() -> None:
    app = bare(limiter_of())
    app.add_api_route("/free", missing, response_model=None)
    async with client_of(app) as client:
        limited, free = await client.get("/missing"), await client.get("/free")
    assert limited.headers["x-ratelimit-remaining"] == "9"
    assert "x-ratelimit-remaining" not in free.headers
    assert limited.headers["x-why"] == free.headers["x-why"] == "missing"


async def test_an_overridden_dependency_leaves_a_wrapped_endpoint_alone() -> None:
    app, dependency = FastAPI(), rate_limit("read", limiter=limiter_of())
    app.add_api_route("/own", async_own, dependencies=[Depends(dependency)])
    async with client_of(app) as client:
        assert "ratelimit" in (await client.get("/own")).headers
        app.dependency_overrides[dependency] = plain
        assert "ratelimit" not in (await client.get("/own")).headers


async def test_the_dependency_is_the_admission() -> None:
    app = FastAPI()
    limited = rate_limit("read", limiter=limiter_of())

    @app.get("/")
    async def left(admission: Annotated[Admission, Depends(limited)]) -> int | None:
        return admission.decision.remaining

    async with client_of(app) as client:
        assert (await client.get("/")).json() == 9


async def test_two_dependencies_are_one_admission_and_a_bucket_is_charged_once() -> None:
    limiter = limiter_of()
    app = FastAPI(dependencies=[Depends(rate_limit("read", limiter=limiter))])
    for path, endpoint in (("/own", async_own), ("/plain", plain)):
        app.add_api_route(path, endpoint, dependencies=[Depends(rate_limit(["read", "write"], limiter=limiter))])
    async with client_of(app) as client:
        answers = [await client.get(path) for path in ("/own", "/plain", "/own", "/plain")]
    assert [answer.headers["x-ratelimit-policy"] for answer in answers] == ["read, write"] * 4
    assert [answer.headers["ratelimit"][:13] for answer in answers[:3]] == [
        '"write";r=2;t',
        '"write";r=1;t',
        '"write";r=0;t',
    ]
    assert answers[3].status_code == 429
    assert answers[3].headers["retry-after"] == "3"
    assert [name.decode() for name, _ in answers[1].headers.raw if b"ratelimit" in name] == HEADERS


async def test_the_user_may_come_from_the_request_from_a_coroutine_or_from_an_earlier_dependency() -> None:
    async def by_header(request: Request) -> str | None:
        return request.headers.get("x-user")

    def signed_in(request: Request) -> None:
        request.state.user_id = 7

    limiter = limiter_of(Bucket("read", quota="60/m:10", require_user=True))
    app = FastAPI()
    limited = rate_limit("read", limiter=limiter, user=by_header)
    app.add_api_route("/header", plain, dependencies=[Depends(limited)])
    late = rate_limit("read", limiter=limiter, user=lambda request: request.state.user_id)
    app.add_api_route("/state", plain, dependencies=[Depends(signed_in), Depends(late)])
    async with client_of(app) as client:
        anonymous = await client.get("/header")
        assert (anonymous.status_code, anonymous.json()["code"]) == (401, "user_required")
        assert (await client.get("/header", headers={"X-User": "ann"})).headers["x-ratelimit-remaining"] == "9"
        assert (await client.get("/header", headers={"X-User": "bob"})).headers["x-ratelimit-remaining"] == "9"
        assert (await client.get("/state", headers={"X-User": "ann"})).status_code == 200
    assert limiter.peek(Identity.user("ann"), "read", cost=9).allowed
    assert limiter.peek(Identity.user(7), "read", cost=9).allowed
    assert not limiter.peek(Identity.user("ann"), "read", cost=10).allowed
    assert not limiter.peek(Identity.user(7), "read", cost=10).allowed


async def test_cost_and_scope_may_be_asked_for() -> None:
    async def items(request: Request) -> int:
        return int(request.query_params["items"])

    app = FastAPI()
    limited = rate_limit("read", limiter=limiter_of(), cost=items, scope=lambda request: request.query_params["room"])
    app.add_api_route("/", plain, dependencies=[Depends(limited)])
    async with client_of(app) as client:
        left = [
            (await client.get("/", params={"items": items, "room": room})).headers["x-ratelimit-remaining"]
            for items, room in ((3, "a"), (2, "a"), (1, "b"), (0, "a"))
        ]
    assert left == ["7", "5", "9", "5"]


async def test_shadow_refuses_nobody() -> None:
    async with client_of(bare(limiter_of(Bucket("read", quota="1/m:1", mode=Mode.SHADOW)))) as client:
        answers = [await client.get("/own") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[2].headers["x-ratelimit-remaining"] == "0"
    assert "retry-after" not in answers[2].headers


async def test_the_limiter_is_the_arguments_then_the_middlewares_then_the_applications() -> None:
    app = FastAPI()
    argument, middleware, state = (limiter_of(Bucket("read", quota=f"60/m:{burst}")) for burst in (3, 5, 7))
    app.state.ratelimit = state
    app.add_api_route("/argument", plain, dependencies=[Depends(rate_limit("read", limiter=argument))])
    app.add_api_route("/", plain, dependencies=[Depends(rate_limit("read"))])
    limited = RateLimitMiddleware(app, middleware, default=None)
    async with client_of(app) as alone, AsyncClient(transport=ASGITransport(limited), base_url="http://x") as inner:
        limits = [
            (await client.get(path)).headers["x-ratelimit-limit"]
            for client, path in ((alone, "/argument"), (inner, "/argument"), (inner, "/"), (alone, "/"))
        ]
    assert limits == ["3", "3", "5", "7"]


@pytest.mark.parametrize("found", [None, "redis://"])
async def test_without_a_limiter_a_request_is_a_clear_error(found: object) -> None:
    app = FastAPI()
    app.state.ratelimit = found
    app.add_api_route("/", plain, dependencies=[Depends(rate_limit("read"))])
    async with client_of(app) as client:
        with pytest.raises(ConfigurationError, match=r"give limiter=, set app.state.ratelimit, or add RateLimitMiddle"):
            await client.get("/")


@pytest.mark.parametrize(
    "arguments", [{"bucket": "raed"}, {"bucket": "read", "cost": 11}, {"bucket": "raed", "cost": len}]
)
def test_a_bad_argument_stops_the_start_where_the_limiter_is_given(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        rate_limit(**arguments, limiter=limiter_of())


@pytest.mark.parametrize("error", [Refused, 429])
async def test_an_exception_handler_of_ones_own_wins(error: Any) -> None:
    app = bare(limiter_of(Bucket("read", quota="1/m:1")))

    async def sorry(request: Request, refused: Refused) -> Response:
        return JSONResponse({"sorry": refused.denial.code}, 429, headers=refused.headers)

    app.add_exception_handler(error, sorry)  # type: ignore[arg-type]  # Starlette's type knows plain exceptions only
    async with client_of(app) as client:
        await client.get("/plain")
        refused = await client.get("/plain")
    assert refused.json() == {"sorry": "rate_limited"}
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["content-type"] == "application/json"


async def test_a_refused_endpoint_does_not_run_and_a_raising_one_runs_once() -> None:
    runs: list[str] = []
    app = FastAPI()
    limited = rate_limit("read", limiter=limiter_of(Bucket("read", quota="1/m:2")))

    @app.get("/", dependencies=[Depends(limited)])
    def broken() -> None:
        runs.append("broken")
        raise RuntimeError("on purpose")

    async with client_of(app, raises=False) as client:
        assert [(await client.get("/")).status_code for _ in range(4)] == [500, 500, 429, 429]
    assert runs == ["broken", "broken"]


async def test_the_sinks_hear_the_routes_template() -> None:
    sink = RecordingSink()
    limiter = Limiter(limiter_of().config, MemoryStore(ManualClock()), [sink])
    router, app = APIRouter(prefix="/shop"), FastAPI()
    router.add_api_route("/items/{pk}", partial(plain), dependencies=[Depends(rate_limit("read", limiter=limiter))])
    app.include_router(router, prefix="/v1")
    async with client_of(app) as client:
        await client.get("/v1/shop/items/7")
    assert [event.route for event in sink.events] == ["/v1/shop/items/{pk}"]


async def test_a_websocket_passes() -> None:
    app = FastAPI(dependencies=[Depends(rate_limit("read", limiter=limiter_of(Bucket("read", quota="1/m:1"))))])

    @app.websocket("/ws")
    async def greet(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("hello")

    async def connect() -> Message:
        return {"type": "websocket.connect"}

    for _ in range(3):
        exchange = Exchange()
        await app(scope_of("/ws", type="websocket", subprotocols=[]), connect, exchange.send)
        assert [message["type"] for message in exchange.messages[:2]] == ["websocket.accept", "websocket.send"]


def paying(limiter: Limiter) -> FastAPI:
    """Endpoints behind a lease, with a second bucket after it."""
    app = FastAPI()
    app.state.ratelimit = limiter
    limits = [Depends(rate_limit("pay")), Depends(rate_limit("write"))]
    for path in ("/plain", "/own", "/missing", "/streaming"):
        app.add_api_route(path, ENDPOINTS[path][1], methods=["POST"], dependencies=limits, response_model=None)
    return app


@pytest.mark.parametrize("path", ["/plain", "/own", "/missing", "/streaming"])
async def test_what_is_held_is_settled_once_by_the_dependency_alone(path: str) -> None:
    limiter = WatchedLimiter(leased("pay"), Bucket("write", quota="1/m:2"))
    async with client_of(paying(limiter)) as client:
        assert [(await client.post(path)).status_code for _ in range(3)] == [*[EXPECTED[path]] * 2, 429]
    ending = Outcome.DECLINED if path == "/missing" else Outcome.COMPLETED
    assert limiter.settled == [ending] * 2 + [Outcome.DECLINED]


async def test_with_the_middleware_it_is_the_middleware_that_settles() -> None:
    limiter = WatchedLimiter(leased("pay"), Bucket("write", quota="1/m:1"))
    app = paying(limiter)
    app.add_middleware(RateLimitMiddleware, limiter=limiter, default=None)
    async with client_of(app) as client:
        assert [(await client.post("/own")).status_code for _ in range(2)] == [200, 429]
    assert limiter.settled == [Outcome.COMPLETED, Outcome.DECLINED]
