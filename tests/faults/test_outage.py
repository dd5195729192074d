"""The server is killed: plain buckets go on in this process, closed ones refuse, and all is well soon after."""

import time
from collections.abc import Callable

import pytest

from tests.faults.limiters import back, both_faces, errors, limiter_on, limits, refuses_without_its_store
from tests.processes import free_port
from tests.servers import RedisServer

PrivateRedis = Callable[[], RedisServer]
faces = pytest.mark.parametrize("face", ["sync", "async"])


@faces
def test_without_its_server_a_plain_bucket_limits_in_this_process_and_a_closed_one_refuses(
    private_redis: PrivateRedis, face: str
) -> None:
    server = private_redis()
    limiter = limiter_on(server.url)
    with both_faces(limiter) as admits:
        admit = admits[face]
        limits(admit)
        limits(admit, "closed")
        server.kill()
        limits(admit, degraded=True)
        refuses_without_its_store(limiter, admit)
        server.start()
        back(admit)
        limits(admit)
        limits(admit, "closed")


@faces
def test_while_the_breaker_is_open_the_store_is_not_called(private_redis: PrivateRedis, face: str) -> None:
    server = private_redis()
    limiter = limiter_on(server.url)
    with both_faces(limiter) as admits:
        admit = admits[face]
        admit("plain")
        assert errors(limiter) == 0
        server.kill()
        for _ in range(3):
            assert admit("busy").decision.degraded
        assert limiter.store.describe()["breaker"] == "open"
        failed, started_s = errors(limiter), time.monotonic()
        for _ in range(2_000):
            assert admit("busy").decision.degraded
        probes = errors(limiter) - failed
        assert failed == 3
        assert probes <= time.monotonic() - started_s, "one probe a second, and no other call"


@faces
def test_a_process_that_starts_without_its_server_enforces_as_soon_as_it_is_there(
    private_redis: PrivateRedis, face: str
) -> None:
    server = private_redis()
    server.kill()
    limiter = limiter_on(server.url)
    with both_faces(limiter) as admits:
        limits(admits[face], degraded=True)
        refuses_without_its_store(limiter, admits[face])
        server.start()
        back(admits[face])
        limits(admits[face])


@faces
def test_a_restart_that_nobody_noticed_costs_nobody_anything(private_redis: PrivateRedis, face: str) -> None:
    server = private_redis()
    with both_faces(limiter_on(server.url)) as admits:
        limits(admits[face])
        server.restart()
        limits(admits[face])


@faces
def test_an_address_where_nobody_listens_is_an_outage_too(face: str) -> None:
    limiter = limiter_on(f"redis://127.0.0.1:{free_port()}/0")
    with both_faces(limiter) as admits:
        limits(admits[face], degraded=True)
        refuses_without_its_store(limiter, admits[face])


@faces
def test_a_name_that_nobody_has_is_an_outage_too(face: str) -> None:
    limiter = limiter_on("unix:///nowhere/redis.sock")
    with both_faces(limiter) as admits:
        limits(admits[face], degraded=True)
        refuses_without_its_store(limiter, admits[face])
