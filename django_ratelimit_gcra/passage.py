"""A request's way in and out, for the middleware and the decorators alike; sync and async."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from django_ratelimit_gcra.http import add_headers, denial_response, request_info, wants_html
from django_ratelimit_gcra.routing import Demand
from django_ratelimit_gcra.state import RateLimitState, base_request, state_of
from django_ratelimit_gcra.users import auser_of, user_of
from ratelimit_core import Admission
from ratelimit_core.limiter import Options

Response = TypeVar("Response")


def enter(request: object, demands: Iterable[Demand]) -> HttpResponse | None:
    """Admit a request; the refusal, or None where the view may run."""
    refused = admit(request, demands)
    if refused is None:
        return None
    return denial_response(base_request(request), state_of(request).limiter.denial(refused))


def admit(request: object, demands: Iterable[Demand]) -> Admission | None:
    """Admit a request to one demand after the other; the first refusal, or None."""
    state = state_of(request)
    base = base_request(request)
    info = None
    for demand in demands:
        info = info or request_info(base, user_of(request))
        admission = state.limiter.admit(info, demand.buckets, demand.cost, **_options(state, base, demand))
        state.admission = admission
        if not admission.allowed:
            return admission
    return None


async def aenter(request: object, demands: Iterable[Demand]) -> HttpResponse | None:
    """`enter` in an event loop."""
    state = state_of(request)
    base = base_request(request)
    info = None
    for demand in demands:
        info = info or request_info(base, await auser_of(request))
        admission = await state.limiter.aadmit(info, demand.buckets, demand.cost, **_options(state, base, demand))
        state.admission = admission
        if not admission.allowed:
            return await _adenial_response(base, state, admission)
    return None


@contextmanager
def held(state: RateLimitState) -> Iterator[None]:
    """Settle if the block ends by an exception; a response that is returned settles in `leave`."""
    try:
        yield
    except BaseException:  # whatever ends the view, SystemExit included, what it holds must not outlive it
        if state.admission is not None and state.admission.holds:
            state.limiter.settle(state.admission)
        raise


@asynccontextmanager
async def aheld(state: RateLimitState) -> AsyncIterator[None]:
    """`held` in an event loop."""
    try:
        yield
    except BaseException:  # the same, a cancelled task included
        if state.admission is not None and state.admission.holds:
            await state.limiter.asettle(state.admission)
        raise


def leave(state: RateLimitState, response: Response) -> Response:
    """Add the headers and settle; a stream settles when it is closed."""
    ending = _dress(state, response)
    if ending is not None:
        state.limiter.settle(ending)
    return response


async def aleave(state: RateLimitState, response: Response) -> Response:
    """`leave` in an event loop."""
    ending = _dress(state, response)
    if ending is not None:
        await state.limiter.asettle(ending)
    return response


def _options(state: RateLimitState, request: HttpRequest, demand: Demand) -> Options:
    match = request.resolver_match
    return {
        "scope": demand.scope,
        "route": None if match is None else match.route,
        "identity": demand.identity,
        "observe": demand.observe,
        "prior": state.admission,
    }


async def _adenial_response(request: HttpRequest, state: RateLimitState, admission: Admission) -> HttpResponse:
    """A site's own page may read the user or the database; a problem body needs no thread."""
    denial = state.limiter.denial(admission)
    if wants_html(request):
        return await sync_to_async(denial_response)(request, denial)
    return denial_response(request, denial)


def _dress(state: RateLimitState, response: object) -> Admission | None:
    """Add the headers; what is left to settle before the response goes."""
    admission = state.admission
    if admission is None:
        return None
    if isinstance(response, HttpResponseBase):  # Django itself complains about anything else
        add_headers(response, state.limiter.headers(admission))
    if not admission.holds:
        return None
    if getattr(response, "streaming", False) and isinstance(response, HttpResponseBase):
        _settle_on_close(state, response, admission)
        return None
    return admission


def _settle_on_close(state: RateLimitState, response: HttpResponseBase, admission: Admission) -> None:
    """A streamed body is written after this returns; its end is `close()`, which runs in a thread, ASGI or not."""
    close = response.close

    def closing() -> None:
        try:
            close()
        finally:
            state.limiter.settle(admission)

    response.close = closing  # type: ignore[method-assign]  # Django has no public hook for the end of a stream
