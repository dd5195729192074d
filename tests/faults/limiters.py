"""What the fault tests limit with, and both faces of an admission."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ratelimit_core import Admission, Bucket, Config, Identity, Limiter, Verdict
from ratelimit_core.stores.redis import RedisStore
from tests.polling import until

ALICE = Identity.user("alice")
BURST = 5
CONFIG = Config(
    buckets=[
        Bucket("plain", quota=f"1/d:{BURST}"),
        Bucket("closed", quota=f"1/d:{BURST}", store_down="closed"),  # type: ignore[arg-type]  # read as its enum
        Bucket("busy", quota="100/d:1000000"),
    ],
)

# The promises (DESIGN.md section 10), and how much longer a busy machine may take.
DEADLINE_S = 0.05
PATIENT_DEADLINE_S = 0.25
SLACK = 5


def limiter_on(url: str, **options: int) -> Limiter:
    return Limiter(CONFIG, store=RedisStore.from_url(url, None, **options))


@contextmanager
def both_faces(limiter: Limiter) -> Iterator[dict[str, "Admit"]]:
    """`admit(bucket)` through the sync face and through the async one, each on connections that stay."""
    with asyncio.Runner() as runner:
        yield {
            "sync": lambda bucket: limiter.admit(ALICE, bucket),
            "async": lambda bucket: runner.run(_aadmit(limiter, bucket)),
        }
    limiter.close()


async def _aadmit(limiter: Limiter, bucket: str) -> Admission:
    await asyncio.sleep(0)  # a loop that serves goes round before a request: it learns what the sockets have to say
    return await limiter.aadmit(ALICE, bucket)


Admit = Callable[[str], Admission]


def limits(admit: Admit, bucket: str = "plain", degraded: bool = False) -> None:
    """The burst passes, the next one is refused: it is a limiter, with its store or without."""
    admissions = [admit(bucket) for _ in range(BURST + 1)]
    assert [admission.decision.degraded for admission in admissions] == [degraded] * (BURST + 1)
    assert [admission.allowed for admission in admissions] == [True] * BURST + [False]
    assert admissions[-1].decision.verdict is Verdict.RATE_LIMITED


def refuses_without_its_store(limiter: Limiter, admit: Admit) -> None:
    admission = admit("closed")
    denial = limiter.denial(admission)
    assert admission.decision.verdict is Verdict.STORE_DOWN
    assert admission.decision.degraded
    assert denial.status == 503
    assert int(dict(limiter.headers(admission))["Retry-After"]) >= 1


def back(admit: Admit) -> None:
    """Decided by the store again, within seconds."""
    until(lambda: not admit("busy").decision.degraded, "the store to be asked again", seconds=10)


def errors(limiter: Limiter) -> int:
    """How many calls of the store have failed."""
    store = limiter.store
    assert isinstance(store, RedisStore)
    return sum(store._errors.values())
