"""The store is closed with the application, and an application without a lifespan is left in peace."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import ASGIApp, Message, Receive, Scope, Send
from ratelimit_core import Limiter
from ratelimit_core.stores import MemoryStore
from tests.asgi.driving import Exchange, limiter_of


def scope_of() -> Scope:
    return {"type": "lifespan", "asgi": {"version": "3.0"}}


class Store(MemoryStore):
    """Writes into a diary when it is closed."""

    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self.diary = diary

    async def aclose(self) -> None:
        self.diary.append("store closed")


class Server:
    """Says that it starts and that it shuts down, and writes down what it hears."""

    def __init__(self) -> None:
        self.diary: list[str] = []
        self._messages: Iterator[Message] = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive(self) -> Message:
        return next(self._messages)

    async def send(self, message: Message) -> None:
        self.diary.append(message["type"])

    async def run(self, app: ASGIApp) -> list[str]:
        limiter = Limiter(limiter_of().config, Store(self.diary))
        await RateLimitMiddleware(app, limiter)(scope_of(), self.receive, self.send)
        return self.diary


async def test_the_store_is_closed_after_the_applications_shutdown_and_before_the_server_hears_of_it() -> None:
    assert await Server().run(Starlette()) == [
        "lifespan.startup.complete",
        "store closed",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize("failed", ["lifespan.startup.failed", "lifespan.shutdown.failed"])
async def test_the_store_is_closed_when_the_application_says_that_it_failed(failed: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": failed})

    assert await Server().run(app) == ["store closed", failed]


async def test_the_store_is_closed_when_the_application_raises_in_its_shutdown() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise RuntimeError("in the shutdown")

    server = Server()
    with pytest.raises(RuntimeError, match="in the shutdown"):
        await server.run(app)
    assert server.diary == ["store closed"]


async def test_the_store_is_closed_when_the_application_ends_without_a_word() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    assert await Server().run(app) == ["store closed"]


async def test_an_application_without_a_lifespan_raises_as_ever_and_the_store_stays_open() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("only http")

    server = Server()
    with pytest.raises(ValueError, match="only http"):
        await server.run(app)
    assert server.diary == []


async def test_the_lifespan_scope_is_not_touched() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    await RateLimitMiddleware(app, limiter_of())(scope_of(), Exchange().receive, Exchange().send)
    assert seen == [scope_of()]
