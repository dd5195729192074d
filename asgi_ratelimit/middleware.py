"""`RateLimitMiddleware`: a request is admitted before the application runs and settled before its last byte leaves."""

from collections.abc import Callable, Iterable

from asgi_ratelimit.choice import Choice, Cost, Default, Exempt
from asgi_ratelimit.responses import is_last, merged, refuse
from asgi_ratelimit.scope import (
    KEY,
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    State,
    identity_of,
    request_info,
    resolved,
    state_of,
)
from asgi_ratelimit.settling import settle
from ratelimit_core import Admission, Limiter, Rule
from ratelimit_core.commands import Outcome

_GOODBYES = frozenset({"lifespan.startup.failed", "lifespan.shutdown.failed", "lifespan.shutdown.complete"})


class RateLimitMiddleware:
    """Limits an ASGI application. Wrap it around everything whose answers shall carry the headers.

    `limiter`: without one, `Limiter.from_env()`. `rules`: `Rule`s with a path or pattern (without: those of the
    configuration). `default`: the bucket of what no rule matches: a name, None to leave it alone, or a callable of
    the scope that returns a name, several, or None. `exempt`: paths (prefixes of whole segments) and predicates of
    the scope. `user`: a callable of the scope that returns a primary key, an Identity, a user object or None; without
    it `scope["user"]` is asked. `cost`: a number, or a callable of the scope. Callables may return awaitables, the
    predicates excepted. Paths are the application's own, without `root_path`. Raises ConfigurationError.
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
    ) -> None:
        self._app = app
        self._limiter = Limiter.from_env() if limiter is None else limiter
        self._choose = Choice(self._limiter.config, rules, default, exempt)
        self._user = user
        self._cost = cost
        if not callable(cost):
            for name in self._choose.buckets:
                self._limiter.config.check_cost(name, cost)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Limit an HTTP request, close the store with the application's lifespan, let anything else pass."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (outer := state_of(scope)) is not None and outer["rendered"]:
            await self._serve(scope, receive, send, outer)
        else:
            state: State = {"admission": None, "limiter": self._limiter, "rendered": True}
            scope[KEY] = state
            passage = _Passage(self._limiter, state, send)
            try:
                await self._serve(scope, receive, passage.send, state)
            finally:
                await passage.end(Outcome.UNKNOWN)  # the application may have done its work all the same

    async def _serve(self, scope: Scope, receive: Receive, send: Send, state: State) -> None:
        admission = await self._admit(scope, state["admission"])
        state["admission"] = admission
        if admission is None or admission.allowed:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, self._limiter.denial(admission))

    async def _admit(self, scope: Scope, prior: Admission | None) -> Admission | None:
        buckets, route = await self._choose(self._limiter.config, scope)
        if not buckets:
            return prior
        user = scope.get("user") if self._user is None else await resolved(self._user(scope))
        cost = await resolved(self._cost(scope)) if callable(self._cost) else self._cost
        who = request_info(scope, identity_of(user))
        return await self._limiter.aadmit(who, buckets, cost, route=route, prior=prior)

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


class _Passage:
    """One request's response on its way out: headers go onto its start, and its last byte waits for the settling."""

    __slots__ = ("_limiter", "_send", "_settled", "_state")

    def __init__(self, limiter: Limiter, state: State, send: Send) -> None:
        self._limiter = limiter
        self._state = state
        self._send = send
        self._settled = False

    async def send(self, message: Message) -> None:
        admission = self._state["admission"]
        if admission is not None:
            if message["type"] == "http.response.start":
                pairs = self._limiter.headers(admission)
                message = {**message, "headers": merged(message.get("headers", ()), pairs)}
            elif admission.holds and is_last(message):
                await self.end(Outcome.COMPLETED)
        await self._send(message)

    async def end(self, outcome: Outcome) -> None:
        """Settle once, whichever end of the request comes first."""
        admission = self._state["admission"]
        if admission is not None and admission.holds and not self._settled:
            self._settled = True
            await settle(self._limiter, admission, outcome)
