"""Who is measured: each decides about one key, and says what is left and when to come back."""

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import TypeVar

from tests.benchmarks.measure import Work

Who = TypeVar("Who")
Prepare = Callable[[Sequence[str], bool], Work]

_SECOND_US = 1_000_000
_ENDLESS = 1 << 30


def ours(names: Sequence[str], allowed: bool) -> Work:
    """`Limiter.admit` with its decision."""
    from ratelimit_core import Bucket, Config, Identity, Limiter, Quota
    from ratelimit_core.stores import MemoryStore

    quota = Quota(rate=_SECOND_US, period_us=_SECOND_US, burst=_ENDLESS) if allowed else Quota.parse("1/d:1")
    limiter = Limiter(Config(buckets=[Bucket("read", quota=quota)]), store=MemoryStore())
    who = [Identity.user(name) for name in names]

    def decide(identity: Identity) -> bool:
        decision = limiter.admit(identity, "read").decision
        return decision.allowed and decision.remaining is not None and decision.retry_after is None

    return _checked(decide, who, allowed)


def throttled_gcra(names: Sequence[str], allowed: bool) -> Work:
    """throttled-py, its GCRA: a result with its state."""
    from throttled import Throttled, per_day, per_sec, store

    quota = per_sec(_SECOND_US, burst=_ENDLESS) if allowed else per_day(1, burst=1)
    kept = store.MemoryStore(options={"MAX_SIZE": 2 * len(names) + 1_024})
    throttle = Throttled(using="gcra", quota=quota, store=kept)

    def decide(name: str) -> bool:
        result = throttle.limit(name)
        return not result.limited and result.state.remaining >= 0 and result.state.retry_after <= 0

    return _checked(decide, names, allowed)


def limits_fixed(names: Sequence[str], allowed: bool) -> Work:
    """limits, its fixed window: a truth value; what is left costs a second call, made where one passed."""
    from limits import RateLimitItemPerDay
    from limits.storage import MemoryStorage
    from limits.strategies import FixedWindowRateLimiter

    limiter = FixedWindowRateLimiter(MemoryStorage())
    item = RateLimitItemPerDay(_ENDLESS if allowed else 1)

    def decide(name: str) -> bool:
        passed = limiter.hit(item, name)
        return bool(passed) and limiter.get_window_stats(item, name).remaining >= 0

    return _checked(decide, names, allowed)


CONTENDERS: dict[str, Prepare] = {
    "ours": ours,
    "throttled-py, GCRA": throttled_gcra,
    "limits, fixed window": limits_fixed,
}


def _checked(decide: Callable[[Who], bool], who: Sequence[Who], allowed: bool) -> Work:
    """One decision after another, each looked at; those that shall be refused have spent everything before."""
    endless = cycle(who)
    if not allowed:
        for one in who:
            decide(one)

    def work(number: int) -> None:
        for one in islice(endless, number):
            assert decide(one) is allowed

    return work
