"""The sink: what it is told of stands in the database after a flush, added up and bounded."""

import os
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from django_ratelimit_gcra.models import ArrivalSample, DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording import Recorder, names, retention, unsent
from django_ratelimit_gcra.recording.packing import unpack
from django_ratelimit_gcra.recording.tally import COUNTS
from ratelimit_core import Verdict
from ratelimit_core.buckets import Mode
from ratelimit_core.commands import Outcome
from ratelimit_core.events import Layer, SettleEvent
from ratelimit_core.testing import ManualClock
from tests.django.recording.events import MINUTE_US, NOW, NOW_US, SECOND_US, decided, refused


def rows() -> dict[tuple[Any, ...], dict[str, int]]:
    """Every count that is not 0, by minutes since NOW, bucket and route."""
    return {
        ((row.minute - NOW) // timedelta(minutes=1), row.bucket, row.route): {
            name: getattr(row, name) for name in COUNTS if getattr(row, name)
        }
        for row in DecisionMinute.objects.all()
    }


def people() -> dict[tuple[Any, ...], tuple[int, int, int]]:
    return {
        ((row.minute - NOW) // timedelta(minutes=1), row.identity): (row.requests, row.blocked, row.would_block)
        for row in IdentityMinute.objects.all()
    }


def sampled(bucket: str = "read") -> list[tuple[str, int, int]]:
    found = []
    for row in ArrivalSample.objects.filter(bucket=bucket):
        for identity, visits in unpack(bytes(row.data)):
            found += [(identity.hex(), at_us - NOW_US, cost) for at_us, cost in visits]
    return sorted(found, key=lambda one: one[1])


def test_every_kind_of_decision_is_counted_where_it_belongs(recorder: Recorder) -> None:
    told = [
        decided(),
        decided(route="/b/<int:pk>/"),
        decided(route=None),
        decided(after_us=MINUTE_US),
        decided(bucket="write", mode=Mode.ENFORCE),
        decided(bucket="write", mode=Mode.ENFORCE, verdict=Verdict.RATE_LIMITED, wait_us=1),
        decided(verdict=Verdict.RATE_LIMITED, wait_us=1 * SECOND_US),
        decided(verdict=Verdict.RATE_LIMITED, wait_us=1 * SECOND_US + 1),
        decided(verdict=Verdict.RATE_LIMITED, wait_us=301 * SECOND_US),
        decided(verdict=Verdict.COST_TOO_LARGE),
        decided(bucket="financial", mode=Mode.ENFORCE, verdict=Verdict.REPLAY, layer=Layer.IDEMPOTENCY),
        decided(bucket="financial", mode=Mode.ENFORCE, verdict=Verdict.STORE_DOWN, layer=Layer.STORE, degraded=True),
    ]
    for event in told:
        recorder(event)
    recorder(SettleEvent("financial", "user:1", None, Outcome.COMPLETED, lost=False, observed=False))
    assert rows() == {}
    recorder.flush()
    assert rows() == {
        (0, "read", "/a/"): {"requests": 5, "would_block": 4, "wait_1": 1, "wait_2": 1, "wait_more": 1},
        (0, "read", "/b/<int:pk>/"): {"requests": 1},
        (0, "read", ""): {"requests": 1},
        (1, "read", "/a/"): {"requests": 1},
        (0, "write", "/a/"): {"requests": 2, "enforced": 2, "blocked": 1, "wait_1": 1},
        (0, "financial", "/a/"): {"requests": 2, "enforced": 2, "blocked": 1, "replayed": 1, "degraded": 1},
    }


def test_rows_of_several_processes_and_flushes_add_up(recorder: Recorder) -> None:
    other = Recorder(clock=ManualClock(NOW_US))
    for sink in (recorder, other, recorder, other, other):
        sink(refused())
        sink(decided("user:2"))
        sink.flush()
        sink.flush()
    assert rows() == {(0, "read", "/a/"): {"requests": 10, "would_block": 5, "wait_5": 5}}
    assert people() == {(0, "user:1"): (5, 0, 5)}
    assert len(sampled()) == 10


def test_many_rows_are_written_in_a_few_statements(recorder: Recorder) -> None:
    for minute in range(40):
        for number in range(30):
            recorder(refused(f"user:{number}", after_us=minute * MINUTE_US))
            recorder(decided(route=f"/r/{number}/", after_us=minute * MINUTE_US))
    recorder.flush()
    before = rows(), people()
    statements: list[str] = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        statements.append(sql)
        return execute(sql, *rest)

    for minute in range(40):
        for number in range(30):
            recorder(refused(f"user:{number}", after_us=minute * MINUTE_US))
            recorder(decided(route=f"/r/{number}/", after_us=minute * MINUTE_US))
    with connection.execute_wrapper(count):
        recorder.flush()
    assert len(statements) < 60  # 2,440 rows: 999 parameters a statement on SQLite
    assert rows() == {key: {name: 2 * count for name, count in counts.items()} for key, counts in before[0].items()}
    assert people() == {key: tuple(2 * count for count in counts) for key, counts in before[1].items()}


def test_only_who_was_refused_gets_a_row_with_all_its_requests_of_the_minute(recorder: Recorder) -> None:
    for _ in range(3):
        recorder(decided("user:1"))
        recorder(decided("user:2"))
    recorder(refused("user:1"))
    recorder(decided("user:1", Verdict.RATE_LIMITED, mode=Mode.ENFORCE, wait_us=1))
    recorder.flush()
    assert people() == {(0, "user:1"): (5, 1, 1)}


def test_a_row_names_the_route_of_most_refusals(recorder: Recorder) -> None:
    for route in ("/b/", "/a/", "/b/", "/c/", "/b/"):
        recorder(decided("user:1", Verdict.RATE_LIMITED, route=route))
    recorder.flush()
    assert IdentityMinute.objects.get().route == "/b/"


def test_of_a_minute_the_worst_two_hundred_are_written_and_no_more_however_often_it_is_flushed(
    recorder: Recorder,
) -> None:
    for number in range(300):
        for _ in range(1 + number // 100):
            recorder(refused(f"user:{number}"))
    recorder.flush()
    assert {identity for _, identity in people()} == {f"user:{number}" for number in range(100, 300)}
    for number in range(1_000, 2_000):
        recorder(refused(f"user:{number}"))
        recorder(refused("user:299"))
    recorder.flush()
    assert IdentityMinute.objects.count() == 200
    assert people()[0, "user:299"] == (1_003, 0, 1_003)
    recorder(refused("user:1000", after_us=MINUTE_US))
    recorder.flush()
    assert IdentityMinute.objects.count() == 201


def test_a_million_of_a_hundred_thousand_identities_add_201_rows_a_bucket_route_and_minute(recorder: Recorder) -> None:
    """Fewer here; the bound depends on neither number."""
    early = 0
    tracemalloc.start()
    try:
        for number in range(40_000):
            recorder((refused if number % 10 else decided)(f"user:{number % 13_333}", after_us=number * 250))
            if number == 20_000:
                early, _ = tracemalloc.get_traced_memory()
        late, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    recorder.flush()
    assert late < early + 2_000_000
    assert DecisionMinute.objects.count() + IdentityMinute.objects.count() == 201
    (counts,) = rows().values()
    assert counts["requests"] == 40_000
    assert counts["lost"] == recorder.dropped > 10_000


def test_routes_are_bounded_and_the_rest_is_other(recorder: Recorder) -> None:
    for number in range(1_000):
        recorder(decided(route=f"/r/{number}/"))
    recorder.flush()
    assert DecisionMinute.objects.count() == 201
    assert rows()[0, "read", "other"] == {"requests": 800}


def test_what_is_lost_is_told(recorder: Recorder) -> None:
    told: list[int] = []
    recorder.on_drop = told.append
    for number in range(20_100):
        recorder(decided("user:1", after_us=number))
    assert sum(told) == recorder.dropped == 100
    recorder.flush()
    assert rows()[0, "read", ""] == {"lost": 100}


def test_minutes_that_nobody_writes_are_bounded_and_counted(recorder: Recorder) -> None:
    for minute in range(1_100):
        recorder(decided(mode=Mode.OFF, after_us=minute * MINUTE_US))
    assert recorder.dropped == 100
    recorder.flush()
    assert DecisionMinute.objects.count() == 1_000


# --- arrivals


def test_arrivals_carry_the_stores_time_the_cost_and_the_scope(recorder: Recorder) -> None:
    recorder(decided("user:1", after_us=1, cost=3))
    recorder(decided("user:1", after_us=2, scope="room"))
    recorder(decided("user:1", Verdict.RATE_LIMITED, after_us=3, cost=0))
    recorder.flush()
    one, in_room = (names.keyed_hash(names.hash_key(), ("user:1", scope)).hex() for scope in (None, "room"))
    assert sampled() == [(one, 1, 3), (in_room, 2, 1), (one, 3, 0)]
    assert [(row.share, row.arrivals) for row in ArrivalSample.objects.all()] == [(1.0, 3)]


@pytest.mark.parametrize(
    ("verdict", "layer", "mode"),
    [
        (Verdict.ALLOWED, Layer.NONE, Mode.OFF),
        (Verdict.REPLAY, Layer.IDEMPOTENCY, Mode.ENFORCE),
        (Verdict.RATE_LIMITED, Layer.REPLAY, Mode.ENFORCE),
        (Verdict.CONCURRENCY_LIMITED, Layer.LEASE, Mode.ENFORCE),
        (Verdict.USER_REQUIRED, Layer.USER, Mode.SHADOW),
        (Verdict.STORE_DOWN, Layer.STORE, Mode.ENFORCE),
    ],
)
def test_what_never_came_to_a_quota_is_counted_and_no_arrival(
    recorder: Recorder, verdict: Verdict, layer: Layer, mode: Mode
) -> None:
    recorder(decided(verdict=verdict, layer=layer, mode=mode))
    recorder.flush()
    assert rows()[0, "read", "/a/"]["requests"] == 1
    assert sampled() == []


def test_what_was_decided_without_a_store_is_dated_by_the_recorder(recorder: Recorder) -> None:
    recorder(decided(mode=Mode.OFF, now_us=0, identity=""))
    recorder.flush()
    assert list(rows()) == [(0, "read", "/a/")]


def test_a_row_of_arrivals_is_of_one_minute(recorder: Recorder) -> None:
    for seconds in (0, 59, 60, 61, 7200):
        recorder(decided(after_us=seconds * SECOND_US))
    recorder.flush()
    minutes = [(row.minute - NOW) // timedelta(minutes=1) for row in ArrivalSample.objects.order_by("minute")]
    assert minutes == [0, 1, 120]


# --- identities


def test_hashed_identities_are_the_same_in_every_row_and_tell_nobody(recorder: Recorder, settings: Any) -> None:
    settings.RATE_LIMIT_RECORD_IDENTITIES = "hashed"
    for minute in range(2):
        recorder(refused("user:4711", after_us=minute * MINUTE_US))
    recorder.flush()
    (name,) = {row.identity for row in IdentityMinute.objects.all()}
    assert name.startswith("user:~")
    assert "4711" not in name


def test_without_identities_there_are_no_rows_of_them(recorder: Recorder, settings: Any) -> None:
    settings.RATE_LIMIT_RECORD_IDENTITIES = "none"
    recorder(refused())
    recorder.flush()
    assert people() == {}
    assert rows()[0, "read", "/a/"]["would_block"] == 1
    assert len(sampled()) == 1


@pytest.mark.parametrize("hostile", ["\0", "\ud800", "\U0001f4a5", "\u202e", "<script>", "x" * 10_000, "\0" * 10_000])
def test_every_identity_scope_and_route_can_be_written(recorder: Recorder, hostile: str) -> None:
    identity = f"key:{hostile}"
    recorder(decided(identity, Verdict.RATE_LIMITED, scope=hostile, route=f"/{hostile}/"))
    recorder(decided(identity, Verdict.RATE_LIMITED, scope=hostile, route=f"/{hostile}/"))
    recorder.flush()
    (row,) = IdentityMinute.objects.all()
    assert row.would_block == 2
    assert row.identity.startswith("key:")
    assert len(sampled()) == 2


# --- the database, the thread and the process


def test_the_writer_leaves_running_minutes_alone_and_hand_flushing_does_not(recorder: Recorder) -> None:
    recorder(refused("user:1"))
    recorder(refused("user:1", after_us=MINUTE_US))
    recorder.flush(closed=True)
    assert rows()[0, "read", "/a/"]["requests"] == 1
    assert list(people()) == [(0, "user:1")]
    assert sampled() == []
    recorder.flush()
    assert list(people()) == [(0, "user:1"), (1, "user:1")]
    assert len(sampled()) == 2


def test_a_failed_flush_keeps_everything_for_the_next(recorder: Recorder) -> None:
    recorder(refused())

    def fail(*_: object) -> Any:
        raise OperationalError("gone")

    for _ in range(3):
        with connection.execute_wrapper(fail), pytest.raises(OperationalError):
            recorder.flush()
        recorder(refused())
    assert rows() == {}
    recorder.flush()
    assert rows()[0, "read", "/a/"] == {"requests": 4, "would_block": 4, "wait_5": 4}
    assert people() == {(0, "user:1"): (4, 0, 4)}
    assert len(sampled()) == 4
    assert recorder.dropped == 0


def test_a_long_outage_costs_the_oldest_records_and_says_how_many(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsent, "_MOST_SAMPLES", 500)

    def fail(*_: object) -> Any:
        raise OperationalError("gone")

    for hour in range(100):
        for minute in range(60):
            after_us = (hour * 60 + minute) * MINUTE_US
            for number in range(5):
                recorder(decided(f"user:{number}", Verdict.RATE_LIMITED, route=f"/{number}/", after_us=after_us))
        with connection.execute_wrapper(fail), pytest.raises(OperationalError):
            recorder.flush()
    recorder.flush()
    assert (DecisionMinute.objects.count(), IdentityMinute.objects.count()) == (20_000, 20_000)
    assert ArrivalSample.objects.count() == 500
    assert recorder.dropped == 10_001 + 10_000 + 5 * 5_500
    assert sum(counts.get("lost", 0) for counts in rows().values()) == recorder.dropped
    assert (99 * 60 + 59, "read", "/4/") in rows()


def test_old_rows_go_with_every_flush_a_few_at_a_time(recorder: Recorder, settings: Any) -> None:
    settings.RATE_LIMIT_RECORD_DAYS = 1
    old = NOW - timedelta(days=3000)
    DecisionMinute.objects.bulk_create(
        DecisionMinute(minute=old + timedelta(minutes=at), bucket="read", route="") for at in range(700)
    )
    left = []
    for _ in range(3):
        recorder.flush()
        left.append(DecisionMinute.objects.count())
    assert left == [400, 100, 0]
    assert retention.trickle(1) == 0


def test_a_child_of_a_fork_writes_only_what_it_recorded_itself(recorder: Recorder) -> None:
    recorder(refused())
    read, write = os.pipe()
    with recorder._lock, recorder._flushing:
        child = os.fork()
        if child == 0:  # pragma: no cover - another process
            recorder(decided("user:2"))
            os.write(write, repr([recorder._tally.take_counts(), recorder.dropped]).encode())
            os._exit(0)
    os.waitpid(child, 0)
    assert b": {'/a/': [1, 0, 0, 0, 0" in os.read(read, 1_000)
    recorder.flush()
    assert rows()[0, "read", "/a/"]["requests"] == 1


def test_nothing_is_written_by_itself_in_a_test_environment(recorder: Recorder) -> None:
    recorder(refused())
    assert not recorder._writer.running


def test_the_thread_writes_and_the_end_of_the_process_writes_all_the_rest(recorder: Recorder) -> None:
    recorder(refused())
    recorder._writer.start(in_tests=True)
    recorder(refused())
    recorder._writer.stop()
    assert rows()[0, "read", "/a/"]["requests"] == 2
    assert people() == {(0, "user:1"): (2, 0, 2)}
    assert len(sampled()) == 2
