"""The only place where sync and async differ: a flow's commands are carried to a store, and its replies back."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Protocol

from ratelimit_core.commands import Acquire, Command, Flow, Local, Reply, Result
from ratelimit_core.errors import StoreError


class Store(Protocol):
    """Executes commands atomically and tells the time; raises StoreError and nothing else when it can't."""

    def execute(self, command: Command, /) -> Reply: ...

    async def aexecute(self, command: Command, /) -> Reply: ...

    def describe(self) -> dict[str, object]:
        """What an operator wants to know: kind, state, counts. No secrets."""
        ...

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


def run(flow: Flow[Result], store: Store, local: Store) -> Result:
    """Drive a flow in this thread; `local` is the process's own store."""
    try:
        command = next(flow)
        while True:
            try:
                if type(command) is Local:
                    reply = local.execute(command.command)
                else:
                    reply = store.execute(command)  # type: ignore[arg-type]  # Local was taken out above
            except StoreError as error:
                command = flow.throw(error)
            else:
                command = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # a StopIteration's value has no type


async def arun(flow: Flow[Result], store: Store, local: Store) -> Result:
    """Drive a flow in this event loop; a cancelled one gives back the shield that it may have taken."""
    return await _carry(flow, flow.__next__, store, local)


async def _carry(flow: Flow[Result], begin: Callable[[], Command | Local], store: Store, local: Store) -> Result:
    try:
        command = begin()
        while True:
            try:
                if type(command) is Local:
                    reply = local.execute(command.command)
                else:
                    reply = await store.aexecute(command)  # type: ignore[arg-type]  # Local was taken out above
            except StoreError as error:
                command = flow.throw(error)
            except asyncio.CancelledError:
                if isinstance(command, Acquire) and command.shield is not None:
                    cancelled = StoreError("cancelled", "the caller was cancelled while it waited for the store")
                    await finish(_carry(flow, partial(flow.throw, cancelled), store, local))
                raise
            else:
                command = flow.send(reply)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # a StopIteration's value has no type


async def finish(work: Coroutine[None, None, Result]) -> Result:
    """Await work that must not be lost: a cancellation that arrives meanwhile is raised when it is done."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()
