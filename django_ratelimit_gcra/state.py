"""What a request carries through its doors, so that each bucket charges it once."""

from typing import Any, cast

from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from django_ratelimit_gcra import overrides, runtime
from django_ratelimit_gcra.labels import Label
from ratelimit_core import Admission, Decision, Denial, Limiter, RateLimitError
from ratelimit_core.answers import Result
from ratelimit_core.decision import Held

_ATTRIBUTE = "ratelimit"
_ASGI_KEY = "asgi_ratelimit"  # where the ASGI door keeps {"admission": ...} in the scope


class RateLimitState:
    """`request.ratelimit`: what was decided so far. Views read; only the door writes.

    `limiter` is the one that the request met first, so that a request sees one configuration. `shared` is what an
    ASGI door around Django keeps: an admission of that door is ours, and ours becomes its own.
    """

    __slots__ = (
        "_shared",
        "answered",
        "awaited",
        "exempt",
        "kept_out",
        "labels",
        "limiter",
        "owned",
        "prior",
        "raised",
        "ran",
        "reached",
        "refusal",
        "rest",
        "threaded",
    )

    def __init__(self, limiter: Limiter, shared: dict[str, Any] | None = None) -> None:
        self.limiter = limiter
        self._shared = {} if shared is None else shared
        self.prior = self.admission  # what another door holds, which settles it
        self.labels: tuple[Label, ...] = ()  # whose buckets were looked after
        self.owned = False  # somebody adds the headers and settles
        self.reached = False  # a view was found
        self.exempt = False  # and is to be left alone
        self.threaded = False  # and runs in a thread beside an event loop
        self.rest = False  # it is one of REST framework's
        self.awaited = False  # a wrapper around the view will say that it runs
        self.ran = False  # and did
        self.answered: Result | None = None  # what the view answered, before anybody added to it
        self.raised = False  # the view failed, whatever response was made of it
        self.kept_out = False  # the view was refused before anything ran that holds something
        self.refusal: Denial | None = None  # takes the place of REST framework's own response

    @property
    def admission(self) -> Admission | None:
        """The request's admission; None before any bucket was asked."""
        return self._shared.get("admission")

    @admission.setter
    def admission(self, admission: Admission | None) -> None:
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

    @property
    def replayed(self) -> bool:
        """Whether the request was answered before, and gets that answer again."""
        admission = self.admission
        return admission is not None and admission.replayed

    @property
    def fence(self) -> int:
        """The fencing number of the lease: hand it to the resource, which refuses lower ones. 0 without a lease."""
        return max((held.fence for held in self._held()), default=0)

    @property
    def idempotency_key(self) -> str | None:
        """A key for a foreign processor; None where the request has no record.

        It stays the same when the request is tried again after a crash or an unknown outcome, and is another one after
        a definitive answer. It is an HMAC-SHA256 under SECRET_KEY: nobody can guess somebody else's.
        """
        for held in self._held():
            if held.shield.claim is not None:
                said = f"{held.identity}|{held.shield.claim.key}|{held.generation}"
                return salted_hmac(f"{__name__}.idempotency_key", said, algorithm="sha256").hexdigest()
        return None

    @property
    def released(self) -> str | None:
        """The reason given to `release()`."""
        return self._shared.get("released")

    def release(self, reason: str) -> None:
        """Say that the view did nothing: its answer is not replayed, and the next try runs when the quota allows.

        The unit stays spent. An exception or a 5xx afterwards leaves the outcome unknown all the same.
        Raises RateLimitError without a reason.
        """
        if not isinstance(reason, str) or not reason:
            raise RateLimitError(f"release({reason!r}): say in a few words why nothing was done, such as 'declined'")
        self._shared["released"] = reason

    def still_held(self) -> bool:
        """Whether lease and claim are still this request's own, as far as this process can know."""
        admission = self.admission
        return admission is None or self.limiter.still_held(admission)

    def _held(self) -> tuple[Held, ...]:
        admission = self.admission
        return () if admission is None else admission.held

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
        overrides.watch()
        state = RateLimitState(runtime.limiter(), getattr(base, "scope", {}).get(_ASGI_KEY))
        setattr(base, _ATTRIBUTE, state)
    return state
