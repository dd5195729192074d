"""A limiter of buckets with a lease, whose settling the test watches and can hold up."""

import asyncio

from ratelimit_core import Admission, Bucket, Config, Limiter
from ratelimit_core.answers import Result, outcome
from ratelimit_core.buckets import StoreDown
from ratelimit_core.commands import Outcome
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock


def leased(name: str, quota: str = "60/m:10") -> Bucket:
    """A bucket with one slot; it acts on writing methods."""
    return Bucket(name, quota=quota, concurrency=1, store_down=StoreDown.CLOSED)


class WatchedLimiter(Limiter):
    """`settled` are the outcomes of what was settled once and still held; settling waits for `gate`."""

    def __init__(self, *buckets: Bucket) -> None:
        chosen = buckets or (leased("pay"), Bucket("read", quota="60/m:10"))
        super().__init__(Config(buckets=chosen), MemoryStore(ManualClock(1_700_000_000_000_000)))
        self.settled: list[Outcome] = []
        self.settling = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def asettle(self, admission: Admission, result: Result = Result(), prior: Admission | None = None) -> bool:  # noqa: B008  # a constant
        self.settling.set()
        await self.gate.wait()
        before = () if prior is None else prior.held
        mine = [held for held in admission.held if held not in before]
        if not mine or not await super().asettle(admission, result, prior):
            raise AssertionError("settled without need")
        self.settled.extend(outcome(held.bucket, result, explicit=held.explicit) for held in mine)
        return True
