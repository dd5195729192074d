"""What sinks are told: a frozen event for each decision, each shield that ended and each call of the store.

Sinks are guests: what they raise goes no further, and nothing they return is looked at. They are called where the
decision was taken, in threads and on event loops alike: a sink must not wait for anything, and must be thread-safe.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from ratelimit_core.buckets import Mode
from ratelimit_core.commands import Acquire, Command, Outcome, Peek, Renew, Reset, Resolve, Settle
from ratelimit_core.decision import Admission, Decision, Settled, Verdict


class Layer(StrEnum):
    """Which layer refused."""

    NONE = "none"
    USER = "user"
    IDEMPOTENCY = "idempotency"
    REPLAY = "replay"
    QUOTA = "quota"
    LEASE = "lease"
    STORE = "store"


_LAYERS = {
    Verdict.USER_REQUIRED: Layer.USER,
    Verdict.RATE_LIMITED: Layer.QUOTA,
    Verdict.COST_TOO_LARGE: Layer.QUOTA,
    Verdict.CONCURRENCY_LIMITED: Layer.LEASE,
    Verdict.STORE_DOWN: Layer.STORE,
}


class DecisionEvent(NamedTuple):
    """One bucket's decision about one request.

    `layer` is what refused; REPLAY is the quota of answers that cost nothing else.
    `blocked` says that the verdict is a refusal (neither ALLOWED nor REPLAY), whether or not it was enforced;
    `would_block`, that it is one and was not. `scope` narrowed the identity: its budget is its own. `claimed` says that
    an idempotency record was taken to be worked on: no answer was kept for this request. `route` is a template
    (`/bookings/<int:pk>/`), never a path. `wait_us` is the wait in microseconds, known in shadow too; 0 when waiting
    would not help or is not needed. `now_us` is the store's epoch time.
    """

    bucket: str
    layer: Layer
    verdict: Verdict
    mode: Mode
    enforced: bool
    allowed: bool
    blocked: bool
    would_block: bool
    degraded: bool
    identity: str
    route: str | None
    cost: int
    limit: int | None
    remaining: int | None
    wait_us: int
    now_us: int
    scope: str | None = None
    claimed: bool = False


class SettleEvent(NamedTuple):
    """How one bucket's shield ended; `lost` says that its lease or claim was not held to the end.

    `observed` ones were in shadow and kept nobody from anything; `claimed` ones had an idempotency record.
    """

    bucket: str
    identity: str
    route: str | None
    outcome: Outcome
    lost: bool
    observed: bool
    claimed: bool = True


class StoreEvent(NamedTuple):
    """One call of the store: how long it took, and what went wrong (the kind of a StoreError), if anything did.

    `op` is one of OPS. A call whose caller was cancelled is not told of: nobody knows how it ended.
    """

    op: str
    seconds: float
    error: str | None = None


OPS: Mapping[type[Command], str] = MappingProxyType(
    {Acquire: "admit", Settle: "settle", Renew: "renew", Peek: "peek", Reset: "reset", Resolve: "resolve"}
)
"""What each command is called in a `StoreEvent`."""

Event = DecisionEvent | SettleEvent | StoreEvent


class Sink(Protocol):
    """Anything that can be called with an event; it ignores kinds of events that it does not know.

    What it raises is counted and goes no further. It must not wait and must be thread-safe.
    """

    def __call__(self, event: Event, /) -> None: ...


def events(admission: Admission, cost: int) -> Iterator[DecisionEvent]:
    """One event for each decision that this admission added."""
    claimed = [held.bucket.name for held in admission.fresh_held if held.shield.claim is not None]
    for place in range(admission.kept, len(admission.decisions)):
        decision = admission.decisions[place]
        yield _event(decision, admission.marks[place][1], admission.route, cost, decision.bucket in claimed)


def endings(settled: Iterable[Settled], route: str | None) -> Iterator[SettleEvent]:
    """One event for each shield that was settled."""
    for held, outcome, kept in settled:
        shadow = held.shield.at is not None
        claimed = held.shield.claim is not None
        yield SettleEvent(held.bucket.name, str(held.identity), route, outcome, not kept, shadow, claimed)


def _event(decision: Decision, scope: str | None, route: str | None, cost: int, claimed: bool) -> DecisionEvent:
    verdict, enforced = decision.verdict, decision.enforced
    blocked = verdict is not Verdict.ALLOWED and verdict is not Verdict.REPLAY
    tightest = decision.tightest()
    return DecisionEvent(
        decision.bucket,
        Layer.NONE if verdict is Verdict.ALLOWED else _layer(decision),
        verdict,
        decision.mode,
        enforced,
        decision.allowed,
        blocked,
        blocked and not enforced,
        decision.degraded,
        str(decision.identity or ""),
        route,
        cost,
        None if tightest is None else tightest.burst,
        None if tightest is None else tightest.remaining,
        decision.wait_us,
        decision.now_us,
        scope,
        claimed,
    )


def _layer(decision: Decision) -> Layer:
    if decision.replays:
        return Layer.REPLAY
    return _LAYERS.get(decision.verdict, Layer.IDEMPOTENCY)
