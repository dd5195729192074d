"""fakeredis (with Lua) behind a socket, so that a RedisStore speaks to it as it speaks to a server."""

import socket
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import fakeredis
import hiredis
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisError

_PREFIXES: dict[type[RedisError], str] = {NoScriptError: "NOSCRIPT ", OutOfMemoryError: "OOM "}


class FakeServer:
    """A context manager; `url` is what a store connects to. A thread for each connection, one command at a time."""

    def __init__(self) -> None:
        self._fake = fakeredis.FakeRedis(server=fakeredis.FakeServer(server_type="redis", version=(7,)), protocol=2)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as stack:
            for one in (*self._connections, self._listener):
                stack.callback(one.close)
                _shut(one)
        for thread in self._threads:
            thread.join()

    def client(self) -> "fakeredis.FakeRedis":
        """A client without the socket."""
        return self._fake

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        reader = hiredis.Reader()
        try:
            while data := connection.recv(65_536):
                reader.feed(data)
                while (command := reader.gets()) is not False:
                    connection.sendall(self._answer(command))
        except OSError:
            return

    def _answer(self, command: list[bytes]) -> bytes:
        with self._lock:
            try:
                return _encoded(self._fake.execute_command(*command))  # type: ignore[no-untyped-call]
            except RedisError as error:
                prefix = _PREFIXES.get(type(error), "")
                return f"-{prefix}{error}\r\n".encode()


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _encoded(reply: object) -> bytes:
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(_encoded(part) for part in reply)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    data = reply if isinstance(reply, bytes) else str(reply).encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)
