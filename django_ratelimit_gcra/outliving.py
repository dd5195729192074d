"""A view that runs in a thread outlives a cancelled request: its end is waited for, and settled as it was."""

import asyncio
from collections.abc import Coroutine

from django.http.response import HttpResponseBase

from django_ratelimit_gcra.state import RateLimitState

_unfinished: set[asyncio.Task[HttpResponseBase]] = set()


async def outliving(state: RateLimitState, work: Coroutine[None, None, HttpResponseBase]) -> HttpResponseBase:
    """Await the response; a client that goes away cancels an async view, and leaves a thread to its end.

    A thread can't be cancelled. To settle while it runs would let the next request in beside it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if state.threaded and not task.done():
            _unfinished.add(task)
            task.add_done_callback(_finished)
        elif not task.done():
            task.cancel()
            await asyncio.wait({task})
        raise


def _finished(task: "asyncio.Task[HttpResponseBase]") -> None:
    """Nobody waits for the response any more; an error was the view's own and has been settled as one."""
    _unfinished.discard(task)
    if not task.cancelled():
        task.exception()
