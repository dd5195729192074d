"""A throttle for Django REST framework, which knows the user only inside the view; the only module that imports it.

    class Bookings(APIView):
        throttle_classes = [BucketThrottle]
        throttle_bucket = "write"

The middleware adds the headers, settles, and sends a refusal as a problem body (a site that has an exception handler
of its own keeps what that makes of it). Without the middleware this throttle adds the headers itself.
"""

from collections.abc import Iterator
from typing import Any

from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView, exception_handler

from django_ratelimit_gcra.captures import is_failure
from django_ratelimit_gcra.passage import admit
from django_ratelimit_gcra.routing import Demand, placed
from django_ratelimit_gcra.state import RateLimitState, base_request, state_of
from ratelimit_core import Admission, Config, Denial


class BucketThrottle(BaseThrottle):
    """Admit a request of REST framework to a bucket, as the user whom REST framework authenticated.

    The bucket is `bucket` of a subclass, else the view's `throttle_bucket` (an `@action` may give its own), else what
    rules and method say, as for any other view. `throttle_cost` on the view is a number of units, or a method that
    takes the request; `throttle_lease_on` likewise names what a lease is taken on. Several of these throttles on one
    view charge all their buckets or none.
    """

    bucket: str | None = None

    def __init__(self) -> None:
        self._wait: int | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Say whether the view may run; raise `Refused` where the answer is not 429."""
        state = state_of(request)
        if request.method == "OPTIONS" or state.exempt:
            return True
        admission = admit(request, _demands(state.limiter.config, request, view)) or state.admission
        if admission is None:
            return True
        if admission.holds:
            _note_failures(view, state)
        view.headers.update(pair for pair in state.limiter.headers(admission) if pair[0] != "Retry-After")
        return admission.allowed or self._refuse(admission, state.limiter.denial(admission), request, view)

    def wait(self) -> float | None:
        """Whole seconds until the request would be admitted."""
        return self._wait

    def _refuse(self, admission: Admission, denial: Denial, request: Request, view: APIView) -> bool:
        """A 429 is for REST framework to raise, with the longest wait of all its throttles.

        A replay is no error, and REST framework can only raise errors here: the middleware sends it instead.
        """
        if denial.replayed or view.get_exception_handler() is exception_handler:
            state_of(request).refusal = denial
        if denial.status != 429:
            raise Refused(denial, view.get_authenticate_header(request) if denial.status == 401 else None)
        self._wait = denial.retry_after
        return False

    def bucket_name(self, view: APIView) -> str | None:
        """Return the bucket that class or view names; None where neither does."""
        return self.bucket or getattr(view, "throttle_bucket", None)


def _note_failures(view: APIView, state: RateLimitState) -> None:
    """A site's exception handler may make an answer of a failure; the view may have done its work all the same."""
    handle = view.handle_exception

    def noting(error: Exception) -> Any:
        state.raised = state.raised or is_failure(error)
        return handle(error)

    view.handle_exception = noting  # type: ignore[method-assign,assignment]  # of this request's own instance


class Refused(APIException):
    """A refusal other than 429, in REST framework's terms."""

    def __init__(self, denial: Denial, auth_header: str | None = None) -> None:
        super().__init__(denial.detail, denial.code)
        self.status_code = denial.status
        self.wait = denial.retry_after
        self.auth_header = auth_header


def _demands(config: Config, request: Request, view: APIView) -> Iterator[Demand]:
    """What all of the view's throttles ask for together; a bucket that doesn't mean this method leaves the default."""
    base = base_request(request)
    cost = getattr(view, "throttle_cost", 1)
    cost = cost(request) if callable(cost) else cost
    lease_on = getattr(view, "throttle_lease_on", None)
    lease_on = lease_on(request) if callable(lease_on) else lease_on
    names = dict.fromkeys(one.bucket_name(view) for one in view.get_throttles() if isinstance(one, BucketThrottle))
    acting = config.acting(filter(None, names), base.method or "GET")
    if acting:
        yield Demand(acting, cost, lease_on=lease_on)
    elif None in names:
        yield from (demand._replace(cost=cost) for demand in placed(config, base))
    else:
        yield from placed(config, base, decorated=True)
