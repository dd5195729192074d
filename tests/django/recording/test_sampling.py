"""Which arrivals are kept: everybody's until there are many, then the same fixed share in every process."""

from itertools import count

import pytest

from django_ratelimit_gcra.recording import names, sampling
from django_ratelimit_gcra.recording.sampling import WHOLE, Batch, Sampler
from tests.django.recording.events import MINUTE_US, NOW_US, SECOND_US

HOUR_US = 60 * MINUTE_US


def hash_of(who: names.Who) -> bytes:
    return names.keyed_hash(b"k" * 32, who)


def user(number: int) -> names.Who:
    return f"user:{number}", None


def kept(batches: list[Batch]) -> dict[bytes, list[int]]:
    return {identity: list(times) for batch in batches for identity, times, _ in batch.lines}


def test_two_thousand_identities_are_all_kept_and_one_more_halves_the_share() -> None:
    sampler = Sampler(hash_of)
    for number in range(2_000):
        assert sampler.add(user(number), NOW_US + number, 1) == 0
    assert sampler.share == 1.0
    sampler.add(user(2_000), NOW_US, 1)
    assert sampler.share == 0.5
    (batch,) = sampler.take()
    assert batch.share == 0.5
    assert 850 < len(batch.lines) < 1_150


def test_a_share_is_the_identities_with_the_lowest_hashes_whatever_the_process_saw() -> None:
    one, other = Sampler(hash_of), Sampler(hash_of)
    for number in range(30_000):
        one.add(user(number), NOW_US, 1)
    for number in range(3_000):
        other.add(user(number), NOW_US, 1)
    few, many = kept(one.take()), kept(other.take())
    assert (one.share, other.share) == (1 / 16, 1 / 2)
    assert all(int.from_bytes(identity, "big") < WHOLE // 16 for identity in few)
    assert {hash_of(user(number)) for number in range(3_000)} & set(few) <= set(many)


def test_who_is_outside_the_share_is_not_lost_and_not_kept() -> None:
    sampler = Sampler(hash_of)
    for number in range(100_000):
        assert sampler.add(user(number), NOW_US + number, 1) == 0
    assert sampler.share <= 1 / 50
    assert len(kept(sampler.take())) <= 2_000


def test_every_arrival_of_a_kept_identity_is_there_with_its_cost() -> None:
    sampler = Sampler(hash_of)
    sampler.add(("user:1", None), NOW_US, 1)
    sampler.add(("user:1", "room"), NOW_US + 1, 2)
    sampler.add(("user:1", None), NOW_US + 2, 1 << 70)
    (batch,) = sampler.take()
    assert [(one, list(times), list(costs)) for one, times, costs in batch.lines] == [
        (hash_of(("user:1", None)), [NOW_US, NOW_US + 2], [1, (1 << 63) - 1]),
        (hash_of(("user:1", "room")), [NOW_US + 1], [2]),
    ]
    assert sampler.take() == []


def test_an_hour_with_few_widens_the_share_again_one_with_many_does_not() -> None:
    sampler = Sampler(hash_of)
    for number in range(5_000):
        sampler.add(user(number), NOW_US, 1)
    assert sampler.share == 0.25
    for number in range(5_000):
        sampler.add(user(number), NOW_US + HOUR_US, 1)
    assert sampler.share == 0.25  # more than half of what is kept came
    shares = []
    for hour in range(2, 6):
        sampler.add(user(1), NOW_US + hour * HOUR_US, 1)
        shares.append(sampler.share)
    assert shares == [0.25, 0.5, 1.0, 1.0]
    assert [batch.share for batch in sampler.take()][:2] == [0.25, 0.25]


def test_a_clock_that_jumps_back_starts_no_new_hour() -> None:
    sampler = Sampler(hash_of)
    for at_us in (NOW_US, NOW_US - 2 * HOUR_US, NOW_US):
        sampler.add(user(1), at_us, 1)
    assert len(sampler.take()) == 1


def test_many_arrivals_halve_the_share_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_MOST_ARRIVALS", 1_000)
    sampler = Sampler(hash_of)
    moments = count(NOW_US)
    for _ in range(20):
        for number in range(100):
            sampler.add(user(number), next(moments), 1)
    assert sampler.share < 1
    assert sum(map(len, kept(sampler.take()).values())) <= 1_000


def test_a_flood_of_one_identity_is_cut_and_counted_and_leaves_the_share_of_the_others() -> None:
    sampler = Sampler(hash_of)
    lost = sum(sampler.add(user(1), NOW_US + number, 1) for number in range(21_000))
    assert lost == 1_000
    assert sampler.add(user(2), NOW_US, 1) == 0
    assert sampler.share == 1.0


@pytest.mark.parametrize(("bound", "most"), [("_MOST_BATCHES", 8), ("_MOST_ARRIVALS", 8)])
def test_what_nobody_takes_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch, bound: str, most: int) -> None:
    monkeypatch.setattr(sampling, bound, most)
    sampler = Sampler(hash_of)
    lost = [sampler.add(user(1), NOW_US + hour * HOUR_US, 1) for hour in range(20)]
    assert sum(lost) == 11  # one more is of the hour that runs
    assert sum(batch.size for batch in sampler.take()) == 9


def test_a_batch_is_told_by_minute() -> None:
    sampler = Sampler(hash_of)
    for after_us in (0, 30 * SECOND_US, MINUTE_US, MINUTE_US + 1):
        sampler.add(user(1), NOW_US + after_us, 1)
    (batch,) = sampler.take()
    minute = NOW_US // MINUTE_US
    one = hash_of(user(1))
    assert dict(batch.minutes()) == {
        minute: {one: [(NOW_US, 1), (NOW_US + 30 * SECOND_US, 1)]},
        minute + 1: {one: [(NOW_US + MINUTE_US, 1), (NOW_US + MINUTE_US + 1, 1)]},
    }
