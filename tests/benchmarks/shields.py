"""A shielded admission and its settling, beside two plain admissions of the same run: in memory and on Redis."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from pathlib import Path

from ratelimit_core import Bucket, Config, Identity, Limiter, Quota
from ratelimit_core.answers import Result
from ratelimit_core.buckets import Idempotency, StoreDown
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from tests.benchmarks.measure import Line, Work, compare
from tests.servers import RedisServer

PAYER = Identity.user("42")
PLENTY = Quota(rate=1_000_000, period_us=1_000_000, burst=1 << 40)
CONFIG = Config(
    buckets=[
        Bucket("plain", quota=PLENTY),
        Bucket(
            "shielded",
            quota=PLENTY,
            concurrency=1,
            idempotency=Idempotency.REQUIRED,
            replay_quota=PLENTY,
            store_down=StoreDown.CLOSED,
        ),
    ],
)
PAID = Result(201, (("Content-Type", "application/json"),), b'{"status": "paid", "amount": "12.50"}')
FLOOR = "two plain admissions"
_UNCOUNTED: Mapping[str, str] = {}


def run(rounds: int) -> list[Line]:
    """Every line; starts a server of its own."""
    # every payment leaves a record in memory, for a day: room for all of them
    lines = pairs("memory", works(Limiter(CONFIG, MemoryStore(max_shields=10_000_000))), 5_000, rounds, "ns")
    with tempfile.TemporaryDirectory() as place, RedisServer(Path(place)) as server:
        limiter = Limiter(CONFIG, RedisStore(server.url))
        ours = works(limiter)
        costs = {name: f" ({commands(server, work)})" for name, work in ours.items()}
        lines += pairs("Redis", ours, 1_000, rounds, "us", costs)
        limiter.close()
        lines += in_a_loop(server.url, rounds)
    return lines


def works(limiter: Limiter) -> dict[str, Work]:
    """What is measured, by name; the floor last."""
    return {"admit and settle": paying(limiter), "replay": replaying(limiter), FLOOR: plain(limiter)}


def pairs(
    where: str, found: dict[str, Work], number: int, rounds: int, unit: str, costs: Mapping[str, str] = _UNCOUNTED
) -> list[Line]:
    *ours, (_, floor) = found.items()
    floor_name = FLOOR + costs.get(FLOOR, "")
    names = {name: f"{where}, shielded {name}{costs.get(name, '')}" for name in found}
    return [compare(names[name], floor_name, floor, work, number, rounds, unit) for name, work in ours]


def commands(server: RedisServer, work: Work) -> str:
    """How many commands one operation sends, once the server knows the scripts."""
    work(1)
    with server.monitor() as seen:
        work(1)
    return f"{len(seen.commands)} command{'s' * (len(seen.commands) > 1)}"


def paying(limiter: Limiter) -> Work:
    """A payment under a fresh key each time, admitted and settled with its answer."""
    fresh = count()

    def work(number: int) -> None:
        for _ in range(number):
            key = f"payment-{next(fresh)}"
            admission = limiter.admit(PAYER, "shielded", idempotency_key=key, fingerprint=key, route="/pay")
            assert admission.allowed
            assert limiter.settle(admission, PAID)

    return work


def replaying(limiter: Limiter) -> Work:
    """The answer of a payment that was made before."""
    admission = limiter.admit(PAYER, "shielded", idempotency_key="first", fingerprint="first", route="/pay")
    limiter.settle(admission, PAID)

    def work(number: int) -> None:
        for _ in range(number):
            again = limiter.admit(PAYER, "shielded", idempotency_key="first", fingerprint="first", route="/pay")
            assert again.replayed
            limiter.settle(again, PAID)

    return work


def plain(limiter: Limiter) -> Work:
    """The floor: as many round trips, with nothing to hold."""

    def work(number: int) -> None:
        for _ in range(2 * number):
            assert limiter.admit(PAYER, "plain", route="/pay").allowed

    return work


def in_a_loop(url: str, rounds: int) -> list[Line]:
    limiter = Limiter(CONFIG, RedisStore(url))
    fresh = count()

    async def pay() -> None:
        key = f"awaited-{next(fresh)}"
        admission = await limiter.aadmit(PAYER, "shielded", idempotency_key=key, fingerprint=key, route="/pay")
        assert admission.allowed
        assert await limiter.asettle(admission, PAID)

    async def twice() -> None:
        for _ in range(2):
            assert (await limiter.aadmit(PAYER, "plain", route="/pay")).allowed

    with asyncio.Runner() as runner:
        floor, ours = (repeated(runner, one) for one in (twice, pay))
        line = compare("Redis, shielded admit and settle, asyncio", FLOOR, floor, ours, 1_000, rounds, "us")
        runner.run(limiter.aclose())
    return [line]


def repeated(runner: asyncio.Runner, one: Callable[[], Awaitable[None]]) -> Work:
    async def work(number: int) -> None:
        for _ in range(number):
            await one()

    return lambda number: runner.run(work(number))
