"""The middleware with a real Redis server behind it."""

import asyncio
from collections.abc import Callable

from starlette.applications import Starlette

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import Message
from ratelimit_core import Bucket, Config, Limiter
from ratelimit_core.stores.redis import RedisStore
from tests.asgi.driving import Hello, drive
from tests.polling import until
from tests.servers import RedisServer, ServerUnderTest


async def test_a_plain_admission_is_one_command(redis_server: ServerUnderTest, namespace: str) -> None:
    limiter = limiter_on(redis_server, namespace)
    limited = RateLimitMiddleware(Hello(), limiter)
    await drive(limited)  # brings the script
    with redis_server.monitor() as seen:
        assert [(await drive(limited)).status for _ in range(10)] == [200] * 9 + [429]
        assert (await drive(limited, method="OPTIONS")).status == 200
    assert seen.names() == ["EVALSHA"] * 10
    await limiter.aclose()


async def test_the_lifespan_closes_the_connections(private_redis: Callable[[], RedisServer], namespace: str) -> None:
    server = private_redis()  # nobody else connects to it
    limited = RateLimitMiddleware(Starlette(), limiter_on(server, namespace))
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        message = next(messages)
        if message["type"] == "lifespan.shutdown":
            await drive(limited)
            assert connections(server) == 1
        return message

    async def send(message: Message) -> None:
        pass

    await limited({"type": "lifespan"}, receive, send)
    await asyncio.to_thread(until, lambda: connections(server) == 0, "the connection to be closed")


def limiter_on(server: ServerUnderTest, namespace: str) -> Limiter:
    config = Config(buckets=[Bucket("read", quota="10/h:10")], namespace=namespace)
    return Limiter(config, RedisStore.from_url(server.url, deadline_us=5_000_000))


def connections(server: ServerUnderTest) -> int:
    """Those besides the one that asks."""
    with server.client() as client:
        return len(client.client_list()) - 1
