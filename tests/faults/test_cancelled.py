"""Tasks are cancelled at every point of an admission: no slot stays taken, and the others are served."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from ratelimit_core import Limiter
from tests.faults.limiters import ALICE, back, limiter_on
from tests.servers import RedisServer, ServerUnderTest

PATIENCE_US = 20_000_000
POOL = 4


async def serves_everybody(limiter: Limiter) -> None:
    admissions = await asyncio.gather(*[limiter.aadmit(ALICE, "busy") for _ in range(10 * POOL)])
    assert not any(admission.decision.degraded for admission in admissions)


def free_slots(limiter: Limiter) -> int:
    turns = limiter.store._loops[asyncio.get_running_loop()].turns  # type: ignore[attr-defined]
    return len(turns._idle) + POOL - len(turns._made)


@pytest.mark.parametrize("seed", range(5))
async def test_hundreds_in_flight_and_waiting_are_cancelled(redis_server: ServerUnderTest, seed: int) -> None:
    draw = Random(seed)
    limiter = limiter_on(redis_server.url, deadline_us=PATIENCE_US, pool_size=POOL)
    await serves_everybody(limiter)
    tasks = [asyncio.create_task(limiter.aadmit(ALICE, "busy")) for _ in range(300)]
    while not all(task.done() for task in tasks):
        for task in draw.sample(tasks, 10):
            task.cancel()
            if draw.random() < 0.3:
                task.cancel()
        for _ in range(draw.randrange(4)):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(task.cancelled() for task in tasks) > 100
    assert free_slots(limiter) == POOL
    await serves_everybody(limiter)
    await limiter.aclose()


@pytest.mark.parametrize("rounds", range(12))
async def test_one_is_cancelled_twice_at_each_step(redis_server: ServerUnderTest, rounds: int) -> None:
    limiter = limiter_on(redis_server.url, deadline_us=PATIENCE_US, pool_size=POOL)
    task = asyncio.create_task(limiter.aadmit(ALICE, "busy"))
    for _ in range(rounds):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await serves_everybody(limiter)
    assert free_slots(limiter) == POOL
    await limiter.aclose()


async def test_those_who_wait_for_a_frozen_server_are_cancelled(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    limiter = limiter_on(server.url, deadline_us=PATIENCE_US, pool_size=POOL)
    await serves_everybody(limiter)
    server.freeze()
    tasks = [asyncio.create_task(limiter.aadmit(ALICE, "busy")) for _ in range(200)]
    await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done)
    assert free_slots(limiter) == POOL
    server.thaw()
    await serves_everybody(limiter)
    await limiter.aclose()


async def test_a_cancelled_probe_leaves_the_breaker_to_the_next_one(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    limiter = limiter_on(server.url, pool_size=POOL)
    server.freeze()
    for _ in range(3):
        assert (await limiter.aadmit(ALICE, "busy")).decision.degraded
    await asyncio.sleep(1.05)
    probe = asyncio.create_task(limiter.aadmit(ALICE, "busy"))
    await asyncio.sleep(0.01)
    assert not probe.done()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    server.thaw()
    back(lambda bucket: limiter.admit(ALICE, bucket))
    await limiter.aclose()
