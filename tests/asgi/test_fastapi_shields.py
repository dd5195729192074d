"""The shield as a FastAPI dependency: the dependency admits, the middleware around it records and settles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Any

import pytest
from fastapi import Body, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from httpx import ASGITransport, AsyncClient
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect

from asgi_ratelimit import RateLimitMiddleware, release
from asgi_ratelimit.fastapi import rate_limit
from asgi_ratelimit.scope import Message
from ratelimit_core import Bucket, Config, ConfigurationError, Identity, Limiter, Mode
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock
from tests.asgi.driving import scope_of
from tests.asgi.paying import NOW_US, Posted, paying

PLENTY = {"quota": "100/s:100"}


class Site:
    """An application with payments of several kinds, and the bodies that were paid."""

    def __init__(self, bucket: Bucket | None = None, *, middleware: bool = True, **options: Any) -> None:
        self.paid: list[object] = []
        self.limiter = Limiter(Config(buckets=[bucket or paying(**PLENTY)]), MemoryStore(ManualClock(NOW_US)))
        self.app = FastAPI()
        limited = [Depends(rate_limit("pay", limiter=self.limiter, user=lambda request: "ann", **options))]
        endpoints: dict[str, Callable[..., Any]] = {
            "/json": self.json,
            "/raw": self.raw,
            "/none": self.none,
            "/redirect": self.redirect,
            "/declined": self.declined,
            "/broken": self.broken,
        }
        for path, endpoint in endpoints.items():
            self.app.add_api_route(path, endpoint, methods=["GET", "POST"], dependencies=limited, response_model=None)
        if middleware:
            self.app.add_middleware(RateLimitMiddleware, limiter=self.limiter, default=None)

    async def json(self, amount: int = Body(0, embed=True)) -> dict[str, int]:
        self.paid.append(amount)
        return {"receipt": len(self.paid)}

    async def raw(self, request: Request) -> Response:
        self.paid.append(await request.body())
        return PlainTextResponse(f"receipt {len(self.paid)}", 201, {"Link": "</a>", "Set-Cookie": "a=b"})

    def none(self) -> dict[str, int]:
        self.paid.append(None)
        return {"receipt": len(self.paid)}

    async def redirect(self) -> Response:
        self.paid.append(None)
        return RedirectResponse("/done", 302)

    async def declined(self, request: Request) -> dict[str, int]:
        self.paid.append(None)
        release(request.scope, "declined")
        return {"receipt": len(self.paid)}

    async def broken(self) -> None:
        self.paid.append(None)
        raise RuntimeError("on purpose")

    def client(self) -> AsyncClient:
        transport = ASGITransport(self.app, raise_app_exceptions=False)
        return AsyncClient(transport=transport, base_url="http://testserver")


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    async with Site().client() as client:
        yield client


@pytest.mark.parametrize(("path", "status"), [("/json", 200), ("/raw", 201), ("/none", 200), ("/redirect", 302)])
async def test_the_second_click_gets_the_first_ones_answer(client: AsyncClient, path: str, status: int) -> None:
    first, second = [await client.post(path, json={"amount": 5}) for _ in range(2)]
    assert (first.status_code, second.status_code) == (status, status)
    assert first.content == second.content
    assert second.headers["idempotent-replayed"] == "true"
    assert "set-cookie" not in second.headers
    for name in ("content-type", "link", "location"):
        assert first.headers.get(name) == second.headers.get(name)
    names = [name.lower() for name, _ in second.headers.raw]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", ["/json", "/raw", "/none"])
async def test_another_body_is_another_payment_and_the_same_key_for_it_is_refused(
    client: AsyncClient, path: str
) -> None:
    keys = {"Idempotency-Key": "k1"}
    first, other = [await client.post(path, json={"amount": amount}) for amount in (5, 6)]
    assert first.content != other.content
    kept, reused = [await client.post(path, json={"amount": amount}, headers=keys) for amount in (5, 6)]
    assert (kept.is_success, reused.status_code) == (True, 422)
    assert reused.headers["content-type"] == "application/problem+json"
    assert reused.json()["code"] == "key_reused"


async def test_get_and_then_post_both_pass_and_get_has_no_shield(client: AsyncClient) -> None:
    answers = [await client.get("/none"), await client.get("/none"), await client.post("/none")]
    assert [answer.json()["receipt"] for answer in answers] == [1, 2, 3]
    assert "x-ratelimit-limit" not in answers[0].headers


async def test_a_release_runs_again_and_a_failure_is_in_doubt(client: AsyncClient) -> None:
    declined = [(await client.post("/declined")).json()["receipt"] for _ in range(2)]
    assert declined == [1, 2]
    first, second = [await client.post("/broken") for _ in range(2)]
    assert (first.status_code, second.status_code, second.json()["code"]) == (500, 409, "outcome_unknown")


async def test_an_answer_that_an_exception_handler_made_of_a_failure_is_still_a_failure() -> None:
    site = Site()

    async def sorry(request: Request, error: Exception) -> Response:
        return JSONResponse({"sorry": True}, 400)

    site.app.add_exception_handler(RuntimeError, sorry)
    async with site.client() as client:
        found = [await client.post("/broken", headers={"idempotency-key": "k1"}) for _ in range(2)]
    assert [one.status_code for one in found] == [400, 409]
    assert found[1].json()["code"] == "outcome_unknown"
    assert len(site.paid) == 1


async def test_what_does_not_validate_did_nothing() -> None:
    site = Site()
    async with site.client() as client:
        assert (await client.post("/json", json={"amount": "many"})).status_code == 422
        assert (await client.post("/json", json={"amount": "many"})).status_code == 422


async def test_an_exception_handler_of_ones_own_sees_refusals_and_no_replay() -> None:
    site = Site()

    async def sorry(request: Request, error: Exception) -> Response:
        return JSONResponse({"sorry": True}, 418)

    for kind in (409, 422, Exception):
        site.app.add_exception_handler(kind, sorry)
    async with site.client() as client:
        answers = [await client.post("/none", headers={"Idempotency-Key": "k1"}) for _ in range(2)]
        reused = await client.post("/none", headers={"Idempotency-Key": "k1"}, json={})
    assert [answer.json() for answer in answers] == [{"receipt": 1}] * 2
    assert reused.json() == {"sorry": True}


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.SHADOW])
async def test_a_body_above_the_limit_is_refused_unless_it_is_only_observed(declared: bool, mode: Mode) -> None:
    site = Site(paying(max_body=10, mode=mode, **PLENTY))
    exchange = Posted([b"12345", b"67890", b"1"])
    headers = [("content-length", "11")] if declared else []
    await site.app(scope_of("/raw", "POST", headers), exchange.receive, exchange.send)
    assert (exchange.status, site.paid) == ((413, []) if mode is Mode.ENFORCE else (201, [b"12345678901"]))


async def test_a_large_body_is_not_read_in_the_event_loop() -> None:
    loop = asyncio.get_running_loop()
    ticking, ticks = True, 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticking:
            loop.call_later(0.001, tick)

    site = Site()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with site.client() as client:
        loop.call_later(0.001, tick)
        answer = await client.post("/raw", content=b"%41" * 700_000, headers=form)  # takes a second to be decoded
        ticking = False
    assert (answer.status_code, len(site.paid)) == (201, 1)
    assert ticks > 20


async def test_without_the_middleware_a_bucket_with_idempotency_is_a_clear_error_and_a_lease_is_not() -> None:
    site = Site(middleware=False)
    transport = ASGITransport(site.app)
    async with AsyncClient(transport=transport, base_url="http://testserver") as client:
        with pytest.raises(ConfigurationError, match="needs RateLimitMiddleware around"):
            await client.post("/none")
    leased = Site(paying(idempotency=None, **PLENTY), middleware=False)
    async with leased.client() as client:
        assert [(await client.post("/none")).status_code for _ in range(2)] == [200, 200]


async def test_a_middleware_that_knows_the_bucket_and_the_dependency_are_one_claim() -> None:
    site = Site(middleware=False)
    site.app.add_middleware(RateLimitMiddleware, limiter=site.limiter, default="pay", user=lambda scope: "ann")
    async with site.client() as client:
        answers = [await client.post("/json", json={"amount": 5}) for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"receipt": 1}] * 2
    assert answers[1].headers["x-ratelimit-policy"] == "pay"


async def test_a_lease_on_a_shared_resource_is_one_for_everybody() -> None:
    site = Site(paying(idempotency=None, **PLENTY), lease_on=lambda request: request.query_params["booking"])
    async with site.client() as client, site.limiter.guard(Identity.user("bob"), "pay", lease_on="17"):
        answers = [await client.post("/none", params={"booking": booking}) for booking in ("17", "18")]
    assert [answer.status_code for answer in answers] == [429, 200]
    assert answers[0].json()["code"] == "concurrency_limited"


async def test_a_client_that_hangs_up_while_it_sends_is_not_admitted() -> None:
    site = Site()
    messages: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    exchange = Posted([])
    with pytest.raises(ClientDisconnect):
        await site.app(scope_of("/raw", "POST"), receive, exchange.send)
    assert site.paid == []


async def test_a_form_that_fastapi_has_read_already_is_told_by_its_fields_and_files() -> None:
    given: list[FormData] = []

    async def parsed(request: Request) -> None:
        """What Starlette does for a form, without the parser that is an extra of its own."""
        async for _ in request.stream():
            pass
        request._form = given[-1]

    site = Site()
    limited = rate_limit("pay", limiter=site.limiter, user=lambda request: "ann")
    site.app.add_api_route("/form", site.none, methods=["POST"], dependencies=[Depends(parsed), Depends(limited)])
    receipts = []
    async with site.client() as client:
        for amount, key, content in (
            ("5", "", b"x"),
            ("5", "", b"x"),
            ("6", "", b"x"),
            ("5", "", b"y"),
            ("6", "k1", b"x"),
        ):
            fields: list[tuple[str, UploadFile | str]] = [("amount", amount), ("file", UploadFile(BytesIO(content)))]
            given.append(FormData([*fields, ("idempotency_key", key)] if key else fields))
            answer = await client.post("/form", content=b"", headers={"Content-Type": "multipart/form-data"})
            receipts.append(answer.json()["receipt"])
    assert receipts == [1, 1, 2, 3, 4]
