"""The log of what an operator may want to look at: few lines of each kind, and nothing of a stranger's in them."""

import json
import logging
from typing import Any

import pytest

from ratelimit_core import DecisionEvent, Identity, Limiter, SettleEvent, StoreEvent, Verdict
from ratelimit_core.commands import Outcome
from ratelimit_core.logsink import LogSink
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock
from tests.core.test_metrics import CONFIG, HOSTILE, decided, printed

SECOND_NS = 1_000_000_000
REFUSED = decided("write", Verdict.RATE_LIMITED, wait_us=1_500_000)
LOGGER = logging.getLogger("of.the.tests")


class Clock:
    """Monotonic nanoseconds that stand still until moved."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


@pytest.fixture
def clock() -> Clock:
    """The sink's clock."""
    return Clock()


@pytest.fixture
def sink(clock: Clock, caplog: pytest.LogCaptureFixture) -> LogSink:
    """A sink whose lines `caplog` catches."""
    caplog.set_level(logging.INFO, LOGGER.name)
    return LogSink(LOGGER, monotonic_ns=clock)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = record.ratelimit  # type: ignore[attr-defined]  # by `extra`
    assert json.loads(record.getMessage().partition(": ")[2]) == found, "the message says the same"
    return found


def kinds(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, fields(record)["kind"]) for record in caplog.records]


def ended(**more: Any) -> SettleEvent:
    given: dict[str, Any] = {"outcome": Outcome.COMPLETED, "lost": False, "observed": False, "claimed": True}
    return SettleEvent("financial", "user:alice", "pay/", **{**given, **more})


def test_a_refusal_is_a_line_of_plain_fields(sink: LogSink, caplog: pytest.LogCaptureFixture) -> None:
    sink(REFUSED)
    (record,) = caplog.records
    assert record.getMessage().startswith("Refused: {")
    assert fields(record) == {
        "kind": "refused",
        "bucket": "write",
        "verdict": "rate_limited",
        "layer": "none",
        "mode": "enforce",
        "enforced": True,
        "degraded": False,
        "identity": "user:alice",
        "scope": None,
        "route": "pay/",
        "cost": 1,
        "limit": 1,
        "wait_s": 1.5,
        "left_out": 0,
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (REFUSED, [("INFO", "refused")]),
        (decided("read", Verdict.RATE_LIMITED, enforced=False, would_block=True), [("INFO", "would_block")]),
        (decided("write"), []),
        (decided(verdict=Verdict.REPLAY), []),
        (StoreEvent("admit", 0.05, "timeout"), [("WARNING", "store_error")]),
        (StoreEvent("admit", 0.05), []),
        (ended(), []),
        (ended(outcome=Outcome.UNKNOWN), [("WARNING", "outcome_unknown")]),
        (ended(outcome=Outcome.UNKNOWN, claimed=False), []),
        (ended(lost=True), [("WARNING", "lease_lost")]),
        (ended(lost=True, outcome=Outcome.UNKNOWN), [("WARNING", "lease_lost"), ("WARNING", "outcome_unknown")]),
        (ended(lost=True, outcome=Outcome.UNKNOWN, observed=True), []),
        ("another kind of event", []),
    ],
)
def test_what_is_worth_a_line_gets_one(
    sink: LogSink, caplog: pytest.LogCaptureFixture, event: Any, expected: list[tuple[str, str]]
) -> None:
    sink(event)
    assert kinds(caplog) == expected


def test_a_flood_is_a_few_lines_and_a_number(sink: LogSink, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10_000):
        sink(REFUSED)
    assert [fields(record)["left_out"] for record in caplog.records] == [0] * 5
    clock.now_ns = 10 * SECOND_NS - 1
    sink(REFUSED)
    assert len(caplog.records) == 5
    clock.now_ns += 1
    sink(REFUSED)
    sink(REFUSED)
    assert [fields(record)["left_out"] for record in caplog.records[5:]] == [9_996, 0]


def test_an_outage_hides_no_refusal_and_one_bucket_no_other(sink: LogSink, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        sink(StoreEvent("admit", 0.0, "breaker_open"))
        sink(REFUSED)
    sink(StoreEvent("admit", 0.05, "timeout"))
    sink(decided("financial", Verdict.RATE_LIMITED))
    last = [fields(record) for record in caplog.records[10:]]
    assert [(one["kind"], one.get("bucket", one.get("error"))) for one in last] == [
        ("store_error", "timeout"),
        ("refused", "financial"),
    ]


def test_how_many_and_how_often_can_be_chosen(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    sink = LogSink(LOGGER, most=1, interval_s=0.5, monotonic_ns=clock)
    for _ in range(4):
        sink(REFUSED)
        clock.now_ns += SECOND_NS // 4
    assert [fields(record)["left_out"] for record in caplog.records] == [0, 1]


@pytest.mark.parametrize(
    "hostile", [HOSTILE, "a\r\nlevel=ERROR forged", "\x1b[2Jgone", "\u202eflipped", "\u2028", "'\""]
)
def test_nothing_of_a_stranger_s_ends_a_line_or_is_markup(
    sink: LogSink, caplog: pytest.LogCaptureFixture, hostile: str
) -> None:
    sink(decided("write", Verdict.RATE_LIMITED, identity=hostile, route=hostile, scope=hostile))
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isascii()
    assert message.isprintable()
    assert not set("<>&") & set(message)
    assert len(message) < 6_000
    shown = {fields(record)[name] for name in ("identity", "route", "scope")}
    assert all(text.isprintable() and not set("<>&") & set(text) for text in shown)


def test_a_long_text_is_cut_and_says_how_long_it_was(sink: LogSink, caplog: pytest.LogCaptureFixture) -> None:
    sink(decided("write", Verdict.RATE_LIMITED, identity="key:" + "x" * 10_000))
    assert fields(caplog.records[0])["identity"] == "key:" + "x" * 196 + "... (10004 characters)"


def test_letters_of_other_languages_stay_legible_in_the_fields(sink: LogSink, caplog: pytest.LogCaptureFixture) -> None:
    sink(decided("write", Verdict.RATE_LIMITED, identity="key:j\u00f6rg \u0645\u0631\u062d\u0628\u0627 \U0001f4b8"))
    assert fields(caplog.records[0])["identity"] == "key:j\u00f6rg \u0645\u0631\u062d\u0628\u0627 \U0001f4b8"


def test_who_it_was_can_be_left_out(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER.name)
    LogSink(LOGGER, identities=False, monotonic_ns=clock)(REFUSED)
    assert not {"identity", "scope"} & set(fields(caplog.records[0]))


def test_a_level_that_is_off_costs_nothing_and_leaves_nothing_out(
    sink: LogSink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, LOGGER.name)
    for _ in range(100):
        sink(REFUSED)
    caplog.set_level(logging.INFO, LOGGER.name)
    sink(REFUSED)
    assert [fields(record)["left_out"] for record in caplog.records] == [0]


def test_without_a_logger_it_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ratelimit_core.events")
    limiter = Limiter(CONFIG, MemoryStore(ManualClock()), sinks=[LogSink()])
    for _ in range(4):
        limiter.admit(Identity.user("alice"), "write")
    assert [(record.name, fields(record)["bucket"]) for record in caplog.records] == [
        ("ratelimit_core.events", "write")
    ]


def test_a_child_of_a_fork_does_not_wait_for_its_parent_s_lock() -> None:
    script = (
        "import os\n"
        "from ratelimit_core.logsink import LogSink\n"
        "sink = LogSink()\n"
        "sink._lock.acquire()\n"
        "if child := os.fork():\n"
        "    os.waitpid(child, 0)\n"
        "else:\n"
        "    print(sink._lock.acquire(timeout=0))"
    )
    assert printed(script) == "True"


def test_an_event_is_left_as_it_was(sink: LogSink) -> None:
    event: DecisionEvent = decided("write", Verdict.RATE_LIMITED, identity="<b>")
    sink(event)
    assert event.identity == "<b>"
