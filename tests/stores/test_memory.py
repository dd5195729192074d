"""The store in memory: bounded, forgetful in small steps, safe among threads and after a fork."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ratelimit_core import ConfigurationError
from ratelimit_core.commands import Acquire, Charge, Reset
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock
from tests.stores.subjects import START_US

SECOND = 1_000_000
TOLERANCE_US = 100 * SECOND


class CountingStore(MemoryStore):
    """Counts how many filed keys it looks at."""

    looks = 0

    def _look(self, now_us: int, refile: bool, evict: bool = False) -> None:
        self.looks += 1
        super()._look(now_us, refile, evict)


def spend(store: MemoryStore, name: object, seconds: int = 1) -> int:
    """Charge a key so that it is in debt for so many seconds; the room left."""
    reply = store.execute(Acquire((Charge(f"k{name}", TOLERANCE_US, seconds * SECOND),)))
    return int(reply[1])


def count(store: MemoryStore, name: str) -> int:
    return int(str(store.describe()[name]))


def owes(store: MemoryStore, name: object) -> bool:
    return spend(store, name, 0) < TOLERANCE_US


@pytest.mark.parametrize("option", ["max_keys", "max_shields"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "many", None])
def test_a_bound_that_cannot_be_used_is_named(option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} = .* can't be used: a whole number, at least 1"):
        MemoryStore(**{option: value})  # type: ignore[arg-type]  # that is the point


def test_keys_are_forgotten_when_their_debt_is_earned_back() -> None:
    clock = ManualClock(START_US)
    store = MemoryStore(clock)
    for number in range(1_000):
        spend(store, number)
    clock.advance_us(3 * SECOND)
    for number in range(300):
        spend(store, f"new{number}")
    assert count(store, "keys") == 300
    assert count(store, "evicted") == 0


def test_a_key_that_was_charged_again_is_kept_until_its_last_debt_is_earned_back() -> None:
    clock = ManualClock(START_US)
    store = MemoryStore(clock)
    spend(store, "hot")
    for number in range(50):
        clock.advance_us(SECOND)
        spend(store, "hot", 2)
        spend(store, number)
    assert spend(store, "hot", 0) == TOLERANCE_US - 51 * SECOND
    assert count(store, "keys") < 5
    clock.advance_us(60 * SECOND)
    for number in range(5):
        spend(store, f"later{number}")
    assert count(store, "keys") == 5


def test_it_keeps_no_more_keys_than_it_may_and_counts_the_living_it_evicts() -> None:
    store = MemoryStore(ManualClock(START_US), max_keys=10)
    for number in range(25):
        spend(store, number)
        assert count(store, "keys") <= 10
    assert count(store, "keys") == 10
    assert count(store, "evicted") == 15


def test_one_key_is_enough_to_go_on() -> None:
    store = MemoryStore(ManualClock(START_US), max_keys=1)
    assert [spend(store, name) for name in ("a", "b", "b")] == [99 * SECOND, 99 * SECOND, 98 * SECOND]


def test_the_expired_go_before_the_living() -> None:
    clock = ManualClock(START_US)
    store = MemoryStore(clock, max_keys=10)
    for number in range(5):
        spend(store, f"living{number}", 50)
        spend(store, f"dying{number}")
    clock.advance_us(2 * SECOND)
    for number in range(5):
        spend(store, f"new{number}")
    assert count(store, "evicted") == 0
    assert all(owes(store, f"living{number}") for number in range(5))


def test_a_flood_of_strangers_evicts_those_who_owe_least() -> None:
    store = MemoryStore(ManualClock(START_US), max_keys=100)
    for number in range(20):
        spend(store, f"heavy{number}", 1)
        spend(store, f"heavy{number}", 90)
    for number in range(5_000):
        spend(store, f"stranger{number}")
    assert all(owes(store, f"heavy{number}") for number in range(20))
    assert count(store, "evicted") == 5_000 - 80


def test_an_evicted_key_starts_anew_and_nobody_else_does() -> None:
    store = MemoryStore(ManualClock(START_US), max_keys=2)
    spend(store, "least", 1)
    spend(store, "most", 50)
    spend(store, "new", 30)
    assert spend(store, "most", 0) == 50 * SECOND
    assert not owes(store, "least")


def test_when_all_owe_more_than_was_filed_the_search_for_one_to_evict_ends() -> None:
    store = CountingStore(ManualClock(START_US), max_keys=1_000)
    for number in range(1_000):
        spend(store, number, 1)
        spend(store, number, 1 + number % 50)
    store.looks = 0
    spend(store, "new")
    assert store.looks <= 70
    assert count(store, "keys") == 1_000


def test_a_million_living_keys_cost_a_write_no_more_than_a_few_looks() -> None:
    clock = ManualClock(START_US)
    store = CountingStore(clock)
    most = 0
    for number in range(1_000_000):
        clock.advance_us(100)
        before = store.looks
        store.execute(Acquire((Charge(f"k{number}", TOLERANCE_US, TOLERANCE_US - number % 7),)))
        most = max(most, store.looks - before)
    assert count(store, "evicted") == 0
    assert count(store, "keys") >= 1_000_000 - 4, "all of them live still, or have just died"
    clock.advance_us(TOLERANCE_US + 2 * SECOND)
    for number in range(50_000):
        before = store.looks
        spend(store, f"new{number}")
        most = max(most, store.looks - before)
    assert 0 < most <= 4
    assert count(store, "keys") <= 850_000, "every write of a new key forgets four of the dead"


def test_what_was_reset_and_spent_again_is_filed_once() -> None:
    clock = ManualClock(START_US)
    store = MemoryStore(clock)
    for _ in range(1_000):
        spend(store, "one", 5)
        store.execute(Reset(("kone",)))
    spend(store, "one", 5)
    assert sum(map(len, store._filed.values())) < 10


class SharedKey(str):
    """A key that lets other threads run each time it is looked up: between the reading and the writing too."""

    __slots__ = ()

    def __hash__(self) -> int:
        os.sched_yield()
        return super().__hash__()


def test_threads_are_admitted_as_one() -> None:
    store = MemoryStore(ManualClock(START_US))
    barrier = threading.Barrier(8)
    command = Acquire((Charge(SharedKey("shared"), TOLERANCE_US, SECOND),))

    def hammer(number: int) -> int:
        barrier.wait()
        for fresh in range(500):
            spend(store, f"{number}-{fresh}")
        return sum(store.execute(command)[1] >= 0 for _ in range(500))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(hammer, range(8))) == 100
    finally:
        sys.setswitchinterval(interval)
    assert count(store, "keys") == 8 * 500 + 1


async def test_an_event_loop_may_ask_all_at_once() -> None:
    store = MemoryStore(ManualClock(START_US))
    command = Acquire((Charge("k", TOLERANCE_US, SECOND),))
    replies = await asyncio.gather(*[store.aexecute(command) for _ in range(150)])
    assert sum(int(reply[1]) >= 0 for reply in replies) == 100
    await store.aclose()
    store.close()
    assert (await store.aexecute(command))[1] == -SECOND, "closing forgets nothing"


# A process of its own: the test process has threads, of which a fork may know nothing.
FORK = """
import os, sys, threading
from ratelimit_core.commands import Acquire, Charge
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

class StuckClock(ManualClock):
    stuck = False
    def now_us(self):
        if self.stuck:
            inside.set()
            go_on.wait()
        return super().now_us()

inside, go_on = threading.Event(), threading.Event()
clock = StuckClock(1_000_000_000)
store = MemoryStore(clock, max_keys=3)
command = Acquire((Charge("k", 2_000_000, 1_000_000),))
store.execute(command)
clock.stuck = True
holder = threading.Thread(target=store.execute, args=(command,))
holder.start()
inside.wait()
child = os.fork()
if child == 0:
    clock.stuck = False
    rooms = [store.execute(command)[1] for _ in range(2)]
    for number in range(9):
        store.execute(Acquire((Charge(f"k{number}", 2_000_000, 1_000_000),)))
    sys.exit(0 if rooms == [0, -1_000_000] and store.describe()["keys"] == 3 else 1)
clock.stuck = False
go_on.set()
holder.join()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert store.execute(command)[1] == -1_000_000
"""


def test_a_fork_while_another_thread_holds_the_lock_leaves_a_child_that_works() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
