"""An ASGI server in a function: what goes in and every message that comes out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from asgi_ratelimit.scope import ASGIApp, Message, Receive, Scope, Send
from ratelimit_core import Bucket, Config, Limiter
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

CLIENT = ("203.0.113.9", 40000)


def scope_of(path: str = "/", method: str = "GET", headers: Iterable[tuple[str, str]] = (), **more: Any) -> Scope:
    """The scope of a request from `CLIENT`."""
    raw = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": raw,
        "client": CLIENT,
        "server": ("testserver", 80),
        **more,
    }


@dataclass
class Exchange:
    """What an application sent for one request."""

    messages: list[Message] = field(default_factory=list)

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    @property
    def start(self) -> Message:
        (start,) = [message for message in self.messages if message["type"] == "http.response.start"]
        return start

    @property
    def status(self) -> int:
        return int(self.start["status"])

    @property
    def header_list(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in self.start["headers"]]

    @property
    def headers(self) -> dict[str, str]:
        assert len(dict(self.header_list)) == len(self.header_list), "a header is sent twice"
        return dict(self.header_list)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages if "body" in message["type"])


async def drive(app: ASGIApp, path: str = "/", method: str = "GET", **more: Any) -> Exchange:
    """Send one request through an application."""
    exchange = Exchange()
    await app(scope_of(path, method, **more), exchange.receive, exchange.send)
    return exchange


class Hello:
    """An application that counts its runs and keeps its scopes."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.headers = headers
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"hello"})

    @property
    def runs(self) -> int:
        return len(self.scopes)


def limiter_of(*buckets: Bucket, clock: ManualClock | None = None, **more: Any) -> Limiter:
    """A limiter of exactly these buckets, or of an enforced `read` and `write`, in memory on a hand-moved clock."""
    chosen = buckets or (Bucket("read", quota="60/m:10"), Bucket("write", quota="20/m:3"))
    return Limiter(Config(buckets=chosen, **more), MemoryStore(clock or ManualClock(1_700_000_000_000_000)))
