"""A FastAPI dependency: `Depends(rate_limit("financial"))`, on a route, a router or the application.

It charges the bucket before the endpoint runs and raises `Refused` instead of running it. With `RateLimitMiddleware`
around the application the two are one admission, and the middleware adds the headers to every response.

Without the middleware the dependency adds them itself: to what the endpoint returns, a `Response` of its own
included, and to the HTTPExceptions that it, or a dependency after this one, raises. FastAPI shows a dependency neither
of the two, so the route's endpoint is wrapped when the first request comes through, and the dependency is a generator.
Out of its reach are the answers that other exception handlers make: 422 for what doesn't validate, those of your own
exception classes, and the 500 of an error nobody handles.
A lease is then given back when FastAPI ends its dependencies, which is after the response was sent; with the
middleware, or with `Depends(..., scope="function")`, before.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import isawaitable
from json import loads
from typing import Any, NoReturn, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException as AnyHTTPException

from asgi_ratelimit.responses import merged
from asgi_ratelimit.scope import KEY, Scope, State, identity_of, request_info, resolved, state_of
from asgi_ratelimit.settling import settle
from ratelimit_core import Admission, ConfigurationError, Denial, Limiter
from ratelimit_core.commands import Outcome

__all__ = ["Refused", "rate_limit"]

Cost = int | Callable[[Request], int | Awaitable[int]]
Narrowing = str | Callable[[Request], str | Awaitable[str | None] | None] | None
Value = TypeVar("Value")

_PASSING: ContextVar[State | None] = ContextVar("asgi_ratelimit_passing", default=None)
_COVERED = "_asgi_ratelimit_covered"


class Refused(HTTPException):
    """Raised instead of running the endpoint. An exception handler of your own for it, or for its status, wins."""

    def __init__(self, denial: Denial) -> None:
        headers = {name: value for name, value in denial.headers if name != "Content-Type"}
        super().__init__(denial.status, detail=loads(denial.body), headers=headers)
        self.denial = denial


def rate_limit(
    bucket: str | Iterable[str],
    *,
    cost: Cost = 1,
    scope: Narrowing = None,
    user: Callable[[Request], object] | None = None,
    limiter: Limiter | None = None,
) -> Callable[..., AsyncIterator[Admission | None]]:
    """A dependency that admits a request to one bucket or several; its value is the `Admission`.

    `cost` and `scope` (it narrows the identity) are values or callables of the request; `user` is a callable that
    returns a primary key, an Identity, a user object or None, without it `request.scope["user"]` is asked. All may
    return awaitables; what earlier dependencies left in `request.state` is theirs to read. The limiter is `limiter`,
    else the middleware's, else `app.state.ratelimit`; without any the request raises ConfigurationError. Anything
    but HTTP passes. Raises ConfigurationError.
    """
    buckets = (bucket,) if isinstance(bucket, str) else tuple(bucket)
    if limiter is not None:
        for name in buckets:
            if callable(cost):
                limiter.config.policy(name)
            else:
                limiter.config.check_cost(name, cost)

    async def admit(request: Request, chosen: Limiter, prior: Admission | None) -> Admission:
        who = request.scope.get("user") if user is None else await resolved(user(request))
        return await chosen.aadmit(
            request_info(request.scope, identity_of(who)),
            buckets,
            await _value(cost, request),
            scope=await _value(scope, request),
            route=getattr(_route(request.scope), "path_format", None),
            prior=prior,
        )

    async def dependency(connection: HTTPConnection, response: Response) -> AsyncIterator[Admission | None]:
        if not isinstance(connection, Request):
            yield None
            return
        shared = state_of(connection.scope)
        chosen = _limiter(connection, limiter, shared)
        state = _entered(connection.scope, chosen) if shared is None else shared
        admission = state["admission"] = await admit(connection, chosen, state["admission"])
        if not admission.allowed:
            _refuse(connection, chosen.denial(admission))
        if not state["rendered"]:
            _add_headers(response, state)
        if shared is None:
            async with _alone(connection.scope, state):
                yield admission
        else:  # the middleware, or the first dependency of the request, does the rest
            yield admission

    return dependency


async def _value(given: Value | Callable[[Request], Value | Awaitable[Value]], request: Request) -> Value:
    return await resolved(given(request)) if callable(given) else given


def _limiter(request: Request, given: Limiter | None, state: State | None) -> Limiter:
    if given is not None:
        return given
    found = getattr(request.app.state, "ratelimit", None) if state is None else state["limiter"]
    if not isinstance(found, Limiter):
        raise ConfigurationError(
            "rate_limit: limiter", found, "give limiter=, set app.state.ratelimit, or add RateLimitMiddleware"
        )
    return found


def _entered(scope: Scope, limiter: Limiter) -> State:
    state: State = {"admission": None, "limiter": limiter, "rendered": False}
    scope[KEY] = state
    return state


@asynccontextmanager
async def _alone(scope: Scope, state: State) -> AsyncIterator[None]:
    """Without a middleware: what the endpoint answers or raises gets the headers, and what is held is settled."""
    _cover(scope)
    _PASSING.set(state)
    outcome = Outcome.UNKNOWN  # an endpoint that raises may have done its work all the same
    try:
        yield
        outcome = Outcome.COMPLETED
    except Refused:
        raise
    except AnyHTTPException as error:
        outcome = Outcome.COMPLETED
        raise _with_headers(error, state) from error.__cause__
    finally:
        _PASSING.set(None)
        admission = state["admission"]
        if admission is not None and admission.holds:
            await settle(state["limiter"], admission, outcome)


def _route(scope: Scope) -> Any:
    """FastAPI's route, or what stands for it where its router was included in another."""
    route = scope.get("route")
    context = scope.get("fastapi", {}).get("effective_route_context")
    return context if getattr(context, "original_route", None) is route else route


def _cover(scope: Scope) -> None:
    """Wrap the route's endpoint once, so that a `Response` it returns gets the headers too."""
    dependant = getattr(_route(scope), "dependant", None)
    if dependant is not None and not hasattr(dependant.call, _COVERED):
        dependant.call = _covered(dependant.call)


def _covered(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(endpoint)
    def covered(*args: Any, **kwargs: Any) -> Any:
        returned = endpoint(*args, **kwargs)
        return _later(returned) if isawaitable(returned) else _answered(returned)

    setattr(covered, _COVERED, True)
    return covered


async def _later(returned: Awaitable[Any]) -> Any:
    return _answered(await returned)


def _answered(returned: Any) -> Any:
    state = _PASSING.get()
    if state is not None and isinstance(returned, Response):
        _add_headers(returned, state)
    return returned


def _pairs(state: State) -> list[tuple[str, str]]:
    admission = state["admission"]
    return [] if admission is None else state["limiter"].headers(admission)


def _add_headers(response: Response, state: State) -> None:
    response.raw_headers[:] = merged(response.raw_headers, _pairs(state))


def _with_headers(error: AnyHTTPException, state: State) -> AnyHTTPException:
    """The same exception with the headers: a copy, because it may be a constant that other routes raise too."""
    copied = error.__class__.__new__(error.__class__, *error.args)
    copied.__dict__.update(error.__dict__)
    pairs = _pairs(state)
    names = {name.lower() for name, _ in pairs}
    own = {name: value for name, value in (error.headers or {}).items() if name.lower() not in names}
    copied.headers = {**own, **dict(pairs)}
    return copied.with_traceback(error.__traceback__)


def _refuse(request: Request, denial: Denial) -> NoReturn:
    """Raise, and make sure that the application renders the problem body without any set-up."""
    handlers, _ = request.scope.get("starlette.exception_handlers", ({}, {}))
    handlers.setdefault(Refused, _answer)
    raise Refused(denial)


async def _answer(_: Request, refused: Refused) -> Response:
    return Response(refused.denial.body, refused.denial.status, dict(refused.denial.headers))
