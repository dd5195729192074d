"""Redis's MONITOR as a list: what clients really sent."""

import re
from types import TracebackType
from typing import Self
from uuid import uuid4

import redis

# 1339518083.107412 [0 127.0.0.1:60866] "EVALSHA" "8a..." "1" "key"; [0 lua] for a command inside a script
_LINE = re.compile(r"^[\d.]+ \[\d+ (?P<who>[^\]]+)\] (?P<command>.*)$")
_HANDSHAKE = {"HELLO", "CLIENT", "AUTH", "SELECT"}
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Monitor:
    """A context manager; `commands` holds one tuple per command, its name in upper case, connecting left out."""

    def __init__(self, url: str) -> None:
        self.commands: list[tuple[str, ...]] = []
        self._url = url

    def __enter__(self) -> Self:
        self._client = redis.Redis.from_url(self._url, socket_timeout=10)
        self._monitor = self._client.monitor()
        self._monitor.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._read()
        finally:
            self._monitor.__exit__(kind, error, at)
            self._client.close()

    def names(self) -> list[str]:
        """The commands without their arguments."""
        return [command[0] for command in self.commands]

    def _read(self) -> None:
        """Everything that came before a mark of our own, so that nothing is waited for and nothing missed."""
        mark = uuid4().hex
        with redis.Redis.from_url(self._url) as client:
            client.echo(mark)
        while True:
            seen = self._arguments(self._monitor.connection.read_response())
            if seen and seen[-1] == mark:
                break
            if seen and seen[0] not in _HANDSHAKE:
                self.commands.append(seen)

    def _arguments(self, response: bytes | str) -> tuple[str, ...]:
        text = response.decode("utf-8", "replace") if isinstance(response, bytes) else response
        line = _LINE.match(text)
        if line is None or line["who"] == "lua":
            return ()
        name, *rest = _ARGUMENT.findall(line["command"])
        return (name.upper(), *rest)
