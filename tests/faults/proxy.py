"""A TCP proxy that can swallow what a server replies."""

import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """A context manager in front of `127.0.0.1:port`; while `swallowing`, requests pass and replies are lost."""

    def __init__(self, port: int) -> None:
        self.swallowing = False
        self.swallowed = 0
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for one in self._sockets:
            _end(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                return
            self._sockets += [client, server]
            for source, sink, replies in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=self._pump, args=(source, sink, replies), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        try:
            while data := source.recv(65_536):
                if replies and self.swallowing:
                    self.swallowed += 1
                else:
                    sink.sendall(data)
        except OSError:
            pass
        _end(sink)


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
