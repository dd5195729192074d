"""What a request carries through its doors, so that each bucket charges it once."""

from typing import Any, cast

from django.http import HttpRequest

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.labels import Label
from ratelimit_core import Admission, Decision, Limiter

_ATTRIBUTE = "ratelimit"
_ASGI_KEY = "asgi_ratelimit"  # where the ASGI door keeps {"admission": ...} in the scope


class RateLimitState:
    """`request.ratelimit`: what was decided so far. Views read; only the door writes.

    `limiter` is the one that the request met first, so that a request sees one configuration. `shared` is what an
    ASGI door around Django keeps: an admission of that door is ours, and ours becomes its own.
    """

    __slots__ = ("_shared", "labels", "limiter", "owned", "reached", "rest")

    def __init__(self, limiter: Limiter, shared: dict[str, Any] | None = None) -> None:
        self.limiter = limiter
        self._shared = {} if shared is None else shared
        self.labels: tuple[Label, ...] = ()  # whose buckets were looked after
        self.owned = False  # somebody adds the headers and settles
        self.reached = False  # a view was found
        self.rest = False  # it is one of REST framework's

    @property
    def admission(self) -> Admission | None:
        """The request's admission; None before any bucket was asked."""
        return self._shared.get("admission")

    @admission.setter
    def admission(self, admission: Admission) -> None:
        self._shared["admission"] = admission

    @property
    def decision(self) -> Decision | None:
        """The decision that speaks for all; None before any bucket was asked."""
        admission = self.admission
        return None if admission is None else admission.decision

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Every bucket's decision."""
        admission = self.admission
        return () if admission is None else admission.decisions

    def has(self, label: Label) -> bool:
        """Whether this very label was looked after; an equal one on another view was not."""
        return any(label is known for known in self.labels)


def base_request(request: object) -> HttpRequest:
    """Django's own request inside REST framework's, or the request itself."""
    return cast("HttpRequest", getattr(request, "_request", request))


def state_of(request: object) -> RateLimitState:
    """The state of a request, Django's or REST framework's; made when first asked for."""
    base = base_request(request)
    state: RateLimitState | None = getattr(base, _ATTRIBUTE, None)
    if state is None:
        state = RateLimitState(runtime.limiter(), getattr(base, "scope", {}).get(_ASGI_KEY))
        setattr(base, _ATTRIBUTE, state)
    return state
