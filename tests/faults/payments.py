"""What the tests of shields pay with: one shielded bucket, an effect that counts itself, and what is left over."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

from ratelimit_core import Bucket, Config, Identity, Limiter, Quota, RateLimited, Verdict
from ratelimit_core.buckets import Idempotency, StoreDown
from ratelimit_core.drive import Store
from ratelimit_core.events import DecisionEvent, Event, SettleEvent, Sink
from ratelimit_core.limiter import Options
from ratelimit_core.stores.redis import RedisStore
from tests.servers import ServerUnderTest

SECOND_US = 1_000_000
PAYMENTS = 200
USERS = 50
THREADS = 8
ROUTE = "/pay"
EFFECTS = "effects"
_PLENTY = Quota.parse("1000/s:1000000")
_WAITING = frozenset({Verdict.IN_PROGRESS, Verdict.CONCURRENCY_LIMITED})

# Many threads wait for a processor longer than a deadline: that is no fault of the store.
PATIENCE_US = 30_000_000

Effect = Callable[[int], object]


class Recorder:
    """A sink that keeps what was decided, and how shields ended."""

    def __init__(self) -> None:
        self.decided: list[DecisionEvent] = []
        self.settled: list[SettleEvent] = []

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, SettleEvent):
            self.settled.append(event)
        elif isinstance(event, DecisionEvent):
            self.decided.append(event)


def bucket(ttl_us: int = 30 * SECOND_US, quota: Quota = _PLENTY, replay_quota: Quota = _PLENTY) -> Bucket:
    """One lease for each user and route, and a record for each key."""
    return Bucket(
        "pay",
        quota=quota,
        concurrency=1,
        lease_ttl_us=ttl_us,
        idempotency=Idempotency.REQUIRED,
        replay_quota=replay_quota,
        store_down=StoreDown.CLOSED,
    )


def cashier(store: Store, ttl_us: int = 30 * SECOND_US, sinks: Iterable[Sink] = (), quota: Quota = _PLENTY) -> Limiter:
    """A limiter with that bucket."""
    return Limiter(Config(buckets=[bucket(ttl_us, quota)]), store, sinks)


def patient_store(url: str) -> RedisStore:
    """A store whose deadline no scheduler reaches."""
    return RedisStore(url, deadline_us=PATIENCE_US, patient_deadline_us=PATIENCE_US)


def payer(payment: int) -> Identity:
    """Several payments are of one user, who pays one after the other."""
    return Identity.user(str(payment % USERS))


def asked(payment: int) -> Options:
    """What a payment says of itself."""
    return {"idempotency_key": f"payment-{payment}", "fingerprint": f"amount of {payment}", "route": ROUTE}


def pay(limiter: Limiter, effect: Effect, payment: int) -> str:
    """Ask as a patient client does, until the payment was made or is found made."""
    while True:
        try:
            with limiter.guard(payer(payment), "pay", **asked(payment)):
                effect(payment)
                return "paid"
        except RateLimited as refused:
            if refused.decision.verdict is Verdict.REPLAY:
                return "replayed"
            if refused.decision.verdict not in _WAITING:
                raise
        threading.Event().wait(0.005)


async def apay(limiter: Limiter, effect: Effect, payment: int) -> str:
    """The same in an event loop; the effect takes its time."""
    while True:
        try:
            async with limiter.guard(payer(payment), "pay", **asked(payment)):
                await asyncio.sleep(0)
                effect(payment)
                return "paid"
        except RateLimited as refused:
            if refused.decision.verdict is Verdict.REPLAY:
                return "replayed"
            if refused.decision.verdict not in _WAITING:
                raise
        await asyncio.sleep(0.02)


def crowd(store: Store, effect: Effect, payments: Iterable[int], start: threading.Barrier | Barrier) -> Counter[str]:
    """THREADS threads that start together and share the payments; what each was told, counted."""
    limiter = cashier(store)
    queue = iter(list(payments))
    told: list[str] = []

    def work() -> None:
        start.wait(60)
        told.extend(pay(limiter, effect, payment) for payment in queue)  # an iterator hands each to one thread only

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work) for _ in range(THREADS)]:
            done.result()
    limiter.close()
    return Counter(told)


def process(url: str, payments: list[int], start: Barrier, results: Any) -> None:
    """What each process runs; an error becomes its result."""
    with ServerUnderTest(url).client() as client:
        try:
            results.put(
                crowd(patient_store(url), lambda payment: client.hincrby(EFFECTS, str(payment)), payments, start)
            )
        except Exception as error:  # noqa: BLE001  # the test shows it, whatever it is
            results.put(Counter({repr(error): 1}))


def effects(server: ServerUnderTest) -> dict[str, int]:
    """How often each payment was really made."""
    with server.client() as client:
        return {payment: int(times) for payment, times in client.hgetall(EFFECTS).items()}


def left_over(server: ServerUnderTest) -> list[str]:
    """Leases that somebody holds, and records that are being worked on."""
    found = []
    with server.client() as client:
        for key in client.scan_iter(match="*:lock:*", count=1000):
            found += [f"{key} {member}" for member in client.zrange(key, 0, -1) if member != "#fence"]
        for key in client.scan_iter(match="*:idem:*", count=1000):
            found += [key] if client.hget(key, "s") == "p" else []
    return found
