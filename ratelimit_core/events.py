"""What sinks are told: one frozen event for each decision. Sinks are guests: they can't change or delay an answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from ratelimit_core.buckets import Mode
from ratelimit_core.decision import Admission, Decision, Verdict


@dataclass(frozen=True, slots=True)
class DecisionEvent:
    """One bucket's decision about one request.

    `blocked` says that the verdict is a refusal, whether or not it was enforced. `route` is a template
    (`/bookings/<int:pk>/`), never a path. `wait_us` is the wait in microseconds, known in shadow too; 0 when waiting
    would not help or is not needed. `now_us` is the store's epoch time.
    """

    bucket: str
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


class Sink(Protocol):
    """Anything that can be called with an event. What it raises is counted and goes no further."""

    def __call__(self, event: DecisionEvent, /) -> None: ...


def events(admission: Admission, cost: int) -> Iterator[DecisionEvent]:
    """One event for each decision that this admission added."""
    for decision in admission.decisions[admission.kept :]:
        yield _event(decision, admission.route, cost)


def _event(decision: Decision, route: str | None, cost: int) -> DecisionEvent:
    return DecisionEvent(
        bucket=decision.bucket,
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
