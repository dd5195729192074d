"""Calls of the store are told of, each once; where nobody listens nothing is measured."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from ratelimit_core import Bucket, Config, Identity, Limiter, StoreError
from ratelimit_core.commands import Acquire, Command, Outcome, Peek, Reply
from ratelimit_core.errors import RateLimitError
from ratelimit_core.events import OPS, StoreEvent
from ratelimit_core.renewal import Renewer
from ratelimit_core.stores import MemoryStore
from ratelimit_core.telling import Teller
from ratelimit_core.testing import ManualClock, RecordingSink, ScriptedStore, enforcing
from ratelimit_core.timing import TimedStore
from tests.core.test_telling import held

ALICE = Identity.user("alice")
KEY = {"idempotency_key": "k", "fingerprint": "f"}
CONFIG = Config.default({"write": {"mode": "enforce"}})


def listened(store: object = None) -> tuple[Limiter, RecordingSink]:
    sink = RecordingSink()
    return Limiter(CONFIG, store or MemoryStore(ManualClock()), sinks=[sink]), sink  # type: ignore[arg-type]  # a store


def pay(limiter: Limiter) -> None:
    limiter.settle(limiter.admit(ALICE, "financial", **KEY))  # type: ignore[arg-type]  # its keys are options


async def pay_in_a_loop(limiter: Limiter) -> None:
    await limiter.asettle(await limiter.aadmit(ALICE, "financial", **KEY))  # type: ignore[arg-type]  # the same


def resolve(limiter: Limiter) -> None:
    limiter.resolve("financial", ALICE, ending=Outcome.RELEASED, idempotency_key="k")


@pytest.mark.parametrize(
    ("act", "ops"),
    [
        (lambda limiter: limiter.admit(ALICE, ["read", "write"]), ["admit"]),
        (pay, ["admit", "settle"]),
        (lambda limiter: asyncio.run(pay_in_a_loop(limiter)), ["admit", "settle"]),
        (lambda limiter: limiter.peek(ALICE, "read"), ["peek"]),
        (lambda limiter: asyncio.run(limiter.apeek(ALICE, "read")), ["peek"]),
        (lambda limiter: limiter.reset(ALICE), ["reset"]),
        (lambda limiter: limiter.ping(), ["peek"]),
        (resolve, ["resolve"]),
    ],
)
def test_every_call_is_told_by_what_it_was_for(act: Callable[[Limiter], object], ops: list[str]) -> None:
    limiter, sink = listened()
    act(limiter)
    assert [event.op for event in sink.calls] == ops
    assert all(event.error is None and 0 <= event.seconds < 60 for event in sink.calls)


def test_every_command_has_a_name() -> None:
    assert set(OPS) == set(Command.__args__)


def test_a_renewal_is_told_of() -> None:
    now_ns = 0
    sink = RecordingSink()
    teller = Teller((sink,))
    renewer = Renewer(teller.lost, lambda: now_ns, background=False)
    renewer.watch(held(), teller.timed(ScriptedStore()))
    now_ns = 10_000
    renewer.renew_due()
    assert [event.op for event in sink.calls] == ["renew"]


def test_the_limiter_renews_through_the_store_that_is_timed() -> None:
    limiter, _ = listened()
    limiter.admit(ALICE, "financial", idempotency_key="k", fingerprint="f")
    (watch,) = limiter._renewer._watches.values()
    assert isinstance(watch.store, TimedStore)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", ["timeout", "breaker_open"])
def test_a_failure_is_told_by_its_kind_and_decided_as_ever(kind: str, asynchronous: bool) -> None:
    limiter, sink = listened(ScriptedStore([StoreError(kind, "gone")]))
    admission = asyncio.run(limiter.aadmit(ALICE, "write")) if asynchronous else limiter.admit(ALICE, "write")
    assert admission.allowed
    assert admission.decision.degraded
    assert [(event.op, event.error) for event in sink.calls] == [("admit", kind)]


def test_what_is_no_failure_of_the_store_is_raised_and_not_told() -> None:
    limiter, sink = listened(ScriptedStore())
    with pytest.raises(AssertionError, match="no reply was prepared"):
        limiter.admit(ALICE, "read")
    assert sink.calls == []


class Waiting(ScriptedStore):
    """A store that answers nobody in time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def aexecute(self, command: Command, /) -> Reply:
        """Wait for ever."""
        self.asked.set()
        await asyncio.Event().wait()
        raise RateLimitError("nobody set it")


async def test_a_call_whose_caller_was_cancelled_is_not_told() -> None:
    store = Waiting()
    limiter, sink = listened(store)
    task = asyncio.create_task(limiter.aadmit(ALICE, "read"))
    await store.asked.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert sink.calls == []


def test_without_sinks_the_store_is_asked_itself() -> None:
    store = MemoryStore()
    assert Limiter(CONFIG, store)._asked is store
    with enforcing():
        assert Limiter(CONFIG, store)._asked is not store
        assert not isinstance(Limiter(CONFIG, store)._asked, TimedStore)


def test_the_store_that_is_shown_is_the_real_one() -> None:
    store = MemoryStore()
    assert listened(store)[0].store is store


def test_the_store_of_a_test_s_block_is_timed_too() -> None:
    limiter, sink = listened(ScriptedStore())
    with enforcing():
        limiter.admit(ALICE, "read")
    assert [event.op for event in sink.calls] == ["admit"]


async def test_a_timed_store_is_a_store() -> None:
    calls: list[StoreEvent] = []
    store = TimedStore(ScriptedStore([(7,), (8,)]), calls.append)
    assert store.execute(Peek(())) == (7,)
    assert await store.aexecute(Acquire(())) == (8,)
    assert store.describe() == {"kind": "scripted", "replies": 0}
    store.close()
    await store.aclose()
    assert [call.op for call in calls] == ["peek", "admit"]


def test_a_bucket_without_a_store_call_tells_of_none() -> None:
    sink = RecordingSink()
    config = Config(buckets=[Bucket("off", quota="1/s:1", mode="off")])  # type: ignore[arg-type]  # text is read
    Limiter(config, ScriptedStore(), sinks=[sink]).admit(ALICE, "off")
    assert (len(sink.events), sink.calls) == (1, [])
