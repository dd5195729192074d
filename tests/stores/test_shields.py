"""Leases and claims: one contract for every store, and the stores against each other."""

import random
from collections.abc import Iterator

import pytest

from ratelimit_core.commands import (
    Acquire,
    Charge,
    Claim,
    Command,
    Finding,
    Lease,
    Outcome,
    Peek,
    Renew,
    Reply,
    Resolve,
    Settle,
    Shield,
    Shielded,
)
from ratelimit_core.drive import Store
from ratelimit_core.errors import StoreError
from ratelimit_core.stores import MemoryStore
from ratelimit_core.stores.redis import RedisStore
from ratelimit_core.testing import ManualClock
from tests.servers import RedisServer

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
NAMESPACE = "t"
DAY = 86_400 * SECOND


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, clock: ManualClock, redis_server: RedisServer) -> Iterator[Store]:
    made: Store = (
        MemoryStore(clock) if request.param == "memory" else RedisStore.from_url(redis_server.url, clock=clock)
    )
    yield made
    made.close()


def charge(name: str = "q", burst: int = 3, units: int = 1) -> Charge:
    return Charge(f"{NAMESPACE}:rl:{name}", burst * SECOND, units * SECOND)


def lease(name: str = "l", capacity: int = 1, ttl: int = 30) -> Lease:
    return Lease(f"{NAMESPACE}:lock:{name}", capacity, ttl * SECOND)


def claim(
    name: str = "r", fingerprint: str = "f", replays: int = 20, *, takeover: bool = False, backed: bool = True
) -> Claim:
    replay = Charge(f"{NAMESPACE}:replay", replays * SECOND, SECOND)
    times = 30 * SECOND, 900 * SECOND, DAY
    return Claim(f"{NAMESPACE}:idem:{name}", fingerprint, *times, replay, takeover, DAY, backed)


def shielded(store: Store, shield: Shield, *charges: Charge) -> Shielded:
    reply = store.execute(Acquire(charges or (charge(),), shield=shield))
    assert isinstance(reply, Shielded)
    return reply


def room(store: Store, one: Charge) -> int:
    reply = store.execute(Peek((one._replace(increment_us=0),)))
    assert not isinstance(reply, Shielded)
    return reply[1]


def test_a_lease_admits_its_capacity_and_a_refusal_charges_nothing(store: Store) -> None:
    two = lease(capacity=2)
    assert shielded(store, Shield("a", two)).finding is Finding.HELD
    assert shielded(store, Shield("b", two)).finding is Finding.HELD
    assert shielded(store, Shield("c", two)).finding is Finding.LEASED_OUT
    assert room(store, charge()) == 1 * SECOND


def test_a_refused_quota_takes_no_lease(store: Store) -> None:
    assert shielded(store, Shield("a", lease()), charge(burst=1, units=2)).finding is Finding.NOT_REACHED
    assert shielded(store, Shield("b", lease())).finding is Finding.HELD


def test_a_late_release_frees_nobody_elses_slot(store: Store, clock: ManualClock) -> None:
    first = shielded(store, Shield("a", lease(ttl=1)))
    clock.advance_us(SECOND)
    second = shielded(store, Shield("b", lease()))
    assert second.finding is Finding.HELD
    assert second.fence > first.fence
    assert store.execute(Settle(Shield("a", lease()), Outcome.COMPLETED)) == (clock.now_us(), 0, 0)
    assert shielded(store, Shield("c", lease())).finding is Finding.LEASED_OUT


def test_a_lease_past_its_deadline_is_lost_even_if_nobody_took_it(store: Store, clock: ManualClock) -> None:
    shielded(store, Shield("a", lease(ttl=1)))
    clock.advance_us(SECOND)
    assert store.execute(Renew(Shield("a", lease(ttl=1)))) == (clock.now_us(), 0, 0)
    assert store.execute(Settle(Shield("a", lease(ttl=1)), Outcome.COMPLETED)) == (clock.now_us(), 0, 0)


def test_a_renewed_lease_holds_on(store: Store, clock: ManualClock) -> None:
    mine = Shield("a", lease(ttl=2), claim())
    shielded(store, mine)
    clock.advance_us(SECOND)
    assert store.execute(Renew(mine)) == (clock.now_us(), 1, 1)
    clock.advance_us(SECOND)
    assert shielded(store, Shield("b", lease(ttl=2))).finding is Finding.LEASED_OUT
    assert store.execute(Settle(mine, Outcome.COMPLETED)) == (clock.now_us(), 1, 1)


def test_a_fence_grows_although_the_clock_runs_backwards(store: Store, clock: ManualClock) -> None:
    first = shielded(store, Shield("a", lease()))
    store.execute(Settle(Shield("a", lease()), Outcome.COMPLETED))
    clock.advance_us(-5)
    assert shielded(store, Shield("b", lease())).fence == first.fence + 1


def test_a_completed_record_is_replayed_and_costs_no_unit_of_the_quota(store: Store, clock: ManualClock) -> None:
    mine = Shield("a", None, claim())
    held = shielded(store, mine)
    store.execute(Settle(mine, Outcome.COMPLETED, b"\x00answer\xff"))
    left = room(store, charge())
    clock.advance_us(1)
    found = shielded(store, Shield("b", lease(), claim()))
    assert (found.finding, found.answer, found.generation) == (Finding.REPLAY, b"\x00answer\xff", held.generation)
    assert room(store, charge()) == left + 1
    assert shielded(store, Shield("c", lease())).finding is Finding.HELD


def test_a_replay_works_while_the_quota_is_exhausted(store: Store) -> None:
    mine = Shield("a", None, claim())
    shielded(store, mine, charge(burst=1))
    store.execute(Settle(mine, Outcome.COMPLETED, b"x"))
    assert shielded(store, Shield("b", None, claim()), charge(burst=1)).finding is Finding.REPLAY


def test_replays_are_held_by_their_own_quota(store: Store) -> None:
    mine = Shield("a", None, claim(replays=2))
    shielded(store, mine)
    store.execute(Settle(mine, Outcome.COMPLETED, b"x"))
    found = [shielded(store, Shield("b", None, claim(replays=2))) for _ in range(3)]
    assert [one.finding for one in found] == [Finding.REPLAY, Finding.REPLAY, Finding.REPLAY_LIMITED]
    assert (found[-1].wait_us, found[-1].answer) == (SECOND, b"")


def test_work_in_progress_is_not_run_again(store: Store) -> None:
    shielded(store, Shield("a", None, claim()))
    assert shielded(store, Shield("b", None, claim())).finding is Finding.IN_PROGRESS
    assert shielded(store, Shield("b", None, claim(takeover=True))).finding is Finding.IN_PROGRESS
    assert shielded(store, Shield("b", None, claim(fingerprint="other"))).finding is Finding.KEY_REUSED


def test_a_dead_workers_claim_reads_as_unknown_and_then_as_absent(store: Store, clock: ManualClock) -> None:
    first = shielded(store, Shield("a", None, claim()))
    clock.advance_us(30 * SECOND)
    assert shielded(store, Shield("b", None, claim())).finding is Finding.OUTCOME_UNKNOWN
    clock.advance_us(900 * SECOND)
    again = shielded(store, Shield("b", None, claim()))
    assert (again.finding, again.generation) == (Finding.HELD, first.generation)


@pytest.mark.parametrize(
    ("outcome", "finding", "same_generation"),
    [
        (Outcome.UNKNOWN, Finding.OUTCOME_UNKNOWN, True),
        (Outcome.RELEASED, Finding.HELD, True),
        (Outcome.DECLINED, Finding.HELD, False),
    ],
)
def test_what_is_left_by(
    store: Store, clock: ManualClock, outcome: Outcome, finding: Finding, same_generation: bool
) -> None:
    mine = Shield("a", None, claim())
    first = shielded(store, mine)
    assert store.execute(Settle(mine, outcome)) == (clock.now_us(), 0, 1)
    clock.advance_us(1)
    found = shielded(store, Shield("b", None, claim()))
    assert found.finding is finding
    assert (found.generation == first.generation) is same_generation


def test_a_claim_is_taken_over_by_whoever_has_better_proof(store: Store) -> None:
    mine = Shield("a", None, claim())
    first = shielded(store, mine)
    store.execute(Settle(mine, Outcome.UNKNOWN))
    taken = shielded(store, Shield("b", None, claim(takeover=True)))
    assert (taken.finding, taken.generation) == (Finding.HELD, first.generation)
    assert store.execute(Settle(mine, Outcome.COMPLETED, b"late"))[2] == 0
    assert shielded(store, Shield("c", None, claim())).finding is Finding.IN_PROGRESS


@pytest.mark.parametrize(
    ("outcome", "finding"), [(Outcome.UNKNOWN, Finding.OUTCOME_UNKNOWN), (Outcome.COMPLETED, Finding.REPLAY)]
)
def test_a_claim_without_a_proof_elsewhere_is_not_taken_over(store: Store, outcome: Outcome, finding: Finding) -> None:
    mine = Shield("a", None, claim(backed=False))
    shielded(store, mine)
    store.execute(Settle(mine, outcome, b"answer"))
    assert shielded(store, Shield("b", None, claim(takeover=True))).finding is finding


def test_an_observed_shield_refuses_only_its_own_bucket_and_spends_no_replay(store: Store) -> None:
    both = Acquire((charge("enforced"),), ((charge("observed"),),), shield=Shield("a", lease(), claim(), at=0))
    store.execute(both)
    again = store.execute(both._replace(shield=Shield("b", lease(), claim(), at=0)))
    assert isinstance(again, Shielded)
    assert again.finding is Finding.IN_PROGRESS
    assert room(store, charge("enforced")) == 1 * SECOND
    assert room(store, charge("observed")) == 2 * SECOND
    assert room(store, claim().replay) == 20 * SECOND


def test_memory_takes_no_more_shields_than_its_limit_and_drops_no_live_one() -> None:
    clock = ManualClock(START)
    store = MemoryStore(clock, max_shields=2)
    for name in ("a", "b"):
        assert shielded(store, Shield(name, lease(name, ttl=1))).finding is Finding.HELD
    with pytest.raises(StoreError, match="holds 2 leases"):
        store.execute(Acquire((charge(),), shield=Shield("c", lease("c"))))
    assert room(store, charge()) == 1 * SECOND
    clock.advance_us(SECOND)
    assert shielded(store, Shield("c", lease("c")), charge("other")).finding is Finding.HELD


def test_a_foreign_value_under_a_records_key_is_a_typed_failure(redis_server: RedisServer, clock: ManualClock) -> None:
    store = RedisStore.from_url(redis_server.url, clock=clock)
    with redis_server.client() as client:
        client.set(claim("text").key, "text")
        client.hset(claim("hash").key, mapping={"s": "p", "d": "soon"})
        client.hset(claim("foreign").key, mapping={"name": "somebody's"})
        client.hset(claim("nan").key, mapping={"s": "p", "d": "nan", "u": "inf", "l": "inf", "g": "1"})
        client.set(lease("text").key, "text")
    records = [Shield("a", None, claim(name)) for name in ("text", "hash", "foreign", "nan")]
    for shield in (*records, Shield("a", lease("text"))):
        with pytest.raises(StoreError) as caught:
            store.execute(Acquire((charge(),), shield=shield))
        assert caught.value.kind == "corrupt"
    assert room(store, charge()) == 3 * SECOND


def test_every_key_of_a_shield_expires(redis_server: RedisServer) -> None:
    store = RedisStore.from_url(redis_server.url)
    for outcome in Outcome:
        mine = Shield(outcome, lease(outcome), claim(outcome))
        store.execute(Acquire((charge(outcome),), shield=mine))
        store.execute(Renew(mine))
        store.execute(Settle(mine, outcome))
    store.execute(Acquire((charge("open"),), shield=Shield("open", lease("open"), claim("open"))))
    with redis_server.client() as client:
        found = client.keys()
        assert len(found) > len(Outcome)
        assert all(client.pttl(key) > 0 for key in found)


ENDINGS = (Outcome.COMPLETED, Outcome.DECLINED, Outcome.RELEASED)


@pytest.mark.parametrize(
    ("ending", "finding", "same_generation"),
    [(Outcome.COMPLETED, Finding.REPLAY, True), (Outcome.RELEASED, Finding.HELD, True),
     (Outcome.DECLINED, Finding.HELD, False)],
)  # fmt: skip
@pytest.mark.parametrize("died", [True, False])
def test_an_operator_ends_a_claim_in_doubt(
    store: Store, clock: ManualClock, ending: Outcome, finding: Finding, same_generation: bool, died: bool
) -> None:
    mine = Shield("a", None, claim())
    first = shielded(store, mine)
    if died:
        clock.advance_us(30 * SECOND)
    else:
        store.execute(Settle(mine, Outcome.UNKNOWN))
    assert store.execute(Resolve(claim(), ending, b"said")) == (clock.now_us(), 1)
    clock.advance_us(1)
    assert store.execute(Settle(mine, Outcome.COMPLETED, b"late")) == (clock.now_us(), 0, 0)
    found = shielded(store, Shield("b", None, claim()))
    assert (found.finding, found.generation == first.generation) == (finding, same_generation)
    assert found.answer == (b"said" if finding is Finding.REPLAY else b"")


def test_an_operator_ends_nothing_but_what_is_in_doubt(store: Store, clock: ManualClock) -> None:
    mine = Shield("a", None, claim())
    asked = Resolve(claim(), Outcome.RELEASED)

    def state() -> int:
        reply = store.execute(asked)
        assert not isinstance(reply, Shielded)
        return reply[1]

    assert state() == 0
    shielded(store, mine)
    assert state() == 2
    store.execute(Settle(mine, Outcome.COMPLETED, b"x"))
    assert state() == 3
    clock.advance_us(DAY)
    assert state() == 0


def test_what_was_released_has_nothing_to_resolve(store: Store, clock: ManualClock) -> None:
    mine = Shield("a", None, claim())
    shielded(store, mine)
    store.execute(Settle(mine, Outcome.RELEASED))
    assert store.execute(Resolve(claim(), Outcome.RELEASED)) == (clock.now_us(), 0)


@pytest.mark.parametrize("outcome", [None, Outcome.UNKNOWN, Outcome.RELEASED])
def test_a_generation_is_remembered_beyond_an_unclear_end(
    store: Store, clock: ManualClock, outcome: Outcome | None
) -> None:
    """Else a foreign processor would take a late retry for a new payment, just when it may run again."""
    brief = claim()._replace(retention_us=60 * SECOND)
    mine = Shield("a", None, brief)
    first = shielded(store, mine)
    if outcome is not None:
        store.execute(Settle(mine, outcome))
    clock.advance_us(931 * SECOND)
    found = shielded(store, Shield("b", None, brief))
    assert (found.finding, found.generation) == (Finding.HELD, first.generation)
    clock.advance_us(2 * DAY)
    assert shielded(store, Shield("c", None, brief)).generation == clock.now_us()


def test_a_definitive_answer_ends_its_generation(store: Store, clock: ManualClock) -> None:
    mine = Shield("a", None, claim())
    shielded(store, mine)
    store.execute(Settle(mine, Outcome.COMPLETED, b"x"))
    clock.advance_us(DAY)
    found = shielded(store, Shield("b", None, claim()))
    assert (found.finding, found.generation) == (Finding.HELD, clock.now_us())


def test_a_handler_that_ends_late_still_gives_its_answer_while_nobody_else_claimed(
    store: Store, clock: ManualClock
) -> None:
    mine = Shield("a", None, claim())
    shielded(store, mine)
    clock.advance_us(31 * SECOND)
    assert store.execute(Settle(mine, Outcome.COMPLETED, b"x")) == (clock.now_us(), 0, 1)
    assert shielded(store, Shield("b", None, claim())).finding is Finding.REPLAY


def test_a_corrupt_quota_spends_no_replay(redis_server: RedisServer, clock: ManualClock) -> None:
    store = RedisStore.from_url(redis_server.url, clock=clock)
    mine = Shield("a", None, claim())
    shielded(store, mine)
    with redis_server.client() as client:
        client.set(charge("bad").key, "text")
    with pytest.raises(StoreError, match="CORRUPT"):
        store.execute(Acquire((charge("bad"),), shield=Shield("b", None, claim())))
    assert room(store, claim().replay) == 20 * SECOND


def random_command(dice: random.Random) -> Command:
    token = dice.choice("abc")
    held = lease(dice.choice("xy"), dice.randint(1, 2), dice.randint(1, 5)) if dice.random() < 0.7 else None
    wanted = claim(dice.choice("xy"), dice.choice("fg"), 3, takeover=dice.random() < 0.1)
    shield = Shield(token, held, wanted if held is None or dice.random() < 0.7 else None, dice.choice((None, 0)))
    kind = dice.random()
    if kind < 0.3:
        return Settle(shield, dice.choice(list(Outcome)), dice.randbytes(5))
    if kind < 0.4:
        return Renew(shield)
    if kind < 0.5:
        return Resolve(wanted, dice.choice(ENDINGS), dice.randbytes(3))
    return Acquire((charge("one", 2, dice.randint(0, 2)),), ((charge("two", 2, dice.randint(0, 2)),),), shield=shield)


@pytest.mark.parametrize("seed", range(6))
def test_memory_and_redis_agree_about_random_histories(redis_server: RedisServer, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(10):
        clock = ManualClock(START)
        stores: list[Store] = [MemoryStore(clock), RedisStore.from_url(redis_server.url, clock=clock)]
        with redis_server.client() as client:
            client.flushall()
        for step in range(60):
            clock.advance_us(dice.choice((0, 1, SECOND // 3, SECOND, 31 * SECOND, 901 * SECOND)))
            command = random_command(dice)
            replies: list[Reply] = [store.execute(command) for store in stores]
            assert replies[0] == replies[1], f"seed {seed}, step {step}: {command}"
