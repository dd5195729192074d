"""A limiter of buckets with a lease, whose settling the test watches and can hold up."""

import asyncio

from ratelimit_core import Admission, Bucket, Config, Limiter
from ratelimit_core.buckets import StoreDown
from ratelimit_core.commands import Outcome
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock


def leased(name: str, quota: str = "60/m:10") -> Bucket:
    """A bucket with one slot; it acts on writing methods."""
    return Bucket(name, quota=quota, concurrency=1, store_down=StoreDown.CLOSED)


class WatchedLimiter(Limiter):
    """`settled` are the outcomes of what was settled and still held; settling waits for `gate`."""

    def __init__(self, *buckets: Bucket) -> None:
        chosen = buckets or (leased("pay"), Bucket("read", quota="60/m:10"))
        super().__init__(Config(buckets=chosen), MemoryStore(ManualClock(1_700_000_000_000_000)))
        self.settled: list[Outcome] = []
        self.settling = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def asettle(self, admission: Admission, outcome: Outcome = Outcome.COMPLETED, answer: bytes = b"") -> bool:
        self.settling.set()
        await self.gate.wait()
        held = await super().asettle(admission, outcome, answer)
        if admission.holds and held:
            self.settled.append(outcome)
        else:
            raise AssertionError("settled without need")
        return held
