"""`ratelimit_shadow`: what it prints for people, programs and spreadsheets, and that none of it is fooled."""

import csv
import io
import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_ratelimit_gcra.management.printing import cell, plain
from django_ratelimit_gcra.models import DecisionMinute, IdentityMinute
from django_ratelimit_gcra.recording import Recorder
from ratelimit_core import DecisionEvent, Verdict
from tests.django import switches
from tests.django.recording.events import decided

pytestmark = pytest.mark.django_db

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" and 'quoted'; DROP TABLE x",
    "\U0001f4a5\U0001f4a5",
    "abc\u202egnp.exe",
    "\x1b[2J\x1b]0;title\x07\r\nfake line",
    "\x9b31m\u2028\u200f",
    "x" * 10_000,
    "=cmd|' /C calc'!A0",
    "\0\ud800",
]


def now_event(identity: str, verdict: Verdict = Verdict.RATE_LIMITED, **fields: Any) -> DecisionEvent:
    return decided(identity, verdict, now_us=round(timezone.now().timestamp()) * 1_000_000 - 60_000_000, **fields)


def shown(*arguments: str) -> str:
    out = StringIO()
    call_command("ratelimit_shadow", *arguments, stdout=out)
    return out.getvalue()


def test_without_records_every_bucket_says_so() -> None:
    printed = shown()
    assert printed.count("Nothing was recorded in the last 48 h; not ready.") == 4
    assert [line.partition(" ")[0] for line in printed.splitlines() if line and not line.startswith(" ")] == [
        "auth_bootstrap",
        "read",
        "write",
        "financial",
    ]


def test_what_another_process_switched_counts() -> None:
    switches.row("write", mode="shadow")
    assert "write (20/m:3), shadow, the last 24 h" in shown("--bucket", "write")


def test_a_report_for_people() -> None:
    recorder = Recorder()
    for _ in range(30):
        recorder(now_event("user:7", wait_us=4_000_000))
    recorder(now_event("user:8", Verdict.ALLOWED))
    recorder.flush()
    printed = shown("--bucket=read", "--what-if=90/m:15", "--what-if=5/m:1,50/h:10", "--suggest", "--hours=1.5")
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[0] == "read (60/m:10), shadow, the last 1.5 h"
    assert lines[1].startswith("1 min observed, 1 of 2 identities would be refused; not ready: ")
    assert lines[2] == "31 requests, 0 enforced, 0 blocked, 30 would block, 0 replayed, 0 degraded, 0 lost"
    assert lines[3] == "waits: half up to 3.5 s, 95 % up to 4.85 s"
    assert lines[4].startswith("1 identity with 100 % of all refusals: this looks like a retry loop")
    assert lines[5:9] == [
        "refused share requests identity",
        "30 100.0 % 30 user:7",
        "refused share requests route",
        "30 100.0 % 31 /a/",
    ]
    assert "what if: 90/m:15 would refuse 15 of 31 requests and touch 1 of 2 identities." in lines
    assert "what if: 5/m:1, 50/h:10 would refuse 29 of 31 requests and touch 1 of 2 identities." in lines
    assert lines[-1].startswith("suggested: 60/m:")


def test_a_report_for_programs() -> None:
    recorder = Recorder()
    recorder(now_event("user:7"))
    recorder.flush()
    (found,) = json.loads(shown("--bucket=read", "--json", "--what-if=90/m:15"))
    assert (found["bucket"], found["mode"], found["quotas"]) == ("read", "shadow", ["60/m:10"])
    assert found["identities"] == [{"name": "user:7", "refused": 1, "share": 1.0, "requests": 1}]
    assert sum(point["requests"] for point in found["series"]) == found["requests"] == 1
    assert found["what_if"][0]["quotas"] == ["90/m:15"]
    assert found["readiness"]["ready"] is False
    assert "suggestion" not in found
    assert len(json.loads(shown("--json", "--suggest"))) == 4


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_form_of_the_report_is_fooled_by_an_identity_or_a_route(hostile: str) -> None:
    recorder = Recorder()
    recorder(now_event(f"key:{hostile}", route=f"/{hostile}/"))
    recorder(now_event(hostile, route=hostile))
    recorder.flush()
    for form in ((), ("--json",), ("--csv",)):
        printed = shown("--bucket=read", *form)
        printed.encode("utf-8")
        assert all(character == "\n" or character.isprintable() for character in printed)
        assert max(map(len, printed.splitlines())) < 400
    rows = list(csv.reader(io.StringIO(shown("--bucket=read", "--csv"))))
    assert rows[0] == ["bucket", "kind", "name", "refused", "share", "requests"]
    assert [(row[1], *row[3:]) for row in rows[1:]] == [("identity", "1", "0.5000", "1")] * 2 + [
        ("route", "1", "0.5000", "1")
    ] * 2
    assert not any(row[2].startswith(("=", "+", "-", "@")) for row in rows)


def test_what_a_terminal_cannot_write_is_escaped() -> None:
    minute = timezone.now() - timedelta(minutes=5)
    DecisionMinute.objects.create(minute=minute, bucket="read", route="/é/", requests=1, would_block=1)
    IdentityMinute.objects.create(minute=minute, bucket="read", identity="key:\U0001f4a5", requests=1, would_block=1)
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, "ascii")
    for form in ((), ("--csv",)):
        call_command("ratelimit_shadow", "--bucket=read", *form, stdout=terminal)
    terminal.flush()
    assert raw.getvalue().count(b"key:\\U0001f4a5") == 2
    assert raw.getvalue().count(b"/\\xe9/") == 2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--bucket=nobody"], "doesn't exist"),
        (["--hours=0"], "more than 0"),
        (["--hours=nan"], "more than 0"),
        (["--hours=99999999"], "at most"),
        (["--what-if=90/m"], "--what-if: .*burst is required"),
        (["--what-if=5/m:1,"], "--what-if"),
    ],
)
def test_what_cannot_be_asked_is_refused(arguments: list[str], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        shown(*arguments)


def test_plain_text_is_shown_as_it_is_and_cut() -> None:
    assert plain("ip:203.0.113.9") == "ip:203.0.113.9"
    assert plain("שלום é 中") == "שלום é 中"
    assert plain("a" * 81) == "a" * 80 + "..."
    assert plain("\x1b\u202e\U000e0001\ud800") == "\\x1b\\u202e\\U000e0001\\ud800"
    assert cell("=1+1") == "'=1+1"
    assert cell("\t=1+1") == "\\x09=1+1"
