"""What the core offers to a caller with a record beside the store: better proof, a takeover, an earlier settle."""

from dataclasses import replace

import pytest

from ratelimit_core import Admission, Bucket, Config, Identity, Limiter, Verdict
from ratelimit_core.answers import Answer, Result
from ratelimit_core.buckets import Record
from ratelimit_core.commands import Acquire, Finding, Shielded
from ratelimit_core.keys import record, record_parts
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, ScriptedStore

ALICE = Identity.user("alice")
PAY = Bucket("pay", quota="5/m:5", concurrency=1, idempotency="derived", store_down="closed")  # type: ignore[arg-type]  # a text will do
CONFIG = Config(buckets=(PAY, Bucket("read", quota="60/m:10")))
NOW_US = 1_800_000_000_000_000


@pytest.mark.parametrize("identity", [ALICE, Identity.key("a|b{c}"), Identity.user("a:b")])
def test_a_records_key_says_whose_it_is_and_what_names_it(identity: Identity) -> None:
    owner, name = record_parts(record("shop", identity, "f" * 64, shadow=False))
    assert name == "f" * 64
    assert owner.startswith(f"{identity.kind}:")
    assert not set(owner) & set("{}|")


def refused(finding: Finding) -> Admission:
    store = ScriptedStore([Shielded((NOW_US, 0), finding, 0, 0, 3, b"")])
    return Limiter(CONFIG, store).admit(ALICE, "pay", fingerprint="f")


def test_a_refusal_says_which_record_it_sought() -> None:
    admission = refused(Finding.OUTCOME_UNKNOWN)
    assert admission.sought is not None
    assert admission.sought.claim is not None
    assert admission.sought.claim.fingerprint == "f"


def test_better_proof_makes_a_replay_of_an_unknown_outcome() -> None:
    limiter = Limiter(CONFIG, ScriptedStore())
    ruled = refused(Finding.OUTCOME_UNKNOWN).ruled(Verdict.REPLAY, Answer(201, (), b"paid"))
    assert ruled.replayed
    assert (limiter.denial(ruled).status, limiter.denial(ruled).body) == (201, b"paid")
    waiting = ruled.ruled(Verdict.IN_PROGRESS, wait_us=1_000_000)
    assert (limiter.denial(waiting).status, waiting.decision.retry_after) == (409, 1)


def test_a_takeover_claims_what_is_in_doubt_and_not_what_is_worked_on() -> None:
    limiter = Limiter(Config(buckets=(replace(PAY, record=Record.DATABASE),)), MemoryStore(ManualClock(NOW_US)))
    first = limiter.admit(ALICE, "pay", fingerprint="f")
    assert limiter.admit(ALICE, "pay", fingerprint="f", takeover=True).decision.verdict is Verdict.IN_PROGRESS
    limiter.settle(first, Result(raised=True))
    assert limiter.admit(ALICE, "pay", fingerprint="f").decision.verdict is Verdict.OUTCOME_UNKNOWN
    assert limiter.admit(ALICE, "pay", fingerprint="f", takeover=True).holds


@pytest.mark.parametrize("ending", [Result(raised=True), Result(201)], ids=["unknown", "completed"])
def test_what_was_claimed_without_a_proof_elsewhere_is_never_taken_over(ending: Result) -> None:
    """A bucket was switched from the store to the database: no row says nothing of its older records."""
    store = MemoryStore(ManualClock(NOW_US))
    before, after = (Limiter(Config(buckets=(replace(PAY, record=one),)), store) for one in Record)
    before.settle(before.admit(ALICE, "pay", fingerprint="f"), ending)
    found = [
        after.admit(ALICE, "pay", fingerprint="f", takeover=takeover).decision.verdict for takeover in (False, True)
    ]
    assert len(set(found)) == 1
    assert found[0] in (Verdict.OUTCOME_UNKNOWN, Verdict.REPLAY)


def test_only_a_takeover_asks_for_one() -> None:
    reply = Shielded((NOW_US, 0), Finding.HELD, 0, 1, 3, b"")
    store = ScriptedStore([reply, reply])
    limiter = Limiter(CONFIG, store)
    limiter.admit(ALICE, "pay", fingerprint="f")
    limiter.admit(ALICE, "pay", fingerprint="f", takeover=True)
    claims = [one.shield.claim for one in store.commands if isinstance(one, Acquire) and one.shield]
    assert [claim.takeover for claim in claims if claim] == [False, True]


def test_what_was_settled_early_is_not_held_any_more() -> None:
    limiter = Limiter(CONFIG, MemoryStore(ManualClock(NOW_US)))
    admission = limiter.admit(ALICE, "pay", fingerprint="f")
    assert admission.without(()).held == admission.held
    after = admission.without(admission.held)
    assert not after.holds
    assert limiter.headers(after) == limiter.headers(admission)
