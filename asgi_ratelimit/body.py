"""A request's body, read before the application runs and handed to it afterwards."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import TypeVar

from asgi_ratelimit.scope import Message, Receive

_CHUNK = 64 * 1024
_IN_MEMORY = 1024 * 1024
Value = TypeVar("Value")


class Body:
    """What `receive` brought, spooled to a file above 1 MiB. Close it.

    `too_large`: not read to its end, because it is longer than allowed. `disconnected`: the client went away.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # it lives as long as the request
        self._size = 0
        self._left = 0
        self._next: Message | None = None
        self.too_large = False
        self.disconnected = False

    async def read(self, limit: int, declared: int | None) -> None:
        """Read up to `limit` bytes; `declared` is the Content-Length."""
        self.too_large = declared is not None and declared > limit
        more = not self.too_large
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                self.disconnected = True
                break
            chunk: bytes = message.get("body", b"")
            if self._size + len(chunk) > limit:
                self.too_large, self._next = True, message
                break
            self._size += len(chunk)
            await self.work(partial(self._file.write, chunk))
            more = message.get("more_body", False)
        self._file.seek(0)
        self._left = self._size
        if not self._size and not self.too_large:
            self._next = {"type": "http.request", "body": b"", "more_body": False}

    @property
    def size(self) -> int:
        """How many bytes were read."""
        return self._size

    async def work(self, done: Callable[[], Value]) -> Value:
        """Do something with the file: in a thread if it is one on a disk."""
        return await asyncio.to_thread(done) if self._size > _IN_MEMORY else done()

    def chunks(self) -> Iterator[bytes]:
        """The whole body; afterwards it can be received, or read again."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            yield chunk
        self._file.seek(0)

    async def receive(self) -> Message:
        """The application's `receive`: the body again, and then what comes after it."""
        if self._left:
            chunk = await self.work(partial(self._file.read, _CHUNK))
            self._left -= len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": self._left > 0 or self.too_large}
        if self._next is not None:
            message, self._next = self._next, None
            return message
        return await self._receive()

    def close(self) -> None:
        """Forget it."""
        self._left = 0
        self._file.close()
