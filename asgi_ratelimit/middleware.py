"""`RateLimitMiddleware`: a request is admitted before the application runs and settled before its last byte leaves."""

from collections.abc import Awaitable, Callable, Iterable

from asgi_ratelimit.body import Body
from asgi_ratelimit.choice import Choice, Chosen, Cost, Default, Exempt
from asgi_ratelimit.passage import CUT, RAISED, Passage, take
from asgi_ratelimit.responses import refuse
from asgi_ratelimit.scope import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    State,
    entered,
    identity_of,
    request_info,
    resolved,
    state_of,
)
from asgi_ratelimit.shields import declared_size, named, read_spooled, recording
from ratelimit_core import Limiter, Rule
from ratelimit_core.limiter import Options

LeaseOn = Callable[[Scope], str | Awaitable[str | None] | None] | None
_GOODBYES = frozenset({"lifespan.startup.failed", "lifespan.shutdown.failed", "lifespan.shutdown.complete"})


class RateLimitMiddleware:
    """Limits an ASGI application. Wrap it around everything whose answers shall carry the headers.

    `limiter`: without one, `Limiter.from_env()`. `rules`: `Rule`s with a path or pattern (without: those of the
    configuration). `default`: the bucket of what no rule matches: a name, None to leave it alone, or a callable of
    the scope that returns a name, several, or None. `exempt`: paths (prefixes of whole segments) and predicates of
    the scope. `user`: a callable of the scope that returns a primary key, an Identity, a user object or None; without
    it `scope["user"]` is asked. `cost`: a number, or a callable of the scope. `lease_on`: a callable of the scope
    that names a shared resource for the lease (`booking:17`), or None for a lease of the user on the route. Callables
    may return awaitables, the predicates excepted. Paths are the application's own, without `root_path`. Raises
    ConfigurationError.

    For a bucket with idempotency the body is read first, up to the bucket's `max_body`, and the answer is recorded.
    """

    def __init__(
        self,
        app: ASGIApp,
        limiter: Limiter | None = None,
        rules: Iterable[Rule] | None = None,
        default: Default = "read",
        exempt: Exempt = (),
        user: Callable[[Scope], object] | None = None,
        cost: Cost = 1,
        lease_on: LeaseOn = None,
    ) -> None:
        self._app = app
        self._limiter = Limiter.from_env() if limiter is None else limiter
        self._choose = Choice(self._limiter.config, rules, default, exempt)
        self._user = user
        self._cost = cost
        self._lease_on = lease_on
        if not callable(cost):
            for name in self._choose.buckets:
                self._limiter.config.check_cost(name, cost)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Limit an HTTP request, close the store with the application's lifespan, let anything else pass."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            outer = state_of(scope)
            inside = outer is not None and outer["rendered"]
            state = outer if outer is not None and inside else entered(scope, self._limiter, rendered=True)
            passage = Passage(state, send, outermost=not inside)
            ending = CUT
            try:
                await self._serve(scope, receive, passage.send, state)
            except Exception:  # noted and raised again: the application may have done its work all the same
                ending = RAISED
                raise
            finally:
                passage.leave()
                await passage.end(ending)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, state: State) -> None:
        chosen = await self._choose(self._limiter.config, scope)
        bucket = recording(self._limiter.config, chosen.buckets)
        if bucket is None:
            await self._pass(scope, receive, send, state, chosen, {})
            return
        body = Body(receive)
        try:
            await body.read(bucket.max_body, declared_size(scope))
            if not body.disconnected:
                names = named(scope, None if body.too_large else await read_spooled(scope, body))
                await self._pass(scope, body.receive, send, state, chosen, names)
        finally:
            body.close()

    async def _pass(
        self, scope: Scope, receive: Receive, send: Send, state: State, chosen: Chosen, names: Options
    ) -> None:
        """Admit the request, then run the application or refuse."""
        if chosen.buckets:
            user = scope.get("user") if self._user is None else await resolved(self._user(scope))
            cost = await resolved(self._cost(scope)) if callable(self._cost) else self._cost
            names["lease_on"] = None if self._lease_on is None else await resolved(self._lease_on(scope))
            names["route"] = chosen.route
            names["prior"] = prior = state["admission"]
            who = request_info(scope, identity_of(user))
            take(state, self._limiter, await self._limiter.aadmit(who, chosen.buckets, cost, **names), prior)
        admission = state["admission"]
        if admission is None or admission.allowed:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, self._limiter.denial(admission))

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the store after the application's shutdown, before the server hears that it is done.

        An application that knows no lifespan raises when it starts; the server carries on, and so does the store.
        """
        ending = False
        closed = False

        async def listen() -> Message:
            nonlocal ending
            message = await receive()
            ending = ending or message["type"] == "lifespan.shutdown"
            return message

        async def tell(message: Message) -> None:
            nonlocal closed
            if message["type"] in _GOODBYES and not closed:
                closed = True
                await self._limiter.aclose()
            await send(message)

        try:
            await self._app(scope, listen, tell)
        finally:
            if ending and not closed:
                await self._limiter.aclose()
