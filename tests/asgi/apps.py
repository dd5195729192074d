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
from ratelimit_core.buckets import StoreDown
from ratelimit_core.stores import MemoryStore

READ = Bucket("read", quota="10/h:10")
PAY = Bucket("pay", quota="100/s:1000", concurrency=1, store_down=StoreDown.CLOSED)


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


application = RateLimitMiddleware(
    Starlette(
        routes=[
            Route("/", hello),
            Route("/pay/", hello, methods=["POST"]),
            Route("/pay/endless", endless, methods=["POST"]),
            Route("/pay/patient", Patient(), methods=["POST"]),
        ]
    ),
    Limiter(Config(buckets=[READ, PAY]), MemoryStore()),
    rules=[Rule("pay", path="/pay")],
)
