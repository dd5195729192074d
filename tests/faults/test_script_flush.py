"""A server that is told to forget its scripts every two milliseconds admits all the same."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from ratelimit_core import Limiter
from tests.faults.limiters import ALICE, CONFIG, limiter_on
from tests.servers import ServerUnderTest

ADMISSIONS = 20_000

# It is counted, not timed: threads that wait for a processor are no fault of the store.
PATIENCE_US = 20_000_000


@contextmanager
def flushing(server: ServerUnderTest) -> Iterator[None]:
    ended = threading.Event()

    def flush() -> None:
        with server.client() as client:
            while not ended.wait(0.002):
                client.script_flush()

    thread = threading.Thread(target=flush)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def judge(server: ServerUnderTest, limiter: Limiter) -> None:
    counts = server.commandstats()
    assert counts["evalsha"] >= ADMISSIONS
    assert counts["eval"] > 50, "the scripts were forgotten again and again"
    assert limiter.store.describe()["errors"] == {}
    left = limiter.peek(ALICE, "busy", cost=0).remaining
    assert left == CONFIG.policy("busy").bucket.quotas[0].burst - ADMISSIONS, "each was charged once"


def test_twenty_thousand_admissions_by_threads(redis_server: ServerUnderTest) -> None:
    limiter = limiter_on(redis_server.url, deadline_us=PATIENCE_US)

    def work(number: int) -> int:
        return sum(limiter.admit(ALICE, "busy").decision.degraded for _ in range(number))

    with flushing(redis_server), ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, [ADMISSIONS // 4] * 4)) == 0
    judge(redis_server, limiter)
    limiter.close()


async def test_twenty_thousand_admissions_by_tasks(redis_server: ServerUnderTest) -> None:
    limiter = limiter_on(redis_server.url, deadline_us=PATIENCE_US)

    async def work(number: int) -> int:
        return sum([(await limiter.aadmit(ALICE, "busy")).decision.degraded for _ in range(number)])

    with flushing(redis_server):
        assert sum(await asyncio.gather(*[work(ADMISSIONS // 50) for _ in range(50)])) == 0
    judge(redis_server, limiter)
    await limiter.aclose()
