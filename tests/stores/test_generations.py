"""What is remembered of a record after its life: nothing."""

from ratelimit_core.commands import Acquire, Charge, Claim, Finding, Lease, Shield, Shielded
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock

SECOND = 1_000_000


def test_a_record_past_its_life_is_a_new_attempt() -> None:
    clock = ManualClock(SECOND)
    store = MemoryStore(clock)
    claim = Claim("t:idem:r", "f", SECOND, SECOND, 3 * SECOND, Charge("t:replay", SECOND, SECOND))
    command = Acquire((Charge("t:rl:q", 9 * SECOND, 1),), shield=Shield("a", None, claim))
    first = store.execute(command)
    clock.advance_us(3 * SECOND)
    second = store.execute(command._replace(shield=Shield("b", None, claim)))
    assert isinstance(first, Shielded)
    assert isinstance(second, Shielded)
    assert (second.finding, second.generation) == (Finding.HELD, clock.now_us())
    assert first.generation == SECOND


def test_the_first_lease_of_a_clock_at_zero_is_held() -> None:
    """A fencing number of 0 is a number, not a refusal."""
    store = MemoryStore(ManualClock())
    found = store.execute(Acquire((Charge("q", SECOND, 1),), shield=Shield("a", Lease("l", 1, SECOND))))
    assert isinstance(found, Shielded)
    assert found.finding is Finding.HELD
