"""The rules, with a store that says what it is told to: which command follows from a request, what from its reply."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from ratelimit_core import (
    Bucket,
    Config,
    ConfigurationError,
    CostError,
    Decision,
    Identity,
    Limiter,
    Mode,
    RequestInfo,
    StoreError,
    Verdict,
)
from ratelimit_core.buckets import Identify, StoreDown
from ratelimit_core.commands import Acquire, Charge, Peek, Reset
from ratelimit_core.testing import ScriptedStore

NOW_US = 1_767_225_600_000_000
MINUTE_US = 60_000_000
ALICE = Identity.user("alice")
CLIENT = RequestInfo("GET", "/", "203.0.113.9")
DOWN = StoreError("connection", "gone", wait_us=2_500_000)

# 60/m:10 has an emission interval of 1 s and a tolerance of 10 s
READ = Bucket("read", quota="60/m:10")
# 20/m:3 has 3 s and 9 s
WRITE = Bucket("write", quota="20/m:3")
WATCHED = Bucket("watched", quota="60/m:10", mode=Mode.SHADOW)
# 6/m:2 has 10 s and 20 s; 60/h:6 has 60 s and 360 s
PAIR = Bucket("pair", quotas=("6/m:2", "60/h:6"))  # type: ignore[arg-type]  # text is read
OFF = Bucket("off", quota="60/m:10", mode=Mode.OFF)
USERS = Bucket("users", quota="60/m:10", require_user=True)
CLOSED = Bucket("closed", quota="60/m:10", store_down=StoreDown.CLOSED)
ALLOW = Bucket("allow", quota="60/m:10", store_down=StoreDown.ALLOW)
EVERY = (READ, WRITE, WATCHED, PAIR, OFF, USERS, CLOSED, ALLOW)


class Script:
    """A limiter over a scripted store: `replies` are the rooms of each reply in seconds, or an error."""

    def __init__(
        self, *replies: tuple[float, ...] | StoreError, buckets: Iterable[Bucket] = EVERY, enabled: bool = True
    ) -> None:
        read = [one if isinstance(one, StoreError) else (NOW_US, *(int(room * 1e6) for room in one)) for one in replies]
        self.store = ScriptedStore(read)
        self.limiter = Limiter(Config(buckets=buckets, namespace="shop", enabled=enabled), self.store)

    @property
    def acquire(self) -> Acquire:
        """The only command there was."""
        (command,) = self.store.commands
        assert isinstance(command, Acquire)
        return command


def charge(key: str, tolerance_s: int, increment_s: int) -> Charge:
    return Charge(key, tolerance_s * 1_000_000, increment_s * 1_000_000)


def by_name(decisions: Iterable[Decision]) -> dict[str, Decision]:
    return {decision.bucket: decision for decision in decisions}


# --- the command


def test_a_plain_admission_is_one_command_with_one_charge() -> None:
    script = Script((9,))
    script.limiter.admit(ALICE, "read")
    assert script.acquire == Acquire((charge("shop:rl:read:{user:alice}", 10, 1),))


def test_a_cost_multiplies_the_increment() -> None:
    script = Script((7,))
    script.limiter.admit(ALICE, "read", cost=3)
    assert script.acquire.charges == (charge("shop:rl:read:{user:alice}", 10, 3),)


def test_every_quota_of_a_bucket_is_a_charge_and_the_first_key_has_no_suffix() -> None:
    script = Script((10, 300))
    script.limiter.admit(ALICE, "pair")
    assert script.acquire.charges == (
        charge("shop:rl:pair:{user:alice}", 20, 10),
        charge("shop:rl:pair:{user:alice}#3600s", 360, 60),
    )


def test_enforced_buckets_stand_or_fall_together_and_the_others_are_charged_beside_them() -> None:
    script = Script((9, 6, 9))
    script.limiter.admit(ALICE, ["read", "watched", "write"])
    assert script.acquire.charges == (
        charge("shop:rl:read:{user:alice}", 10, 1),
        charge("shop:rl:write:{user:alice}", 9, 3),
    )
    assert script.acquire.observed == ((charge("shop:rl:watched:{user:alice}", 10, 1),),)


def test_a_bucket_asked_for_twice_is_charged_once() -> None:
    script = Script((9,))
    assert len(script.limiter.admit(ALICE, ["read", "read"]).decisions) == 1
    assert len(script.acquire.charges) == 1


@pytest.mark.parametrize(("names", "patient"), [(["read"], False), (["closed"], True), (["read", "closed"], True)])
def test_a_bucket_that_fails_closed_takes_the_longer_deadline(names: list[str], patient: bool) -> None:
    script = Script((9,) * len(names))
    script.limiter.admit(ALICE, names)
    assert script.acquire.patient is patient


def test_a_scope_narrows_the_identity_and_stands_outside_its_hash_tag() -> None:
    script = Script((9,))
    script.limiter.admit(ALICE, "read", scope="room-7")
    assert script.acquire.charges[0].key == "shop:rl:read:{user:alice}|room-7"


# --- who is charged


@pytest.mark.parametrize(
    ("who", "identify", "charged"),
    [
        pytest.param(ALICE, Identify.USER, "user:alice", id="a user"),
        pytest.param(ALICE, Identify.ADDRESS, "user:alice", id="a user without an address"),
        pytest.param(CLIENT, Identify.USER, "ip:203.0.113.9", id="nobody signed in"),
        pytest.param(CLIENT, Identify.ADDRESS, "ip:203.0.113.9", id="nobody signed in, by address"),
        pytest.param(CLIENT._replace(user=ALICE), Identify.USER, "user:alice", id="user before address"),
        pytest.param(CLIENT._replace(user=ALICE), Identify.ADDRESS, "ip:203.0.113.9", id="address before user"),
        pytest.param(RequestInfo(), Identify.USER, "ip:unknown", id="nothing is known"),
        pytest.param(Identity.key("job"), Identify.USER, "key:job", id="a job"),
    ],
)
def test_the_user_is_charged_before_the_address(who: Identity | RequestInfo, identify: Identify, charged: str) -> None:
    script = Script((9,), buckets=[Bucket("b", quota="60/m:10", identify=identify)])
    decision = script.limiter.admit(who, "b").decision
    assert script.acquire.charges[0].key == f"shop:rl:b:{{{charged}}}"
    assert str(decision.identity) == charged


def test_a_replaced_identity_is_charged_whoever_asks() -> None:
    script = Script((9,))
    script.limiter.admit(CLIENT._replace(user=ALICE), "read", identity=Identity.key("login:bob"))
    assert script.acquire.charges[0].key == "shop:rl:read:{key:login:bob}"


# --- the decision


def test_an_admission_shows_what_is_left_after_it() -> None:
    decision = Script((8.5,)).limiter.admit(ALICE, "read").decision
    assert (decision.verdict, decision.allowed, decision.enforced) == (Verdict.ALLOWED, True, True)
    assert (decision.limit, decision.remaining, decision.reset_after_us) == (10, 8, 1_500_000)
    assert (decision.retry_after_us, decision.retry_after, decision.would_block) == (None, None, False)
    assert (decision.mode, decision.degraded, decision.now_us, decision.wait_us) == (Mode.ENFORCE, False, NOW_US, 0)


def test_a_refusal_shows_what_is_left_without_it_and_when_to_come_back() -> None:
    decision = Script((-1.2,)).limiter.admit(ALICE, "read", cost=3).decision
    assert (decision.verdict, decision.allowed, decision.would_block) == (Verdict.RATE_LIMITED, False, False)
    assert (decision.limit, decision.remaining, decision.reset_after_us) == (10, 1, 8_200_000)
    assert (decision.retry_after_us, decision.retry_after) == (1_200_000, 2)


def test_of_several_quotas_the_least_is_left_and_the_longest_wait_counts() -> None:
    decision = Script((10, 300)).limiter.admit(ALICE, "pair").decision
    assert (decision.limit, decision.remaining, decision.reset_after_us) == (2, 1, 60_000_000)
    refused = Script((-4, -50)).limiter.admit(ALICE, "pair").decision
    assert (refused.retry_after_us, refused.remaining, refused.limit) == (50_000_000, 0, 6)
    one = Script((-4, 300)).limiter.admit(ALICE, "pair").decision
    assert (one.verdict, one.retry_after_us, one.remaining, one.limit) == (Verdict.RATE_LIMITED, 4_000_000, 0, 2)


def test_of_quotas_with_equally_little_left_the_later_reset_names_the_limit() -> None:
    decision = Script((10, 60)).limiter.admit(ALICE, "pair").decision
    assert (decision.remaining, decision.limit, decision.reset_after_us) == (1, 6, 300_000_000)


def test_a_refusal_by_one_bucket_charges_none() -> None:
    admission = Script((9, -2)).limiter.admit(ALICE, ["read", "write"])
    read, write = admission.decisions
    assert not admission.allowed
    assert admission.decision is write
    assert (read.verdict, read.allowed, read.charged, read.remaining) == (Verdict.ALLOWED, True, False, 10)
    assert (write.verdict, write.charged, write.retry_after_us) == (Verdict.RATE_LIMITED, False, 2_000_000)


def test_a_refusal_by_an_enforced_bucket_leaves_the_watched_one_uncharged() -> None:
    admission = Script((-1, 9)).limiter.admit(ALICE, ["watched", "read"])
    watched, read = admission.decisions
    assert (watched.bucket, watched.charged, watched.remaining) == ("watched", False, 10)
    assert (read.bucket, read.allowed) == ("read", False)


def test_a_watched_bucket_refuses_nobody_and_leaves_the_others_charged() -> None:
    admission = Script((9, -1)).limiter.admit(ALICE, ["watched", "read"])
    decisions = by_name(admission.decisions)
    assert admission.allowed
    assert (decisions["read"].charged, decisions["read"].remaining) == (True, 9)
    watched = decisions["watched"]
    assert (watched.verdict, watched.allowed, watched.would_block) == (Verdict.RATE_LIMITED, True, True)
    assert (watched.retry_after_us, watched.retry_after, watched.wait_us) == (None, None, 1_000_000)
    assert (watched.enforced, watched.charged, watched.remaining) == (False, False, 0)


def test_of_two_refusals_the_longer_wait_speaks_for_both() -> None:
    admission = Script((-1, -2)).limiter.admit(ALICE, ["read", "write"])
    assert (admission.decision.bucket, admission.decision.retry_after) == ("write", 2)


def test_of_two_admissions_the_one_with_less_left_speaks_for_both() -> None:
    assert Script((9, 3)).limiter.admit(ALICE, ["read", "write"]).decision.bucket == "write"
    assert Script((0, 9)).limiter.admit(ALICE, ["read", "write"]).decision.bucket == "read"
    assert Script((9,)).limiter.admit(ALICE, ["off", "read"]).decision.bucket == "read"


def test_observing_enforces_nothing() -> None:
    script = Script((-1,))
    decision = script.limiter.admit(ALICE, "read", observe=True).decision
    assert (decision.allowed, decision.would_block, decision.mode) == (True, True, Mode.ENFORCE)
    assert script.acquire.charges == ()
    assert len(script.acquire.observed) == 1


# --- a user is required


@pytest.mark.parametrize(
    ("who", "options"),
    [
        (CLIENT, {}),
        (Identity.ip("203.0.113.9"), {}),
        (CLIENT, {"identity": Identity.key("login:bob")}),
        (CLIENT, {"identity": ALICE}),
    ],
)
def test_without_a_user_the_store_is_never_asked(who: Identity | RequestInfo, options: dict[str, Identity]) -> None:
    script = Script()
    admission = script.limiter.admit(who, ["users", "read"], **options)  # type: ignore[arg-type]  # see above
    decision = admission.decision
    assert script.store.commands == []
    assert (decision.verdict, decision.allowed, decision.retry_after) == (Verdict.USER_REQUIRED, False, None)
    assert (decision.bucket, decision.degraded) == ("users", False)
    assert not any(one.charged for one in admission.decisions)


@pytest.mark.parametrize("who", [ALICE, CLIENT._replace(user=ALICE), Identity.key("job")])
def test_a_user_or_a_key_is_somebody(who: Identity | RequestInfo) -> None:
    assert Script((9,)).limiter.admit(who, "users").allowed


def test_a_missing_user_is_only_observed_in_shadow_and_costs_nothing() -> None:
    script = Script((10,))
    decision = script.limiter.admit(CLIENT, "users", observe=True).decision
    assert (decision.verdict, decision.allowed, decision.would_block) == (Verdict.USER_REQUIRED, True, True)
    assert script.acquire.observed == ((charge("shop:rl:users:{ip:203.0.113.9}", 10, 0),),)
    assert decision.remaining == 10


# --- costs


@pytest.mark.parametrize("cost", [-1, 0.5, 1.0, True, False, "1", None, float("nan"), [1]])
def test_a_cost_that_is_no_whole_number_from_0_is_an_error(cost: object) -> None:
    script = Script()
    with pytest.raises(CostError) as caught:
        script.limiter.admit(ALICE, "read", cost=cost)  # type: ignore[arg-type]  # on purpose
    assert str(caught.value) == f"cost = {cost!r} can't be charged: give a whole number of units, 0 or more"
    assert script.store.commands == []


@pytest.mark.parametrize("cost", [11, 10**6, 10**30])
def test_a_cost_that_can_never_fit_reads_and_never_writes(cost: int) -> None:
    script = Script((4,))
    decision = script.limiter.admit(ALICE, "read", cost=cost).decision
    assert (decision.verdict, decision.allowed, decision.retry_after) == (Verdict.COST_TOO_LARGE, False, None)
    assert script.acquire.charges == (charge("shop:rl:read:{user:alice}", 10, 0),)
    assert decision.remaining == 4


def test_a_cost_of_the_whole_burst_fits() -> None:
    assert Script((0,)).limiter.admit(ALICE, "read", cost=10).decision.remaining == 0


def test_the_smallest_burst_of_a_bucket_says_what_fits() -> None:
    script = Script((20, 360))
    assert script.limiter.admit(ALICE, "pair", cost=3).decision.verdict is Verdict.COST_TOO_LARGE
    assert {one.increment_us for one in script.acquire.charges} == {0}


def test_a_cost_that_does_not_fit_one_bucket_charges_none() -> None:
    script = Script((9, 10))
    admission = script.limiter.admit(ALICE, ["write", "read"], cost=4)
    assert (admission.decision.bucket, admission.decision.verdict) == ("write", Verdict.COST_TOO_LARGE)
    assert {one.increment_us for one in script.acquire.charges} == {0}


def test_a_cost_that_does_not_fit_a_watched_bucket_refuses_nobody() -> None:
    script = Script((1, 10), buckets=[READ, Bucket("small", quota="60/m:2", mode=Mode.SHADOW)])
    admission = script.limiter.admit(ALICE, ["small", "read"], cost=9)
    assert admission.allowed
    assert by_name(admission.decisions)["small"].would_block
    assert [one.increment_us for one in script.acquire.all_charges()] == [9_000_000, 0]


def test_a_free_request_passes_and_writes_nothing() -> None:
    script = Script((0,))
    assert script.limiter.admit(ALICE, "read", cost=0).allowed
    assert script.acquire.charges[0].increment_us == 0


# --- off


@pytest.mark.parametrize(("script", "name"), [(Script(), "off"), (Script(enabled=False), "read")])
def test_off_and_the_kill_switch_ask_nobody_and_say_no_numbers(script: Script, name: str) -> None:
    decision = script.limiter.admit(ALICE, name, cost=10**6).decision
    assert script.store.commands == []
    assert (decision.allowed, decision.would_block, decision.mode) == (True, False, Mode.OFF)
    assert (decision.limit, decision.remaining, decision.reset_after_us) == (None, None, None)
    assert (decision.retry_after, decision.degraded, decision.charged) == (None, False, False)
    assert (decision.cost, decision.now_us, decision.wait_us) == (0, 0, 0)


def test_a_bucket_that_is_off_stands_beside_one_that_is_not() -> None:
    script = Script((-1,))
    admission = script.limiter.admit(ALICE, ["off", "read"])
    assert [decision.bucket for decision in admission.decisions] == ["off", "read"]
    assert (admission.decision.bucket, admission.allowed) == ("read", False)
    assert len(script.acquire.all_charges()) == 1


# --- canary


def canary(percent: float) -> Limiter:
    return Limiter(Config(buckets=[Bucket("b", quota="1/d:1", mode=Mode.CANARY, canary_percent=percent)]))


def enforced(limiter: Limiter, people: int = 10_000) -> set[int]:
    return {number for number in range(people) if limiter.peek(Identity.user(number), "b").enforced}


def test_a_canary_enforces_for_its_share_of_identities() -> None:
    assert 900 <= len(enforced(canary(10))) <= 1_100


def test_a_canary_takes_the_same_identities_every_time_and_in_every_process() -> None:
    assert enforced(canary(10), 100) == {9, 15, 34, 64, 71, 74, 80, 81, 99}


@pytest.mark.parametrize(("percent", "share_of_10000"), [(0, 0), (0.01, 1), (9.99, 999), (10, 1_000), (10.01, 1_001)])
def test_a_share_is_exact_to_a_ten_thousandth(percent: float, share_of_10000: int) -> None:
    """Three people whose hashes are 0, 999 and 1000 of 10,000."""
    limiter = canary(percent)
    inside = [limiter.peek(Identity.user(person), "b").enforced for person in (23155, 4086, 181)]
    assert inside == [share_of_10000 > 0, share_of_10000 > 999, share_of_10000 > 1_000]


def test_raising_the_share_keeps_those_who_are_in() -> None:
    shares = [enforced(canary(percent), 3_000) for percent in (0, 0.1, 1, 10, 50, 100)]
    assert shares[0] == set()
    assert shares[-1] == set(range(3_000))
    assert all(less <= more for less, more in pairwise(shares))


def test_a_canary_observes_the_rest() -> None:
    limiter = canary(50)
    inside, outside = (
        next(n for n in range(99) if limiter.peek(Identity.user(n), "b").enforced is e) for e in (True, False)
    )
    verdicts = [[limiter.admit(Identity.user(pk), "b") for _ in range(2)][1] for pk in (inside, outside)]
    assert [one.allowed for one in verdicts] == [False, True]
    assert verdicts[1].decision.would_block
    assert verdicts[1].decision.mode is Mode.CANARY


def test_another_bucket_s_canary_takes_others() -> None:
    buckets = [Bucket(name, quota="1/d:1", mode=Mode.CANARY, canary_percent=50) for name in ("a", "b")]
    limiter = Limiter(Config(buckets=buckets))
    both = [[limiter.peek(Identity.user(pk), name).enforced for name in ("a", "b")] for pk in range(200)]
    assert any(a != b for a, b in both)


# --- without the store


@pytest.mark.parametrize(
    ("name", "observe", "allowed", "verdict", "wait_us"),
    [
        ("read", False, True, Verdict.ALLOWED, 0),
        ("read", True, True, Verdict.ALLOWED, 0),
        ("allow", False, True, Verdict.ALLOWED, 0),
        ("allow", True, True, Verdict.ALLOWED, 0),
        ("closed", False, False, Verdict.STORE_DOWN, 2_500_000),
        ("closed", True, True, Verdict.STORE_DOWN, 2_500_000),
    ],
)
def test_without_the_store_a_bucket_does_as_it_says(
    name: str, observe: bool, allowed: bool, verdict: Verdict, wait_us: int
) -> None:
    decision = Script(DOWN).limiter.admit(ALICE, name, observe=observe).decision
    assert (decision.allowed, decision.verdict, decision.degraded) == (allowed, verdict, True)
    assert decision.would_block is (verdict is Verdict.STORE_DOWN and allowed)
    assert decision.wait_us == wait_us
    assert decision.retry_after == (None if allowed else 3)


def test_an_open_bucket_is_held_by_the_process_s_own_store() -> None:
    """Healthy beside broken: a fail-open path that swallowed the answer would be a limiter that never limits."""
    script = Script(*[DOWN] * 12)
    answers = [script.limiter.admit(ALICE, "read") for _ in range(12)]
    assert [one.allowed for one in answers] == [True] * 10 + [False] * 2
    assert all(one.decision.degraded for one in answers)
    assert answers[0].decision.remaining == 9
    assert answers[-1].decision.retry_after == 1
    healthy = Script((9,), (-1,))
    assert [healthy.limiter.admit(ALICE, "read").decision.degraded for _ in range(2)] == [False, False]


def test_the_own_store_counts_each_identity_for_itself() -> None:
    script = Script(*[DOWN] * 5)
    answers = [script.limiter.admit(Identity.user(pk), "write").allowed for pk in (1, 1, 1, 1, 2)]
    assert answers == [True, True, True, False, True]


def test_a_bucket_that_allows_charges_nobody() -> None:
    script = Script(*[DOWN] * 12)
    decisions = [script.limiter.admit(ALICE, "allow").decision for _ in range(12)]
    assert all(decision.allowed and decision.degraded and not decision.charged for decision in decisions)
    assert decisions[-1].remaining == 10


def test_a_closed_bucket_promises_nothing() -> None:
    decision = Script(DOWN).limiter.admit(ALICE, "closed").decision
    assert (decision.limit, decision.remaining, decision.charged) == (10, 0, False)
    assert (decision.rooms, decision.reset_after_us) == ((0,), 10_000_000)


def test_a_closed_bucket_keeps_the_others_from_being_charged() -> None:
    script = Script(DOWN, DOWN)
    admission = script.limiter.admit(ALICE, ["read", "closed", "allow"])
    assert (admission.allowed, admission.decision.bucket) == (False, "closed")
    assert not any(decision.charged for decision in admission.decisions)
    assert script.limiter.admit(ALICE, "read").decision.remaining == 9


def test_a_closed_bucket_that_only_observes_keeps_nobody_from_passing() -> None:
    watched = Bucket("watched", quota="60/m:10", mode=Mode.SHADOW, store_down=StoreDown.CLOSED)
    admission = Script(DOWN, buckets=[READ, watched]).limiter.admit(ALICE, ["watched", "read"])
    decisions = by_name(admission.decisions)
    assert admission.allowed
    assert decisions["watched"].would_block
    assert (decisions["read"].charged, decisions["read"].remaining) == (True, 9)


def test_what_was_certain_before_stays_certain_without_the_store() -> None:
    decision = Script(DOWN).limiter.admit(ALICE, "closed", cost=11).decision
    assert (decision.verdict, decision.retry_after) == (Verdict.COST_TOO_LARGE, None)


# --- what the request was admitted to before


def test_a_bucket_already_charged_is_not_charged_again() -> None:
    script = Script((9,), (6,))
    prior = script.limiter.admit(ALICE, "read", route="/a/")
    again = script.limiter.admit(ALICE, "read", prior=prior)
    assert len(script.store.commands) == 1
    assert again.decisions == prior.decisions
    both = script.limiter.admit(ALICE, ["read", "write"], prior=again)
    assert [decision.bucket for decision in both.decisions] == ["read", "write"]
    assert (both.kept, both.route) == (1, "/a/")
    assert script.store.commands[1] == Acquire((charge("shop:rl:write:{user:alice}", 9, 3),))


@pytest.mark.parametrize(
    "options", [{"scope": "room-7"}, {"scope": ""}, {"identity": Identity.key("login:bob")}, {"identity": ALICE}]
)
def test_another_scope_or_identity_is_another_charge(options: dict[str, object]) -> None:
    script = Script((9,), (9,))
    prior = script.limiter.admit(CLIENT, "read")
    script.limiter.admit(CLIENT, "read", prior=prior, **options)  # type: ignore[arg-type]  # of its keys
    first, second = script.store.commands
    assert isinstance(first, Acquire)
    assert isinstance(second, Acquire)
    assert first.charges[0].key != second.charges[0].key


@pytest.mark.parametrize(("room", "allowed"), [(9, True), (-1, False)])
def test_what_was_only_observed_is_upheld_where_it_is_meant(room: float, allowed: bool) -> None:
    """A middleware observes an undecorated view, its wrapper means it: one charge, one answer."""
    script = Script((room,))
    seen = script.limiter.admit(ALICE, "read", observe=True)
    meant = script.limiter.admit(ALICE, "read", prior=seen)
    assert seen.allowed
    assert (meant.allowed, meant.decision.enforced) == (allowed, True)
    assert len(script.store.commands) == 1
    still = script.limiter.admit(ALICE, "read", prior=seen, observe=True)
    assert still.allowed


def test_what_a_mode_only_observes_is_not_upheld() -> None:
    script = Script((-1,))
    seen = script.limiter.admit(ALICE, "watched", observe=True)
    assert script.limiter.admit(ALICE, "watched", prior=seen).allowed


def test_what_is_not_asked_for_again_is_not_upheld() -> None:
    script = Script((-1,), (6,))
    seen = script.limiter.admit(ALICE, "read", observe=True)
    assert script.limiter.admit(ALICE, "write", prior=seen).allowed


def test_a_refusal_that_is_upheld_charges_no_other_bucket() -> None:
    script = Script((-1,), (9,))
    seen = script.limiter.admit(ALICE, "read", observe=True)
    meant = script.limiter.admit(ALICE, ["read", "write"], prior=seen)
    assert not meant.allowed
    assert not any(decision.charged for decision in meant.decisions)
    command = script.store.commands[-1]
    assert isinstance(command, Acquire)
    assert command.charges == (charge("shop:rl:write:{user:alice}", 9, 0),)


# --- asking wrongly, peeking, forgetting


@pytest.mark.parametrize("names", ["reed", ["read", "reed"], ["Read"]])
def test_an_unknown_bucket_is_an_error_and_asks_nobody(names: str | list[str]) -> None:
    script = Script()
    with pytest.raises(ConfigurationError, match=r"^bucket = '(reed|Read)' can't be used: the buckets are read, write"):
        script.limiter.admit(ALICE, names)
    assert script.store.commands == []


def test_no_bucket_at_all_is_an_error() -> None:
    script = Script()
    with pytest.raises(ConfigurationError, match=r"^bucket = \(\) can't be used: at least one name"):
        script.limiter.admit(ALICE, [])
    assert script.store.commands == []


def test_peeking_asks_the_same_question_without_writing() -> None:
    script = Script((9, 8))
    decision = script.limiter.peek(ALICE, ["watched", "read"], cost=2)
    assert script.store.commands == [
        Peek((charge("shop:rl:read:{user:alice}", 10, 2), charge("shop:rl:watched:{user:alice}", 10, 2)))
    ]
    assert decision.allowed


def test_forgetting_names_every_quota_of_every_bucket() -> None:
    script = Script()
    script.store = ScriptedStore([(NOW_US, 2)])
    limiter = Limiter(Config(buckets=[READ, PAIR], namespace="shop"), script.store)
    assert limiter.reset(ALICE, scope="room-7") == 2
    assert script.store.commands == [
        Reset(
            (
                "shop:rl:read:{user:alice}|room-7",
                "shop:rl:pair:{user:alice}|room-7",
                "shop:rl:pair:{user:alice}|room-7#3600s",
            )
        )
    ]


def test_forgetting_without_the_store_says_that_nothing_was_forgotten() -> None:
    with pytest.raises(StoreError, match="connection: gone"):
        Script(DOWN).limiter.reset(ALICE, "read")
