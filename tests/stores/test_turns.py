"""Turns on a bounded number of things: in order, never lost, never waited for in vain."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from ratelimit_core import StoreError
from ratelimit_core.breaker import Breaker
from ratelimit_core.stores.turns import Deadline, LoopTurns, Turns
from tests.polling import until

LONG_US = 60_000_000
SHORT_US = 20_000


def numbered() -> Callable[[], int]:
    return count().__next__


def turns(size: int, turn_us: int = LONG_US, breaker: Breaker | None = None) -> Turns[int]:
    return Turns(size, numbered(), breaker or Breaker(), turn_us)


def loop_turns(size: int, turn_us: int = LONG_US, breaker: Breaker | None = None) -> LoopTurns[int]:
    return LoopTurns(size, numbered(), breaker or Breaker(), turn_us)


def block_the_loop(seconds: float) -> None:
    """What a handler does that computes for long."""
    end_s = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end_s, "a busy handler")


async def a_round() -> None:
    """Let the loop go round once."""
    loop = asyncio.get_running_loop()
    turned = asyncio.Event()
    loop.call_soon(turned.set)
    await turned.wait()


def waiters(turns: Turns[int]) -> int:
    """How many threads wait for a turn."""
    return len(turns._changed._waiters)  # type: ignore[attr-defined]  # threading tells nobody


async def waiting(turns: LoopTurns[int], number: int) -> list["asyncio.Task[int]"]:
    """So many tasks that wait for a turn."""
    tasks = [asyncio.create_task(turns.take()) for _ in range(number)]
    while len(turns._waiting) < number:
        await a_round()
    return tasks


def test_things_are_made_when_needed_and_used_again() -> None:
    two = turns(2)
    first, second = two.take(), two.take()
    two.give(first, answered=True)
    assert (first, second, two.take()) == (0, 1, 0)


def test_what_is_idle_can_be_gone_through_and_what_is_in_use_is_left_alone() -> None:
    two = turns(2)
    first, _ = two.take(), two.take()
    two.give(first, answered=True)
    seen: list[int] = []
    two.each_idle(seen.append)
    assert seen == [first]
    assert two.take() == first


def test_a_thread_waits_until_a_turn_ends() -> None:
    one = turns(1)
    mine = one.take()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(one.take)
        until(lambda: waiters(one) == 1, "the thread to wait")
        assert not other.done()
        one.give(mine, answered=True)
        assert other.result(20) == mine


def test_a_thread_gives_up_when_nothing_is_answered() -> None:
    one = turns(1, SHORT_US)
    one.take()
    with pytest.raises(StoreError, match="busy") as raised:
        one.take()
    assert raised.value.kind == "busy"


def test_a_thread_does_not_begin_to_wait_while_the_breaker_is_open() -> None:
    breaker = Breaker(threshold=1)
    one = turns(1, breaker=breaker)
    one.take()
    breaker.failed()
    with pytest.raises(StoreError, match="breaker_open"):
        one.take()


def test_every_waiting_thread_is_told_when_the_breaker_opens() -> None:
    breaker = Breaker(threshold=1)
    one = turns(1, breaker=breaker)
    one.take()
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(one.take) for _ in range(4)]
        until(lambda: waiters(one) == 4, "four threads to wait")
        breaker.failed()
        kinds = [str(other.exception(20)).partition(":")[0] for other in others]
    assert kinds == ["breaker_open"] * 4


def test_many_threads_on_few_things_hold_each_alone() -> None:
    few = turns(3)
    for thing in [few.take() for _ in range(3)]:
        few.give(thing, answered=False)
    held: set[int] = set()
    seen: set[int] = set()
    lock = threading.Lock()

    def work() -> None:
        for _ in range(200):
            thing = few.take()
            with lock:
                seen.add(thing)
                assert thing not in held
                held.add(thing)
            with lock:
                held.remove(thing)
            few.give(thing, answered=True)

    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(work) for _ in range(12)]:
            done.result(60)
    assert seen <= {0, 1, 2}


async def test_tasks_get_their_turns_in_the_order_of_asking() -> None:
    one = loop_turns(1)
    thing = await one.take()
    tasks = await waiting(one, 5)
    served = []
    for task in tasks:
        one.give(thing, answered=True)
        served.append(await task)
        assert sum(one.done() for one in tasks) == len(served)
    one.give(thing, answered=True)
    assert await one.take() == thing
    assert one.all() == [0]


async def test_what_is_idle_can_be_taken_at_once_and_given_back() -> None:
    two = loop_turns(2)
    first, second = await two.take(), await two.take()
    two.give(first, answered=True)
    assert two.take_idle() == [first]
    (task,) = await waiting(two, 1)
    two.give(first, answered=False)
    assert await task == first
    assert two.all() == [first, second]


async def test_no_turn_is_begun_once_the_breaker_is_open() -> None:
    breaker = Breaker(threshold=1)
    one = loop_turns(1, breaker=breaker)
    thing = await one.take()
    (task,) = await waiting(one, 1)
    breaker.failed()
    one.give(thing, answered=False)
    with pytest.raises(StoreError, match="breaker_open"):
        await task
    assert await one.take() == thing, "for the probe"


def test_no_threads_turn_is_begun_once_the_breaker_is_open() -> None:
    breaker = Breaker(threshold=1)
    one = turns(1, breaker=breaker)
    thing = one.take()
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(one.take)
        until(lambda: waiters(one) == 1, "the thread to wait")
        with one._changed:  # so that it wakes up to an idle thing and an open breaker
            breaker.failed()
            one.give(thing, answered=False)
        assert str(other.exception(20)).startswith("breaker_open")
    assert one.take() == thing, "for the probe"


async def test_a_task_gives_up_when_nothing_is_answered() -> None:
    one = loop_turns(1, SHORT_US)
    await one.take()
    with pytest.raises(StoreError, match="busy"):
        await one.take()


async def test_a_task_does_not_give_up_while_others_are_answered() -> None:
    two = loop_turns(2, SHORT_US)
    thing, _ = await two.take(), await two.take()
    (task,) = await waiting(two, 1)
    end_s = time.monotonic() + 10 * SHORT_US / 1e6
    while time.monotonic() < end_s:
        two._answered_s = two._loop.time()  # as if another task were answered and went on
        await a_round()
    assert not task.done()
    two.give(thing, answered=True)
    assert await task == thing


async def test_a_task_does_not_blame_the_store_for_a_loop_that_was_busy() -> None:
    one = loop_turns(1, SHORT_US)
    thing = await one.take()
    (task,) = await waiting(one, 1)
    block_the_loop(3 * SHORT_US / 1e6)
    await a_round()  # the reply is read in this one, and its task runs in the next
    await a_round()
    assert not task.done()
    one.give(thing, answered=True)
    assert await task == thing


async def test_every_waiting_task_is_told_when_the_breaker_opens() -> None:
    breaker = Breaker(threshold=1)
    one = loop_turns(1, breaker=breaker)
    await one.take()
    tasks = await waiting(one, 3)
    breaker.on_open(one.wake_all)
    await asyncio.get_running_loop().run_in_executor(None, breaker.failed)
    for task in tasks:
        with pytest.raises(StoreError, match="breaker_open"):
            await task
    with pytest.raises(StoreError, match="breaker_open"):
        await one.take()


async def test_a_cancelled_wait_takes_nothing() -> None:
    one = loop_turns(1)
    thing = await one.take()
    gone, stays, late = await waiting(one, 3)
    gone.cancel()
    one.give(thing, answered=True)
    assert await stays == thing
    one.give(thing, answered=True)  # the turn is late's already when it is cancelled
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert await one.take() == thing


async def test_who_was_cancelled_is_passed_over_when_the_others_give_up() -> None:
    one = loop_turns(1, SHORT_US)
    await one.take()
    gone, told = await waiting(one, 2)
    gone.cancel()
    with pytest.raises(StoreError, match="busy"):
        await told
    assert gone.cancelled()


async def test_a_wait_that_is_cancelled_as_the_breaker_opens_ends_quietly() -> None:
    breaker = Breaker(threshold=1)
    one = loop_turns(1, breaker=breaker)
    breaker.on_open(one.wake_all)
    await one.take()
    gone, told = await waiting(one, 2)
    gone.cancel()
    breaker.failed()
    one._give_up()
    with pytest.raises(asyncio.CancelledError):
        await gone
    with pytest.raises(StoreError):
        await told


def test_a_loop_that_has_ended_needs_no_waking() -> None:
    async def make() -> LoopTurns[int]:
        return loop_turns(1)

    asyncio.run(make()).wake_all()


async def test_a_deadline_ends_what_takes_too_long() -> None:
    with pytest.raises(TimeoutError):
        async with Deadline(0.02):
            await asyncio.Event().wait()


async def test_a_deadline_lets_pass_what_is_in_time() -> None:
    async with Deadline(60):
        await a_round()


async def test_a_deadline_does_not_blame_the_store_for_a_loop_that_was_busy() -> None:
    answered = asyncio.Event()
    async with Deadline(0.02):
        block_the_loop(0.06)
        asyncio.get_running_loop().call_later(0, answered.set)
        await answered.wait()


async def test_a_loop_that_is_always_late_does_not_put_a_deadline_off_for_ever() -> None:
    async def never_in_time() -> None:
        async with Deadline(0.02):
            while True:
                block_the_loop(0.02)
                await a_round()

    with pytest.raises(TimeoutError):
        await never_in_time()


async def test_a_deadline_does_not_hide_what_was_raised() -> None:
    with pytest.raises(LookupError):
        async with Deadline(60):
            raise LookupError
