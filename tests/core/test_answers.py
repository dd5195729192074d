"""What of an answer is kept, and how a claim ends without one."""

import pytest

from ratelimit_core import Bucket
from ratelimit_core.answers import LARGEST_BODY, Answer, Result, decode, encode, outcome
from ratelimit_core.buckets import OnError
from ratelimit_core.commands import Outcome

PAY = Bucket("pay", quota="5/m:1", idempotency="derived", store_down="closed")  # type: ignore[arg-type]  # text is read
FORGIVING = Bucket(
    "forgiving",
    quota="5/m:1",
    idempotency="derived",  # type: ignore[arg-type]  # text is read
    store_down="closed",  # type: ignore[arg-type]  # text is read
    on_error=OnError.RELEASE,
)
BOTH = (True, False)


@pytest.mark.parametrize("explicit", BOTH)
@pytest.mark.parametrize("status", [None, 200, 201, 204, 302, 303, 304, 399])
def test_a_success_is_kept(status: int | None, explicit: bool) -> None:
    assert outcome(PAY, Result(status), explicit=explicit) is Outcome.COMPLETED


@pytest.mark.parametrize("status", [402, 409, 410, 422])
def test_a_definite_refusal_is_kept_under_an_explicit_key_only(status: int) -> None:
    assert outcome(PAY, Result(status), explicit=True) is Outcome.COMPLETED
    assert outcome(PAY, Result(status), explicit=False) is Outcome.DECLINED


@pytest.mark.parametrize("explicit", BOTH)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 408, 413, 415, 425, 429])
def test_what_did_nothing_is_never_kept(status: int, explicit: bool) -> None:
    assert outcome(PAY, Result(status), explicit=explicit) is Outcome.DECLINED


@pytest.mark.parametrize("explicit", BOTH)
@pytest.mark.parametrize(
    "result",
    [Result(500), Result(503), Result(raised=True), Result(200, raised=True), Result(500, released="declined"),
     Result(released="declined", raised=True)],
)  # fmt: skip
def test_an_error_may_have_done_its_work(result: Result, explicit: bool) -> None:
    """Six of seven packages re-run a payment that raised after charging."""
    assert outcome(PAY, result, explicit=explicit) is Outcome.UNKNOWN
    assert outcome(FORGIVING, result, explicit=explicit) is Outcome.RELEASED


@pytest.mark.parametrize("status", [200, 302, 402, 422])
def test_what_the_handler_released_is_forgotten(status: int) -> None:
    assert outcome(PAY, Result(status, released="declined"), explicit=True) is Outcome.DECLINED
    assert outcome(FORGIVING, Result(status, released=""), explicit=True) is Outcome.DECLINED


@pytest.mark.parametrize("result", [Result(200), Result(500), Result(raised=True)])
def test_what_is_proven_undone_is_released_under_its_generation(result: Result) -> None:
    assert outcome(PAY, result._replace(undone=True), explicit=True) is Outcome.RELEASED


def test_an_answer_comes_back_as_it_was() -> None:
    headers = (("Content-Type", "text/html; charset=utf-8"), ("Location", "/bookings/17/"), ("ETag", '"ü"'))
    body = bytes(range(256)) + b"\n\n"
    assert decode(encode(Result(302, headers, body))) == Answer(302, headers, body)


def test_only_headers_that_describe_the_answer_are_kept_and_never_a_cookie() -> None:
    given = ("Set-Cookie", "set-cookie", "SET-COOKIE", "X-RateLimit-Limit", "Server", "Date", "content-type", "Vary")
    kept = decode(encode(Result(200, tuple((name, "x") for name in given)))).headers
    assert kept == (("content-type", "x"), ("Vary", "x"))


@pytest.mark.parametrize(("body", "kept"), [(b"x" * LARGEST_BODY, True), (b"x" * (LARGEST_BODY + 1), False),
                                            (None, False), (b"", True)])  # fmt: skip
def test_a_large_or_streamed_body_is_not_kept_but_its_status_is(body: bytes | None, kept: bool) -> None:
    stored = encode(Result(201, (), body))
    assert decode(stored) == Answer(201, (), body if kept else None)
    assert len(stored) <= LARGEST_BODY + 200


def test_a_job_without_a_response_is_an_empty_success() -> None:
    assert decode(encode(Result())) == Answer(200, (), b"")


@pytest.mark.parametrize(
    "stored",
    [b"", b"text", b"[]", b"{}", b"5", b"null", b'{"status": null, "headers": [], "kept": true}',
     b'{"status": "x", "headers": [], "kept": true}', b'{"status": 200, "headers": [1], "kept": true}',
     b'{"status": 200, "headers": [["a"]], "kept": true}', b'{"status": 200, "headers": []}', b"\xff\xfe",
     b"[" * 200_000],
)  # fmt: skip
def test_what_is_no_answer_is_a_value_error(stored: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # json's own, or ours
        decode(stored)


@pytest.mark.parametrize("on_error", ["unknown", "release"])
def test_an_end_that_nobody_saw_is_in_doubt_whatever_the_bucket_says_of_errors(on_error: str) -> None:
    bucket = Bucket("b", quota="1/m:1", on_error=on_error)  # type: ignore[arg-type]  # read as a choice
    assert outcome(bucket, Result(raised=True, cut=True), explicit=True) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "head",
    [
        '{"status": 99999, "headers": [], "kept": true}',
        '{"status": 1e400, "headers": [], "kept": true}',
        '{"status": 200, "headers": [["X-A\\n", "b"]], "kept": true}',
        '{"status": 200, "headers": [["X-A", "b\\r\\nX-C: d"]], "kept": true}',
        '{"status": 200, "headers": [["X-A", "\u20ac"]], "kept": true}',
    ],
)
def test_a_foreign_answer_that_can_not_be_sent_is_none(head: str) -> None:
    with pytest.raises(ValueError, match="no answer"):
        decode(head.encode() + b"\nbody")
