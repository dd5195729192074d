"""What sinks are told."""

import pytest

from ratelimit_core import Bucket, Config, DecisionEvent, Identity, Limiter, Mode, RequestInfo, StoreError, Verdict
from ratelimit_core.answers import Result
from ratelimit_core.buckets import StoreDown
from ratelimit_core.commands import Finding, Outcome, Reply, Shielded
from ratelimit_core.events import Event, Layer, SettleEvent
from ratelimit_core.testing import RecordingSink, ScriptedStore

NOW_US = 1_767_225_600_000_000
ALICE = Identity.user("alice")
BUCKETS = (
    Bucket("read", quota="60/m:10"),
    Bucket("watched", quota="60/m:10", mode=Mode.SHADOW),
    Bucket("off", quota="60/m:10", mode=Mode.OFF),
)


def told(*replies: Reply | StoreError) -> tuple[Limiter, RecordingSink]:
    sink = RecordingSink()
    return Limiter(Config(buckets=BUCKETS), ScriptedStore(replies), sinks=[sink]), sink


def test_an_event_says_everything_about_a_decision() -> None:
    limiter, sink = told((NOW_US, -1_500_000))
    limiter.admit(ALICE, "read", cost=2, route="/bookings/<int:pk>/")
    assert [event._asdict() for event in sink.events] == [
        {
            "bucket": "read",
            "layer": Layer.QUOTA,
            "verdict": Verdict.RATE_LIMITED,
            "mode": Mode.ENFORCE,
            "enforced": True,
            "allowed": False,
            "blocked": True,
            "would_block": False,
            "degraded": False,
            "identity": "user:alice",
            "route": "/bookings/<int:pk>/",
            "cost": 2,
            "limit": 10,
            "remaining": 0,
            "wait_us": 1_500_000,
            "now_us": NOW_US,
            "scope": None,
            "claimed": False,
        }
    ]


def test_a_watched_refusal_is_blocked_and_carries_its_wait() -> None:
    limiter, sink = told((NOW_US, -1_500_000))
    limiter.admit(ALICE, "watched")
    event = sink.events[0]
    assert (event.blocked, event.would_block, event.allowed, event.enforced) == (True, True, True, False)
    assert event.wait_us == 1_500_000


def test_each_bucket_has_an_event_in_the_order_asked_for() -> None:
    limiter, sink = told((NOW_US, 9_000_000, 9_000_000))
    limiter.admit(RequestInfo(peer="203.0.113.9"), ["watched", "off", "read"])
    assert [event.bucket for event in sink.events] == ["watched", "off", "read"]
    off = sink.events[1]
    assert (off.mode, off.limit, off.remaining, off.identity, off.blocked) == (Mode.OFF, None, None, "", False)
    assert sink.events[2].identity == "ip:203.0.113.9"


def test_what_was_charged_before_is_not_told_again() -> None:
    limiter, sink = told((NOW_US, 9_000_000), (NOW_US, 9_000_000))
    prior = limiter.admit(ALICE, "read")
    limiter.admit(ALICE, ["read", "watched"], prior=prior)
    assert [event.bucket for event in sink.events] == ["read", "watched"]


def test_a_cost_that_can_never_fit_is_told_as_it_was_asked() -> None:
    limiter, sink = told((NOW_US, 9_000_000))
    limiter.admit(ALICE, "read", cost=99)
    assert (sink.events[0].cost, sink.events[0].verdict) == (99, Verdict.COST_TOO_LARGE)


def test_a_decision_without_the_store_is_marked() -> None:
    limiter, sink = told(StoreError("timeout", "slow"), (NOW_US, 9_000_000))
    limiter.admit(ALICE, "read")
    limiter.admit(ALICE, "read")
    assert [event.degraded for event in sink.events] == [True, False]


def test_peeking_tells_nobody() -> None:
    limiter, sink = told((NOW_US, 9_000_000))
    limiter.peek(ALICE, "read")
    assert sink.events == []


def test_an_event_can_not_be_changed() -> None:
    seen: list[Event] = []
    limiter = Limiter(Config(buckets=BUCKETS), ScriptedStore([(NOW_US, 0)]), sinks=[seen.append])
    limiter.admit(ALICE, "read")
    with pytest.raises(AttributeError):
        seen[-1].bucket = "other"  # type: ignore[misc, union-attr]  # on purpose


# --- shields


def financial(finding: Finding, room: int = 0, **options: str) -> DecisionEvent:
    sink = RecordingSink()
    reply: Reply = Shielded((NOW_US, room), finding, 12_000_000 * (finding is Finding.REPLAY_LIMITED), 0, 1, b"")
    limiter = Limiter(Config.default(), ScriptedStore([reply]), sinks=[sink])
    limiter.admit(ALICE, "financial", route="/pay/", **{"fingerprint": "abc", **options})  # type: ignore[arg-type]  # of its keys
    (event,) = sink.events
    return event


@pytest.mark.parametrize(
    ("finding", "room", "layer", "verdict"),
    [
        (Finding.HELD, 0, Layer.NONE, Verdict.ALLOWED),
        (Finding.LEASED_OUT, 0, Layer.LEASE, Verdict.CONCURRENCY_LIMITED),
        (Finding.REPLAY, -12_000_000, Layer.IDEMPOTENCY, Verdict.REPLAY),
        (Finding.IN_PROGRESS, 0, Layer.IDEMPOTENCY, Verdict.IN_PROGRESS),
        (Finding.KEY_REUSED, 0, Layer.IDEMPOTENCY, Verdict.KEY_REUSED),
        (Finding.OUTCOME_UNKNOWN, 0, Layer.IDEMPOTENCY, Verdict.OUTCOME_UNKNOWN),
        (Finding.REPLAY_LIMITED, 0, Layer.REPLAY, Verdict.RATE_LIMITED),
        (Finding.REPLAY_LIMITED, -12_000_000, Layer.REPLAY, Verdict.RATE_LIMITED),
        (Finding.NOT_REACHED, -12_000_000, Layer.QUOTA, Verdict.RATE_LIMITED),
    ],
)
def test_an_event_names_the_layer_that_refused(finding: Finding, room: int, layer: Layer, verdict: Verdict) -> None:
    event = financial(finding, room)
    assert (event.layer, event.verdict, event.route) == (layer, verdict, "/pay/")


def test_a_malformed_key_is_the_idempotency_layer_s() -> None:
    sink = RecordingSink()
    limiter = Limiter(Config.default(), ScriptedStore([(NOW_US, 0)]), sinks=[sink])
    limiter.admit(ALICE, "financial", idempotency_key="")
    assert (sink.events[0].layer, sink.events[0].verdict) == (Layer.IDEMPOTENCY, Verdict.KEY_MALFORMED)


@pytest.mark.parametrize(("reply", "lost"), [((NOW_US, 1, 1), False), ((NOW_US, 0, 1), True)])
def test_a_settlement_is_told_with_what_was_lost(reply: Reply, lost: bool) -> None:
    sink = RecordingSink()
    store = ScriptedStore([Shielded((NOW_US, 0), Finding.HELD, 0, 7, 3, b""), reply])
    limiter = Limiter(Config.default(), store, sinks=[sink])
    admission = limiter.admit(ALICE, "financial", fingerprint="abc", route="/pay/")
    limiter.settle(admission, Result(500))
    assert sink.endings == [
        SettleEvent("financial", "user:alice", "/pay/", Outcome.UNKNOWN, lost, observed=False, claimed=True)
    ]


@pytest.mark.parametrize(
    ("finding", "blocked"), [(Finding.HELD, False), (Finding.REPLAY, False), (Finding.IN_PROGRESS, True)]
)
def test_a_replay_is_no_refusal(finding: Finding, blocked: bool) -> None:
    event = financial(finding)
    assert (event.blocked, event.would_block) == (blocked, False)


def test_a_replay_in_shadow_would_not_have_blocked_either() -> None:
    sink = RecordingSink()
    store = ScriptedStore([Shielded((NOW_US, 0), Finding.REPLAY, 0, 0, 1, b"")])
    limiter = Limiter(Config.from_settings({"RATE_LIMIT_SHADOW": True}, {}), store, sinks=[sink])
    limiter.admit(ALICE, "financial", fingerprint="abc")
    (event,) = sink.events
    assert (event.verdict, event.enforced, event.blocked, event.would_block) == (Verdict.REPLAY, False, False, False)


@pytest.mark.parametrize(
    ("finding", "claimed"), [(Finding.HELD, True), (Finding.REPLAY, False), (Finding.LEASED_OUT, False)]
)
def test_an_event_says_whether_a_record_was_claimed(finding: Finding, claimed: bool) -> None:
    assert financial(finding).claimed is claimed


def test_only_the_bucket_that_claimed_says_so_and_only_once() -> None:
    buckets = [*Config.default().buckets, Bucket("leased", quota="5/m:5", concurrency=1, store_down=StoreDown.CLOSED)]
    sink = RecordingSink()
    held = Shielded((NOW_US, 0, 9_000_000), Finding.HELD, 0, 7, 3, b"")
    store = ScriptedStore([held, (NOW_US, 9_000_000), Shielded((NOW_US, 0), Finding.HELD, 0, 7, 3, b"")])
    limiter = Limiter(Config(buckets=buckets), store, sinks=[sink])
    prior = limiter.admit(ALICE, ["financial", "write"], fingerprint="abc")
    limiter.admit(ALICE, ["financial", "read"], fingerprint="abc", prior=prior)
    limiter.admit(ALICE, "leased")
    found = [(event.bucket, event.claimed) for event in sink.events]
    assert found == [("financial", True), ("write", False), ("read", False), ("leased", False)]


def test_an_event_names_the_scope_that_was_charged() -> None:
    limiter, sink = told((NOW_US, 9_000_000), (NOW_US, 9_000_000))
    prior = limiter.admit(ALICE, "read", scope="room 1")
    limiter.admit(ALICE, "read", scope="room 2", prior=prior)
    limiter.admit(ALICE, "off")
    assert [event.scope for event in sink.events] == ["room 1", "room 2", None]
