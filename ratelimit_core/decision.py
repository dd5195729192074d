"""What was found and what follows from it."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from ratelimit_core import gcra
from ratelimit_core.answers import Answer
from ratelimit_core.buckets import Bucket, Mode
from ratelimit_core.commands import Outcome, Shield
from ratelimit_core.config import Config
from ratelimit_core.errors import RateLimitError
from ratelimit_core.identity import AddressNote, Identity
from ratelimit_core.quota import Quota

Mark = tuple[str, str | None, Identity | None]


class Verdict(StrEnum):
    """What was found, before mode and failure policy."""

    ALLOWED = "allowed"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMITED = "concurrency_limited"
    REPLAY = "replay"
    IN_PROGRESS = "in_progress"
    KEY_REUSED = "key_reused"
    OUTCOME_UNKNOWN = "outcome_unknown"
    USER_REQUIRED = "user_required"
    KEY_REQUIRED = "key_required"
    KEY_MALFORMED = "key_malformed"
    BODY_TOO_LARGE = "body_too_large"
    COST_TOO_LARGE = "cost_too_large"
    STORE_DOWN = "store_down"


class QuotaState(NamedTuple):
    """One quota as a client sees it; times in microseconds from the decision."""

    label: str | None
    burst: int
    interval_us: int
    remaining: int
    reset_after_us: int
    room_us: int
    wait_us: int


class Decision(NamedTuple):
    """The verdict after mode and failure policy, for one bucket.

    `rooms` are the store's reply to a question about `cost` units, `charged` says whether they were taken; the
    numbers follow from these. `replays` says that the quota of replays refused, not one of the bucket's own; `paid`
    units were charged for the same request before. With mode `off` and with the kill switch there are no rooms, and
    `limit`, `remaining` and `reset_after_us` are None. `wait_us` is known in shadow too; `retry_after_us` only speaks
    of a refusal.
    """

    verdict: Verdict
    bucket: str
    identity: Identity | None
    mode: Mode
    enforced: bool
    degraded: bool
    charged: bool
    quotas: Sequence[Quota]
    rooms: tuple[int, ...]
    cost: int
    now_us: int
    wait_us: int
    replays: bool = False
    paid: int = 0

    @property
    def allowed(self) -> bool:
        """Whether the handler may run."""
        return self.verdict is Verdict.ALLOWED or not self.enforced

    @property
    def would_block(self) -> bool:
        """Not allowed by the verdict (a refusal, or a replay), let through by the mode."""
        return self.verdict is not Verdict.ALLOWED and not self.enforced

    @property
    def limit(self) -> int | None:
        """The burst of the quota with the least left."""
        tightest = self.tightest()
        return None if tightest is None else tightest.burst

    @property
    def remaining(self) -> int | None:
        """How many units would pass now, back to back."""
        tightest = self.tightest()
        return None if tightest is None else tightest.remaining

    @property
    def reset_after_us(self) -> int | None:
        """Microseconds until every quota is full again."""
        return max(state.reset_after_us for state in self.states()) if self.rooms else None

    @property
    def retry_after_us(self) -> int | None:
        """Microseconds until the same request is admitted; None when allowed, or when waiting can't help."""
        return None if self.allowed or not self.wait_us else self.wait_us

    @property
    def retry_after(self) -> int | None:
        """The same in whole seconds, rounded up, at least 1."""
        wait_us = self.retry_after_us
        return None if wait_us is None else seconds(wait_us)

    def states(self) -> tuple[QuotaState, ...]:
        """Every quota as it stands after this decision, in the bucket's order."""
        return tuple(
            _state(quota, room_us, self.cost, self.charged, index)
            for index, (quota, room_us) in enumerate(zip(self.quotas, self.rooms, strict=True))
        )

    def tightest(self) -> QuotaState | None:
        """The quota with the least left; None where no store was asked."""
        if len(self.rooms) <= 1:
            rooms, quotas = self.rooms, self.quotas
            return _state(quotas[0], rooms[0], self.cost, self.charged, 0) if rooms else None
        return min(self.states(), key=lambda state: (state.remaining, -state.reset_after_us))


class Held(NamedTuple):
    """A shield that this admission holds until it is settled.

    `fence` grows with every holder of the lease; `generation` names the attempt; `explicit` says that the client gave
    the idempotency key.
    """

    bucket: Bucket
    identity: Identity
    shield: Shield
    fence: int
    generation: int
    explicit: bool


class Settled(NamedTuple):
    """How a shield ended; `kept` says that lease and claim were held to the end."""

    held: Held
    outcome: Outcome
    kept: bool


_KEPT = ("config", "decisions", "marks", "route", "note", "kept", "held", "answer", "sought")


class Admission:
    """One request's passage: its decisions, and what is needed to render and settle them. Never changed once made.

    `marks` name what each decision charged (bucket, scope, replaced identity). The first `kept` decisions were taken
    earlier for the same request. `held` must be settled; `answer` is the stored one of a replay; `sought` is the shield
    that a refusal kept from this request.
    """

    __slots__ = (
        "answer",
        "config",
        "decision",
        "decisions",
        "fresh_held",
        "held",
        "kept",
        "marks",
        "note",
        "route",
        "sought",
    )

    def __init__(
        self,
        config: Config,
        decisions: tuple[Decision, ...],
        marks: tuple[Mark, ...],
        route: str | None = None,
        note: AddressNote | None = None,
        kept: int = 0,
        held: tuple[Held, ...] = (),
        answer: Answer | None = None,
        fresh: int = 0,
        sought: Shield | None = None,
    ) -> None:
        self.config = config
        self.decisions = decisions
        self.marks = marks
        self.route = route
        self.note = note
        self.kept = kept
        self.held = held
        self.answer = answer
        self.sought = sought
        self.fresh_held = held[len(held) - fresh :]
        self.decision = ruling(decisions)

    def holding(self, held: tuple[Held, ...], answer: Answer | None, sought: Shield | None = None) -> "Admission":
        """The same admission, with a shield to settle or a stored answer to give."""
        kept = self.answer if answer is None else answer
        return self._with(held=self.held + held, answer=kept, fresh=len(held), sought=sought)

    def ruled(self, verdict: Verdict, answer: Answer | None = None, wait_us: int = 0) -> "Admission":
        """The same admission where a record beside the store knows better what became of the request."""
        known = self.decision
        ruled = known._replace(verdict=verdict, wait_us=wait_us)
        return self._with(decisions=tuple(ruled if one is known else one for one in self.decisions), answer=answer)

    def without(self, settled: tuple[Held, ...]) -> "Admission":
        """The same admission once some of what it held is settled."""
        return self._with(held=tuple(one for one in self.held if one not in settled))

    def _with(self, **changes: Any) -> "Admission":
        """The same admission but for these arguments of its constructor; `fresh` is not kept."""
        return Admission(**({name: getattr(self, name) for name in _KEPT} | changes))

    @property
    def allowed(self) -> bool:
        """Whether the handler may run."""
        return self.decision.allowed

    @property
    def replayed(self) -> bool:
        """Whether the request was answered before: `answer` is what to give."""
        return self.decision.verdict is Verdict.REPLAY and not self.allowed

    @property
    def holds(self) -> bool:
        """Whether there is something to give back: only then must a door settle."""
        return bool(self.held)


class RateLimited(RateLimitError):
    """Raised by `guard()` instead of running the block; `.decision` says why and when to come back."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.decision = admission.decision
        self.replayed = admission.replayed
        wait = self.decision.retry_after
        hint = "" if wait is None else f"; try again in {wait} s"
        super().__init__(f"{self.decision.verdict} by bucket '{self.decision.bucket}'{hint}")


def ruling(decisions: Sequence[Decision]) -> Decision:
    """The decision that speaks for all: a refusal with the longest wait, else the least that is left."""
    if len(decisions) == 1:
        return decisions[0]

    def weight(decision: Decision) -> tuple[bool, int, float]:
        remaining = decision.remaining
        return decision.allowed, -decision.wait_us, float("inf") if remaining is None else remaining

    return min(decisions, key=weight)


def seconds(us: int) -> int:
    """Whole seconds, rounded up, at least 1."""
    return max(1, -(-us // 1_000_000))


def _state(quota: Quota, room_us: int, cost: int, charged: bool, index: int) -> QuotaState:
    interval_us = quota.interval_us
    uncharged_us = 0 if charged else interval_us * cost
    left = gcra.meter(room_us, interval_us, quota.tolerance_us, uncharged_us)
    return QuotaState(quota.label if index else None, quota.burst, interval_us, *left, max(0, -room_us))
