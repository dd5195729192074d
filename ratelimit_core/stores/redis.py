"""The edge to Redis: one script and one round trip a command, on redis-py's connections; the only redis import.

A call has one deadline over connect, handshake and reply; nothing is retried but settlements (`arrears`), because a
script whose reply was lost may have run. The scripts are called by their digest; a server that lost them is sent the
source at once. Every error of redis-py and of the network becomes a StoreError here; `flow` decides what that means.
"""

import asyncio
import os
import time
import weakref
from collections import Counter
from collections.abc import AsyncGenerator
from functools import partial
from typing import NamedTuple

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

from ratelimit_core.breaker import Breaker
from ratelimit_core.clock import Clock
from ratelimit_core.commands import Command, Reply
from ratelimit_core.errors import StoreError, check_counts
from ratelimit_core.identity import Identity
from ratelimit_core.stores import urls
from ratelimit_core.stores.arrears import Arrears
from ratelimit_core.stores.line import Line
from ratelimit_core.stores.sight import Sight
from ratelimit_core.stores.turns import Deadline, LoopTurns, Turns
from ratelimit_core.stores.wire import SERVER_CLOCK, Call, decode, encode

_ERRORS = (exceptions.RedisError, OSError, TimeoutError)


class RedisStore:
    """A single Redis or Valkey server at `redis://`, `rediss://` or `unix://`.

    `deadline_us` bounds a call, `patient_deadline_us` that of a bucket that fails closed; `pool_size` connections
    are opened at most (in each event loop, and for threads). All three may stand in the URL's query, as
    `deadline_ms`, `patient_deadline_ms` and `pool_size`. With a `clock` its time is sent instead of the server's
    being used: for tests. Raises ConfigurationError for a URL that can't be used.
    """

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        *,
        deadline_us: int = 50_000,
        patient_deadline_us: int = 250_000,
        pool_size: int = 50,
        turn_us: int = 1_000_000,
    ) -> None:
        self._address, options = urls.split(url)
        check_counts(
            deadline_us=deadline_us, patient_deadline_us=patient_deadline_us, pool_size=pool_size, turn_us=turn_us
        )
        self._clock = clock
        self._deadline_s = options.get("deadline_ms", deadline_us / 1_000) / 1_000
        self._patient_deadline_s = options.get("patient_deadline_ms", patient_deadline_us / 1_000) / 1_000
        self._size = int(options.get("pool_size", pool_size))
        self._turn_us = turn_us
        self._errors: Counter[str] = Counter()
        common = {"retry": Retry(NoBackoff(), 0), "protocol": 2, "driver_info": None}
        try:
            self._sync_pool = redis.ConnectionPool.from_url(self._address, **common)
            self._async_pool = redis.asyncio.ConnectionPool.from_url(self._address, socket_timeout=None, **common)
            self._connection()  # connects to nothing, and says which options of the URL it does not know
        except (ValueError, TypeError, exceptions.RedisError) as error:
            raise urls.bad(url, str(error)) from None
        self._start()
        _forked.add(self)

    @classmethod
    def from_url(cls, url: str, clock: Clock | None = None, **options: int) -> "RedisStore":
        """The store at a URL; `options` are those of the constructor."""
        return cls(url, clock, **options)

    def _start(self) -> None:
        self._breaker = Breaker(threshold=min(3, self._size))
        self._line = self._new_line()
        self._turns = Turns(self._size, self._connection, self._breaker, self._turn_us)
        self._loops: dict[asyncio.AbstractEventLoop, _Loop] = {}
        self._breaker.on_open(self._wake_loops)
        self._arrears = Arrears(self._execute)

    def execute(self, command: Command, /) -> Reply:
        """Carry out one command from a thread; raises StoreError. A settlement that fails is said again later."""
        try:
            return self._execute(command)
        except StoreError as error:
            self._arrears.owe(command, error)
            raise

    def _execute(self, command: Command) -> Reply:
        self._breaker.check()
        call = self._call(command)
        connection = self._turns.take()
        reply = None
        try:
            reply = _ask(connection, call, time.monotonic() + self._deadline(call))
            return decode(reply, call.size)
        except _ERRORS as error:
            raise self._failure(error) from error
        finally:
            if reply is None:
                connection.disconnect()
            else:
                self._breaker.succeeded()
            self._turns.give(connection, answered=reply is not None)

    async def aexecute(self, command: Command, /) -> Reply:
        """The same from an event loop."""
        try:
            return await self._aexecute(command)
        except StoreError as error:
            self._arrears.owe(command, error)
            raise

    async def _aexecute(self, command: Command) -> Reply:
        self._breaker.check()
        call = self._call(command)
        turns = await self._loop_turns()
        connection = await turns.take()
        reply = None
        try:
            async with Deadline(self._deadline(call)):
                reply = await _aask(connection, call)
            return decode(reply, call.size)
        except _ERRORS as error:
            raise self._failure(error) from error
        finally:
            try:
                if reply is None:
                    await connection.disconnect(nowait=True)
                else:
                    self._breaker.succeeded()
            finally:
                turns.give(connection, answered=reply is not None)

    def describe(self) -> dict[str, object]:
        """The address without its password, the breaker's state and errors by kind."""
        return {
            "kind": "redis",
            "address": urls.redacted(self._address),
            "breaker": "open" if self._breaker.is_open else "closed",
            "breaker_opened": self._breaker.opened,
            "errors": dict(self._errors),
        }

    def eviction_policy(self) -> str | None:
        """The server's `maxmemory-policy`, for operators; None where it does not say."""
        return self._line.eviction_policy()

    def signal(self, key: str) -> bool:
        """Change the mark at `key`, for every process that looks at it; False where the server can't be told."""
        return self._line.signal(key)

    def signalled(self, key: str) -> object:
        """The mark at `key`, to be compared with an earlier one; None where the server can't be asked."""
        return self._line.signalled(key)

    def look(self, namespace: str, identity: Identity, seconds: float) -> Sight:
        """What there is of an identity, after about so many seconds at most; raises StoreError."""
        now_us = None if self._clock is None else self._clock.now_us()
        return self._new_line().look(namespace, identity, seconds, now_us)

    def close(self) -> None:
        """Close the connections of threads that are not in use; a later command opens new ones."""
        self._line.close()
        self._turns.each_idle(lambda connection: connection.disconnect())

    async def aclose(self) -> None:
        """Close the running loop's connections that are not in use, and those of threads."""
        self.close()
        known = self._loops.get(asyncio.get_running_loop())
        if known is not None:
            for connection in known.turns.take_idle():
                await connection.disconnect(nowait=True)
                known.turns.give(connection, answered=False)

    def _call(self, command: Command) -> Call:
        return encode(command, SERVER_CLOCK if self._clock is None else self._clock.now_us())

    def _deadline(self, call: Call) -> float:
        return self._patient_deadline_s if call.patient else self._deadline_s

    def _connection(self, **options: float) -> redis.Connection:
        connection: redis.Connection = self._sync_pool.connection_class(**(self._sync_pool.connection_kwargs | options))
        return connection

    def _new_line(self) -> Line:
        end_s = self._patient_deadline_s
        return Line(partial(self._connection, socket_timeout=end_s, socket_connect_timeout=end_s), _ERRORS, _kind)

    async def _loop_turns(self) -> LoopTurns[AbstractConnection]:
        """The running loop's own connections; they are closed when the loop shuts its generators down."""
        loop = asyncio.get_running_loop()
        known = self._loops.get(loop)
        if known is None:
            for ended in [one for one in list(self._loops) if one.is_closed()]:
                self._loops.pop(ended, None)
            connect = partial(self._async_pool.connection_class, **self._async_pool.connection_kwargs)
            turns = LoopTurns[AbstractConnection](self._size, connect, self._breaker, self._turn_us)
            known = self._loops[loop] = _Loop(turns, self._keep(turns))
            await anext(known.keeper)
        return known.turns

    async def _keep(self, turns: LoopTurns[AbstractConnection]) -> AsyncGenerator[None, None]:
        """Live as long as the loop: `asyncio.run` and asgiref close what is left of its generators at the end."""
        try:
            yield
        finally:
            self._loops.pop(asyncio.get_running_loop(), None)
            for connection in turns.all():
                await connection.disconnect(nowait=True)

    def _wake_loops(self) -> None:
        for known in list(self._loops.values()):
            known.turns.wake_all()

    def _failure(self, error: Exception) -> StoreError:
        """What went wrong, in the words of the flow; only a silent or absent server counts for the breaker."""
        kind = _kind(error)
        self._errors[kind] += 1
        if kind in ("timeout", "connection"):
            self._breaker.failed()
        return StoreError(kind, f"{type(error).__name__}: {error}")


class _Loop(NamedTuple):
    turns: LoopTurns[AbstractConnection]
    keeper: AsyncGenerator[None, None]


def _ask(connection: redis.Connection, call: Call, end_s: float) -> object:
    """Connect if need be, send, read; every step gets what is left of the deadline."""
    if connection.is_connected and _is_stale(connection):
        connection.disconnect()
    if not connection.is_connected:
        connection.socket_timeout = connection.socket_connect_timeout = _left(end_s)
        connection.connect()
    try:
        connection.send_command("EVALSHA", call.script.digest, len(call.keys), *call.keys, *call.arguments)
        return connection.read_response(timeout=_left(end_s))
    except exceptions.NoScriptError:
        connection.send_command("EVAL", call.script.source, len(call.keys), *call.keys, *call.arguments)
        return connection.read_response(timeout=_left(end_s))


async def _aask(connection: AbstractConnection, call: Call) -> object:
    if connection.is_connected and await connection.can_read():
        await connection.disconnect(nowait=True)
    if not connection.is_connected:
        await connection.connect()
    try:
        await connection.send_command("EVALSHA", call.script.digest, len(call.keys), *call.keys, *call.arguments)
        return await connection.read_response()
    except exceptions.NoScriptError:
        await connection.send_command("EVAL", call.script.source, len(call.keys), *call.keys, *call.arguments)
        return await connection.read_response()


def _is_stale(connection: redis.Connection) -> bool:
    """An idle connection has nothing to say; one that has was closed, or is out of step."""
    try:
        return connection.can_read(0)
    except exceptions.ConnectionError:
        return True


def _left(end_s: float) -> float:
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise exceptions.TimeoutError("the deadline passed")
    return left_s


def _kind(error: Exception) -> str:
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "timeout"
    if isinstance(error, exceptions.ResponseError):
        return "corrupt" if str(error).startswith(("WRONGTYPE", "CORRUPT")) else "refused"
    return "connection"


def _after_fork() -> None:
    """Connections and locks of the parent are not the child's."""
    for store in _forked:
        store._start()  # noqa: SLF001  # our own


_forked: "weakref.WeakSet[RedisStore]" = weakref.WeakSet()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has none
    os.register_at_fork(after_in_child=_after_fork)
