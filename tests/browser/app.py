"""The testproject under a strict policy of contents, which a browser enforces."""

from collections.abc import Awaitable, Callable
from typing import Any

from testproject.asgi import application as site

# Nothing but files of the site itself; the admin's own style sheets hold a few pictures.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


async def application(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    async def guarded(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
        await send(message)

    if scope.get("path") == "/favicon.ico":  # every browser asks for one
        await guarded({"type": "http.response.start", "status": 204, "headers": []})
        await guarded({"type": "http.response.body"})
    else:
        await site(scope, receive, guarded)
