"""A FastAPI dependency: `Depends(rate_limit("financial"))`, on a route, a router or the application.

It charges the bucket before the endpoint runs and raises `Refused` instead of running it. With `RateLimitMiddleware`
around the application the two are one admission, and the middleware adds the headers to every response.

Without the middleware the dependency adds them itself: to what the endpoint returns, a `Response` of its own
included, and to the HTTPExceptions that it, or a dependency after this one, raises. FastAPI shows a dependency neither
of the two, so the route's endpoint is wrapped when the first request comes through, and the dependency is a generator.
Out of its reach are the answers that other exception handlers make: 422, those of your own exception classes, 500.
A bucket with idempotency needs the middleware, which records the answer. A lease needs none; it is given back after the
response was sent; with the middleware, or with `Depends(..., scope="function")`, before.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import isawaitable
from json import loads
from typing import Any, NamedTuple, NoReturn, TypeVar

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.requests import HTTPConnection
from starlette.exceptions import HTTPException as AnyHTTPException

from asgi_ratelimit.forms import Form
from asgi_ratelimit.passage import RAISED, give_back, noting, take
from asgi_ratelimit.responses import merged, raw
from asgi_ratelimit.scope import Scope, State, entered, identity_of, request_info, resolved, state_of
from asgi_ratelimit.shields import Read, declared_size, named, read_fields, read_whole, recording
from ratelimit_core import Admission, ConfigurationError, Denial, Limiter, Mode
from ratelimit_core.answers import Result
from ratelimit_core.limiter import Options

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


class _Replayed(Exception):
    """Raised where the endpoint has answered before. No HTTPException: that answer goes out as it is."""

    def __init__(self, denial: Denial) -> None:
        super().__init__("answered before")
        self.denial = denial


def rate_limit(
    bucket: str | Iterable[str],
    *,
    cost: Cost = 1,
    scope: Narrowing = None,
    lease_on: Narrowing = None,
    user: Callable[[Request], object] | None = None,
    limiter: Limiter | None = None,
) -> Callable[..., AsyncIterator[Admission | None]]:
    """A dependency that admits a request to one bucket or several; its value is the `Admission`.

    `cost`, `scope` (it narrows the identity) and `lease_on` (it names a shared resource for the lease) are values or
    callables of the request. A bucket with a lease or idempotency acts on writing methods only. `user` is a callable
    that returns a primary key, an Identity, a user object or None, without it `request.scope["user"]` is asked. All may
    return awaitables, and read what earlier dependencies left in `request.state`. The limiter is `limiter`, else the
    middleware's, else `app.state.ratelimit`. Anything but HTTP passes. Raises ConfigurationError.
    """
    buckets = (bucket,) if isinstance(bucket, str) else tuple(bucket)
    if limiter is not None:
        _check(limiter, buckets, cost)
    asking = _Asking(buckets, cost, scope, lease_on, user)

    async def dependency(connection: HTTPConnection, response: Response) -> AsyncIterator[Admission | None]:
        if not isinstance(connection, Request):
            yield None
            return
        shared = state_of(connection.scope)
        chosen = _limiter(connection, limiter, shared)
        state = entered(connection.scope, chosen, rendered=False) if shared is None else shared
        admission = await asking.admit(connection, chosen, state)
        if admission is not None:
            _let_pass(connection, response, state, chosen.denial(admission) if not admission.allowed else None)
        if shared is None:
            async with _alone(connection.scope, state):
                yield admission
        else:  # the middleware, or the first dependency of the request, does the rest
            with noting(state, _is_answer):
                yield admission

    return dependency


def _check(limiter: Limiter, buckets: tuple[str, ...], cost: Cost) -> None:
    for name in buckets:
        if callable(cost):
            limiter.config.policy(name)
        else:
            limiter.config.check_cost(name, cost)


class _Asking(NamedTuple):
    """What a dependency asks for, the same at every request."""

    buckets: tuple[str, ...]
    cost: Cost
    scope: Narrowing
    lease_on: Narrowing
    user: Callable[[Request], object] | None

    async def admit(self, request: Request, limiter: Limiter, state: State) -> Admission | None:
        """Admit a request to those of the buckets that act on it."""
        names = limiter.config.acting(self.buckets, request.method)
        if not names:
            return state["admission"]
        options = await _named(request, limiter, names, state)
        who = request.scope.get("user") if self.user is None else await resolved(self.user(request))
        options["scope"] = await _value(self.scope, request)
        options["lease_on"] = await _value(self.lease_on, request)
        options["route"] = getattr(_route(request.scope), "path_format", None)
        options["prior"] = prior = state["admission"]
        info = request_info(request.scope, identity_of(who))
        admission = await limiter.aadmit(info, names, await _value(self.cost, request), **options)
        take(state, limiter, admission, prior)
        return admission


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


async def _named(request: Request, limiter: Limiter, buckets: tuple[str, ...], state: State) -> Options:
    """What names the request's record, if one of the buckets keeps any."""
    bucket = recording(limiter.config, buckets)
    if bucket is None:
        return {}
    if not state["rendered"]:
        raise ConfigurationError(
            "rate_limit: bucket", bucket.name, "a bucket with idempotency needs RateLimitMiddleware around the app"
        )
    size = declared_size(request.scope)
    if size is not None and size > bucket.max_body:
        return named(request.scope, None)
    wholly = limiter.config.policy(bucket.name).mode is not Mode.ENFORCE
    return named(request.scope, await _read(request, bucket.max_body, wholly=wholly))


async def _read(request: Request, limit: int, *, wholly: bool) -> Read | None:
    """The body, which FastAPI may have read already; None if it is too large. Read it `wholly` for an endpoint that
    may run all the same.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit and not wholly:
                return None
    except RuntimeError:  # Starlette's word for a stream that was read: FastAPI has made a form of it
        return read_fields(await _form(request))
    request._body = bytes(body)  # noqa: SLF001  # as FastAPI's own documentation does, for whoever reads it next
    return await read_whole(request.scope, request._body) if len(body) <= limit else None  # noqa: SLF001  # the same


async def _form(request: Request) -> Form:
    form = Form([], [])
    for name, value in (await request.form()).multi_items():
        if isinstance(value, str):
            form.fields.append((name, value))
        else:
            content = await value.read()
            await value.seek(0)
            form.add_file(name, value.filename or "", (value.content_type or "").partition(";")[0].strip(), content)
    return form


def _is_answer(error: Exception) -> bool:
    """Whether FastAPI makes an answer of it that says what was done."""
    return getattr(error, "status_code", 500) < 500 or isinstance(error, RequestValidationError | _Replayed)


@asynccontextmanager
async def _alone(scope: Scope, state: State) -> AsyncIterator[None]:
    """Without a middleware: what the endpoint answers or raises gets the headers, and what is held is settled."""
    _cover(scope)
    _PASSING.set(state)
    result = RAISED  # an endpoint that raises may have done its work all the same
    try:
        yield
        result = Result(body=None)
    except AnyHTTPException as error:
        result = Result(error.status_code, body=None)
        if isinstance(error, Refused):
            raise
        raise _with_headers(error, state) from error.__cause__
    finally:
        _PASSING.set(None)
        await give_back(state["taken"], result._replace(released=state["released"]))


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


def _let_pass(request: Request, response: Response, state: State, denial: Denial | None) -> None:
    if denial is not None:
        _refuse(request, denial)
    if not state["rendered"]:
        _add_headers(response, state)


def _refuse(request: Request, denial: Denial) -> NoReturn:
    """Raise, and make sure that the application renders the answer without any set-up."""
    handlers, _ = request.scope.get("starlette.exception_handlers", ({}, {}))
    handlers.setdefault(Refused, _answer)
    handlers.setdefault(_Replayed, _answer)
    raise (_Replayed if denial.replayed else Refused)(denial)


async def _answer(_: Request, refused: Refused | _Replayed) -> Response:
    response = Response(refused.denial.body, refused.denial.status)
    response.raw_headers.extend(raw(refused.denial.headers))
    return response
