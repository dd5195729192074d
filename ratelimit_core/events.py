"""What sinks are told: one frozen event for each decision. Sinks are guests: they can't change or delay an answer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ratelimit_core.buckets import Mode
from ratelimit_core.commands import Outcome
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
    Verdict.ALLOWED: Layer.NONE,
    Verdict.USER_REQUIRED: Layer.USER,
    Verdict.RATE_LIMITED: Layer.QUOTA,
    Verdict.COST_TOO_LARGE: Layer.QUOTA,
    Verdict.CONCURRENCY_LIMITED: Layer.LEASE,
    Verdict.STORE_DOWN: Layer.STORE,
}


@dataclass(frozen=True, slots=True)
class DecisionEvent:
    """One bucket's decision about one request.

    `layer` is what refused; REPLAY is the quota of answers that cost nothing else.
    `blocked` says that the verdict is a refusal, whether or not it was enforced. `route` is a template
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


@dataclass(frozen=True, slots=True)
class SettleEvent:
    """How one bucket's shield ended; `lost` says that its lease or claim was not held to the end."""

    bucket: str
    identity: str
    route: str | None
    outcome: Outcome
    lost: bool
    observed: bool


class Sink(Protocol):
    """Anything that can be called with an event. What it raises is counted and goes no further."""

    def __call__(self, event: DecisionEvent | SettleEvent, /) -> None: ...


def events(admission: Admission, cost: int) -> Iterator[DecisionEvent]:
    """One event for each decision that this admission added."""
    for decision in admission.decisions[admission.kept :]:
        yield _event(decision, admission.route, cost)


def endings(settled: Iterable[Settled], route: str | None) -> Iterator[SettleEvent]:
    """One event for each shield that was settled."""
    for held, outcome, kept in settled:
        shadow = held.shield.at is not None
        yield SettleEvent(held.bucket.name, str(held.identity), route, outcome, not kept, shadow)


def _event(decision: Decision, route: str | None, cost: int) -> DecisionEvent:
    return DecisionEvent(
        bucket=decision.bucket,
        layer=_layer(decision),
        verdict=decision.verdict,
        mode=decision.mode,
        enforced=decision.enforced,
        allowed=decision.allowed,
        blocked=decision.verdict is not Verdict.ALLOWED,
        would_block=decision.would_block,
        degraded=decision.degraded,
        identity=str(decision.identity or ""),
        route=route,
        cost=cost,
        limit=decision.limit,
        remaining=decision.remaining,
        wait_us=decision.wait_us,
        now_us=decision.now_us,
    )


def _layer(decision: Decision) -> Layer:
    if decision.replays:
        return Layer.REPLAY
    return _LAYERS.get(decision.verdict, Layer.IDEMPOTENCY)
