"""Crowds on one key: threads, processes, ten thousand tasks. What passes is what may pass, and nobody sees an error."""

import asyncio
import multiprocessing
import threading

import pytest

from ratelimit_core import Admission, Bucket, Config, Identity, Limiter
from ratelimit_core.drive import Store
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from tests.servers import ServerUnderTest
from tests.stores import crowd
from tests.stores.crowd import Tally

PROCESSES = 8
TASKS = 10_000
ALICE = Identity.user("alice")
ONE_A_DAY = Config(buckets=[Bucket("plain", quota="1/d:100"), Bucket("closed", quota="1/d:100", store_down="closed")])  # type: ignore[arg-type]  # read as its enum


def test_threads_of_one_process_pass_the_burst_and_what_time_earned() -> None:
    crowd.hammer(MemoryStore(), 3_000, threading.Barrier(crowd.THREADS)).judge()


def test_threads_of_one_process_on_a_server_do_too(redis_server: ServerUnderTest) -> None:
    store = RedisStore(redis_server.url, deadline_us=crowd.PATIENCE_US)
    crowd.hammer(store, 100, threading.Barrier(crowd.THREADS)).judge()
    assert store.describe()["errors"] == {}


def test_eight_processes_of_eight_threads_pass_the_burst_and_what_time_earned(redis_server: ServerUnderTest) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(PROCESSES * crowd.THREADS)
    results = context.Queue()
    processes = [
        context.Process(target=crowd.process, args=(redis_server.url, 60, start, results)) for _ in range(PROCESSES)
    ]
    with redis_server.client() as client:
        before = client.time()
        for one in processes:
            one.start()
        tally = sum((results.get(timeout=100) for _ in processes), Tally((), (), 0))
        after = client.time()
    for one in processes:
        one.join(20)
    assert [one.exitcode for one in processes] == [0] * PROCESSES
    assert len(tally.admitted) + len(tally.refused) == PROCESSES * crowd.THREADS * 60
    tally.judge()
    assert before[0] * 1_000_000 + before[1] <= min(tally.admitted)
    assert max(tally.refused) <= after[0] * 1_000_000 + after[1]


async def at_once(store: Store, bucket: str, number: int = TASKS) -> list[Admission]:
    limiter = Limiter(ONE_A_DAY, store=store)
    try:
        return await asyncio.gather(*[limiter.aadmit(ALICE, bucket) for _ in range(number)])
    finally:
        await limiter.aclose()


def judge(admissions: list[Admission]) -> None:
    assert not any(admission.decision.degraded for admission in admissions)
    assert sum(admission.allowed for admission in admissions) == 100
    assert [admission.allowed for admission in admissions[:100]] == [True] * 100, "who asked first was served first"


async def test_ten_thousand_at_once_in_one_loop_are_all_decided_in_memory() -> None:
    judge(await at_once(MemoryStore(), "plain"))


@pytest.mark.parametrize("bucket", ["plain", "closed"])
async def test_ten_thousand_at_once_in_one_loop_are_all_decided_by_a_server(
    redis_server: ServerUnderTest, bucket: str
) -> None:
    store = RedisStore(redis_server.url, deadline_us=crowd.PATIENCE_US, patient_deadline_us=crowd.PATIENCE_US)
    admissions = await at_once(store, bucket)
    assert store.describe()["errors"] == {}
    assert len(admissions) == TASKS
    assert not any(admission.decision.degraded for admission in admissions)
    assert sum(admission.allowed for admission in admissions) == 100


async def test_a_short_patience_for_turns_is_enough_while_the_server_answers(redis_server: ServerUnderTest) -> None:
    store = RedisStore(redis_server.url, deadline_us=crowd.PATIENCE_US, pool_size=4, turn_us=50_000)
    admissions = await at_once(store, "plain", 5_000)
    assert store.describe()["errors"] == {}
    assert sum(admission.allowed for admission in admissions) == 100
