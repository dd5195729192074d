"""A plain admission with its decision: its headers in memory, and on Redis beside a bare EVALSHA by redis-py."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path

import redis
import redis.asyncio

from ratelimit_core import Bucket, Config, Identity, Limiter, Quota
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from tests.benchmarks.measure import DICT, Line, Work, compare, dict_floor
from tests.servers import RedisServer

SECOND_US = 1_000_000
CALLS = 20_000
TASKS = 128
HOT = Identity.user("42")
CONFIG = Config(
    buckets=[
        Bucket("allowed", quota=Quota(rate=SECOND_US, period_us=SECOND_US, burst=1 << 40)),
        Bucket("refused", quota="1/d:1"),
    ],
)

# As little as decides: no groups, no foreign values, no exactness beyond a double, one number in reply.
MINIMAL = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local room = tonumber(ARGV[1]) - (tat + ARGV[2] - now)
if room >= 0 then redis.call('SET', KEYS[1], tat + ARGV[2], 'PX', math.ceil((tat + ARGV[2] - now) / 1000)) end
return room
"""
EVALSHA = "EVALSHA of a minimal GCRA by redis-py"


def run(rounds: int) -> list[Line]:
    """Every line; starts a server of its own."""
    lines = in_memory(rounds)
    with tempfile.TemporaryDirectory() as place, RedisServer(Path(place)) as server:
        lines += on_redis(server.url, rounds)
        lines += in_a_loop(server.url, rounds)
    return lines


def in_memory(rounds: int) -> list[Line]:
    floor = dict_floor([f"ratelimit:rl:read:{{{HOT}}}"])
    lines = []
    for bucket in ("allowed", "refused"):
        ours = admitting(Limiter(CONFIG, store=MemoryStore()), bucket, headers=True)
        lines.append(compare(f"memory, hot key, {bucket}, headers", DICT, floor, ours, CALLS, rounds))
    limiter = Limiter(CONFIG, store=MemoryStore())
    with asyncio.Runner() as runner:
        ours = tasks_of(runner, lambda: limiter.aadmit(HOT, "allowed"), 1)
        lines.append(compare("memory, hot key, allowed, asyncio", DICT, floor, ours, CALLS, rounds))
    return lines


def on_redis(url: str, rounds: int) -> list[Line]:
    lines = []
    with redis.Redis.from_url(url) as client:
        digest = str(client.script_load(MINIMAL))
        for bucket in ("allowed", "refused"):
            arguments = minimal_arguments(bucket)

            def floor(number: int, arguments: Sequence[int] = arguments) -> None:
                for _ in range(number):
                    client.evalsha(digest, 1, f"minimal:{arguments[0]}", *arguments)

            limiter = Limiter(CONFIG, store=RedisStore(url))
            ours = admitting(limiter, bucket)
            lines.append(compare(f"Redis, {bucket}", EVALSHA, floor, ours, 2_000, rounds, "us"))
            limiter.close()
    return lines


def in_a_loop(url: str, rounds: int) -> list[Line]:
    with asyncio.Runner() as runner:
        limiter = Limiter(CONFIG, store=RedisStore(url))
        # The default pool raises for the hundred and first task; this one waits, as ours does.
        pool = redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=50, timeout=20)
        client = redis.asyncio.Redis(connection_pool=pool)
        arguments = minimal_arguments("allowed")

        async def load() -> str:
            return str(await client.script_load(MINIMAL))

        digest = runner.run(load())
        lines = []
        for tasks in (1, TASKS):
            floor = tasks_of(runner, lambda: client.evalsha(digest, 1, "minimal:loop", *arguments), tasks)
            ours = tasks_of(runner, lambda: limiter.aadmit(HOT, "allowed"), tasks)
            name = f"Redis, allowed, asyncio, {tasks} task{'s' * (tasks > 1)}"
            lines.append(compare(name, EVALSHA, floor, ours, 4_096, rounds, "us"))
        runner.run(client.aclose())
        runner.run(pool.aclose())
        runner.run(limiter.aclose())
    return lines


def admitting(limiter: Limiter, bucket: str, headers: bool = False) -> Work:
    """Admissions of one identity, each decision looked at."""
    limiter.admit(HOT, bucket)
    expected = bucket == "allowed"

    def work(number: int) -> None:
        for _ in range(number):
            admission = limiter.admit(HOT, bucket)
            assert admission.decision.allowed is expected
            assert not admission.decision.degraded
            if headers:
                limiter.headers(admission)

    return work


def tasks_of(runner: asyncio.Runner, call: Callable[[], Awaitable[object]], tasks: int) -> Work:
    """So many tasks that share the number of calls, each with one call after another."""

    async def task(left: "count[int]", number: int) -> None:
        while next(left) < number:
            await call()

    async def all_of_them(number: int) -> None:
        left = count()
        await asyncio.gather(*[task(left, number) for _ in range(tasks)])

    return lambda number: runner.run(all_of_them(number))


def minimal_arguments(bucket: str) -> tuple[int, int]:
    quota = CONFIG.policy(bucket).bucket.quotas[0]
    return quota.tolerance_us, quota.interval_us
