"""The testproject, or any other application, served as in production: a process, a port, a log."""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from tests import polling, processes

# The server and its options; `{port}` is filled in. A connection is kept for longer than a machine stands still: one
# that the server closes just as the client sends on it is an error of neither.
_UVICORN = ("--host=127.0.0.1", "--port={port}", "--timeout-keep-alive=60")
_GUNICORN = ("--bind=127.0.0.1:{port}", "--keep-alive=60", "--graceful-timeout=5")
SERVERS: Mapping[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", "testproject.asgi:application", *_UVICORN),
    "gunicorn": ("gunicorn", "testproject.wsgi:application", *_GUNICORN),
}


class SiteFactory(Protocol):
    """What the fixture `site` is."""

    def __call__(
        self, server: str = "uvicorn", *arguments: str, app: str | None = None, env: Mapping[str, str] | None = None
    ) -> "Site":
        """Starts a site; `arguments` go to the server, `app` replaces the testproject, `env` adds variables."""


class Site:
    """A context manager: running inside, ended after; `url` has no slash at its end."""

    def __init__(
        self, server: str, arguments: Sequence[str], app: str | None, log: Path, env: Mapping[str, str]
    ) -> None:
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        module, default, *options = (part.format(port=self.port) for part in SERVERS[server])
        self._command = [sys.executable, "-m", module, app or default, *options, *arguments]
        self._env = {**os.environ, **env}

    def __enter__(self) -> Self:
        self.process = processes.spawn(self._command, self.log, self._env)
        try:
            polling.until(self._answers, f"a site to answer: {self._command}", seconds=60)
        except (TimeoutError, RuntimeError) as error:
            self.stop()
            raise RuntimeError(f"{error}\n{processes.tail(self.log)}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM, as a process manager does; coverage is saved."""
        processes.end(self.process, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up. Gunicorn's workers notice that their parent is gone."""
        processes.end(self.process, signal.SIGKILL)

    def _answers(self) -> bool:
        """By a request that is no HTTP: the server itself answers 400, no view is called and nobody is charged."""
        if self.process.poll() is not None:
            raise RuntimeError(f"this process ended: {self._command}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"ready?\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 400")
        except OSError:
            return False
