"""What every store does, whatever keeps the numbers."""

import pytest

from ratelimit_core.commands import Acquire, Charge, Peek, Reset
from tests.stores.subjects import START_US, Subject, fresh_key

SECOND = 1_000_000
DAY = 86_400 * SECOND
LARGEST = (1 << 51) - 1


def charge(key: str, burst: int = 3, interval_us: int = SECOND, cost: int = 1) -> Charge:
    return Charge(key, interval_us * burst, interval_us * cost)


def test_the_burst_passes_and_the_next_one_is_told_how_long_to_wait(subject: Subject) -> None:
    one = charge(fresh_key())
    assert [subject.acquire(one) for _ in range(4)] == [(2 * SECOND,), (SECOND,), (0,), (-SECOND,)]


def test_the_reply_begins_with_the_stores_time(subject: Subject) -> None:
    subject.clock.advance_us(17)
    one = charge(fresh_key())
    assert subject.execute(Acquire((one,)))[0] == START_US + 17
    assert subject.execute(Peek((one,)))[0] == START_US + 17
    assert subject.execute(Reset((one.key,)))[0] == START_US + 17


def test_time_gives_back_what_it_earned_and_never_more_than_the_burst(subject: Subject) -> None:
    one = charge(fresh_key())
    subject.acquire(one)
    subject.acquire(one)
    subject.clock.advance_us(SECOND // 2)
    assert subject.peek(one._replace(increment_us=0)) == (SECOND + SECOND // 2,)
    subject.clock.advance_us(DAY)
    assert subject.peek(one._replace(increment_us=0)) == (3 * SECOND,)


def test_a_charge_that_does_not_fit_leaves_everything_as_it_was(subject: Subject) -> None:
    full, empty = charge(fresh_key(), burst=1), charge(fresh_key())
    subject.acquire(full)
    before = subject.stored()
    assert subject.acquire(empty, full) == (2 * SECOND, -SECOND)
    assert subject.acquire(full) == (-SECOND,)
    assert subject.stored() == before


def test_all_charges_of_a_group_are_written_together(subject: Subject) -> None:
    first, second = charge(fresh_key()), charge(fresh_key(), burst=10, interval_us=7)
    assert subject.acquire(first, second) == (2 * SECOND, 63)
    assert subject.peek(first, second) == (SECOND, 56)


def test_an_observed_group_that_does_not_fit_refuses_only_itself(subject: Subject) -> None:
    binding, fits = charge(fresh_key()), charge(fresh_key())
    full, beside = charge(fresh_key(), burst=1), charge(fresh_key())
    subject.acquire(full)
    replied = subject.acquire(binding, observed=((full, beside), (fits,)))
    assert replied == (2 * SECOND, -SECOND, 2 * SECOND, 2 * SECOND)
    assert subject.peek(binding, full, beside, fits) == (SECOND, -SECOND, 2 * SECOND, SECOND)


def test_a_binding_refusal_charges_no_observed_group(subject: Subject) -> None:
    full, observed = charge(fresh_key(), burst=1), charge(fresh_key())
    subject.acquire(full)
    before = subject.stored()
    assert subject.acquire(full, observed=((observed,),)) == (-SECOND, 2 * SECOND)
    assert subject.stored() == before


def test_a_group_may_be_observed_alone(subject: Subject) -> None:
    observed = charge(fresh_key())
    assert subject.acquire(observed=((observed,),)) == (2 * SECOND,)
    assert subject.peek(observed) == (SECOND,)


def test_a_peek_answers_as_the_acquire_would_and_writes_nothing(subject: Subject) -> None:
    one, other = charge(fresh_key()), charge(fresh_key(), burst=1)
    subject.acquire(one)
    before = subject.stored()
    peeked = subject.execute(Peek((one, other)))
    assert subject.stored() == before
    assert subject.execute(Acquire((one, other))) == peeked


@pytest.mark.parametrize("spent", [0, 1, 3])
def test_a_charge_of_nothing_reads_and_never_writes(subject: Subject, spent: int) -> None:
    one = charge(fresh_key())
    for _ in range(spent):
        subject.acquire(one)
    before = subject.stored()
    assert subject.acquire(one._replace(increment_us=0)) == ((3 - spent) * SECOND,)
    assert subject.stored() == before


def test_a_charge_of_nothing_beside_another_writes_only_the_other(subject: Subject) -> None:
    read, written = charge(fresh_key(), cost=0), charge(fresh_key())
    subject.acquire(read, written)
    assert set(subject.stored()) == {written.key}


def test_a_reset_forgets_what_it_is_told_and_says_how_much_there_was(subject: Subject) -> None:
    gone, kept, never = charge(fresh_key()), charge(fresh_key()), fresh_key()
    subject.acquire(gone, kept)
    assert subject.execute(Reset((gone.key, never))) == (START_US, 1)
    assert subject.peek(gone, kept) == (2 * SECOND, SECOND)
    assert subject.execute(Reset((gone.key,))) == (START_US, 0)


def test_a_clock_that_jumps_back_locks_nobody_out(subject: Subject) -> None:
    one = charge(fresh_key())
    for _ in range(3):
        subject.acquire(one)
    subject.clock.advance_us(-DAY)
    assert subject.acquire(one) == (-SECOND,)
    subject.clock.advance_us(SECOND)
    assert subject.acquire(one) == (0,), "waiting as long as it was told was in vain"


def test_a_shorter_quota_locks_nobody_out_over_the_debt_of_a_longer_one(subject: Subject) -> None:
    key, read, other = fresh_key(), charge(fresh_key(), cost=0), charge(fresh_key())
    for _ in range(3):
        subject.acquire(charge(key, interval_us=DAY))
    shorter = charge(key)
    assert subject.peek(shorter) == (-SECOND,)
    assert subject.acquire(read, other, observed=((shorter,),)) == (3 * SECOND, 2 * SECOND, -SECOND)
    subject.clock.advance_us(SECOND)
    assert subject.acquire(shorter) == (0,)


def test_asking_for_nothing_does_not_write_even_where_a_debt_is_too_old(subject: Subject) -> None:
    key = fresh_key()
    subject.acquire(charge(key, interval_us=DAY))
    before = subject.stored()
    assert subject.acquire(charge(key, cost=0)) == (0,)
    assert subject.stored() == before


def test_a_charge_above_the_burst_lacks_the_difference_and_is_not_written(subject: Subject) -> None:
    one = charge(fresh_key(), cost=5)
    assert subject.acquire(one) == (-2 * SECOND,)
    assert one.key not in subject.stored()


def test_the_largest_numbers_stay_exact(subject: Subject) -> None:
    one = Charge(fresh_key(), LARGEST, 1)
    assert [subject.acquire(one) for _ in range(3)] == [(LARGEST - 1,), (LARGEST - 2,), (LARGEST - 3,)]
    subject.clock.advance_us(1)
    assert subject.acquire(one) == (LARGEST - 3,)
    whole = Charge(fresh_key(), LARGEST, LARGEST)
    assert subject.acquire(whole) == (0,)
    subject.clock.advance_us(LARGEST - 1)
    assert subject.acquire(whole) == (-1,)
    subject.clock.advance_us(1)
    assert subject.acquire(whole) == (0,)


def test_the_smallest_quota_stays_exact(subject: Subject) -> None:
    one = Charge(fresh_key(), 1, 1)
    assert subject.acquire(one) == (0,)
    assert subject.acquire(one) == (-1,)
    subject.clock.advance_us(1)
    assert subject.acquire(one) == (0,)


def test_identities_do_not_share_anything(subject: Subject) -> None:
    one, other = charge(fresh_key(), burst=1), charge(fresh_key(), burst=1)
    assert subject.acquire(one) == (0,)
    assert subject.acquire(other) == (0,)
    assert subject.acquire(one) == (-SECOND,)
