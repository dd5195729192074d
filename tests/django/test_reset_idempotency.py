"""`ratelimit_reset --idempotency`: what is in doubt ends by an operator's word, and the word is logged."""

import logging
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from django_ratelimit_gcra import runtime
from django_ratelimit_gcra.models import IdempotencyRecord
from ratelimit_core import Admission, Identity, Verdict
from ratelimit_core.answers import Result
from ratelimit_core.testing import ManualClock
from tests.django import payments

pytestmark = pytest.mark.django_db

pytestmark = pytest.mark.django_db

ALICE = Identity.user(42)
PRINT = "f" * 64
RELEASE = ("--release", "--reason", "the processor knows nothing of it")


def admitted(bucket: str = "financial", key: str | None = None) -> Admission:
    return runtime.limiter().admit(ALICE, bucket, idempotency_key=key, fingerprint=PRINT)


def in_doubt(bucket: str = "financial", key: str | None = None) -> None:
    admission = admitted(bucket, key)
    assert admission.allowed
    runtime.limiter().settle(admission, Result(raised=True))
    assert admitted(bucket, key).decision.verdict is Verdict.OUTCOME_UNKNOWN


def reset(*arguments: str, bucket: str = "financial") -> str:
    out = StringIO()
    command = ["ratelimit_reset", "--idempotency", "--user", "42", "--bucket", bucket, *arguments]
    call_command(*command, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_release_lets_the_request_run_again_under_the_same_attempt(
    clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    in_doubt(key="k1")
    with caplog.at_level(logging.WARNING, "django_ratelimit_gcra"):
        said = reset("--idempotency-key", "k1", *RELEASE)
    assert said == "financial: user:42, key 'k1': released: the processor knows nothing of it: resolved\n"
    assert "the processor knows nothing of it (by " in caplog.text
    clock.advance_us(60_000_000)
    assert admitted(key="k1").allowed


def test_completed_gives_the_answer_that_was_named(clock: ManualClock, tmp_path: Path) -> None:
    in_doubt()
    body = tmp_path / "answer.json"
    body.write_bytes(b'{"paid": 5}')
    reset("--record", PRINT, "--completed", "201", "--body-file", str(body), "--reason", "it is on the statement")
    replay = runtime.limiter().denial(admitted())
    assert (replay.status, replay.body, replay.replayed) == (201, b'{"paid": 5}', True)
    assert ("Content-Type", "application/json") in replay.headers


def test_a_record_that_is_unknown_worked_on_or_completed_is_said_to_be(clock: ManualClock) -> None:
    with pytest.raises(CommandError, match="no such record in doubt"):
        reset("--record", PRINT, *RELEASE)
    admission = admitted()
    with pytest.raises(CommandError, match="is being worked on"):
        reset("--record", PRINT, *RELEASE)
    runtime.limiter().settle(admission, Result(200))
    with pytest.raises(CommandError, match="is completed already"):
        reset("--record", PRINT, *RELEASE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs --idempotency-key, or --record"),
        (("--idempotency-key", "", *RELEASE), "is no key"),
        (("--record", PRINT), "needs --completed STATUS or --release"),
        (("--record", PRINT, "--release"), "needs --reason"),
        (("--record", PRINT, "--completed", "500", "--reason", "x"), "200 to 399"),
        (("--record", PRINT, "--completed", "200", "--reason", "x", "--body-file", "nowhere"), "can't be read"),
    ],
)
def test_what_is_left_open_is_asked_for(clock: ManualClock, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        reset(*arguments)


def test_a_content_type_that_is_none_is_refused(clock: ManualClock) -> None:
    with pytest.raises(CommandError, match="give a type such as"):
        reset("--record", PRINT, "--completed", "200", "--reason", "x", "--content-type", "text/plain\r\nX-Evil: 1")


def test_a_request_that_somebody_else_was_charged_for_is_named_by_its_owner(clock: ManualClock) -> None:
    def asked() -> Admission:
        return runtime.limiter().admit(ALICE, "financial", idempotency_key="k1", identity=Identity.key("company"))

    runtime.limiter().settle(asked(), Result(raised=True))
    command = [
        "ratelimit_reset",
        "--idempotency",
        "--key",
        "company",
        "--bucket",
        "financial",
        "--idempotency-key",
        "k1",
    ]
    with pytest.raises(CommandError, match="no such record"):
        call_command(*command, *RELEASE, stderr=StringIO())
    out = StringIO()
    call_command(*command, "--owner", "42", *RELEASE, stdout=out, stderr=StringIO())
    assert "key:company for user:42" in out.getvalue()
    clock.advance_us(60_000_000)
    assert asked().allowed


def test_a_bucket_must_be_named_and_have_records(clock: ManualClock) -> None:
    with pytest.raises(CommandError, match="needs --bucket"):
        call_command("ratelimit_reset", "--idempotency", "--user", "42", "--record", PRINT, *RELEASE, stderr=StringIO())
    with pytest.raises(CommandError, match="a bucket with idempotency"):
        reset("--record", PRINT, *RELEASE, bucket="read")


def test_without_a_store_nothing_is_resolved(settings: Any) -> None:
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError, match="the store can't be reached"):
        reset("--record", PRINT, *RELEASE)


def test_where_a_row_decides_the_word_becomes_a_row(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    in_doubt("payment", "k1")
    done = ("--idempotency-key", "k1", "--completed", "200", "--reason", "it is on the statement")
    reset(*done, bucket="payment")
    row = IdempotencyRecord.objects.get()
    assert (row.identity, row.status, row.fingerprint) == ("user:42", 200, "")
    with pytest.raises(CommandError, match="completed already"):
        reset(*done, bucket="payment")


def test_an_expired_row_gives_way_to_the_word(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    done = ("--idempotency-key", "k1", "--completed", "200", "--reason", "it is on the statement")
    in_doubt("payment", "k1")
    reset(*done, bucket="payment")
    long_ago = timezone.now() - timedelta(days=1)
    IdempotencyRecord.objects.update(expires=long_ago, status=201)
    clock.advance_us(86_400_000_000)
    in_doubt("payment", "k1")
    reset(*done, bucket="payment")
    row = IdempotencyRecord.objects.get()
    assert (row.status, row.expires > long_ago) == (200, True)


def test_no_row_is_left_of_a_request_that_is_worked_on(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    assert admitted("payment", "k1").allowed
    with pytest.raises(CommandError, match="is being worked on"):
        reset("--idempotency-key", "k1", "--completed", "200", "--reason", "x", bucket="payment")
    assert not IdempotencyRecord.objects.exists()


def test_no_row_is_left_where_the_store_can_not_be_told(settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(CommandError, match="can't be reached"):
        reset("--idempotency-key", "k1", "--completed", "200", "--reason", "x", bucket="payment")
    assert not IdempotencyRecord.objects.exists()


def test_where_a_row_decides_a_release_needs_none(clock: ManualClock, settings: Any) -> None:
    settings.RATE_LIMIT_BUCKETS = {"payment": payments.BUCKET}
    in_doubt("payment", "k1")
    reset("--idempotency-key", "k1", *RELEASE, bucket="payment")
    assert admitted("payment", "k1").allowed
    assert not IdempotencyRecord.objects.exists()
