"""A view in a thread outlives its cancelled request; an async view does not."""

import asyncio

import pytest
from django.http import HttpResponse

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.outliving import outliving
from django_ratelimit_gcra.state import RateLimitState
from tests.stores.test_turns import a_round


class Work:
    """A response that takes until `gate` is set; `ended` says how it ended."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.over = asyncio.Event()
        self.ended = ""

    async def respond(self) -> HttpResponse:
        self.begun.set()
        try:
            await self.gate.wait()
            self.ended = "returned"
            return HttpResponse()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        finally:
            self.over.set()


def state(*, threaded: bool) -> RateLimitState:
    made = RateLimitState(runtime.limiter())
    made.threaded = threaded
    return made


async def hung_up(work: Work, *, threaded: bool) -> None:
    """A client that goes away while the view runs."""
    request = asyncio.create_task(outliving(state(threaded=threaded), work.respond()))
    await work.begun.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_thread_is_left_to_its_end() -> None:
    work = Work()
    await hung_up(work, threaded=True)
    assert not work.over.is_set()
    work.gate.set()
    await work.over.wait()
    assert work.ended == "returned"


async def test_an_async_view_is_cancelled_and_done_when_the_request_is() -> None:
    work = Work()
    await hung_up(work, threaded=False)
    assert work.ended == "cancelled"


async def test_a_request_that_nobody_cancels_is_answered() -> None:
    work = Work()
    work.gate.set()
    assert (await outliving(state(threaded=True), work.respond())).status_code == 200


async def test_a_failure_after_the_client_left_is_not_a_loose_end() -> None:
    async def fails() -> HttpResponse:
        await a_round()
        await gate.wait()
        raise LookupError

    gate = asyncio.Event()
    request = asyncio.create_task(outliving(state(threaded=True), fails()))
    await a_round()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    gate.set()
    for _ in range(5):
        await a_round()
