"""One request on its way: the application runs once, its response starts once, and nothing is left behind."""

import asyncio

import pytest

from asgi_ratelimit import RateLimitMiddleware
from asgi_ratelimit.scope import ASGIApp, Message, Receive, Scope, Send
from ratelimit_core import Bucket, Identity
from ratelimit_core.commands import Outcome
from tests.asgi.driving import Exchange, Hello, drive, limiter_of, scope_of
from tests.asgi.holding import WatchedLimiter, leased

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


class Raising(Hello):
    """Counts its runs and raises, before its response has started or after."""

    def __init__(self, failure: BaseException, started: bool) -> None:
        super().__init__()
        self.failure = failure
        self.started = started

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if self.started:
            await send(START)
        raise self.failure


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    for chunk in (b"one ", b"two ", b"three"):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def leased_app(app: ASGIApp, limiter: WatchedLimiter | None = None) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, limiter or WatchedLimiter(), default="pay")


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("failure", [RuntimeError, SystemExit, asyncio.CancelledError, KeyboardInterrupt])
async def test_the_application_runs_once_whatever_it_raises(failure: type[BaseException], started: bool) -> None:
    app = Raising(failure("on purpose"), started)
    limiter = WatchedLimiter()
    exchange = Exchange()
    with pytest.raises(failure) as caught:
        await leased_app(app, limiter)(scope_of(method="POST"), exchange.receive, exchange.send)
    assert caught.value is app.failure
    assert app.runs == 1
    assert len(exchange.messages) == started
    assert limiter.settled == [Outcome.UNKNOWN]


async def test_a_stream_of_several_chunks_has_one_response_start() -> None:
    exchange = await drive(RateLimitMiddleware(stream, limiter_of()))
    kinds = [message["type"] for message in exchange.messages]
    assert kinds == ["http.response.start"] + ["http.response.body"] * 4
    assert exchange.body == b"one two three"
    assert exchange.headers["x-ratelimit-remaining"] == "9"


async def test_the_messages_of_the_application_are_not_changed_in_its_hands() -> None:
    message: Message = {"type": "http.response.start", "status": 204, "headers": ()}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(message)

    await drive(RateLimitMiddleware(app, limiter_of()))
    assert message == {"type": "http.response.start", "status": 204, "headers": ()}


@pytest.mark.parametrize(
    "last",
    [
        {"type": "http.response.body", "body": b"x"},
        {"type": "http.response.pathsend", "path": "/srv/file"},
        {"type": "http.response.zerocopysend", "file": 3},
    ],
)
async def test_what_is_held_is_settled_before_the_last_byte_leaves_and_only_once(last: Message) -> None:
    limiter = WatchedLimiter()
    settled_at: list[tuple[str, int]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send(last)
        await send({"type": "http.response.trailers", "headers": []})

    async def send(message: Message) -> None:
        settled_at.append((message["type"], len(limiter.settled)))

    await leased_app(app, limiter)(scope_of(method="POST"), Exchange().receive, send)
    assert [settled for _, settled in settled_at] == [0, 0, 1, 1]
    assert limiter.settled == [Outcome.COMPLETED]


async def test_a_plain_admission_is_never_settled() -> None:
    await drive(RateLimitMiddleware(stream, WatchedLimiter()))  # a settling without need is an error of its own


async def test_a_second_request_is_refused_while_the_lease_is_held_and_not_afterwards() -> None:
    limiter = WatchedLimiter()
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await drive(leased_app(Hello(), limiter), method="POST")).status)
        await Hello()(scope, receive, send)

    for _ in range(2):
        assert (await drive(leased_app(app, limiter), method="POST")).status == 200
    assert seen == [429, 429]
    assert limiter.settled == [Outcome.COMPLETED] * 2


async def test_an_application_that_never_finishes_its_response_is_settled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)

    limiter = WatchedLimiter()
    await drive(leased_app(app, limiter), method="POST")
    assert limiter.settled == [Outcome.UNKNOWN]


async def test_what_a_door_of_another_package_took_is_rendered_and_left_to_it_to_settle() -> None:
    limiter = WatchedLimiter()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["asgi_ratelimit"]
        state["admission"] = await limiter.aadmit(Identity.user("ann"), "pay", prior=state["admission"])
        await Hello()(scope, receive, send)

    exchange = await drive(RateLimitMiddleware(app, limiter))
    assert exchange.headers["x-ratelimit-policy"] == "read, pay"
    assert limiter.settled == []


async def test_each_middleware_settles_what_it_took_itself() -> None:
    limiter = WatchedLimiter(leased("pay"), leased("book"))
    inner = RateLimitMiddleware(Hello(), limiter, default="book")
    exchange = await drive(leased_app(inner, limiter), method="POST")
    assert exchange.headers["x-ratelimit-policy"] == "pay, book"
    assert limiter.settled == [Outcome.COMPLETED] * 2


async def test_held_is_settled_when_an_inner_middleware_refuses() -> None:
    limiter = WatchedLimiter(leased("pay"), Bucket("write", quota="1/m:1"))
    inner = RateLimitMiddleware(Hello(), limiter, default="write")
    assert [(await drive(leased_app(inner, limiter), method="POST")).status for _ in range(2)] == [200, 429]
    assert len(limiter.settled) == 2


async def test_a_client_that_disconnects_leaves_nothing_behind() -> None:
    limiter = WatchedLimiter()

    async def gone(message: Message) -> None:
        raise OSError("the client is gone")

    with pytest.raises(OSError, match="the client is gone"):
        await leased_app(stream, limiter)(scope_of(method="POST"), Exchange().receive, gone)
    assert len(limiter.settled) == 1


async def test_a_task_cancelled_in_the_application_is_settled() -> None:
    before = asyncio.all_tasks()
    limiter = WatchedLimiter()
    running = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(drive(leased_app(app, limiter), method="POST"))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(limiter.settled) == 1
    assert asyncio.all_tasks() == before


async def test_a_task_cancelled_while_it_settles_settles_all_the_same() -> None:
    before = asyncio.all_tasks()
    limiter = WatchedLimiter()
    limiter.gate.clear()
    task = asyncio.ensure_future(drive(leased_app(Hello(), limiter), method="POST"))
    await limiter.settling.wait()
    for _ in range(3):  # a cancel scope does not give up either
        task.cancel()
        await asyncio.wait([task], timeout=0)
    assert not task.done()
    limiter.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(limiter.settled) == 1
    assert asyncio.all_tasks() == before


async def test_concurrent_requests_share_nothing_but_the_budget() -> None:
    bucket = Bucket("read", quota="60/m:10")
    app = Hello()
    limited = RateLimitMiddleware(app, limiter_of(bucket))
    exchanges = await asyncio.gather(*(drive(limited) for _ in range(50)))
    left = sorted(int(exchange.headers["x-ratelimit-remaining"]) for exchange in exchanges if exchange.status == 200)
    assert left == list(range(10))
    assert app.runs == 10
    assert len({id(scope["asgi_ratelimit"]) for scope in app.scopes}) == 10
