"""A settlement that the store did not hear is said again until it does."""

from threading import Event

from ratelimit_core import StoreError
from ratelimit_core.commands import Command, Lease, Outcome, Peek, Reply, Settle, Shield
from ratelimit_core.stores.arrears import Arrears

DOWN = StoreError("timeout", "nothing was answered")


def settle(who: str = "a") -> Settle:
    return Settle(Shield(who, Lease("l", 1, 1)), Outcome.RELEASED)


class Deaf:
    """A store that hears nothing until it is healed; keeps what it was told."""

    def __init__(self) -> None:
        self.error: StoreError | None = DOWN
        self.told: list[Command] = []
        self.now_s = 0.0
        self.arrears = Arrears(self.tell, lambda: self.now_s, background=False)

    def tell(self, command: Command) -> Reply:
        self.told.append(command)
        if self.error is not None:
            raise self.error
        return 0, 1, 0

    def owe(self, *whose: str) -> None:
        for who in whose:
            self.arrears.owe(settle(who), DOWN)


def test_what_was_not_heard_is_said_again_once_and_in_order() -> None:
    store = Deaf()
    store.owe("a", "b")
    assert store.arrears.pay() == 2
    assert store.told == [settle("a")], "while the store is down, one probe a turn"
    store.error = None
    assert store.arrears.pay() == 0
    assert store.told[1:] == [settle("a"), settle("b")]
    assert store.arrears.pay() == 0
    assert len(store.told) == 3


def test_no_other_command_is_ever_said_twice() -> None:
    store = Deaf()
    store.arrears.owe(Peek(()), DOWN)
    assert store.arrears.pay() == 0
    assert store.told == []


def test_a_foreign_value_will_not_become_another_by_asking_again() -> None:
    store = Deaf()
    store.arrears.owe(settle(), StoreError("corrupt", "a list"))
    assert store.arrears.pay() == 0
    store.owe("a", "b")
    store.error = StoreError("corrupt", "a list")
    assert store.arrears.pay() == 0
    assert store.told == [settle("a"), settle("b")]


def test_it_gives_up_after_ten_minutes_and_keeps_a_thousand() -> None:
    store = Deaf()
    store.owe(*map(str, range(1_001)))
    assert store.arrears.pay() == 1_000
    store.now_s = 600
    assert store.arrears.pay() == 0


def test_the_thread_ends_when_nothing_is_owed_and_another_is_started() -> None:
    heard = Event()

    def tell(command: Command) -> Reply:
        heard.set()
        return 0, 1, 0

    arrears = Arrears(tell, pause_s=0.001)
    for who in ("a", "b"):
        heard.clear()
        arrears.owe(settle(who), DOWN)
        assert heard.wait(20)
        thread = arrears._thread
        if thread is not None:
            thread.join(20)
        assert arrears._thread is None
