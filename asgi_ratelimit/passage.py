"""A response on its way out: its headers are added, its answer is kept, and its last byte waits for the settling."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from asgi_ratelimit.responses import is_last, merged
from asgi_ratelimit.scope import Message, Send, State, Taken
from ratelimit_core import Admission, Limiter
from ratelimit_core.answers import LARGEST_BODY, Result
from ratelimit_core.drive import finish

RAISED = Result(raised=True)
CUT = Result(raised=True, cut=True)


def take(state: State, limiter: Limiter, admission: Admission, prior: Admission | None) -> None:
    """Share an admission with the other doors; what it holds is left to the innermost door that settles."""
    state["admission"] = admission
    if admission.fresh_held:
        state["taken"].append(Taken(limiter, admission, prior))


@contextmanager
def noting(state: State, is_answer: Callable[[Exception], bool]) -> Iterator[None]:
    """Note a failure: an exception handler may make any answer of it, and the endpoint may have done its work."""
    try:
        yield
    except Exception as error:  # noted and raised again
        state["raised"] = state["raised"] or not is_answer(error)
        raise


async def give_back(taken: list[Taken], result: Result) -> None:
    """Settle, and be done when this returns; a cancellation that arrives meanwhile is raised afterwards."""
    if taken:
        ending = [*taken]
        taken.clear()
        await finish(_settle(ending, result))


async def _settle(ending: list[Taken], result: Result) -> None:
    for limiter, admission, prior in ending:
        await limiter.asettle(admission, result, prior)


class Passage:
    """One request's response through one middleware, which settles what was taken inside of it.

    The outermost one adds the headers. A response is recorded up to what can be kept.
    """

    __slots__ = ("_body", "_headers", "_outer", "_outermost", "_send", "_state", "_status", "taken")

    def __init__(self, state: State, send: Send, *, outermost: bool) -> None:
        self._state = state
        self._send = send
        self._outermost = outermost
        self._status: int | None = None
        self._headers: tuple[tuple[str, str], ...] = ()
        self._body: bytearray | None = bytearray()
        self._outer = state["taken"]
        self.taken: list[Taken] = []
        state["taken"] = self.taken

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        if self.taken:
            self._record(message)
            if is_last(message):
                await self.end(self._result())
        admission = self._state["admission"]
        if self._outermost and admission is not None and message["type"] == "http.response.start":
            pairs = self._state["limiter"].headers(admission)
            message = {**message, "headers": merged(message.get("headers", ()), pairs)}
        await self._send(message)

    async def end(self, result: Result) -> None:
        """Settle once, whichever end of the request comes first."""
        raised = result.raised or self._state["raised"]
        await give_back(self.taken, result._replace(released=self._state["released"], raised=raised))

    def leave(self) -> None:
        """What is taken from now on is the outer middleware's."""
        self._state["taken"] = self._outer

    def _record(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._status = message["status"]
            self._headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())
            )
        elif kind == "http.response.body" and self._body is not None:
            self._body += message.get("body", b"")
            if len(self._body) > LARGEST_BODY:
                self._body = None
        elif kind in ("http.response.pathsend", "http.response.zerocopysend"):
            self._body = None  # the bytes don't pass here

    def _result(self) -> Result:
        return Result(self._status, self._headers, None if self._body is None else bytes(self._body))
