"""The rules of a shielded bucket, with a store that says what it is told to."""

import pytest

from ratelimit_core import Bucket, Config, ConfigurationError, Identity, Limiter, Mode, RequestInfo, StoreError, Verdict
from ratelimit_core.answers import Answer, Result, encode
from ratelimit_core.buckets import Idempotency, StoreDown
from ratelimit_core.commands import (
    Acquire,
    Charge,
    Claim,
    Finding,
    Lease,
    Local,
    Outcome,
    Peek,
    Reply,
    Settle,
    Shield,
    Shielded,
)
from ratelimit_core.testing import RecordingSink, ScriptedStore

NOW_US = 1_767_225_600_000_000
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
QUARTER_US = 900 * SECOND_US
ALICE = Identity.user("alice")
OPEN = RequestInfo("POST", "/pay", "203.0.113.9")
RESULT = Result(201, (("Content-Type", "text/plain"),), b"answer")


def bucket(name: str = "pay", **fields: object) -> Bucket:
    """A bucket with a lease and derived records, or as its fields say."""
    given = {"quota": "5/m:1", "concurrency": 1, "idempotency": "derived", "store_down": "closed", **fields}
    return Bucket(name, **given)  # type: ignore[arg-type]  # of its fields


PAY = bucket()
READ = Bucket("read", quota="60/m:10")


def found(finding: Finding, *rooms: int, wait_us: int = 0, answer: bytes = b"") -> Shielded:
    return Shielded((NOW_US, *(rooms or (0,))), finding, wait_us, 7, 3, answer)


def scripted(*replies: Reply | StoreError, buckets: tuple[Bucket, ...] = (PAY, READ)) -> tuple[Limiter, ScriptedStore]:
    store = ScriptedStore(replies)
    return Limiter(Config(buckets=buckets, namespace="shop"), store), store


def shield_of(store: ScriptedStore) -> Shield:
    command = store.commands[0]
    assert isinstance(command, Acquire)
    assert command.shield is not None
    return command.shield


def asked(one: Bucket, **options: object) -> Shield:
    """The shield that an admission asks for."""
    limiter, store = scripted(found(Finding.HELD), buckets=(one,))
    limiter.admit(ALICE, one.name, **options)  # type: ignore[arg-type]  # of its keys
    return shield_of(store)


# --- which lease and which record


def test_a_lease_is_of_an_identity_on_a_route() -> None:
    one = bucket(idempotency=None, lease_ttl_us=10 * SECOND_US, concurrency=2)
    assert asked(one, route="/pay/").lease == Lease("shop:lock:{user:alice}|/pay/", 2, 10 * SECOND_US)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"route": "/pay/"}, "shop:lock:{user:alice}|/pay/"),
        ({}, "shop:lock:{user:alice}|pay"),
        ({"route": "/pay/", "lease_on": "booking:17"}, "shop:lock:{booking:17}"),
    ],
)
def test_a_lease_names_a_route_the_bucket_or_a_shared_resource(options: dict[str, object], key: str) -> None:
    lease = asked(bucket(idempotency=None), **options).lease
    assert lease is not None
    assert lease.key == key


def test_a_derived_record_is_named_by_the_fingerprint() -> None:
    claim = asked(PAY, fingerprint="abc").claim
    assert claim is not None
    assert claim.key.startswith("shop:idem:{user:alice}|")
    assert claim[1:6] == (
        "abc",
        30 * SECOND_US,
        QUARTER_US,
        DAY_US,
        Charge("shop:replay:pay:{user:alice}", 20 * SECOND_US, SECOND_US),
    )


def test_an_explicit_key_names_another_record_that_stays_unknown_for_the_retention() -> None:
    derived, explicit, quoted = (
        asked(PAY, fingerprint="abc", **options).claim
        for options in ({}, {"idempotency_key": "k1"}, {"idempotency_key": '"k1"'})
    )
    assert isinstance(derived, Claim)
    assert isinstance(explicit, Claim)
    assert explicit == quoted
    assert explicit.key != derived.key
    assert (explicit.fingerprint, explicit.unknown_ttl_us, explicit.retention_us) == ("abc", DAY_US, DAY_US)


def test_the_times_to_live_are_the_bucket_s() -> None:
    one = bucket(retention_us=9 * SECOND_US, derived_ttl_us=8 * SECOND_US, unknown_ttl_us=7 * SECOND_US)
    derived = asked(one, fingerprint="abc").claim
    explicit = asked(one, idempotency_key="k1").claim
    assert derived is not None
    assert explicit is not None
    assert (derived.unknown_ttl_us, derived.retention_us) == (7 * SECOND_US, 8 * SECOND_US)
    assert (explicit.unknown_ttl_us, explicit.retention_us) == (7 * SECOND_US, 9 * SECOND_US)
    assert explicit.fingerprint == ""


def test_another_user_s_key_is_another_record() -> None:
    """The classic collision: `/wallet/1` of user 23 and `/wallet/12` of user 3."""
    keys = set()
    for user, path in (("23", "/wallet/1"), ("3", "/wallet/12")):
        limiter, store = scripted(found(Finding.HELD))
        limiter.admit(Identity.user(user), "pay", fingerprint=path)
        claim = shield_of(store).claim
        assert claim is not None
        keys.add(claim.key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("idempotency", "options", "claims"),
    [
        ("required", {"idempotency_key": "k1"}, True),
        ("required", {"idempotency_key": "k1", "fingerprint": "abc"}, True),
        ("optional", {"idempotency_key": "k1"}, True),
        ("optional", {"fingerprint": "abc"}, False),
        ("optional", {}, False),
        ("derived", {"fingerprint": "abc"}, True),
        ("derived", {"idempotency_key": "k1"}, True),
        ("derived", {}, False),
    ],
)
def test_a_record_is_claimed_where_something_names_it(
    idempotency: str, options: dict[str, object], claims: bool
) -> None:
    assert (asked(bucket(idempotency=idempotency), **options).claim is not None) is claims


def test_each_admission_has_a_token_of_its_own() -> None:
    tokens = {asked(PAY, fingerprint="abc").token for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token) for token in tokens} == {32}


# --- why no record can be named


@pytest.mark.parametrize(
    ("idempotency", "key", "verdict", "status"),
    [
        ("required", None, Verdict.KEY_REQUIRED, 400),
        ("required", "", Verdict.KEY_MALFORMED, 400),
        ("optional", "", Verdict.KEY_MALFORMED, 400),
        ("derived", "a b", Verdict.KEY_MALFORMED, 400),
        ("optional", "x" * 256, Verdict.KEY_MALFORMED, 400),
    ],
)
def test_without_a_usable_key_nothing_is_charged(
    idempotency: str, key: str | None, verdict: Verdict, status: int
) -> None:
    limiter, store = scripted((NOW_US, 0), buckets=(bucket(idempotency=idempotency),))
    admission = limiter.admit(ALICE, "pay", idempotency_key=key, fingerprint="abc")
    assert (admission.decision.verdict, admission.allowed, admission.holds) == (verdict, False, False)
    command = store.commands[0]
    assert isinstance(command, Acquire)
    assert (command.shield, command.charges[0].increment_us) == (None, 0)
    assert limiter.denial(admission).status == status


@pytest.mark.parametrize("options", [{"fingerprint": "abc"}, {"idempotency_key": "k1"}])
def test_an_address_has_no_records(options: dict[str, str]) -> None:
    limiter, store = scripted()
    admission = limiter.admit(OPEN, "pay", **options)  # type: ignore[arg-type]  # of its keys
    assert admission.decision.verdict is Verdict.USER_REQUIRED
    assert store.commands == []


@pytest.mark.parametrize(("idempotency", "fingerprint"), [("optional", "abc"), ("optional", None), ("derived", None)])
def test_an_address_that_names_no_record_is_no_objection(idempotency: str, fingerprint: str | None) -> None:
    limiter, store = scripted(found(Finding.HELD), buckets=(bucket(idempotency=idempotency),))
    assert limiter.admit(OPEN, "pay", fingerprint=fingerprint).allowed
    assert shield_of(store).claim is None


def test_an_address_may_hold_a_lease() -> None:
    limiter, _ = scripted(found(Finding.HELD), buckets=(bucket(idempotency=None),))
    assert limiter.admit(OPEN, "pay").holds


def test_two_shielded_buckets_in_one_request_are_an_error() -> None:
    limiter, store = scripted(buckets=(PAY, bucket("payout")))
    with pytest.raises(ConfigurationError, match="one request may pass one bucket with a lease or idempotency"):
        limiter.admit(ALICE, ["pay", "payout"])
    assert store.commands == []


# --- what was found


@pytest.mark.parametrize(
    ("finding", "verdict", "status", "retry_after"),
    [
        (Finding.LEASED_OUT, Verdict.CONCURRENCY_LIMITED, 429, 1),
        (Finding.IN_PROGRESS, Verdict.IN_PROGRESS, 409, 1),
        (Finding.KEY_REUSED, Verdict.KEY_REUSED, 422, None),
        (Finding.OUTCOME_UNKNOWN, Verdict.OUTCOME_UNKNOWN, 409, None),
    ],
)
def test_a_finding_is_a_refusal_that_charges_nothing(
    finding: Finding, verdict: Verdict, status: int, retry_after: int | None
) -> None:
    limiter, _ = scripted(found(finding))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    decision = admission.decision
    assert (decision.verdict, decision.allowed, decision.charged, admission.holds) == (verdict, False, False, False)
    assert (decision.remaining, decision.retry_after) == (1, retry_after)
    denial = limiter.denial(admission)
    assert (denial.status, denial.code, denial.retry_after) == (status, verdict.value, retry_after)


def test_a_replay_carries_its_answer_and_runs_nothing() -> None:
    limiter, _ = scripted(found(Finding.REPLAY, -5, answer=encode(RESULT)))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert (admission.decision.verdict, admission.allowed) == (Verdict.REPLAY, False)
    assert (admission.answer, admission.holds, admission.decision.retry_after) == (
        Answer(201, RESULT.headers, RESULT.body),
        False,
        None,
    )


def test_too_many_replays_are_told_to_wait() -> None:
    limiter, _ = scripted(found(Finding.REPLAY_LIMITED, wait_us=2_500_000))
    decision = limiter.admit(ALICE, "pay", fingerprint="abc").decision
    assert (decision.verdict, decision.retry_after) == (Verdict.RATE_LIMITED, 3)


def test_a_quota_that_refuses_leaves_the_shield_unheld() -> None:
    limiter, _ = scripted(found(Finding.NOT_REACHED, -12_000_000))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert (admission.decision.verdict, admission.decision.retry_after) == (Verdict.RATE_LIMITED, 12)
    assert not admission.holds


def test_a_held_shield_says_what_it_is() -> None:
    limiter, store = scripted(found(Finding.HELD))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    (held,) = admission.held
    assert (held.bucket.name, held.shield, held.fence, held.generation) == ("pay", shield_of(store), 7, 3)
    assert admission.holds
    assert admission.decision.charged


def test_beside_a_plain_bucket_the_shield_is_still_the_shielded_one_s() -> None:
    limiter, _ = scripted(found(Finding.HELD, 9_000_000, 0), (NOW_US, 9_000_000))
    admission = limiter.admit(ALICE, ["read", "pay"], fingerprint="abc")
    assert [held.bucket.name for held in admission.held] == ["pay"]
    assert [decision.verdict for decision in admission.decisions] == [Verdict.ALLOWED] * 2
    later = limiter.admit(ALICE, "read", scope="more", prior=admission)
    assert later.held == admission.held


def test_an_observed_shield_lives_apart_is_short_and_refuses_nobody() -> None:
    sink = RecordingSink()
    store = ScriptedStore([found(Finding.LEASED_OUT, 9_000_000, 0)])
    limiter = Limiter(Config(buckets=[bucket(mode=Mode.SHADOW), READ], namespace="shop"), store, sinks=[sink])
    admission = limiter.admit(ALICE, ["pay", "read"], fingerprint="abc", idempotency_key="k1")
    shield = shield_of(store)
    assert admission.allowed
    assert [event.would_block for event in sink.events] == [True, False]
    assert shield.at == 0
    assert shield.lease is not None
    assert shield.claim is not None
    assert shield.lease.key == "shop:shadow:lock:{user:alice}|pay"
    assert shield.claim.key.startswith("shop:shadow:idem:{user:alice}|")
    times = shield.claim.ttl_us, shield.claim.unknown_ttl_us, shield.claim.retention_us, shield.claim.memory_us
    assert times == (30 * SECOND_US, QUARTER_US - 30 * SECOND_US, QUARTER_US, 0)


def test_what_only_observes_is_kept_for_a_quarter_of_an_hour_at_most() -> None:
    one = bucket(mode=Mode.SHADOW, lease_ttl_us=3_600 * SECOND_US, retention_us=7 * DAY_US)
    shield = asked(one, fingerprint="abc", idempotency_key="k1")
    assert shield.lease is not None
    assert shield.claim is not None
    assert shield.lease.ttl_us == 300 * SECOND_US
    assert shield.claim.ttl_us + shield.claim.unknown_ttl_us == QUARTER_US
    assert (shield.claim.retention_us, shield.claim.memory_us) == (QUARTER_US, 0)


# --- beside other buckets, and after a door that only observed


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (Finding.REPLAY, Verdict.REPLAY),
        (Finding.IN_PROGRESS, Verdict.IN_PROGRESS),
        (Finding.KEY_REUSED, Verdict.KEY_REUSED),
        (Finding.OUTCOME_UNKNOWN, Verdict.OUTCOME_UNKNOWN),
    ],
)
def test_the_look_up_speaks_before_another_bucket_s_quota(finding: Finding, verdict: Verdict) -> None:
    """Rate before idempotency: the second click got a 429 instead of its answer."""
    answer = encode(RESULT) if finding is Finding.REPLAY else b""
    limiter, _ = scripted(found(finding, -30 * SECOND_US, -5, answer=answer))
    admission = limiter.admit(ALICE, ["read", "pay"], fingerprint="abc")
    assert admission.decision.verdict is verdict
    assert [decision.verdict for decision in admission.decisions] == [Verdict.ALLOWED, verdict]
    assert not any(decision.charged for decision in admission.decisions)


def test_a_quota_speaks_before_the_lease() -> None:
    limiter, _ = scripted(found(Finding.NOT_REACHED, -30 * SECOND_US, 0))
    admission = limiter.admit(ALICE, ["read", "pay"], fingerprint="abc")
    assert (admission.decision.bucket, admission.decision.verdict) == ("read", Verdict.RATE_LIMITED)


def test_what_an_observed_look_up_finds_silences_nobody() -> None:
    limiter, _ = scripted(found(Finding.REPLAY, -30 * SECOND_US, 0), buckets=(bucket(mode=Mode.SHADOW), READ))
    admission = limiter.admit(ALICE, ["read", "pay"], fingerprint="abc")
    assert (admission.allowed, admission.decision.bucket) == (False, "read")
    assert not admission.replayed


def test_too_many_replays_are_no_matter_of_the_exhausted_quota() -> None:
    limiter, _ = scripted(found(Finding.REPLAY_LIMITED, -9 * SECOND_US, wait_us=9 * SECOND_US))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert admission.decision.replays
    assert b'"violated-policies": ["pay-replay"]' in limiter.denial(admission).body


def test_observing_takes_no_shield_and_earnest_asks_again_for_nothing() -> None:
    limiter, store = scripted((NOW_US, 0), found(Finding.HELD))
    seen = limiter.admit(ALICE, "pay", fingerprint="abc", observe=True)
    assert (seen.allowed, seen.holds) == (True, False)
    meant = limiter.admit(ALICE, "pay", fingerprint="abc", prior=seen)
    first, second = store.commands
    assert isinstance(first, Acquire)
    assert isinstance(second, Acquire)
    assert first.shield is None
    assert second.shield is not None
    assert [one.increment_us for one in second.charges] == [0]
    assert (meant.allowed, meant.holds, len(meant.decisions)) == (True, True, 1)


def test_what_was_observed_and_did_not_fit_is_looked_up_in_earnest() -> None:
    """Upholding the observed refusal would give a second click a 429 instead of its answer."""
    limiter, store = scripted((NOW_US, -5), found(Finding.REPLAY, -5, answer=encode(RESULT)))
    seen = limiter.admit(ALICE, "pay", fingerprint="abc", observe=True)
    meant = limiter.admit(ALICE, "pay", fingerprint="abc", prior=seen)
    second = store.commands[1]
    assert isinstance(second, Acquire)
    assert [one.increment_us for one in second.charges] == [12 * SECOND_US]
    assert meant.replayed
    again = limiter.admit(ALICE, "pay", fingerprint="abc", prior=meant)
    assert limiter.denial(again).body == b"answer"


def test_a_canary_s_shield_is_real_for_its_share_and_observed_for_the_rest() -> None:
    ats = {asked(bucket(mode=Mode.CANARY, canary_percent=percent), fingerprint="abc").at for percent in (0, 100)}
    assert ats == {None, 0}


def test_a_record_that_holds_no_answer_is_the_store_s_failure() -> None:
    limiter, _ = scripted(found(Finding.REPLAY, answer=b"[]"))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert (admission.decision.verdict, admission.decision.retry_after) == (Verdict.STORE_DOWN, 1)


def test_a_body_too_large_to_compare_is_refused_and_charged_nothing() -> None:
    limiter, store = scripted((NOW_US, 0))
    admission = limiter.admit(ALICE, "pay", idempotency_key="k1", too_large=True)
    assert (admission.decision.verdict, limiter.denial(admission).status) == (Verdict.BODY_TOO_LARGE, 413)
    assert isinstance(store.commands[0], Acquire)
    assert store.commands[0].charges[0].increment_us == 0


def test_a_takeover_is_the_caller_s_word() -> None:
    claim = asked(PAY, fingerprint="abc", takeover=True).claim
    assert claim is not None
    assert claim.takeover


def test_peeking_takes_no_shield() -> None:
    limiter, store = scripted((NOW_US, 0))
    assert limiter.peek(ALICE, "pay", fingerprint="abc").allowed
    assert isinstance(store.commands[0], Peek)


# --- without the store


@pytest.mark.parametrize("kind", ["timeout", "connection"])
def test_a_shield_that_may_be_held_is_given_back_because_no_handler_started(kind: str) -> None:
    """Its reply was lost, or the connection: the script may have run."""
    limiter, store = scripted(StoreError(kind, "gone"), (NOW_US, 0, 0))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert (admission.decision.verdict, admission.holds) == (Verdict.STORE_DOWN, False)
    assert store.commands[1:] == [Settle(shield_of(store), Outcome.RELEASED)]


@pytest.mark.parametrize("second", [StoreError("timeout", "slow"), StoreError("breaker_open", "gone")])
def test_giving_back_is_a_best_effort(second: StoreError) -> None:
    limiter, _ = scripted(StoreError("timeout", "slow"), second)
    assert limiter.admit(ALICE, "pay", fingerprint="abc").decision.verdict is Verdict.STORE_DOWN


def test_what_was_never_sent_is_not_given_back() -> None:
    limiter, store = scripted(StoreError("breaker_open", "gone"))
    assert not limiter.admit(ALICE, "pay", fingerprint="abc").allowed
    assert len(store.commands) == 1


def test_a_bucket_that_goes_unprotected_runs_without_a_shield() -> None:
    one = bucket(store_down=StoreDown.OPEN, unprotected_when_down=True)
    limiter, store = scripted(StoreError("breaker_open", "gone"), buckets=(one,))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert (admission.allowed, admission.holds, admission.decision.degraded) == (True, False, True)
    assert not any(isinstance(command, Local) for command in store.commands)


# --- settling


@pytest.mark.parametrize(
    ("one", "reply", "kept"),
    [
        (PAY, (NOW_US, 1, 1), True),
        (PAY, (NOW_US, 0, 1), False),
        (PAY, (NOW_US, 1, 0), False),
        (bucket(idempotency=None), (NOW_US, 1, 0), True),
        (bucket(concurrency=None), (NOW_US, 0, 1), True),
        (PAY, StoreError("timeout", "slow"), False),
    ],
)
def test_settling_says_whether_everything_was_still_held(one: Bucket, reply: Reply | StoreError, kept: bool) -> None:
    limiter, store = scripted(found(Finding.HELD), reply, buckets=(one,))
    admission = limiter.admit(ALICE, "pay", fingerprint="abc")
    assert limiter.settle(admission, RESULT) is kept
    assert store.commands[1] == Settle(shield_of(store), Outcome.COMPLETED, encode(RESULT))


async def test_settling_in_an_event_loop_is_the_same() -> None:
    limiter, store = scripted(found(Finding.HELD), (NOW_US, 1, 1))
    admission = await limiter.aadmit(ALICE, "pay", fingerprint="abc")
    assert await limiter.asettle(admission, Result(released="declined"))
    assert store.commands[1] == Settle(shield_of(store), Outcome.DECLINED)


def test_a_guarded_block_that_raises_leaves_its_outcome_unknown() -> None:
    """It may have done its work all the same."""
    limiter, store = scripted(found(Finding.HELD), (NOW_US, 1, 1))

    def job() -> None:
        with limiter.guard(ALICE, "pay", fingerprint="abc"):
            raise LookupError

    with pytest.raises(LookupError):
        job()
    assert store.commands[1] == Settle(shield_of(store), Outcome.UNKNOWN)


async def test_a_guarded_block_that_ends_well_is_completed() -> None:
    limiter, store = scripted(found(Finding.HELD), (NOW_US, 1, 1))
    async with limiter.guard(ALICE, "pay", fingerprint="abc"):
        pass
    assert store.commands[1] == Settle(shield_of(store), Outcome.COMPLETED, encode(Result()))


def test_idempotency_is_read_as_a_choice() -> None:
    assert bucket(idempotency="required").idempotency is Idempotency.REQUIRED
