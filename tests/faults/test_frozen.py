"""The server is frozen: connections stand, nothing is answered. A request waits two deadlines at most."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from ratelimit_core import Admission, Limiter
from tests.faults.limiters import (
    ALICE,
    DEADLINE_S,
    PATIENT_DEADLINE_S,
    SLACK,
    back,
    both_faces,
    errors,
    limiter_on,
    limits,
)
from tests.servers import RedisServer

PrivateRedis = Callable[[], RedisServer]
Waited = tuple[Admission, float]
BOUNDS = {"plain": 2 * DEADLINE_S * SLACK, "closed": 2 * PATIENT_DEADLINE_S * SLACK}


def threads(limiter: Limiter, bucket: str, number: int) -> list[Waited]:
    """So many threads that begin together, each with one admission."""
    start = threading.Barrier(number)

    def work() -> Waited:
        start.wait(20)
        since_s = time.monotonic()
        return limiter.admit(ALICE, bucket), time.monotonic() - since_s

    with ThreadPoolExecutor(number) as pool:
        return [future.result() for future in [pool.submit(work) for _ in range(number)]]


def tasks(limiter: Limiter, bucket: str, number: int) -> list[Waited]:
    async def work() -> Waited:
        since_s = time.monotonic()
        return await limiter.aadmit(ALICE, bucket), time.monotonic() - since_s

    async def all_of_them() -> list[Waited]:
        return await asyncio.gather(*[work() for _ in range(number)])

    return asyncio.run(all_of_them())


def judge(limiter: Limiter, waited: list[Waited], bucket: str, pool: int) -> None:
    assert all(admission.decision.degraded for admission, _ in waited)
    assert max(seconds for _, seconds in waited) < BOUNDS[bucket]
    # The connections' first calls, and those that took the turns of the first two to fail: then the breaker is open.
    assert 3 <= errors(limiter) <= pool + 2


@pytest.mark.parametrize("crowd", [threads, tasks])
@pytest.mark.parametrize("bucket", ["plain", "closed"])
@pytest.mark.parametrize("connected", [True, False])
def test_sixteen_on_four_connections_wait_two_deadlines_at_most(
    private_redis: PrivateRedis, crowd: Callable[[Limiter, str, int], list[Waited]], bucket: str, connected: bool
) -> None:
    server = private_redis()
    limiter = limiter_on(server.url, pool_size=4)
    if connected:
        healthy = crowd(limiter, bucket, 16)
        assert not any(admission.decision.degraded for admission, _ in healthy)
        assert sum(admission.allowed for admission, _ in healthy) == 5
    server.freeze()
    judge(limiter, crowd(limiter, bucket, 16), bucket, pool=4)
    after = crowd(limiter, bucket, 16)
    assert max(seconds for _, seconds in after) < BOUNDS[bucket]
    server.thaw()
    back(lambda bucket: limiter.admit(ALICE, bucket))
    limiter.close()


def test_one_connection_is_enough_to_open_the_breaker(private_redis: PrivateRedis) -> None:
    server = private_redis()
    limiter = limiter_on(server.url, pool_size=1)
    server.freeze()
    waited = threads(limiter, "plain", 8)
    assert all(admission.decision.degraded for admission, _ in waited)
    assert max(seconds for _, seconds in waited) < BOUNDS["plain"]
    assert errors(limiter) == 1
    limiter.close()


@pytest.mark.parametrize("face", ["sync", "async"])
def test_one_after_the_other_wait_one_deadline_each_until_the_breaker_opens(
    private_redis: PrivateRedis, face: str
) -> None:
    server = private_redis()
    limiter = limiter_on(server.url)
    with both_faces(limiter) as admits:
        admit = admits[face]
        limits(admit)
        server.freeze()
        for call in range(3):
            since_s = time.monotonic()
            assert admit("plain").decision.degraded
            assert DEADLINE_S * 0.9 < time.monotonic() - since_s < DEADLINE_S * SLACK
            assert errors(limiter) == call + 1
        for _ in range(100):
            assert admit("plain").decision.degraded
        assert errors(limiter) == 3
        server.thaw()
        back(admit)
