"""One store, many event loops: Django's sync handler runs one for each request. None sees another's connections."""

import asyncio
import gc
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync

from ratelimit_core import Limiter
from tests.faults.limiters import ALICE, limiter_on
from tests.polling import until
from tests.servers import ServerUnderTest

PATIENCE_US = 20_000_000


@pytest.fixture
def limiter(redis_server: ServerUnderTest) -> Iterator[Limiter]:
    """A limiter whose server has nobody else's connections at the end, and whose sockets were all closed."""
    gc.collect()  # what other tests left behind is not ours
    limiter = limiter_on(redis_server.url, deadline_us=PATIENCE_US)
    before = connections(redis_server)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        yield limiter
        limiter.close()
        gc.collect()
    assert [str(one.message) for one in caught if issubclass(one.category, ResourceWarning)] == []
    until(lambda: connections(redis_server) <= before, "every connection to be closed")
    assert limiter.store.describe()["errors"] == {}


def connections(server: ServerUnderTest) -> int:
    with server.client() as client:
        return int(client.info("clients")["connected_clients"])


def drop(loop: asyncio.AbstractEventLoop, limiter: Limiter) -> None:
    assert loop.run_until_complete(several(limiter)) == 5
    loop.close()


async def several(limiter: Limiter, number: int = 5) -> int:
    admissions = await asyncio.gather(*[limiter.aadmit(ALICE, "busy") for _ in range(number)])
    return sum(not admission.decision.degraded for admission in admissions)


def test_one_loop_after_another(limiter: Limiter, redis_server: ServerUnderTest) -> None:
    before = connections(redis_server)
    for _ in range(20):
        assert asyncio.run(several(limiter)) == 5
        until(lambda: connections(redis_server) <= before, "the loop's connections to be closed at its end")


def test_one_loop_for_each_request_as_under_djangos_sync_handler(limiter: Limiter) -> None:
    for _ in range(20):
        assert async_to_sync(several)(limiter) == 5


def test_many_loops_at_once(limiter: Limiter) -> None:
    def work(_: int) -> int:
        return sum(asyncio.run(several(limiter)) for _ in range(10))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [50] * 8


def test_loops_and_threads_at_once(limiter: Limiter) -> None:
    def loops(_: int) -> int:
        return sum(asyncio.run(several(limiter)) for _ in range(10))

    def plain(_: int) -> int:
        return sum(not limiter.admit(ALICE, "busy").decision.degraded for _ in range(50))

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(one, 0) for one in (loops, plain) * 4]
        assert [one.result() for one in work] == [50] * 8


def test_a_store_that_was_closed_opens_again(limiter: Limiter) -> None:
    async def twice() -> int:
        found = await several(limiter)
        await limiter.aclose()
        found += await several(limiter)
        await limiter.aclose()
        await limiter.aclose()
        return found

    assert asyncio.run(twice()) == 10
    for _ in range(2):
        assert not limiter.admit(ALICE, "busy").decision.degraded
        limiter.close()


def test_closing_while_others_admit_disturbs_nobody(limiter: Limiter) -> None:
    def work(_: int) -> int:
        return sum(not limiter.admit(ALICE, "busy").decision.degraded for _ in range(500))

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(work, 0) for _ in range(4)]
        while not all(one.done() for one in working):
            limiter.close()
        assert [one.result() for one in working] == [500] * 4


async def test_closing_while_tasks_admit_disturbs_nobody(limiter: Limiter) -> None:
    tasks = [asyncio.create_task(several(limiter)) for _ in range(100)]
    while not all(task.done() for task in tasks):
        await limiter.aclose()
        await asyncio.sleep(0.001)
    assert [task.result() for task in tasks] == [5] * 100
    await limiter.aclose()


def test_a_loop_that_was_dropped_without_an_end_disturbs_nobody(redis_server: ServerUnderTest) -> None:
    limiter = limiter_on(redis_server.url, deadline_us=PATIENCE_US)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the loop's owner left its connections open
        for _ in range(3):
            drop(asyncio.new_event_loop(), limiter)
        assert asyncio.run(several(limiter)) == 5
        assert len(limiter.store._loops) == 0  # type: ignore[attr-defined]  # nothing is kept of any
        gc.collect()
