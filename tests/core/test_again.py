"""What a request was admitted to before is not asked again, unless it was not quite the same question."""

from ratelimit_core import Bucket, Config, Identity, Limiter, RequestInfo, Verdict
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, RecordingSink

ALICE = Identity.user("alice")
ANYBODY = RequestInfo("POST", "/", "203.0.113.9")
SIGNED_IN = ANYBODY._replace(user=ALICE)


def limiter(*buckets: Bucket, store: MemoryStore | None = None, sinks: tuple[RecordingSink, ...] = ()) -> Limiter:
    return Limiter(Config(buckets=buckets), store=store or MemoryStore(ManualClock()), sinks=sinks)


READ = Bucket("read", quota="60/m:10")
PAY = Bucket("pay", quota="60/m:5", require_user=True, concurrency=1, store_down="closed")  # type: ignore[arg-type]


def test_a_dearer_question_pays_the_difference() -> None:
    limits = limiter(READ)
    first = limits.admit(ALICE, "read")
    second = limits.admit(ALICE, "read", 4, prior=first)
    third = limits.admit(ALICE, "read", 5, prior=second)
    cheaper = limits.admit(ALICE, "read", 2, prior=third)
    assert [one.decision.remaining for one in (first, second, third, cheaper)] == [9, 6, 5, 5]
    assert len(cheaper.decisions) == 1


def test_a_difference_that_does_not_fit_is_refused() -> None:
    limits = limiter(READ)
    first = limits.admit(ALICE, "read", 6)
    limits.admit(ALICE, "read", 3)
    second = limits.admit(ALICE, "read", 8, prior=first)
    assert (second.allowed, second.decision.verdict) == (False, Verdict.RATE_LIMITED)


def test_another_bucket_of_the_same_name_is_asked() -> None:
    outer = limiter(READ)
    inner = limiter(Bucket("read", quota="1/h:1"))
    for expected in (True, False):
        admission = inner.admit(ALICE, "read", prior=outer.admit(ALICE, "read"))
        assert admission.allowed is expected


def test_who_was_nobody_at_the_outer_door_may_be_known_at_the_inner_one() -> None:
    limits = limiter(PAY)
    outside = limits.admit(ANYBODY, "pay", observe=True)
    assert outside.decision.verdict is Verdict.USER_REQUIRED
    assert limits.admit(ANYBODY, "pay", prior=outside).decision.verdict is Verdict.USER_REQUIRED
    inside = limits.admit(SIGNED_IN, "pay", prior=outside)
    assert (inside.allowed, inside.holds, inside.decision.remaining) == (True, True, 4)


def test_a_request_does_not_stand_in_its_own_way() -> None:
    """It holds the lease already when it is to pay more."""
    limits = limiter(PAY)
    first = limits.admit(ALICE, "pay")
    second = limits.admit(ALICE, "pay", 3, prior=first)
    assert (second.allowed, second.decision.remaining, second.held) == (True, 2, first.held)


def test_another_scope_is_another_question() -> None:
    limits = limiter(Bucket("read", quota="1/h:1"))
    limits.admit(ALICE, "read", scope="a")
    observed = limits.admit(ALICE, "read", scope="a", observe=True)
    assert observed.decision.would_block
    other = limits.admit(ALICE, "read", scope="b", prior=observed)
    assert other.allowed
    assert not limits.admit(ALICE, "read", scope="a", prior=observed).allowed


def test_sinks_hear_of_a_refusal_that_was_only_observed_before() -> None:
    sink = RecordingSink()
    limits = limiter(Bucket("read", quota="1/h:1"), sinks=(sink,))
    limits.admit(ALICE, "read")
    observed = limits.admit(ALICE, "read", observe=True)
    limits.admit(ALICE, "read", prior=observed)
    assert [event.allowed for event in sink.events] == [True, True, False]
