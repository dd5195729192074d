"""A connection to Redis beside those that requests use, for what no request waits for."""

import threading
from collections.abc import Callable
from secrets import token_hex
from typing import Protocol

from ratelimit_core.errors import StoreError
from ratelimit_core.identity import Identity
from ratelimit_core.stores import sight

_TRIES = 2  # the server may have closed a line that was not used for long


class Connection(Protocol):
    """What is needed of redis-py's; it connects by itself, and its own timeouts bound each step."""

    def send_command(self, *command: str | int) -> None: ...

    def read_response(self) -> object: ...

    def disconnect(self) -> None: ...


class Line:
    """One question at a time, from any thread. An answer that did not come ends the connection; the next is new.

    `errors` are what a connection raises, `kind` names one of them as `StoreError` does.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        errors: tuple[type[Exception], ...],
        kind: Callable[[Exception], str],
    ) -> None:
        self._connect = connect
        self._errors = errors
        self._kind = kind
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def signal(self, key: str) -> bool:
        """Change the mark at `key`; False where the server can't be told."""
        mark = token_hex(8)
        return any(self._says("SET", key, mark) is not None for _ in range(_TRIES))

    def signalled(self, key: str) -> object:
        """The mark at `key`, empty where there is none yet; None where the server can't be asked."""
        return self._says("GET", key)

    def eviction_policy(self) -> str | None:
        """The server's `maxmemory-policy`; None where it does not say."""
        said = self._says("INFO", "memory")
        text = said.decode() if isinstance(said, bytes) else str(said)
        found = [line.partition(":")[2] for line in text.splitlines() if line.startswith("maxmemory_policy:")]
        return found[0] if found else None

    def look(self, namespace: str, identity: Identity, seconds: float, now_us: int | None) -> sight.Sight:
        """What there is of an identity, after about so many seconds at most; raises StoreError."""
        try:
            return sight.look(self._ask_kindly, namespace, identity, seconds, now_us)
        except self._errors as error:
            raise StoreError(self._kind(error), f"{type(error).__name__}: {error}") from error
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; a later question opens a new one."""
        with self._lock:
            if self._connection is not None:
                self._connection.disconnect()
            self._connection = None

    def _says(self, *command: str) -> object:
        try:
            return self._ask(*command) or b""
        except self._errors:
            return None

    def _ask_kindly(self, *command: str | int) -> object:
        """None for a value of another type than ours."""
        try:
            return self._ask(*command)
        except self._errors as error:
            if self._kind(error) != "corrupt":
                raise
            return None

    def _ask(self, *command: str | int) -> object:
        with self._lock:
            connection = self._connection or self._connect()
            self._connection = None
            try:
                connection.send_command(*command)
                reply = connection.read_response()
            except BaseException:  # whatever it is, what is still to come would answer the next question
                connection.disconnect()
                raise
            self._connection = connection
            return reply
