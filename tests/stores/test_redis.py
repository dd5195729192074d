"""What only a store on Redis has: foreign values, a full server, keys that expire, one command an admission."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from ratelimit_core import Bucket, Config, Identity, Limiter, Mode, Quota, StoreError
from ratelimit_core.commands import Acquire, Charge, Peek
from ratelimit_core.stores.redis import RedisStore
from tests.servers import RedisServer, ServerUnderTest
from tests.stores.conftest import PATIENCE_US
from tests.stores.subjects import Subject, fresh_key

SECOND = 1_000_000
ALICE = Identity.user("alice")

CONFIG = Config(
    buckets=[
        Bucket("one", quota="60/m:10"),
        Bucket("several", quotas=tuple(map(Quota.parse, ("60/m:10", "1000/h:50", "5000/d:100")))),
        Bucket("shadow", quota="60/m:10", mode=Mode.SHADOW),
        Bucket("fast", quota=Quota(100_000, SECOND, 1)),
        Bucket("slow", quota="1/d:1000"),
    ],
)
PURPOSES = ["one", "several", "shadow", ("one", "several", "shadow")]


@contextmanager
def limiter_on(server: ServerUnderTest, config: Config = CONFIG) -> Iterator[Limiter]:
    limiter = Limiter(config, store=RedisStore(server.url, deadline_us=PATIENCE_US))
    try:
        yield limiter
    finally:
        limiter.close()


def charge(key: str, cost: int = 1) -> Charge:
    return Charge(key, 3 * SECOND, SECOND * cost)


@pytest.mark.parametrize("value", ["text", "1.5", "nan", "-nan", "inf", "-inf", "", "12 34", "{}", "null", "\x00"])
def test_a_value_that_is_no_arrival_time_is_a_corrupt_store(redis_subject: Subject, value: str) -> None:
    sound, foreign = charge(fresh_key()), charge(fresh_key())
    redis_subject.client.set(foreign.key, value)
    before = redis_subject.stored()
    for command in (Acquire((sound, foreign)), Acquire((sound,), ((foreign,),)), Peek((foreign,))):
        with pytest.raises(StoreError) as raised:
            redis_subject.ask(command)
        assert raised.value.kind == "corrupt"
    assert redis_subject.stored() == before
    assert redis_subject.acquire(sound) == (2 * SECOND,), "one foreign value is no reason to leave the store alone"


def test_a_value_of_another_type_is_a_corrupt_store(redis_subject: Subject) -> None:
    foreign = charge(fresh_key())
    redis_subject.client.hset(foreign.key, "a", "b")
    for _ in range(5):
        with pytest.raises(StoreError) as raised:
            redis_subject.ask(Acquire((foreign,)))
        assert raised.value.kind == "corrupt"
    assert redis_subject.client.hgetall(foreign.key) == {b"a": b"b"}
    assert redis_subject.store.describe()["errors"] == {"corrupt": 5}
    assert redis_subject.store.describe()["breaker"] == "closed"


@pytest.mark.parametrize("value", ["0", "-5", "1e3", "17"])
def test_a_time_long_past_owes_nothing(redis_subject: Subject, value: str) -> None:
    one = charge(fresh_key())
    redis_subject.client.set(one.key, value)
    assert redis_subject.acquire(one) == (2 * SECOND,)


@pytest.mark.parametrize("value", ["1e300", "9007199254740993", str(1 << 62)])
def test_a_time_far_ahead_owes_no_more_than_the_quota(redis_subject: Subject, value: str) -> None:
    one = charge(fresh_key())
    redis_subject.client.set(one.key, value)
    assert redis_subject.acquire(one) == (-SECOND,)
    redis_subject.clock.advance_us(SECOND)
    assert redis_subject.acquire(one) == (0,)


def test_what_is_stored_are_whole_microseconds(redis_subject: Subject) -> None:
    one = charge(fresh_key())
    redis_subject.acquire(one)
    assert redis_subject.stored()[one.key] == str(redis_subject.clock.now_us() + SECOND).encode()


def test_a_server_that_lost_the_scripts_is_sent_them_again(redis_subject: Subject) -> None:
    one = charge(fresh_key())
    redis_subject.acquire(one)
    redis_subject.client.script_flush()
    assert redis_subject.acquire(one) == (SECOND,)
    assert redis_subject.peek(one) == (0,)


def test_a_full_server_refuses_and_is_not_left_alone(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    spent, fresh = charge(fresh_key(), cost=3), charge(fresh_key())
    store = RedisStore(server.url, deadline_us=PATIENCE_US)
    with server.client() as client:
        store.execute(Acquire((spent,)))
        client.config_set("maxmemory", "1")
        for _ in range(5):
            with pytest.raises(StoreError) as raised:
                store.execute(Acquire((fresh,)))
            assert raised.value.kind == "refused"
        assert store.execute(Acquire((spent,)))[1] < 0, "a refusal writes nothing, so it still is one"
        client.config_set("maxmemory", "0")
    assert store.execute(Acquire((fresh,)))[1:] == (2 * SECOND,)
    assert store.describe()["breaker"] == "closed"
    store.close()


def test_a_bucket_on_a_full_server_does_as_it_would_without_one(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    with server.client() as client, limiter_on(server) as limiter:
        client.config_set("maxmemory", "1")
        admissions = [limiter.admit(ALICE, "one") for _ in range(11)]
        assert [admission.allowed for admission in admissions] == [True] * 10 + [False]
        assert all(admission.decision.degraded for admission in admissions)
        client.config_set("maxmemory", "0")
        assert not limiter.admit(ALICE, "one").decision.degraded


@pytest.mark.parametrize("purpose", PURPOSES)
def test_an_admission_is_one_command_whatever_it_charges(
    redis_server: ServerUnderTest, purpose: str | tuple[str, ...]
) -> None:
    with limiter_on(redis_server) as limiter:
        limiter.admit(ALICE, purpose)
        with redis_server.monitor() as seen:
            admissions = [limiter.admit(ALICE, purpose) for _ in range(20)]
    assert seen.names() == ["EVALSHA"] * 20
    assert not any(admission.decision.degraded for admission in admissions)
    refused = [admission.decision.retry_after is not None for admission in admissions]
    assert any(refused) is (purpose != "shadow")


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_an_asynchronous_admission_is_one_command_too(
    redis_server: ServerUnderTest, purpose: str | tuple[str, ...]
) -> None:
    with limiter_on(redis_server) as limiter:
        await limiter.aadmit(ALICE, purpose)
        with redis_server.monitor() as seen:
            await asyncio.gather(*[limiter.aadmit(ALICE, purpose) for _ in range(20)])
        await limiter.aclose()
    assert seen.names() == ["EVALSHA"] * 20


def test_a_look_and_a_reset_are_one_command_each(redis_server: ServerUnderTest) -> None:
    with limiter_on(redis_server) as limiter:
        limiter.admit(ALICE, "several")
        limiter.peek(ALICE, "several")
        limiter.reset(ALICE)
        with redis_server.monitor() as seen:
            limiter.peek(ALICE, "several")
            limiter.reset(ALICE)
    assert seen.names() == ["EVALSHA", "EVALSHA"]


def test_a_server_that_does_not_know_the_scripts_gets_two_commands_once(redis_server: ServerUnderTest) -> None:
    with limiter_on(redis_server) as limiter, redis_server.monitor() as seen:
        limiter.admit(ALICE, "one")
        limiter.admit(ALICE, "one")
    assert seen.names() == ["EVALSHA", "EVAL", "EVALSHA"]


def test_the_kill_switch_asks_nothing(redis_server: ServerUnderTest) -> None:
    off = Config(buckets=CONFIG.buckets, enabled=False)
    with limiter_on(redis_server, off) as limiter, redis_server.monitor() as seen:
        assert all(limiter.admit(ALICE, ("one", "several")).allowed for _ in range(30))
        with limiter.guard(ALICE, "one"):
            limiter.peek(ALICE, "one")
    assert seen.names() == []
    with limiter_on(redis_server) as limiter:
        assert [limiter.admit(ALICE, "one").allowed for _ in range(11)] == [True] * 10 + [False]


def test_every_key_expires_when_its_debt_does(redis_server: ServerUnderTest) -> None:
    with limiter_on(redis_server) as limiter:
        for cost in (1, 2, 5):
            limiter.admit(ALICE, ("one", "several", "shadow"), cost)
            limiter.admit(Identity.ip("192.0.2.1"), "slow", cost, scope="odd | one")
        limiter.admit(ALICE, "slow", 1_000)
    left = redis_server.keys()
    assert len(left) == 7
    assert min(left.values()) > 0
    longest = {"one": 8, "several": 3_600 * 24, "shadow": 8, "slow": 86_400 * 1_000}
    for key, ttl_ms in left.items():
        assert ttl_ms <= longest[key.split(":")[2]] * 1_000, key


def test_the_shortest_debt_is_kept_for_a_whole_millisecond(redis_server: ServerUnderTest) -> None:
    with limiter_on(redis_server) as limiter:
        decisions = [limiter.admit(ALICE, "fast").decision for _ in range(200)]
    assert not any(decision.degraded for decision in decisions), "a time to live of 0 is an error"


def test_a_clock_of_the_tests_keeps_keys_for_an_hour(redis_subject: Subject) -> None:
    one = charge(fresh_key())
    redis_subject.acquire(one)
    assert 3_500_000 < redis_subject.client.pttl(one.key) <= 3_600_000


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_deadline_that_nothing_can_meet_is_a_timeout(redis_server: ServerUnderTest, face: str) -> None:
    store = RedisStore(redis_server.url, deadline_us=1)
    command = Acquire((charge(fresh_key()),))
    with pytest.raises(StoreError) as raised:
        _ = store.execute(command) if face == "sync" else asyncio.run(store.aexecute(command))
    assert raised.value.kind == "timeout"
    store.close()


def test_the_time_is_the_servers(redis_server: ServerUnderTest) -> None:
    store = RedisStore(redis_server.url, deadline_us=PATIENCE_US)
    with redis_server.client() as client:
        before = client.time()
        now_us = store.execute(Peek(()))[0]
        after = client.time()
    store.close()
    assert before[0] * SECOND + before[1] <= now_us <= after[0] * SECOND + after[1]


def test_a_unix_socket_serves_both_faces(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    store = RedisStore.from_url(server.unix_url)
    one = charge(fresh_key())
    assert store.execute(Acquire((one,)))[1:] == (2 * SECOND,)

    async def ask() -> int:
        return (await store.aexecute(Acquire((one,))))[1]

    assert SECOND <= asyncio.run(ask()) < 2 * SECOND
    store.close()


def test_a_password_and_a_database_are_used(private_redis: Callable[[], RedisServer]) -> None:
    server = private_redis()
    with server.client() as client:
        client.config_set("requirepass", "se:cr@t")
    wrong = RedisStore(f"redis://:wrong@127.0.0.1:{server.port}/0", deadline_us=PATIENCE_US)
    with pytest.raises(StoreError) as raised:
        wrong.execute(Peek(()))
    assert raised.value.kind == "connection"
    right = RedisStore(f"redis://:se%3Acr%40t@127.0.0.1:{server.port}/5", deadline_us=PATIENCE_US)
    one = charge(fresh_key())
    assert right.execute(Acquire((one,)))[1:] == (2 * SECOND,)
    with redis.Redis.from_url(f"redis://:se%3Acr%40t@127.0.0.1:{server.port}/5") as client:
        assert client.exists(one.key)
    assert "se%3Acr%40t" not in repr(right.describe())
    right.close()
    wrong.close()
