"""Commands are carried to the store and replies back, the same way in a thread and in an event loop."""

import asyncio
from collections.abc import Callable

import pytest

from ratelimit_core import StoreError
from ratelimit_core.commands import (
    Acquire,
    Charge,
    Command,
    Flow,
    Lease,
    Local,
    Outcome,
    Peek,
    Reply,
    Reset,
    Settle,
    Shield,
)
from ratelimit_core.drive import arun, finish, run
from ratelimit_core.testing import ScriptedStore

Drive = Callable[[Flow[object], ScriptedStore, ScriptedStore], object]
QUESTION = Peek((Charge("k", 10, 1),))


def in_a_loop(flow: Flow[object], store: ScriptedStore, local: ScriptedStore) -> object:
    return asyncio.run(arun(flow, store, local))


both = pytest.mark.parametrize("drive", [run, in_a_loop], ids=["sync", "async"])


def asking(*commands: Peek | Reset | Local) -> Flow[object]:
    """Asks one after the other; returns what it was told, errors included."""
    told: list[object] = []
    for command in commands:
        try:
            told.append((yield command))
        except StoreError as error:
            told.append(error.kind)
    return told


@both
def test_replies_come_back_in_order(drive: Drive) -> None:
    store, local = ScriptedStore([(1,), (2,)]), ScriptedStore()
    assert drive(asking(QUESTION, Reset(("k",))), store, local) == [(1,), (2,)]
    assert store.commands == [QUESTION, Reset(("k",))]


@both
def test_a_local_command_goes_to_the_process_s_own_store(drive: Drive) -> None:
    store, local = ScriptedStore([(1,)]), ScriptedStore([(2,)])
    assert drive(asking(QUESTION, Local(QUESTION)), store, local) == [(1,), (2,)]
    assert local.commands == [QUESTION]


@both
def test_a_store_s_failure_is_thrown_into_the_flow(drive: Drive) -> None:
    store, local = ScriptedStore([StoreError("timeout", "slow"), (2,)]), ScriptedStore([StoreError("corrupt", "odd")])
    assert drive(asking(QUESTION, Local(QUESTION), QUESTION), store, local) == ["timeout", "corrupt", (2,)]


@both
def test_a_failure_that_the_flow_does_not_take_reaches_the_caller(drive: Drive) -> None:
    def plain() -> Flow[object]:
        return (yield QUESTION)

    with pytest.raises(StoreError, match="timeout: slow"):
        drive(plain(), ScriptedStore([StoreError("timeout", "slow")]), ScriptedStore())


@both
def test_a_flow_may_ask_nothing(drive: Drive) -> None:
    store = ScriptedStore()
    assert drive(asking(), store, ScriptedStore()) == []
    assert store.commands == []


@both
def test_what_is_no_store_s_failure_is_nobody_s_to_catch(drive: Drive) -> None:
    with pytest.raises(AssertionError, match="no reply was prepared"):
        drive(asking(QUESTION), ScriptedStore(), ScriptedStore())


# --- cancellation in an event loop


class Slow(ScriptedStore):
    """A store that answers a shielded admission only when it is let."""

    def __init__(self) -> None:
        super().__init__([(1, 1, 1)])
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def aexecute(self, command: Command, /) -> Reply:
        if isinstance(command, Settle):
            return await super().aexecute(command)
        self.commands.append(command)
        self.asked.set()
        await self.let.wait()
        return (1, 1)


MINE = Shield("a", Lease("l", 1, 30))


def admitting(shield: Shield | None) -> Flow[object]:
    try:
        return (yield Acquire((), shield=shield))
    except StoreError as error:
        yield Settle(MINE, Outcome.RELEASED)
        return error.kind


@pytest.mark.parametrize("shield", [MINE, None])
async def test_a_cancelled_admission_gives_back_the_shield_it_may_have_taken(shield: Shield | None) -> None:
    store = Slow()
    task = asyncio.create_task(arun(admitting(shield), store, ScriptedStore()))
    await store.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    given_back = [command for command in store.commands if isinstance(command, Settle)]
    assert given_back == ([] if shield is None else [Settle(MINE, Outcome.RELEASED)])


async def test_work_that_must_not_be_lost_is_done_before_the_cancellation_is_heard() -> None:
    begun, let = asyncio.Event(), asyncio.Event()
    done: list[str] = []

    async def work() -> str:
        begun.set()
        await let.wait()
        done.append("done")
        return "result"

    task = asyncio.create_task(finish(work()))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=0)
    task.cancel()
    await asyncio.wait([task], timeout=0)
    assert not task.done()
    let.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["done"]


async def test_work_that_is_not_disturbed_returns_its_result_or_raises() -> None:
    async def work(number: int) -> float:
        return 1 / number

    assert await finish(work(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        await finish(work(0))
