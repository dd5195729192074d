"""The breaker: a few failures in a row open it, one request probes, one answer closes it."""

import threading

import pytest

from ratelimit_core import StoreError
from ratelimit_core.breaker import Breaker

COOLDOWN_US = 1_000_000


class Hand:
    """A monotonic clock moved by hand."""

    ns = 5_000_000_000

    def __call__(self) -> int:
        return self.ns

    def advance_us(self, us: int) -> None:
        self.ns += us * 1_000


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def breaker(hand: Hand) -> Breaker:
    return Breaker(threshold=3, cooldown_us=COOLDOWN_US, monotonic_ns=hand)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_opens_at_the_third_failure_in_a_row(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.failed()
        breaker.check()
    assert breaker.opened == 0
    breaker.failed()
    assert breaker.is_open
    assert breaker.opened == 1


def test_an_answer_between_failures_starts_the_count_anew(breaker: Breaker) -> None:
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open
    assert breaker.opened == 0


def test_while_open_it_says_how_long_to_wait(breaker: Breaker, hand: Hand) -> None:
    opened(breaker)
    hand.advance_us(400_000)
    with pytest.raises(StoreError, match="breaker_open") as raised:
        breaker.check()
    assert raised.value.kind == "breaker_open"
    assert raised.value.wait_us == 600_000


def test_after_the_cooldown_one_request_probes_and_the_others_do_not(breaker: Breaker, hand: Hand) -> None:
    opened(breaker)
    hand.advance_us(COOLDOWN_US)
    breaker.check()
    with pytest.raises(StoreError):
        breaker.check()
    assert breaker.is_open


def test_a_probe_that_fails_keeps_it_open_for_another_cooldown(breaker: Breaker, hand: Hand) -> None:
    opened(breaker)
    hand.advance_us(COOLDOWN_US)
    breaker.check()
    breaker.failed()
    hand.advance_us(COOLDOWN_US - 1)
    with pytest.raises(StoreError):
        breaker.check()
    hand.advance_us(1)
    breaker.check()
    assert breaker.opened == 1, "it never closed, so it opened once"


def test_a_probe_that_never_reports_back_is_followed_by_another(breaker: Breaker, hand: Hand) -> None:
    opened(breaker)
    for _ in range(3):
        hand.advance_us(COOLDOWN_US)
        breaker.check()


def test_an_answer_closes_it_and_it_can_open_again(breaker: Breaker) -> None:
    opened(breaker).succeeded()
    breaker.check()
    assert not breaker.is_open
    assert opened(breaker).opened == 2


def test_whoever_waits_is_told_once_when_it_opens(breaker: Breaker) -> None:
    told: list[bool] = []
    breaker.on_open(lambda: told.append(breaker.is_open))
    opened(breaker).failed()
    assert told == [True]


def test_the_default_leaves_a_store_alone_for_a_second() -> None:
    error = Breaker().error()
    assert error.wait_us == 1_000_000
    assert Breaker().error(17).wait_us == 17


def test_of_many_threads_one_is_the_probe(breaker: Breaker, hand: Hand) -> None:
    opened(breaker)
    passed = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        try:
            breaker.check()
        except StoreError:
            return
        passed.append(threading.get_ident())

    for round_ in range(1, 51):
        hand.advance_us(COOLDOWN_US)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(passed) == round_
