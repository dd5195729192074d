"""The middleware: it stands last in MIDDLEWARE, decides when the view is known, and writes headers on the way out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from django_ratelimit_gcra import overrides
from django_ratelimit_gcra.captures import is_failure
from django_ratelimit_gcra.labels import View, find_labels, is_exempt, is_rest_view
from django_ratelimit_gcra.outliving import outliving
from django_ratelimit_gcra.passage import aenter, aheld, aleave, enter, held, leave
from django_ratelimit_gcra.routing import Demand, keeps_rows, labelled, observed, placed
from django_ratelimit_gcra.serving import is_serving
from django_ratelimit_gcra.state import RateLimitState, state_of
from ratelimit_core.rules import SAFE_METHODS
from ratelimit_core.testing import refuse_testing

Answer = HttpResponseBase | None


class RateLimitMiddleware:
    """Admits requests in `process_view`, synchronous or asynchronous as the handler below it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
            # a plain process_view would be moved to a thread
            self.process_view = self.aprocess_view  # type: ignore[method-assign,assignment]  # Django looks at the name
        if is_serving(get_response):
            refuse_testing("RateLimitMiddleware answers its requests")
            overrides.serve()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        state = _begin(request)
        with held(state):
            response: HttpResponseBase = self.get_response(request)
            refusal = enter(request, _late(state, request, response))
        return leave(state, response if refusal is None else refusal)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        state = _begin(request)
        if request.method in SAFE_METHODS:
            return await self._respond(state, request)
        return await outliving(state, self._respond(state, request))

    async def _respond(self, state: RateLimitState, request: HttpRequest) -> HttpResponseBase:
        async with aheld(state):
            response: HttpResponseBase = await self.get_response(request)
            refusal = await aenter(request, _late(state, request, response))
        return await aleave(state, response if refusal is None else refusal)

    def process_view(
        self, request: HttpRequest, view: View, args: Sequence[object], kwargs: Mapping[str, Any]
    ) -> Answer:
        """Admit the request to the view's buckets; a refusal is the response."""
        return enter(request, _demands(request, view, args, kwargs))

    async def aprocess_view(
        self, request: HttpRequest, view: View, args: Sequence[object], kwargs: Mapping[str, Any]
    ) -> Answer:
        """The same in an event loop."""
        state_of(request).threaded = not iscoroutinefunction(view)
        return await aenter(request, _demands(request, view, args, kwargs))

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Note a failure: another middleware may make an answer of it, and the view may have done its work."""
        state = state_of(request)
        state.raised = state.raised or is_failure(exception)


def _begin(request: HttpRequest) -> RateLimitState:
    state = state_of(request)
    state.owned = True
    return state


def _demands(request: HttpRequest, view: View, args: Sequence[object], kwargs: Mapping[str, Any]) -> list[Demand]:
    """What the view's place and labels ask for; nothing for a preflight, an exempt view, or one that asks later."""
    state = state_of(request)
    method = request.method or "GET"
    state.reached = True
    state.rest = is_rest_view(view)
    if method == "OPTIONS":
        return []
    labels = find_labels(view, method)
    if is_exempt(view, method):
        state.labels, state.rest, state.exempt = labels, False, True
        return []
    if state.rest:
        return []
    config = state.limiter.config
    if any(
        keeps_rows(config, label.bucket) and label.acts(config.policy(label.bucket).bucket, method) for label in labels
    ):
        return []  # their wrapper admits, around the transaction of the record
    state.labels = labels
    found = labelled(config, labels, request, args, kwargs)
    state.awaited = bool(found)
    return found or placed(config, request, decorated=bool(labels))


def _late(state: RateLimitState, request: HttpRequest, response: HttpResponseBase) -> list[Demand]:
    """What is left to admit on the way out: an address that is no view's, a REST view that nobody admitted."""
    if request.method == "OPTIONS":
        return []
    config = state.limiter.config
    if not state.reached and response.status_code == 404:
        return placed(config, request)
    turned_away = response.status_code in {401, 403}  # by REST framework, before its throttles: costs nobody anything
    if state.rest and state.admission is None and not turned_away:
        return observed(placed(config, request))
    return []
