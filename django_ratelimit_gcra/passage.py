"""A request's way in and out, for the middleware and the decorators alike; sync and async."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from django_ratelimit_gcra.captures import StreamEnd, result_of, result_of_error
from django_ratelimit_gcra.fingerprints import wish
from django_ratelimit_gcra.http import add_headers, denial_response, put_denial, request_info, wants_html
from django_ratelimit_gcra.routing import Demand
from django_ratelimit_gcra.state import RateLimitState, base_request, state_of
from django_ratelimit_gcra.users import auser_of, user_of
from ratelimit_core import Admission, Bucket, Mode
from ratelimit_core.answers import Result
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
    demands = list(demands)
    if not demands:  # nothing is asked, and nothing changes
        return None
    state = state_of(request)
    base = base_request(request)
    info = None
    idle = _is_idle(state)
    for demand in demands:
        info = info or request_info(base, user_of(request))
        options = _options(state, base, demand)
        bucket = _claiming(state, demand)
        if bucket is not None:
            options |= wish(request, bucket)
        admission = state.limiter.admit(info, demand.buckets, demand.cost, **options)
        state.admission = admission
        if not admission.allowed:
            state.kept_out = idle
            return admission
    state.kept_out = False
    return None


async def aenter(request: object, demands: Iterable[Demand]) -> HttpResponse | None:
    """`enter` in an event loop."""
    demands = list(demands)
    if not demands:
        return None
    state = state_of(request)
    base = base_request(request)
    info = None
    idle = _is_idle(state)
    for demand in demands:
        info = info or request_info(base, await auser_of(request))
        options = _options(state, base, demand)
        bucket = _claiming(state, demand)
        if bucket is not None:  # it reads the body, which may lie in a file
            options |= await sync_to_async(wish)(request, bucket)
        admission = await state.limiter.aadmit(info, demand.buckets, demand.cost, **options)
        state.admission = admission
        if not admission.allowed:
            state.kept_out = idle
            return await _adenial_response(base, state, admission)
    state.kept_out = False
    return None


@contextmanager
def held(state: RateLimitState) -> Iterator[None]:
    """Settle if the block ends by an exception; a response that is returned settles in `leave`."""
    try:
        yield
    except BaseException as error:  # whatever ends the view, SystemExit included, what it holds must not outlive it
        if state.admission is not None and state.admission.holds:
            state.limiter.settle(state.admission, _result_of_error(state, error), state.prior)
        raise


@asynccontextmanager
async def aheld(state: RateLimitState) -> AsyncIterator[None]:
    """`held` in an event loop."""
    try:
        yield
    except BaseException as error:  # the same, a cancelled task included
        if state.admission is not None and state.admission.holds:
            await state.limiter.asettle(state.admission, _result_of_error(state, error), state.prior)
        raise


def leave(state: RateLimitState, response: Response) -> Response:
    """Add the headers and settle; a stream settles when it is closed."""
    ending = _dress(state, response)
    if ending is not None:
        state.limiter.settle(*ending, state.prior)
    return response


async def aleave(state: RateLimitState, response: Response) -> Response:
    """`leave` in an event loop."""
    ending = _dress(state, response)
    if ending is not None:
        await state.limiter.asettle(*ending, state.prior)
    return response


def _options(state: RateLimitState, request: HttpRequest, demand: Demand) -> Options:
    match = request.resolver_match
    return {
        "scope": demand.scope,
        "route": None if match is None else match.route,
        "identity": demand.identity,
        "observe": demand.observe,
        "prior": state.admission,
        "takeover": demand.takeover,
        "lease_on": demand.lease_on,
    }


def _claiming(state: RateLimitState, demand: Demand) -> Bucket | None:
    """The bucket that wants a record, and so the key and the body; one that is off or only observes wants none."""
    config = state.limiter.config
    for name in () if demand.observe else demand.buckets:
        policy = config.policy(name)
        if policy.bucket.idempotency is not None and policy.mode is not Mode.OFF:
            return policy.bucket
    return None


def _is_idle(state: RateLimitState) -> bool:
    """Whether nothing is held yet, so that a refusal now means that nothing ran that holds something."""
    return state.admission is None or not state.admission.holds


async def _adenial_response(request: HttpRequest, state: RateLimitState, admission: Admission) -> HttpResponse:
    """A site's own page may read the user or the database; a problem body needs no thread."""
    denial = state.limiter.denial(admission)
    if wants_html(request):
        return await sync_to_async(denial_response)(request, denial)
    return denial_response(request, denial)


def _dress(state: RateLimitState, response: object) -> tuple[Admission, Result] | None:
    """Add the headers; what is left to settle before the response goes, and how."""
    admission = state.admission
    if admission is None:
        return None
    if state.refusal is not None and not admission.allowed and isinstance(response, HttpResponse):
        put_denial(response, state.refusal)
    result = _result(state, response) if admission.holds else None
    if isinstance(response, HttpResponseBase):  # Django itself complains about anything else
        add_headers(response, state.limiter.headers(admission))
    if result is None:
        return None
    if isinstance(response, HttpResponseBase) and response.streaming:
        settle = partial(state.limiter.settle, admission, prior=state.prior)
        StreamEnd(response, result, settle, partial(state.limiter.asettle, admission, prior=state.prior))
        return None
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        _settle_when_rendered(state, response, admission)
        return None
    return admission, result


def _result(state: RateLimitState, response: object) -> Result:
    """How the view ended: by its wrapper's word, and else by the response that leaves."""
    if _never_ran(state):
        return Result(undone=True)
    if state.answered is not None:
        return state.answered._replace(released=state.released, raised=state.raised)
    return result_of(response, state.released, raised=state.raised)


def _result_of_error(state: RateLimitState, error: BaseException) -> Result:
    return Result(undone=True) if _never_ran(state) else result_of_error(error, state.released)


def _never_ran(state: RateLimitState) -> bool:
    """Whether the view was refused, or somebody between its wrapper and the middleware answered in its place."""
    return state.kept_out or (state.awaited and not state.ran)


def _settle_when_rendered(state: RateLimitState, response: SimpleTemplateResponse, admission: Admission) -> None:
    """Without the middleware a response of REST framework leaves the wrapper before its view has rendered it."""

    def settling(done: HttpResponseBase) -> None:
        state.limiter.settle(admission, result_of(done, state.released), state.prior)

    response.add_post_render_callback(settling)
