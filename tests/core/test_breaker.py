"""The breaker between two threads: what happens between looking at it and taking the probe. See also tests/stores."""

from collections.abc import Callable

import pytest

from ratelimit_core import StoreError
from ratelimit_core.breaker import Breaker

COOLDOWN_NS = 1_000_000_000


class Interrupted:
    """A monotonic clock at which another thread does something while it is being read."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.meanwhile: Callable[[], None] | None = None

    def __call__(self) -> int:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self.now_ns


def cooled_down(clock: Interrupted) -> Breaker:
    breaker = Breaker(threshold=1, monotonic_ns=clock)
    breaker.failed()
    clock.now_ns = COOLDOWN_NS
    return breaker


def test_a_breaker_that_closes_while_it_is_looked_at_lets_pass() -> None:
    clock = Interrupted()
    breaker = cooled_down(clock)
    clock.meanwhile = breaker.succeeded
    breaker.check()
    assert not breaker.is_open


def test_whoever_finds_the_probe_taken_is_told_to_wait() -> None:
    clock = Interrupted()
    breaker = cooled_down(clock)
    clock.meanwhile = breaker.check
    with pytest.raises(StoreError) as caught:
        breaker.check()
    assert (caught.value.kind, caught.value.wait_us) == ("breaker_open", 1_000_000)
    assert breaker.is_open


def test_a_failure_meanwhile_puts_the_probe_off() -> None:
    clock = Interrupted()
    breaker = cooled_down(clock)
    clock.meanwhile = breaker.failed
    with pytest.raises(StoreError):
        breaker.check()
    clock.now_ns += COOLDOWN_NS - 1_000
    with pytest.raises(StoreError) as caught:
        breaker.check()
    assert caught.value.wait_us == 1


def test_an_answer_of_a_healthy_store_changes_nothing() -> None:
    clock = Interrupted()
    breaker = Breaker(threshold=1, monotonic_ns=clock)
    breaker.succeeded()
    breaker.check()
    assert (breaker.is_open, breaker.opened) == (False, 0)
