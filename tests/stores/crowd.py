"""Many threads that hammer one key, in this process or in several; what each decision said is kept."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from typing import Any

from ratelimit_core import Bucket, Config, Identity, Limiter, Quota
from ratelimit_core.drive import Store
from ratelimit_core.stores.redis import RedisStore

THREADS = 8
SECOND_US = 1_000_000
BURST = 50
QUOTA = Quota(rate=60, period_us=SECOND_US, burst=BURST)
CONFIG = Config(buckets=[Bucket("crowded", quota=QUOTA)])
ALICE = Identity.user("alice")

# Sixty-four threads on two cores wait for a processor longer than a deadline of 50 ms; that is no fault of a store,
# and a call that was given up may have been charged. So the deadline is one that no scheduler reaches.
PATIENCE_US = 30_000_000


@dataclass(frozen=True, slots=True)
class Tally:
    """When the store decided, by its own clock, and what."""

    admitted: tuple[int, ...]
    refused: tuple[int, ...]
    degraded: int

    @classmethod
    def of(cls, seen: list[tuple[int, bool, bool]]) -> "Tally":
        return cls(
            tuple(now_us for now_us, allowed, _ in seen if allowed),
            tuple(now_us for now_us, allowed, _ in seen if not allowed),
            sum(degraded for _, _, degraded in seen),
        )

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.admitted + other.admitted, self.refused + other.refused, self.degraded + other.degraded)

    def judge(self) -> None:
        """Exactly the burst and what the elapsed time earned, never more."""
        assert self.degraded == 0
        first_us, last_us = min(self.admitted), max(self.admitted + self.refused)
        assert len(self.admitted) <= BURST + (last_us - first_us) // QUOTA.interval_us
        # At the last refusal nothing was left, but for a machine that stood still until all of it had come back.
        times = sorted(self.admitted + self.refused)
        idle_us = sum(gap for a, b in pairwise(times) if (gap := b - a) >= QUOTA.tolerance_us)
        assert len(self.admitted) >= BURST + (max(self.refused) - first_us - idle_us) // QUOTA.interval_us


def hammer(store: Store, calls: int, start: threading.Barrier) -> Tally:
    """THREADS threads, each with so many calls, starting together on connections that nobody has opened."""
    limiter = Limiter(CONFIG, store=store)

    def work() -> list[tuple[int, bool, bool]]:
        start.wait(60)
        decisions = [limiter.admit(ALICE, "crowded").decision for _ in range(calls)]
        return [(decision.now_us, decision.allowed, decision.degraded) for decision in decisions]

    with ThreadPoolExecutor(THREADS) as pool:
        seen = [found for future in [pool.submit(work) for _ in range(THREADS)] for found in future.result()]
    limiter.close()
    return Tally.of(seen)


def process(url: str, calls: int, start: Barrier, results: Any) -> None:
    """What each process runs: its threads begin when those of all processes do."""
    results.put(hammer(RedisStore(url, deadline_us=PATIENCE_US), calls, start))
