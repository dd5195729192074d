"""A shielded limiter on its stores: how many commands it sends, what replays cost, and values that are none of ours."""

from collections import Counter
from collections.abc import Mapping

import pytest

from ratelimit_core import Config, Identity, Limiter, Quota, Verdict
from ratelimit_core.answers import Result
from ratelimit_core.drive import Store
from ratelimit_core.events import Layer
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from ratelimit_core.testing import ManualClock
from tests.faults import payments
from tests.faults.payments import Recorder, asked, cashier, patient_store
from tests.servers import ServerUnderTest
from tests.stores.subjects import START_US

ALICE = Identity.user("alice")
PAID = Result(201, (("Content-Type", "text/plain"),), b"paid")


def paid(limiter: Limiter, payment: int = 1) -> bool:
    """One payment, from admission to settling."""
    admission = limiter.admit(ALICE, "pay", **asked(payment))
    assert limiter.settle(admission, PAID)
    return admission.allowed


# --- commands


def test_a_shielded_request_is_two_commands_and_a_replay_is_one(redis_server: ServerUnderTest) -> None:
    limiter = cashier(patient_store(redis_server.url))
    assert paid(limiter, 0), "the server knows the scripts now"
    with redis_server.monitor() as admitting:
        admission = limiter.admit(ALICE, "pay", **asked(1))
    with redis_server.monitor() as settling:
        limiter.settle(admission, PAID)
    with redis_server.monitor() as replaying:
        again = limiter.admit(ALICE, "pay", **asked(1))
        limiter.settle(again, PAID)
    assert admitting.names() == settling.names() == replaying.names() == ["EVALSHA"]
    assert (admission.allowed, again.replayed) == (True, True)
    limiter.close()


async def test_the_same_from_an_event_loop(redis_server: ServerUnderTest) -> None:
    limiter = cashier(patient_store(redis_server.url))
    async with limiter.guard(ALICE, "pay", **asked(0)):
        pass
    with redis_server.monitor() as seen:
        admission = await limiter.aadmit(ALICE, "pay", **asked(1))
        await limiter.asettle(admission, PAID)
        again = await limiter.aadmit(ALICE, "pay", **asked(1))
        await limiter.asettle(again, PAID)
    assert seen.names() == ["EVALSHA"] * 3
    assert (admission.allowed, again.replayed) == (True, True)
    await limiter.aclose()


def test_a_request_whose_key_is_malformed_touches_no_record(redis_server: ServerUnderTest) -> None:
    limiter = cashier(patient_store(redis_server.url))
    admission = limiter.admit(ALICE, "pay", idempotency_key="", fingerprint="f")
    assert admission.decision.verdict is Verdict.KEY_MALFORMED
    assert redis_server.keys() == {}
    limiter.close()


# --- replays


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_ten_thousand_replays_in_a_second_are_held_by_their_own_quota(kind: str, redis_server: ServerUnderTest) -> None:
    clock = ManualClock(START_US)
    store: Store = (
        MemoryStore(clock) if kind == "memory" else RedisStore(redis_server.url, clock, deadline_us=20_000_000)
    )
    sink = Recorder()
    bucket = payments.bucket(quota=Quota.parse("1/d:5"), replay_quota=Quota.parse("60/m:20"))
    limiter = Limiter(Config(buckets=[bucket]), store, [sink])
    assert paid(limiter)
    for _ in range(10_000):
        limiter.admit(ALICE, "pay", **asked(1))
        clock.advance_us(99)
    seen = Counter((event.verdict, event.layer) for event in sink.decided[1:])
    assert seen == {
        (Verdict.REPLAY, Layer.IDEMPOTENCY): 20,
        (Verdict.RATE_LIMITED, Layer.REPLAY): 9_980,
    }
    assert limiter.peek(ALICE, "pay", cost=0).remaining == 4, "the bucket's own quota paid once"
    clock.advance_us(1_000_000)
    assert limiter.admit(ALICE, "pay", **asked(1)).replayed
    limiter.close()


# --- values that are none of ours


def keys_of(limiter: Limiter) -> Mapping[str, str]:
    """Where alice's first payment has its record, its lease and its quotas."""
    admission = limiter.admit(ALICE, "pay", **asked(1))
    limiter.settle(admission, PAID)
    (held,) = admission.held
    claim, lease = held.shield.claim, held.shield.lease
    assert claim is not None
    assert lease is not None
    return {
        "record": claim.key,
        "lease": lease.key,
        "replay": claim.replay.key,
        "quota": "ratelimit:rl:pay:{user:alice}",
    }


FOREIGN: dict[str, dict[str, object]] = {
    "a text": {},
    "an unknown state": {"s": "x"},
    "a state alone": {"s": "p"},
    "no deadline": {"s": "p", "f": "f", "u": "1", "l": "1", "g": "1"},
    "words for numbers": {"s": "c", "f": "f", "d": "soon", "u": "later", "l": "never", "g": "one"},
    "no numbers": {"s": "c", "f": "f", "d": "nan", "u": "nan", "l": "nan", "g": "nan"},
    "endless numbers": {"s": "c", "f": "amount of 1", "d": "inf", "u": "inf", "l": "inf", "g": "inf"},
    "an answer that is none": {"s": "c", "f": "amount of 1", "d": "1", "u": "9e15", "l": "9e15", "g": "1", "a": "{"},
    "an answer without a status": {
        "s": "c",
        "f": "amount of 1",
        "d": "1",
        "u": "9e15",
        "l": "9e15",
        "g": "1",
        "a": "{}\n",
    },
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_foreign_record_is_refused_by_the_buckets_policy_and_forgotten_by_an_operator(
    redis_server: ServerUnderTest, foreign: str
) -> None:
    sink = Recorder()
    limiter = cashier(patient_store(redis_server.url), sinks=[sink])
    key = keys_of(limiter)["record"]
    sink.decided.clear()
    with redis_server.client() as client:
        client.delete(key)
        if FOREIGN[foreign]:
            client.hset(key, mapping={name: str(value) for name, value in FOREIGN[foreign].items()})
        else:
            client.set(key, "a text")
        for _ in range(5):
            admission = limiter.admit(ALICE, "pay", **asked(1))
            assert not admission.allowed
            assert limiter.denial(admission).status in {409, 422, 503}
        assert {event.verdict for event in sink.decided} <= {Verdict.STORE_DOWN, Verdict.KEY_REUSED, Verdict.REPLAY}
        assert limiter.store.describe()["breaker"] == "closed", "one bad value stops nobody else"
        assert paid(limiter, 2)
        client.delete(key)
    assert paid(limiter)
    limiter.close()


@pytest.mark.parametrize("place", ["record", "lease", "replay", "quota"])
@pytest.mark.parametrize("kind", ["list", "set", "text"])
def test_a_value_of_another_type_anywhere_fails_closed_and_counted(
    redis_server: ServerUnderTest, place: str, kind: str
) -> None:
    sink = Recorder()
    limiter = cashier(patient_store(redis_server.url), sinks=[sink])
    keys = keys_of(limiter)
    with redis_server.client() as client:
        if place == "lease":
            client.delete(keys["record"])
        client.delete(keys[place])
        make = {"list": client.rpush, "set": client.sadd, "text": client.set}[kind]
        make(keys[place], "foreign")
    admission = limiter.admit(ALICE, "pay", **asked(1))
    assert admission.decision.verdict is Verdict.STORE_DOWN
    assert (sink.decided[-1].layer, sink.decided[-1].degraded) == (Layer.STORE, True)
    assert limiter.store.describe()["errors"] == {"corrupt": 1}
    assert limiter.denial(admission).status == 503
    limiter.close()


def test_a_record_that_is_overwritten_while_it_is_worked_on_loses_the_claim_and_frees_the_lease(
    redis_server: ServerUnderTest,
) -> None:
    limiter = cashier(patient_store(redis_server.url))
    key = keys_of(limiter)["record"]
    with redis_server.client() as client:
        client.delete(key)
        admission = limiter.admit(ALICE, "pay", **asked(1))
        client.set(key, "foreign")
        assert not limiter.settle(admission, PAID)
    assert paid(limiter, 2), "the lease is free"
    limiter.close()
