"""A shop behind a bucket with a lease and records, and a client that pays."""

from collections.abc import Iterable
from typing import Any

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import ASGIApp, Message, Receive, Scope, Send
from ratelimit_core import Bucket, Config, Identity, Limiter
from ratelimit_core.drive import Store
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock
from tests.asgi.driving import Exchange, scope_of

NOW_US = 1_700_000_000_000_000
SECOND_US = 1_000_000


def paying(**fields: Any) -> Bucket:
    """The default `financial` bucket under a shorter name, or as its fields say."""
    given = {
        "quota": "5/m:1",
        "require_user": True,
        "concurrency": 1,
        "idempotency": "derived",
        "store_down": "closed",
        **fields,
    }
    return Bucket("pay", **given)


async def body_of(receive: Receive) -> bytes:
    """A request's body, to its end."""
    chunks = []
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


class Shop:
    """An application that keeps what it was paid, and numbers its receipts."""

    def __init__(self, status: int = 201, *headers: tuple[bytes, bytes]) -> None:
        self.status = status
        self.headers = headers
        self.bodies: list[bytes] = []
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(await body_of(receive))
        self.scopes.append(scope)
        headers = [(b"content-type", b"text/plain"), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"receipt ", "more_body": True})
        await send({"type": "http.response.body", "body": str(self.effects).encode()})

    @property
    def effects(self) -> int:
        return len(self.bodies)


class Till:
    """A shop behind the middleware, and its clock; `post` pays."""

    def __init__(self, app: ASGIApp | None = None, bucket: Bucket | None = None, **more: Any) -> None:
        self.clock = ManualClock(NOW_US)
        self.shop = Shop()
        self.bucket = paying() if bucket is None else bucket
        store: Store = more.pop("store", None) or MemoryStore(self.clock)
        self.limiter = Limiter(Config(buckets=[self.bucket], **more.pop("config", {})), store, more.pop("sinks", ()))
        self.app = RateLimitMiddleware(app or self.shop, self.limiter, default="pay", **more)

    async def post(self, body: bytes = b'{"amount": 5}', path: str = "/pay", **more: Any) -> "Posted":
        return await post(self.app, body, path, **more)

    def left(self, user: str = "ann") -> int | None:
        """The units that a user may spend."""
        return self.limiter.peek(Identity.user(user), "pay", cost=0).remaining


class Posted(Exchange):
    """An exchange whose request has a body; then the client waits."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self.chunks = list(chunks)

    async def receive(self) -> Message:
        if not self.chunks:
            return {"type": "http.disconnect"}
        chunk = self.chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks)}


async def post(
    app: ASGIApp,
    body: bytes | Iterable[bytes],
    path: str = "/pay",
    *,
    key: str | None = None,
    user: str | None = "ann",
    content_type: str = "application/json",
    method: str = "POST",
    headers: Iterable[tuple[str, str]] = (),
    **more: Any,
) -> Posted:
    """Send a payment through an application."""
    exchange = Posted([body] if isinstance(body, bytes) else body)
    given = [("host", "shop.example"), ("content-type", content_type), *headers]
    if key is not None:
        given.append(("idempotency-key", key))
    scope = scope_of(path, method, given, **({} if user is None else {"user": user}), **more)
    await app(scope, exchange.receive, exchange.send)
    return exchange
