"""Applications that the tests serve on uvicorn."""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asgi_ratelimit import RateLimitMiddleware, Rule
from asgi_ratelimit.scope import Receive, Scope, Send
from ratelimit_core import Bucket, Config, Limiter
from ratelimit_core.buckets import Idempotency, StoreDown
from ratelimit_core.stores import MemoryStore

READ = Bucket("read", quota="10/h:10")
PAY = Bucket("pay", quota="100/s:1000", concurrency=1, store_down=StoreDown.CLOSED)

SHOP = Bucket("shop", quota="5/m:1", concurrency=1, idempotency=Idempotency.DERIVED, store_down=StoreDown.CLOSED)


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def endless(request: Request) -> Response:
    """Starlette cancels the task that streams as soon as the client is gone."""

    async def chunks() -> AsyncIterator[str]:
        yield "one"
        await asyncio.Event().wait()

    return StreamingResponse(chunks())


class Patient:
    """Sends a first chunk, waits until the client is gone, and ends without a last one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass


class Slow:
    """A payment that waits until somebody opens the till."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()
        self.effects = 0

    async def pay(self, request: Request) -> Response:
        self.effects += 1
        self.begun.set()
        await self.opened.wait()
        return PlainTextResponse(f"receipt {self.effects}", 201)

    async def begin(self, request: Request) -> Response:
        await self.begun.wait()
        return PlainTextResponse(str(self.effects))

    async def open(self, request: Request) -> Response:
        self.opened.set()
        return PlainTextResponse(str(self.effects))


slow = Slow()
application = RateLimitMiddleware(
    Starlette(
        routes=[
            Route("/", hello),
            Route("/pay/", hello, methods=["POST"]),
            Route("/pay/endless", endless, methods=["POST"]),
            Route("/pay/patient", Patient(), methods=["POST"]),
            Route("/shop/pay", slow.pay, methods=["POST"]),
            Route("/shop/begun", slow.begin),
            Route("/shop/open", slow.open),
        ]
    ),
    Limiter(Config(buckets=[READ, PAY, SHOP]), MemoryStore()),
    rules=[Rule("pay", path="/pay"), Rule("shop", path="/shop")],
    user=lambda scope: "ann" if scope["path"].startswith("/shop/") else None,
)
