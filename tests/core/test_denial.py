"""A refusal as a response: one problem body for each verdict."""

import json

import pytest

from ratelimit_core import Bucket, Config, Denial, Identity, Limiter, RequestInfo, StoreError
from ratelimit_core.answers import Result, encode
from ratelimit_core.buckets import StoreDown
from ratelimit_core.commands import Finding, Reply, Shielded
from ratelimit_core.testing import ScriptedStore

NOW_US = 1_767_225_600_000_000
ALICE = Identity.user("alice")
READ = Bucket("read", quota="60/m:10", require_user=True)
PAIR = Bucket("pair", quotas=("6/m:2", "60/h:6"))  # type: ignore[arg-type]  # text is read
CLOSED = Bucket("closed", quota="60/m:10", store_down=StoreDown.CLOSED)
EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


def refused(reply: Reply | StoreError, *names: str, who: Identity | RequestInfo = ALICE, cost: int = 1) -> Denial:
    limiter = Limiter(Config(buckets=[READ, PAIR, CLOSED]), ScriptedStore([reply]))
    admission = limiter.admit(who, names, cost)
    denial = limiter.denial(admission)
    headers = limiter.headers(admission)
    assert denial.headers[: len(headers)] == headers
    return denial


def body(denial: Denial) -> dict[str, object]:
    read: dict[str, object] = json.loads(denial.body)
    return read


def test_an_exhausted_quota_is_a_429_that_names_it() -> None:
    denial = refused((NOW_US, -1_500_000), "read")
    assert body(denial) == {
        "type": EXCEEDED,
        "title": "Too Many Requests",
        "status": 429,
        "detail": "The request limit is used up; try again in 2 s.",
        "code": "rate_limited",
        "bucket": "read",
        "retry_after": 2,
        "violated-policies": ["read"],
    }
    assert (denial.status, denial.code, denial.bucket, denial.retry_after) == (429, "rate_limited", "read", 2)
    assert (denial.title, denial.detail) == (body(denial)["title"], body(denial)["detail"])


@pytest.mark.parametrize(
    ("rooms", "violated"),
    [
        ((-1, -1), ["pair", "pair-3600s"]),
        ((-1, 60_000_000), ["pair"]),
        ((0, -1), ["pair-3600s"]),
    ],
)
def test_of_several_quotas_those_are_named_that_refused(rooms: tuple[int, int], violated: list[str]) -> None:
    assert body(refused((NOW_US, *rooms), "pair"))["violated-policies"] == violated


def test_of_several_buckets_those_are_named_that_refused() -> None:
    denial = refused((NOW_US, 5_000_000, -1, -2_000_000, 0), "read", "pair", "closed")
    assert body(denial)["violated-policies"] == ["pair", "pair-3600s"]
    assert denial.bucket == "pair"


def test_a_missing_user_is_a_401_without_a_wait() -> None:
    denial = refused((), "read", who=RequestInfo(peer="203.0.113.9"))
    assert body(denial) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Sign in first; nothing was charged.",
        "code": "user_required",
        "bucket": "read",
        "retry_after": None,
    }


def test_a_cost_that_can_never_fit_is_a_413_without_a_wait() -> None:
    denial = refused((NOW_US, 10_000_000), "read", cost=11)
    read = body(denial)
    assert (read["status"], read["code"], read["retry_after"]) == (413, "cost_too_large", None)
    assert "violated-policies" not in read


def test_a_closed_door_is_a_503_with_a_wait() -> None:
    denial = refused(StoreError("breaker_open", "gone", wait_us=900_000), "closed")
    read = body(denial)
    assert (read["type"], read["status"], read["title"]) == (REDUCED, 503, "Service Unavailable")
    assert (read["code"], read["retry_after"]) == ("store_down", 1)
    assert read["detail"] == "This can't be decided safely right now; try again in 1 s."
    assert "violated-policies" not in read


@pytest.mark.parametrize(
    ("reply", "name", "cost", "waits"),
    [
        ((NOW_US, -1), "read", 1, True),
        ((NOW_US, 5), "read", 11, False),
        (StoreError("timeout", "slow"), "closed", 1, True),
    ],
)
def test_no_refusal_is_kept_by_a_cache_and_only_a_wait_says_retry_after(
    reply: Reply | StoreError, name: str, cost: int, waits: bool
) -> None:
    denial = refused(reply, name, cost=cost)
    headers = dict(denial.headers)
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"] == "application/problem+json"
    assert ("Retry-After" in headers) is waits
    assert body(denial)["retry_after"] == (int(headers["Retry-After"]) if waits else None)
    assert headers["X-RateLimit-Policy"] == name


# --- what a shield found


def shielded(finding: Finding, room: int = 0, wait_us: int = 0, answer: bytes = b"") -> Denial:
    limiter = Limiter(Config.default(), ScriptedStore([Shielded((NOW_US, room), finding, wait_us, 0, 1, answer)]))
    return limiter.denial(limiter.admit(ALICE, "financial", fingerprint="abc"))


def test_a_held_lease_is_named_as_the_bucket_s_concurrency() -> None:
    denial = shielded(Finding.LEASED_OUT)
    read = body(denial)
    assert (denial.status, read["type"], read["violated-policies"]) == (429, EXCEEDED, ["financial-concurrency"])
    assert (read["code"], read["retry_after"]) == ("concurrency_limited", 1)
    assert dict(denial.headers)["Retry-After"] == "1"


@pytest.mark.parametrize("room", [0, -12_000_000, -2_500_000])
def test_too_many_replays_are_named_as_such_whatever_the_quota_has_left(room: int) -> None:
    denial = shielded(Finding.REPLAY_LIMITED, room, 2_500_000)
    assert (denial.status, body(denial)["violated-policies"], denial.retry_after) == (429, ["financial-replay"], 3)


def test_an_exhausted_quota_of_a_shielded_bucket_is_named_itself() -> None:
    assert body(shielded(Finding.NOT_REACHED, -12_000_000))["violated-policies"] == ["financial"]


ORIGINAL = Result(201, (("Content-Type", "text/plain"), ("Location", "/b/1"), ("Set-Cookie", "s=1")), b"paid \xff")


def test_a_replay_is_the_original_with_today_s_numbers() -> None:
    denial = shielded(Finding.REPLAY, -12_000_000, answer=encode(ORIGINAL))
    headers = dict(denial.headers)
    assert (denial.status, denial.body, denial.replayed, denial.code) == (201, b"paid \xff", True, "replay")
    assert denial.headers[:2] == [("Content-Type", "text/plain"), ("Location", "/b/1")]
    assert (headers["Idempotent-Replayed"], headers["X-RateLimit-Remaining"]) == ("true", "0")
    assert not {"Set-Cookie", "Retry-After", "Cache-Control"} & set(headers)


@pytest.mark.parametrize("answer", [encode(ORIGINAL._replace(body=None)), b""])
def test_a_replay_whose_answer_was_not_kept_is_a_409_that_says_so(answer: bytes) -> None:
    denial = shielded(Finding.REPLAY, answer=answer)
    read = body(denial)
    assert (denial.status, denial.replayed, read["code"], read["retry_after"]) == (409, False, "replay", None)
    assert "its answer was not kept, and it is not run again" in str(read["detail"])
    assert dict(denial.headers)["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("finding", "status", "code", "wait"),
    [
        (Finding.IN_PROGRESS, 409, "in_progress", 1),
        (Finding.KEY_REUSED, 422, "key_reused", None),
        (Finding.OUTCOME_UNKNOWN, 409, "outcome_unknown", None),
    ],
)
def test_a_record_in_use_is_a_problem_that_only_progress_lets_wait(
    finding: Finding, status: int, code: str, wait: int | None
) -> None:
    denial = shielded(finding, -12_000_000)
    assert (denial.status, denial.code, denial.retry_after) == (status, code, wait)
    assert ("Retry-After" in dict(denial.headers)) is (wait is not None)
    assert "violated-policies" not in body(denial)
