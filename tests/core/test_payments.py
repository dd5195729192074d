"""The shield as a whole, in memory on a hand-moved clock: what runs, what is replayed, what is given back."""

from threading import Barrier, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import Admission, Bucket, Config, ConfigurationError, Identity, Limiter, Mode, RateLimited, Verdict
from ratelimit_core.answers import Answer, Result
from ratelimit_core.commands import Outcome
from ratelimit_core.errors import RateLimitError
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, enforcing, set_testing

NOW_US = 1_767_225_600_000_000
SECOND_US = 1_000_000
ALICE = Identity.user("alice")
FIELDS: dict[str, object] = {"quota": "1000/m:1000", "concurrency": 1, "idempotency": "derived", "store_down": "closed"}
PAID = Result(201, (("Content-Type", "text/plain"),), b"paid")


def bucket(name: str = "pay", **fields: object) -> Bucket:
    return Bucket(name, **{**FIELDS, **fields})  # type: ignore[arg-type]  # of its fields


class Shop:
    """A limiter on a hand-moved clock."""

    def __init__(self, *buckets: Bucket) -> None:
        self.clock = ManualClock(NOW_US)
        self.store = MemoryStore(self.clock)
        self.limiter = Limiter(Config(buckets=buckets or (bucket(),)), self.store)

    def ask(self, fingerprint: str = "abc", **options: object) -> Admission:
        return self.limiter.admit(ALICE, "pay", fingerprint=fingerprint, **options)  # type: ignore[arg-type]  # its keys


def test_a_second_shield_that_would_wait_for_the_first_is_a_mistake_of_the_configuration() -> None:
    shop = Shop(bucket(), bucket("payout"))
    outer = shop.ask(route="/pay")
    with pytest.raises(ConfigurationError, match="one request may pass one bucket with a lease or idempotency"):
        shop.limiter.admit(ALICE, "payout", fingerprint="abc", route="/pay", prior=outer)


@pytest.mark.parametrize("key", [None, "k1"])
def test_users_who_are_charged_as_one_have_records_of_their_own(key: str | None) -> None:
    shop = Shop()
    company = Identity.key("company")
    found = [
        shop.limiter.admit(
            Identity.user(who), "pay", fingerprint="abc", idempotency_key=key, identity=company, route=who
        )
        for who in ("1", "2", "1")
    ]
    assert [one.decision.verdict for one in found] == [Verdict.ALLOWED, Verdict.ALLOWED, Verdict.IN_PROGRESS]
    assert (
        shop.limiter.resolve(
            "pay", company, ending=Outcome.RELEASED, idempotency_key=key, fingerprint="abc", owner=Identity.user("1")
        )
        == 2
    )


# --- a second click


def test_a_second_click_waits_and_then_gets_the_first_one_s_answer() -> None:
    shop = Shop()
    first, second = shop.ask(), shop.ask()
    assert (first.allowed, second.decision.verdict) == (True, Verdict.IN_PROGRESS)
    assert shop.limiter.settle(first, PAID)
    third = shop.ask()
    denial = shop.limiter.denial(third)
    assert (third.replayed, denial.status, denial.body, denial.replayed) == (True, 201, b"paid", True)


def test_a_replay_spends_no_unit_and_holds_no_lease() -> None:
    shop = Shop(bucket(quota="5/m:1"))
    shop.limiter.settle(shop.ask(), PAID)
    assert [shop.ask().replayed for _ in range(3)] == [True] * 3
    assert shop.ask("other").decision.retry_after == 12
    shop.clock.advance_us(12 * SECOND_US)
    assert shop.ask("other").allowed


def test_a_declined_payment_runs_again_when_the_quota_allows_and_its_unit_is_spent() -> None:
    shop = Shop(bucket(quota="5/m:1"))
    shop.limiter.settle(shop.ask(), Result(200, released="declined"))
    assert shop.ask().decision.verdict is Verdict.RATE_LIMITED
    shop.clock.advance_us(12 * SECOND_US)
    assert shop.ask().allowed


def test_a_fresh_explicit_key_lifts_a_derived_record_and_binds_its_request() -> None:
    shop = Shop()
    shop.limiter.settle(shop.ask(), PAID)
    again = shop.ask(idempotency_key="second")
    assert again.allowed
    shop.limiter.settle(again, PAID)
    assert shop.ask(idempotency_key='"second"').replayed
    assert shop.ask("other", idempotency_key="second").decision.verdict is Verdict.KEY_REUSED


@pytest.mark.parametrize(("explicit", "lasts_s"), [(False, 900), (True, 86_400)])
def test_an_error_leaves_its_outcome_unknown(explicit: bool, lasts_s: int) -> None:
    shop = Shop()
    key = {"idempotency_key": "k1"} if explicit else {}
    first = shop.ask(**key)
    shop.limiter.settle(first, Result(500))
    shop.clock.advance_us(lasts_s * SECOND_US - 1)
    assert shop.ask(**key).decision.verdict is Verdict.OUTCOME_UNKNOWN
    shop.clock.advance_us(1)
    late = shop.ask(**key)
    assert (late.allowed, late.held[0].generation) == (True, first.held[0].generation)


def test_a_bucket_that_releases_on_error_runs_again_as_the_same_attempt() -> None:
    shop = Shop(bucket(on_error="release"))
    first = shop.ask()
    shop.limiter.settle(first, Result(raised=True))
    shop.clock.advance_us(1)
    second = shop.ask()
    assert (second.allowed, second.held[0].generation) == (True, first.held[0].generation)


def test_a_resource_is_held_by_one_whoever_asks_and_by_whatever_way() -> None:
    shop = Shop(bucket(idempotency=None))
    web = shop.ask(lease_on="booking:17", route="/pay/")
    job = pytest.raises(RateLimited)
    with job as caught, shop.limiter.guard(Identity.key("job"), "pay", lease_on="booking:17"):
        pytest.fail("the block ran")
    assert caught.value.decision.verdict is Verdict.CONCURRENCY_LIMITED
    shop.limiter.settle(web)
    with shop.limiter.guard(Identity.key("job"), "pay", lease_on="booking:17") as block:
        assert block.fence > web.held[0].fence


# --- who settles what


def test_everybody_settles_what_it_acquired_itself() -> None:
    shop = Shop(bucket(), bucket("payout"))
    outer = shop.ask()
    inner = shop.limiter.admit(ALICE, "payout", fingerprint="xyz", prior=outer)
    assert [held.bucket.name for held in inner.held] == ["pay", "payout"]
    assert shop.limiter.settle(inner, PAID, prior=outer)
    assert shop.limiter.still_held(outer)
    assert shop.ask().decision.verdict is Verdict.IN_PROGRESS
    assert shop.limiter.settle(outer, PAID)
    assert shop.ask().replayed


async def test_in_an_event_loop_too() -> None:
    shop = Shop(bucket(), bucket("payout"))
    outer = await shop.limiter.aadmit(ALICE, "pay", fingerprint="abc")
    inner = await shop.limiter.aadmit(ALICE, "payout", fingerprint="xyz", prior=outer)
    assert await shop.limiter.asettle(inner, PAID, prior=outer)
    assert shop.ask().decision.verdict is Verdict.IN_PROGRESS
    assert await shop.limiter.asettle(outer, PAID)


def test_an_admission_that_added_nothing_settles_nothing() -> None:
    shop = Shop()
    outer = shop.ask()
    inner = shop.ask(prior=outer)
    assert (inner.held, inner.fresh_held) == (outer.held, ())
    assert shop.limiter.settle(inner, Result(500), prior=outer)
    assert shop.limiter.settle(outer, PAID)
    assert shop.ask().replayed


def test_settling_twice_says_that_it_was_not_held_and_changes_nothing() -> None:
    shop = Shop()
    first = shop.ask()
    assert shop.limiter.settle(first, PAID)
    assert not shop.limiter.settle(first, Result(500))
    assert shop.ask().replayed


def test_what_is_held_is_known_until_it_is_settled() -> None:
    shop = Shop(bucket(), Bucket("plain", quota="5/m:5"))
    first = shop.ask()
    assert shop.limiter.still_held(first)
    shop.limiter.settle(first, PAID)
    assert not shop.limiter.still_held(first)
    assert shop.limiter.still_held(shop.limiter.admit(ALICE, "plain"))


def test_what_is_only_observed_stops_no_handler() -> None:
    shop = Shop(bucket(mode=Mode.SHADOW))
    first = shop.ask()
    assert first.holds
    shop.limiter.settle(first, PAID)
    assert shop.limiter.still_held(first)


# --- a record beside the store


def test_another_record_s_word_replaces_the_decision_and_nothing_else() -> None:
    shop = Shop()
    shop.ask()
    found = shop.ask()
    ruled = found.ruled(Verdict.REPLAY, Answer(201, (), b"paid"))
    assert (ruled.replayed, ruled.sought, ruled.marks) == (True, found.sought, found.marks)
    assert shop.limiter.denial(ruled).body == b"paid"
    assert found.decision.verdict is Verdict.IN_PROGRESS


def test_what_was_settled_is_not_held_any_more() -> None:
    shop = Shop(bucket(), bucket("payout"))
    outer = shop.ask()
    inner = shop.limiter.admit(ALICE, "payout", fingerprint="xyz", prior=outer)
    rest = inner.without(outer.held)
    assert [held.bucket.name for held in rest.held] == ["payout"]
    assert rest.decisions == inner.decisions


# --- guard


def test_a_guarded_block_is_replayed_and_not_entered_again() -> None:
    shop = Shop()
    with shop.limiter.guard(ALICE, "pay", fingerprint="abc") as block:
        assert (block.replayed, block.still_held(), block.decision.allowed) == (False, True, True)
        assert block.fence == NOW_US
    again = shop.limiter.guard(ALICE, "pay", fingerprint="abc")
    with pytest.raises(RateLimited) as caught, again:
        pytest.fail("the block ran")
    assert (caught.value.replayed, again.replayed) == (True, True)
    assert caught.value.admission is again.admission


def test_a_block_without_a_lease_has_no_fence() -> None:
    shop = Shop(bucket(concurrency=None))
    with shop.limiter.guard(ALICE, "pay", fingerprint="abc") as block:
        assert block.fence == 0


def test_a_guard_that_was_not_entered_has_no_admission() -> None:
    with pytest.raises(RateLimitError, match="before its block is entered"):
        _ = Shop().limiter.guard(ALICE, "pay").decision


async def test_an_awaited_block_that_raises_leaves_its_outcome_unknown() -> None:
    shop = Shop()

    async def job() -> None:
        async with shop.limiter.guard(ALICE, "pay", fingerprint="abc"):
            raise LookupError

    with pytest.raises(LookupError):
        await job()
    assert shop.ask().decision.verdict is Verdict.OUTCOME_UNKNOWN


# --- an operator's word


def test_an_operator_gives_a_doubtful_payment_its_answer_or_lets_it_run() -> None:
    shop = Shop()
    for fingerprint, ending in (("abc", Outcome.COMPLETED), ("xyz", Outcome.DECLINED)):
        shop.limiter.settle(shop.ask(fingerprint), Result(raised=True))
        known = {"ending": ending, "result": PAID, "fingerprint": fingerprint}
        assert shop.limiter.resolve("pay", ALICE, **known) == 1  # type: ignore[arg-type]  # of its keys
    assert shop.limiter.denial(shop.ask("abc")).body == b"paid"
    assert shop.ask("xyz").allowed


def test_an_explicit_key_is_resolved_without_its_fingerprint() -> None:
    shop = Shop()
    shop.limiter.settle(shop.ask(idempotency_key="k1"), Result(500))
    assert shop.limiter.resolve("pay", ALICE, ending=Outcome.RELEASED, idempotency_key="k1") == 1
    assert shop.limiter.resolve("pay", ALICE, ending=Outcome.RELEASED, idempotency_key="k2") == 0


@pytest.mark.parametrize(("name", "options"), [("pay", {}), ("plain", {"idempotency_key": "k1"})])
def test_what_names_no_record_can_not_be_resolved(name: str, options: dict[str, str]) -> None:
    shop = Shop(bucket(), Bucket("plain", quota="5/m:5"))
    with pytest.raises(ConfigurationError, match="a bucket with idempotency, and a key or a fingerprint"):
        shop.limiter.resolve(name, ALICE, ending=Outcome.RELEASED, **options)  # type: ignore[arg-type]  # of its keys


# --- modes and test mode


def test_a_switch_to_enforce_replays_no_shadow_answer() -> None:
    shop = Shop(bucket(mode=Mode.SHADOW))
    earnest = Limiter(Config(buckets=[bucket()]), shop.store)
    first = shop.ask()
    assert shop.limiter.settle(first, PAID)
    watched = shop.ask()
    assert (watched.allowed, watched.replayed, watched.decision.verdict) == (True, False, Verdict.REPLAY)
    assert earnest.admit(ALICE, "pay", fingerprint="abc").allowed


def test_a_switch_in_the_middle_settles_what_was_taken() -> None:
    shop = Shop()
    shadow = Limiter(Config(buckets=[bucket(mode=Mode.SHADOW)]), shop.store)
    first = shop.ask()
    assert shadow.settle(first, PAID)
    assert shop.ask().replayed


@pytest.mark.parametrize("switch", [{"enabled": False}, {"buckets": [bucket(mode=Mode.OFF)]}])
def test_off_shields_nothing_and_asks_nobody(switch: dict[str, object]) -> None:
    limiter = Limiter(Config(**{"buckets": [bucket()], **switch}), MemoryStore())  # type: ignore[arg-type]  # its fields
    for _ in range(2):
        admission = limiter.admit(ALICE, "pay", fingerprint="abc")
        assert (admission.allowed, admission.holds, limiter.settle(admission, PAID)) == (True, False, True)
    assert limiter.store.describe()["shields"] == 0


def test_test_mode_shields_nothing_and_refuses_nobody() -> None:
    shop = Shop()
    set_testing(True)  # its only argument
    try:
        for _ in range(2):
            admission = shop.ask()
            assert (admission.allowed, admission.holds) == (True, False)
            assert shop.limiter.still_held(admission)
            assert shop.limiter.settle(admission, PAID)
    finally:
        set_testing(False)  # its only argument


def test_enforcing_shields_in_earnest_and_starts_no_thread() -> None:
    shop = Shop(bucket(mode=Mode.SHADOW))
    with enforcing() as clock:
        first = shop.ask()
        assert shop.limiter.still_held(first)
        assert shop.limiter._renewer._thread is None
        assert shop.ask().decision.verdict is Verdict.IN_PROGRESS
        clock.advance_us(30 * SECOND_US)
        assert shop.ask().decision.verdict is Verdict.OUTCOME_UNKNOWN
        assert not shop.limiter.settle(first, PAID)  # the lease was lost, the answer is kept
        assert shop.ask().replayed


# --- several at once


def test_threads_that_click_together_run_one_handler_for_each_payment() -> None:
    shop = Shop(bucket(concurrency=None, replay_quota="60/s:1000"))
    effects: list[str] = []
    barrier = Barrier(8)

    def click() -> None:
        barrier.wait()
        for number in range(50):
            admission = shop.ask(str(number))
            if admission.allowed:
                effects.append(str(number))
                shop.limiter.settle(admission, PAID)

    threads = [Thread(target=click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(effects) == sorted(map(str, range(50)))


class Clerk:
    """What a payment desk remembers of one record, to compare: who may be at work, and whether it is done."""

    def __init__(self, explicit: bool) -> None:
        self.key: dict[str, str] = {"idempotency_key": "k1"} if explicit else {}
        self.explicit = explicit
        self.open: dict[int, Admission] = {}
        self.busy_until_us = 0
        self.doubtful_until_us = 0
        self.kept_until_us = 0

    def click(self, limiter: Limiter, now_us: int, number: int) -> None:
        admission = limiter.admit(ALICE, "pay", fingerprint="abc", **self.key)  # type: ignore[arg-type]  # its keys
        if not admission.allowed:
            return
        assert now_us >= self.busy_until_us, "two handlers at once"
        assert now_us >= self.doubtful_until_us, "run again although the outcome is unknown"
        assert now_us >= self.kept_until_us, "run again although it is completed"
        self.open[number] = admission
        self.busy_until_us = now_us + 30 * SECOND_US
        self.doubtful_until_us = self.busy_until_us + self.doubt_us

    @property
    def doubt_us(self) -> int:
        return (86_400 if self.explicit else 900) * SECOND_US

    def end(self, limiter: Limiter, now_us: int, result: Result) -> None:
        """The one at work longest ends; a late one may find that its claim is another's."""
        if not self.open:
            return
        number = min(self.open)
        latest = number == max(self.open)
        admission = self.open.pop(number)
        limiter.settle(admission, result)
        if not latest:
            return
        self.busy_until_us = self.doubtful_until_us = 0
        if result.raised:
            self.doubtful_until_us = now_us + self.doubt_us
        elif result.released is None:
            self.kept_until_us = now_us + 86_400 * SECOND_US


@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from(["click", "click", "pay", "decline", "raise", "die"]),
            st.sampled_from([0, 1, SECOND_US, 29 * SECOND_US, 30 * SECOND_US, 900 * SECOND_US, 86_400 * SECOND_US]),
        ),
        max_size=30,
    ),
)
def test_no_history_runs_two_handlers_at_once_or_a_completed_one_again(
    explicit: bool, history: list[tuple[str, int]]
) -> None:
    results = {"pay": PAID, "decline": Result(200, released="declined"), "raise": Result(raised=True)}
    with enforcing(ManualClock(NOW_US)) as clock:
        limiter = Limiter(Config(buckets=[bucket(concurrency=None, replay_quota="60/s:1000")]))
        clerk = Clerk(explicit)
        for number, (step, pause_us) in enumerate(history):
            clock.advance_us(pause_us)
            if step == "click":
                clerk.click(limiter, clock.now_us(), number)
            elif step == "die":
                clerk.open.clear()
            else:
                clerk.end(limiter, clock.now_us(), results[step])
