"""Run as a process: forks with live connections of both faces, and with every lock held by another thread."""

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from ratelimit_core import Limiter
from tests.faults.limiters import ALICE, limiter_on


def admit(limiter: Limiter) -> bool:
    return not limiter.admit(ALICE, "busy").decision.degraded


async def several(limiter: Limiter) -> bool:
    admissions = await asyncio.gather(*[limiter.aadmit(ALICE, "busy") for _ in range(5)])
    return not any(admission.decision.degraded for admission in admissions)


def child(limiter: Limiter) -> int:
    fine = admit(limiter) and asyncio.run(several(limiter)) and admit(limiter)
    limiter.close()
    return 0 if fine else 1


async def parent(limiter: Limiter) -> int:
    fine = await several(limiter) and admit(limiter)
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            # A new thread: a child of an event loop may not run another one on the same thread.
            with ThreadPoolExecutor(1) as pool:
                os._exit(pool.submit(child, limiter).result(30))
        status = await asyncio.to_thread(os.waitpid, pid, 0)
        fine = fine and os.waitstatus_to_exitcode(status[1]) == 0
        fine = fine and await several(limiter) and admit(limiter)
    assert limiter.store.describe()["errors"] == {}, limiter.store.describe()
    await limiter.aclose()
    return 0 if fine else 1


def while_locks_are_held(limiter: Limiter) -> int:
    """Another thread holds the pool's lock and the breaker's at the moment of the fork."""
    store = limiter.store
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with store._turns._changed, store._breaker._lock:  # type: ignore[attr-defined]
            held.set()
            go_on.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        sys.exit(child(limiter))
    go_on.set()
    holder.join()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if admit(limiter) else 3


if __name__ == "__main__":
    one = limiter_on(sys.argv[1], deadline_us=20_000_000)
    sys.exit(asyncio.run(parent(one)) or while_locks_are_held(one))
