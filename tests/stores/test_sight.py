"""Looking somebody up: every store shows the same budgets, leases and records, and says when it did not see all."""

import pytest

from ratelimit_core import Bucket, Config, Identity, Limiter, Quota, StoreError
from ratelimit_core.answers import Result
from ratelimit_core.buckets import Idempotency, StoreDown
from ratelimit_core.commands import Outcome
from ratelimit_core.stores import MemoryStore, sight
from ratelimit_core.stores.redis import RedisStore
from ratelimit_core.stores.sight import Looking, Record, State
from ratelimit_core.testing import ManualClock
from tests.servers import ServerUnderTest
from tests.stores.subjects import START_US, Subject

SECOND = 1_000_000
ALICE, BOB = Identity.user("alice"), Identity.user("alice2")
PRINT = "f" * 64
PAY = Bucket("pay", quota="60/m:10", concurrency=2, idempotency=Idempotency.DERIVED, store_down=StoreDown.CLOSED)
TWO = Bucket("two", quotas=[Quota.parse("6/m:2"), Quota.parse("60/h:9")])
CONFIG = Config(buckets=[Bucket("read", quota="60/m:10"), PAY, TWO], namespace="s-1")


def looked(subject: Subject, identity: Identity = ALICE, seconds: float = 20) -> sight.Sight:
    assert isinstance(subject.store, Looking)
    return subject.store.look("s-1", identity, seconds)


def limiter_on(subject: Subject) -> Limiter:
    return Limiter(CONFIG, subject.store)


def test_nobody_is_nothing(sync_subject: Subject) -> None:
    assert looked(sync_subject) == (START_US, {}, {}, {}, True)


def test_budgets_are_seen_by_key_until_they_are_full(sync_subject: Subject) -> None:
    limiter = limiter_on(sync_subject)
    limiter.admit(ALICE, ["read", "two"], scope=None)
    limiter.admit(ALICE, "read", 3, scope="a room")
    limiter.admit(BOB, "read")
    tats = looked(sync_subject).tats
    assert sorted(tats.values()) == [START_US + step * SECOND for step in (1, 3, 10, 60)]
    assert tats["s-1:rl:two:{user:alice}#3600s"] == START_US + 60 * SECOND
    sync_subject.clock.advance_us(3 * SECOND)
    assert sorted(looked(sync_subject).tats.values()) == [START_US + step * SECOND for step in (10, 60)]


def test_leases_are_seen_with_their_holders_until_their_deadlines(sync_subject: Subject) -> None:
    limiter = limiter_on(sync_subject)
    first = limiter.admit(ALICE, "pay", route="pay/", fingerprint=PRINT)
    sync_subject.clock.advance_us(SECOND)
    limiter.admit(ALICE, "pay", route="pay/", fingerprint="e" * 64)
    ((key, holders),) = looked(sync_subject).leases.items()
    assert key == "s-1:lock:{user:alice}|pay/"
    assert [holder.deadline_us - START_US for holder in sorted(holders, key=lambda one: one.deadline_us)] == [
        30 * SECOND,
        31 * SECOND,
    ]
    limiter.settle(first)
    assert len(looked(sync_subject).leases[key]) == 1
    sync_subject.clock.advance_us(31 * SECOND)
    assert looked(sync_subject).leases == {}


def test_a_record_reads_as_an_admission_would_find_it(sync_subject: Subject) -> None:
    limiter = limiter_on(sync_subject)
    clock = sync_subject.clock

    def record() -> Record | None:
        found = looked(sync_subject).records
        return next(iter(found.values()), None)

    limiter.admit(ALICE, "pay", fingerprint=PRINT)
    assert record() == (State.IN_PROGRESS, START_US, START_US + 30 * SECOND)
    clock.advance_us(30 * SECOND)
    assert record() == (State.UNKNOWN, START_US, START_US + (30 + 15 * 60) * SECOND)
    clock.advance_us(15 * 60 * SECOND)
    assert record() == (State.RELEASED, START_US, START_US + (30 + 15 * 60 + 86_400) * SECOND)
    again = limiter.admit(ALICE, "pay", fingerprint=PRINT)
    limiter.settle(again, Result(200, (), b"paid"))
    now_us = clock.now_us()
    assert record() == (State.COMPLETED, START_US, now_us + 86_400 * SECOND)
    clock.advance_us(86_400 * SECOND)
    assert record() is None


def test_what_was_released_by_a_word_reads_as_released(sync_subject: Subject) -> None:
    limiter = limiter_on(sync_subject)
    limiter.settle(limiter.admit(ALICE, "pay", fingerprint=PRINT), Result(raised=True))
    assert [one.state for one in looked(sync_subject).records.values()] == [State.UNKNOWN]
    limiter.resolve("pay", ALICE, ending=Outcome.RELEASED, fingerprint=PRINT)
    assert [one.state for one in looked(sync_subject).records.values()] == [State.RELEASED]


def test_what_only_observes_is_seen_apart(sync_subject: Subject) -> None:
    config = Config(buckets=[PAY], namespace="s-1", shadow=True)
    Limiter(config, sync_subject.store).admit(ALICE, "pay", route="pay/", fingerprint=PRINT)
    found = looked(sync_subject)
    assert [key.split("{")[0] for key in (*found.leases, *found.records)] == ["s-1:shadow:lock:", "s-1:shadow:idem:"]


def test_no_more_than_so_many_keys_are_shown_and_the_rest_is_admitted_to(sync_subject: Subject) -> None:
    limiter = limiter_on(sync_subject)
    for number in range(sight.MOST_KEYS + 1):
        limiter.admit(ALICE, "read", scope=str(number))
    found = looked(sync_subject)
    assert (len(found.tats), found.complete) == (sight.MOST_KEYS, False)


def test_without_time_not_everything_is_seen(sync_subject: Subject) -> None:
    limiter_on(sync_subject).admit(ALICE, "read")
    assert not looked(sync_subject, seconds=-1).complete


def test_a_search_ends_in_time_among_many_keys_of_others(redis_subject: Subject) -> None:
    with redis_subject.client.pipeline() as pipeline:
        for number in range(5_000):
            pipeline.set(f"s-1:rl:read:{{user:{number}}}", "1", px=60_000)
        pipeline.execute()
    limiter_on(redis_subject).admit(ALICE, "read")
    assert looked(redis_subject).complete
    assert len(looked(redis_subject).tats) == 1
    assert not looked(redis_subject, seconds=0).complete


@pytest.mark.parametrize("kind", ["rl:read:{user:alice}", "lock:{user:alice}|a", "idem:{user:alice}|a"])
@pytest.mark.parametrize("value", ["text", "nan", "inf", "", "list", "zset", "hash"])
def test_a_foreign_value_is_left_out(redis_subject: Subject, kind: str, value: str) -> None:
    client, key = redis_subject.client, f"s-1:{kind}"
    if value == "list":
        client.rpush(key, "a")
    elif value == "zset":
        client.zadd(key, {"a": 1})
    elif value == "hash":
        client.hset(key, "s", "p")
    else:
        client.set(key, value)
    limiter_on(redis_subject).admit(ALICE, "read", scope="room")
    found = looked(redis_subject)
    assert (len(found.tats), found.leases, found.records, found.complete) == (1, {}, {}, True)


def test_a_store_that_can_not_be_reached_says_so() -> None:
    store = RedisStore("redis://127.0.0.1:1/0")
    with pytest.raises(StoreError) as raised:
        store.look("s", ALICE, 1)
    assert raised.value.kind == "connection"
    assert store.describe()["errors"] == {}, "looking is no request's business"


def test_the_server_s_own_clock_is_used_without_one(redis_server: ServerUnderTest) -> None:
    store = RedisStore(redis_server.url)
    assert store.look("s", ALICE, 20).now_us > START_US / 2
    store.close()


def test_a_full_memory_store_shows_what_it_still_has() -> None:
    store = MemoryStore(ManualClock(START_US), max_keys=10)
    limiter = Limiter(CONFIG, store)
    for number in range(50):
        limiter.admit(Identity.user(number), "read")
    limiter.admit(ALICE, "read")
    assert len(store.look("s-1", ALICE, 1).tats) == 1
