"""Shields under crowds, lost replies, cancellations and lapsed leases: one effect, and nothing is left over."""

import asyncio
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import pytest

from ratelimit_core import Identity, Limiter, Quota, RateLimited, StoreError, Verdict
from ratelimit_core.answers import Result
from ratelimit_core.commands import Command, Outcome, Renew, Reply
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from tests.faults import payments
from tests.faults.payments import (
    PAYMENTS,
    SECOND_US,
    THREADS,
    Recorder,
    asked,
    cashier,
    effects,
    left_over,
    patient_store,
)
from tests.faults.proxy import Proxy
from tests.polling import until
from tests.servers import RedisServer, ServerUnderTest

PROCESSES = 4
TASKS = 500
DUPLICATES = 10
ALICE = Identity.user("alice")
PrivateRedis = Callable[[], RedisServer]


def shuffled() -> list[int]:
    """Every payment ten times, in no order."""
    order = [payment for payment in range(PAYMENTS) for _ in range(DUPLICATES)]
    random.Random(17).shuffle(order)
    return order


# --- crowds


def test_four_processes_of_eight_threads_make_each_of_200_payments_once(redis_server: ServerUnderTest) -> None:
    context = multiprocessing.get_context("spawn")
    start, results, order = context.Barrier(PROCESSES * THREADS), context.Queue(), shuffled()
    crowds = [
        context.Process(target=payments.process, args=(redis_server.url, order[number::PROCESSES], start, results))
        for number in range(PROCESSES)
    ]
    for one in crowds:
        one.start()
    told: Counter[str] = sum((results.get(timeout=100) for _ in crowds), Counter())
    for one in crowds:
        one.join(20)
    assert told == {"paid": PAYMENTS, "replayed": PAYMENTS * (DUPLICATES - 1)}
    assert effects(redis_server) == {str(payment): 1 for payment in range(PAYMENTS)}
    assert left_over(redis_server) == []


def test_threads_of_one_process_make_each_payment_once_in_memory_too() -> None:
    made: list[int] = []
    told = payments.crowd(MemoryStore(), made.append, shuffled(), threading.Barrier(THREADS))
    assert told == {"paid": PAYMENTS, "replayed": PAYMENTS * (DUPLICATES - 1)}
    assert sorted(made) == list(range(PAYMENTS))


async def test_five_hundred_tasks_make_each_of_200_payments_once(redis_server: ServerUnderTest) -> None:
    limiter = cashier(patient_store(redis_server.url))
    made: list[int] = []
    order = shuffled()

    async def task(own: list[int]) -> Counter[str]:
        return Counter([await payments.apay(limiter, made.append, payment) for payment in own])

    told: Counter[str] = sum(await asyncio.gather(*[task(order[at::TASKS]) for at in range(TASKS)]), Counter())
    await limiter.aclose()
    assert told == {"paid": PAYMENTS, "replayed": PAYMENTS * (DUPLICATES - 1)}
    assert sorted(made) == list(range(PAYMENTS))
    assert left_over(redis_server) == []


# --- a block that outlives its lease


class WithoutRenewal(RedisStore):
    """A way to the server on which renewals alone are lost."""

    def execute(self, command: Command, /) -> Reply:
        if isinstance(command, Renew):
            raise StoreError("timeout", "the renewal was lost")
        return super().execute(command)


def verdict(limiter: Limiter, payment: int) -> Verdict:
    """What one of alice's payments is told; what it is given is given back at once."""
    admission = limiter.admit(ALICE, "pay", **asked(payment))
    limiter.settle(admission, Result(released="only asked"))
    return admission.decision.verdict


def test_a_block_that_outlives_its_lease_keeps_it(redis_server: ServerUnderTest) -> None:
    sink = Recorder()
    limiter = cashier(patient_store(redis_server.url), ttl_us=SECOND_US, sinks=[sink])
    other = cashier(patient_store(redis_server.url))
    end_s = time.monotonic() + 2.5
    with limiter.guard(ALICE, "pay", **asked(1)) as block:
        while time.monotonic() < end_s:
            assert verdict(other, 1) is Verdict.IN_PROGRESS
            assert verdict(other, 2) is Verdict.CONCURRENCY_LIMITED
            time.sleep(0.05)
        assert block.still_held()
    assert [(event.outcome, event.lost) for event in sink.settled] == [(Outcome.COMPLETED, False)]
    assert verdict(other, 1) is Verdict.REPLAY
    assert verdict(other, 2) is Verdict.ALLOWED
    assert left_over(redis_server) == []
    limiter.close()
    other.close()


def test_with_renewal_cut_off_a_second_holder_enters_and_the_first_frees_only_itself(
    redis_server: ServerUnderTest,
) -> None:
    sink = Recorder()
    cut_off = cashier(WithoutRenewal(redis_server.url), ttl_us=SECOND_US, sinks=[sink])
    other = cashier(patient_store(redis_server.url))
    first = cut_off.admit(ALICE, "pay", **asked(1))
    assert cut_off.still_held(first)
    assert verdict(other, 2) is Verdict.CONCURRENCY_LIMITED
    until(lambda: not cut_off.still_held(first), "the lease to lapse")
    until(lambda: verdict(other, 1) is Verdict.OUTCOME_UNKNOWN, "the claim to lapse")
    with other.guard(ALICE, "pay", **asked(2)) as second:
        assert second.fence > max(held.fence for held in first.held)
        assert not cut_off.settle(first)
        assert second.still_held()
        assert verdict(other, 3) is Verdict.CONCURRENCY_LIMITED
    assert [event.lost for event in sink.settled] == [True]
    assert cut_off.describe()["counts"] == {"shields_lost": 1}
    assert verdict(other, 3) is Verdict.ALLOWED
    cut_off.close()
    other.close()


def hold(url: str, line: Connection) -> None:
    """Run as a process: hold a payment until told, and say how that went."""
    sink = Recorder()
    limiter = cashier(patient_store(url), ttl_us=SECOND_US, sinks=[sink])
    with limiter.guard(ALICE, "pay", **asked(1)) as block:
        line.send(block.fence)
        line.recv()
        line.send(block.still_held())
    line.send([event.lost for event in sink.settled])
    limiter.close()


def test_a_process_that_was_stopped_learns_that_its_lease_was_lost(redis_server: ServerUnderTest) -> None:
    context = multiprocessing.get_context("spawn")
    line, far = context.Pipe()
    holder = context.Process(target=hold, args=(redis_server.url, far))
    holder.start()
    assert holder.pid is not None
    assert line.poll(60)
    fence = line.recv()
    other = cashier(patient_store(redis_server.url))
    assert verdict(other, 2) is Verdict.CONCURRENCY_LIMITED
    os.kill(holder.pid, signal.SIGSTOP)
    until(lambda: verdict(other, 1) is Verdict.OUTCOME_UNKNOWN, "the stopped process's claim to lapse")
    with other.guard(ALICE, "pay", **asked(2)) as second:
        os.kill(holder.pid, signal.SIGCONT)
        line.send("go on")
        assert line.poll(20)
        assert (line.recv(), second.fence > fence) == (False, True)
        assert line.recv() == [True]
        assert second.still_held()
        assert verdict(other, 3) is Verdict.CONCURRENCY_LIMITED
    holder.join(20)
    assert holder.exitcode == 0
    assert left_over(redis_server) == []
    other.close()


# --- replies that are lost


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_lost_reply_runs_no_block_charges_once_and_leaves_the_key_usable(
    redis_server: ServerUnderTest, proxy: Proxy, face: str
) -> None:
    limiter = cashier(RedisStore(proxy.url), quota=Quota.parse("1/d:10"))
    with asyncio.Runner() as runner:

        def once(payment: int) -> tuple[Verdict, int | None]:
            return runner.run(aenter(limiter, payment)) if face == "async" else enter(limiter, payment)

        assert once(1) == (Verdict.ALLOWED, 9)
        proxy.swallowing = True
        assert once(2)[0] is Verdict.STORE_DOWN
        until(lambda: proxy.swallowed > 0, "the reply to be swallowed")
        proxy.swallowing = False
        until(lambda: left_over(redis_server) == [], "what was taken to be given back", seconds=5)
        until(lambda: once(3)[0] is Verdict.ALLOWED, "the store to be asked again", seconds=10)
        assert once(2) == (Verdict.ALLOWED, 6), "one unit each: the first, the lost, the third and this one"
        assert once(2)[0] is Verdict.REPLAY
    limiter.close()


async def aenter(limiter: Limiter, payment: int) -> tuple[Verdict, int | None]:
    try:
        async with limiter.guard(ALICE, "pay", **asked(payment)) as block:
            return block.decision.verdict, block.decision.remaining
    except RateLimited as refused:
        return refused.decision.verdict, refused.decision.remaining


def enter(limiter: Limiter, payment: int) -> tuple[Verdict, int | None]:
    try:
        with limiter.guard(ALICE, "pay", **asked(payment)) as block:
            return block.decision.verdict, block.decision.remaining
    except RateLimited as refused:
        return refused.decision.verdict, refused.decision.remaining


def test_what_a_frozen_server_took_late_is_given_back_late(private_redis: PrivateRedis) -> None:
    server = private_redis()
    limiter = cashier(RedisStore(server.url))
    assert enter(limiter, 1)[0] is Verdict.ALLOWED
    server.freeze()
    assert enter(limiter, 2)[0] is Verdict.STORE_DOWN
    server.thaw()
    until(lambda: left_over(server) == [], "what was taken to be given back", seconds=5)
    until(lambda: enter(limiter, 2)[0] is Verdict.ALLOWED, "the key to work", seconds=10)
    limiter.close()


def test_what_a_frozen_server_took_from_a_crowd_is_given_back_though_the_breaker_was_open(
    private_redis: PrivateRedis,
) -> None:
    """Ten of twelve keys were in progress for 30 s and in doubt for a day, and no block had ever started."""
    server = private_redis()
    limiter = cashier(RedisStore(server.url))
    assert enter(limiter, 0)[0] is Verdict.ALLOWED
    server.freeze()
    with ThreadPoolExecutor(12) as pool:
        told = pool.map(lambda payment: enter(limiter, payment)[0], range(1, 13))
    assert set(told) == {Verdict.STORE_DOWN}
    server.thaw()
    until(lambda: enter(limiter, 0)[0] is Verdict.REPLAY, "the store to be asked again", seconds=10)
    for payment in range(1, 13):
        until(lambda: enter(limiter, payment)[0] is Verdict.ALLOWED, "the key to work", seconds=10)  # noqa: B023
    assert left_over(server) == []
    limiter.close()


@pytest.mark.parametrize("face", ["sync", "async"])
def test_an_answer_that_the_store_did_not_hear_is_kept_when_it_listens_again(
    private_redis: PrivateRedis, face: str
) -> None:
    """The block ended well while the server was frozen: its key must not be in doubt for a day."""
    server = private_redis()
    limiter = cashier(RedisStore(server.url))
    with asyncio.Runner() as runner:
        if face == "async":
            admission = runner.run(limiter.aadmit(ALICE, "pay", **asked(1)))
        else:
            admission = limiter.admit(ALICE, "pay", **asked(1))
        server.freeze()
        kept = runner.run(limiter.asettle(admission)) if face == "async" else limiter.settle(admission)
        assert (admission.allowed, kept) == (True, False)
        server.thaw()
        until(lambda: left_over(server) == [], "the settlement to be heard", seconds=20)
        assert enter(limiter, 1)[0] is Verdict.REPLAY
        runner.run(limiter.aclose())


# --- tasks that are cancelled


@pytest.mark.parametrize("seed", range(3))
async def test_admissions_cancelled_in_flight_leave_no_lease_and_no_claim(
    redis_server: ServerUnderTest, seed: int
) -> None:
    draw = random.Random(seed)
    limiter = cashier(patient_store(redis_server.url))

    async def one(payment: int) -> None:
        admission = await limiter.aadmit(Identity.user(str(payment)), "pay", **asked(payment))
        await limiter.asettle(admission)

    tasks = [asyncio.create_task(one(payment)) for payment in range(200)]
    while not all(task.done() for task in tasks):
        for task in draw.sample(tasks, 5):
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(task.cancelled() for task in tasks) > 50
    assert left_over(redis_server) == []
    await limiter.aclose()


async def test_a_block_that_is_cancelled_frees_its_lease_and_is_not_run_again(redis_server: ServerUnderTest) -> None:
    limiter = cashier(patient_store(redis_server.url))
    entered = asyncio.Event()

    async def block() -> None:
        async with limiter.guard(ALICE, "pay", **asked(1)):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await entered.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert left_over(redis_server) == []
    assert (await limiter.aadmit(ALICE, "pay", **asked(1))).decision.verdict is Verdict.OUTCOME_UNKNOWN
    await limiter.aclose()
