"""Held shields are kept by renewal, lost ones are told of, and a hung handler is not kept for ever."""

from threading import Event, Thread

import pytest

from ratelimit_core import Bucket, Identity, StoreError, renewal
from ratelimit_core.commands import Acquire, Charge, Claim, Command, Lease, Outcome, Renew, Reply, Settle, Shield
from ratelimit_core.decision import Held
from ratelimit_core.renewal import LONGEST_HOLD_US, Renewer
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

SECOND_US = 1_000_000
PAY = Bucket("pay", quota="5/m:1", concurrency=1, store_down="closed")  # type: ignore[arg-type]  # text is read
CLAIM = Claim("r", "f", 30 * SECOND_US, 900 * SECOND_US, 3_600 * SECOND_US, Charge("p", SECOND_US, SECOND_US))


class Replying:
    """A store that answers every renewal alike, or fails."""

    def __init__(self, reply: Reply | StoreError | Exception = (0, 1, 1)) -> None:
        self.reply = reply
        self.commands: list[Command] = []

    def execute(self, command: Command, /) -> Reply:
        self.commands.append(command)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def aexecute(self, command: Command, /) -> Reply:
        return self.execute(command)

    def describe(self) -> dict[str, object]:
        return {}

    def close(self) -> None: ...

    async def aclose(self) -> None: ...


class Bench:
    """A renewer without a thread, on a clock moved by hand."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.lost: list[Held] = []
        self.renewer = Renewer(self.lost.append, lambda: self.clock.now_us() * 1_000, background=False)


def held(owner: str = "a", lease_s: float | None = 30, claim: Claim | None = None) -> Held:
    lease = None if lease_s is None else Lease("l", 1, int(lease_s * SECOND_US))
    return Held(PAY, Identity.user("alice"), Shield(owner, lease, claim), 1, 1, explicit=False)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_shield_is_renewed_at_a_third_of_its_time_to_live(bench: Bench) -> None:
    store, mine = Replying(), held()
    assert bench.renewer.renew_due() is None
    bench.renewer.watch(mine, store)
    assert bench.renewer.renew_due() == 10 * SECOND_US
    bench.clock.advance_us(10 * SECOND_US - 1)
    assert bench.renewer.renew_due() == 1
    assert store.commands == []
    bench.clock.advance_us(1)
    assert bench.renewer.renew_due() == 10 * SECOND_US
    assert store.commands == [Renew(mine.shield)]
    assert bench.lost == []


@pytest.mark.parametrize(("lease_s", "third_s"), [(30, 10), (3, 1), (None, 10), (60, 10)])
def test_the_shorter_of_lease_and_claim_sets_the_pace(bench: Bench, lease_s: int | None, third_s: int) -> None:
    bench.renewer.watch(held(lease_s=lease_s, claim=CLAIM), Replying())
    assert bench.renewer.renew_due() == third_s * SECOND_US


def test_what_is_forgotten_is_not_renewed(bench: Bench) -> None:
    store, mine = Replying(), held()
    bench.renewer.watch(mine, store)
    bench.renewer.forget(mine.shield)
    bench.renewer.forget(mine.shield)
    bench.clock.advance_us(60 * SECOND_US)
    assert bench.renewer.renew_due() is None
    assert (store.commands, bench.lost, bench.renewer.still_held(mine.shield)) == ([], [], False)


@pytest.mark.parametrize(
    ("mine", "reply", "lost"),
    [
        (held(), (0, 1, 0), False),
        (held(), (0, 0, 0), True),
        (held(lease_s=None, claim=CLAIM), (0, 0, 1), False),
        (held(lease_s=None, claim=CLAIM), (0, 0, 0), True),
        (held(claim=CLAIM), (0, 1, 0), True),
        (held(claim=CLAIM), (0, 0, 1), True),
    ],
)
def test_a_shield_is_lost_when_any_of_it_is(bench: Bench, mine: Held, reply: Reply, lost: bool) -> None:
    store = Replying(reply)
    bench.renewer.watch(mine, store)
    bench.clock.advance_us(10 * SECOND_US)
    bench.renewer.renew_due()
    assert bench.lost == [mine] * lost
    assert bench.renewer.still_held(mine.shield) is not lost
    bench.clock.advance_us(10 * SECOND_US)
    bench.renewer.renew_due()
    assert len(store.commands) == 2 - lost, "what was lost stays lost, and is told of once"


def test_an_unheard_renewal_is_tried_again_while_the_shield_may_be_held(bench: Bench) -> None:
    store, mine = Replying(StoreError("timeout", "slow")), held()
    bench.renewer.watch(mine, store)
    for step in range(1, 4):
        bench.clock.advance_us(10 * SECOND_US)
        bench.renewer.renew_due()
        assert bench.renewer.still_held(mine.shield) is (step < 3)
    assert (len(store.commands), bench.lost) == (3, [mine])


def test_a_renewal_that_is_heard_again_holds_for_a_whole_time_to_live(bench: Bench) -> None:
    store, mine = Replying(StoreError("connection", "gone")), held()
    bench.renewer.watch(mine, store)
    bench.clock.advance_us(10 * SECOND_US)
    bench.renewer.renew_due()
    store.reply = (0, 1, 0)
    bench.clock.advance_us(10 * SECOND_US)
    bench.renewer.renew_due()
    bench.clock.advance_us(30 * SECOND_US - 1)
    assert bench.renewer.still_held(mine.shield)
    bench.clock.advance_us(1)
    assert not bench.renewer.still_held(mine.shield)


def test_a_handler_that_hangs_loses_its_slot_after_the_longest_hold(bench: Bench) -> None:
    store, mine = Replying(), held()
    bench.renewer.watch(mine, store)
    while bench.clock.now_us() < LONGEST_HOLD_US:
        bench.clock.advance_us(10 * SECOND_US)
        bench.renewer.renew_due()
    assert bench.renewer.still_held(mine.shield), "the store holds it until the deadline it was last given"
    renewals = len(store.commands)
    bench.clock.advance_us(bench.renewer.renew_due() or 0)
    assert bench.renewer.renew_due() is None
    assert (len(store.commands), bench.lost) == (renewals, [mine])


def test_a_lease_longer_than_the_longest_hold_lasts_as_long_as_it_says(bench: Bench) -> None:
    store, mine = Replying(), held(lease_s=3_600)
    bench.renewer.watch(mine, store)
    bench.clock.advance_us(1_200 * SECOND_US)
    assert bench.renewer.renew_due() == 2_400 * SECOND_US
    assert (store.commands, bench.lost, bench.renewer.still_held(mine.shield)) == ([], [], True)


def test_a_renewal_that_races_with_the_settlement_loses_nothing(bench: Bench) -> None:
    """The store says that it is gone, because it was given back in the meantime."""
    mine = held()

    class Settling(Replying):
        def execute(self, command: Command, /) -> Reply:
            bench.renewer.forget(mine.shield)
            return 0, 0, 0

    bench.renewer.watch(mine, Settling())
    bench.clock.advance_us(10 * SECOND_US)
    assert bench.renewer.renew_due() is None
    assert bench.lost == []


def test_a_child_of_a_fork_renews_nothing_of_its_parent_s(bench: Bench) -> None:
    mine = held()
    bench.renewer.watch(mine, Replying())
    renewal._after_fork()
    assert (bench.renewer.renew_due(), bench.renewer.still_held(mine.shield)) == (None, False)


class Watched(MemoryStore):
    """Tells when a few renewals have come."""

    def __init__(self) -> None:
        super().__init__()
        self.renewals = 0
        self.renewed = Event()

    def execute(self, command: Command, /) -> Reply:
        reply = super().execute(command)
        if isinstance(command, Renew):
            self.renewals += 1
            if self.renewals == 3:
                self.renewed.set()
        return reply


def test_the_thread_starts_renews_and_ends() -> None:
    store, mine = Watched(), held(lease_s=0.6)
    lost: list[Held] = []
    renewer = Renewer(lost.append, idle_s=0.01)
    store.execute(Acquire((Charge("q", SECOND_US, 1),), shield=mine.shield))
    renewer.watch(mine, store)
    thread = renewer._thread
    assert isinstance(thread, Thread)
    renewer.watch(held("b", lease_s=3_600), Replying())
    assert store.renewed.wait(10)
    assert renewer.still_held(mine.shield)
    for owner in ("a", "b"):
        renewer.forget(held(owner).shield)
    assert store.execute(Settle(mine.shield, Outcome.COMPLETED))[1] == 1
    thread.join(10)
    assert (thread.is_alive(), renewer._thread, lost) == (False, None, [])
    renewer.watch(mine, store)
    assert renewer._thread is not None
    renewer.forget(mine.shield)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_a_store_broke_is_started_anew_by_the_next_shield() -> None:
    renewer = Renewer(lambda _: None, idle_s=0.01)
    renewer.watch(held(lease_s=0.003), Replying(ValueError("no store's failure")))
    thread = renewer._thread
    if thread is not None:
        thread.join(10)
    renewer.forget(held().shield)
    renewer.watch(held("b"), Replying())
    assert renewer._thread not in (None, thread)
    renewer.forget(held("b").shield)
