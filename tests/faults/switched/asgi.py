"""For uvicorn."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from testproject.asgi import application as site

Message = Mapping[str, Any]


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Add the process to every response."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-process", str(os.getpid()).encode())]}
        await send(message)

    await site(scope, receive, sending)
