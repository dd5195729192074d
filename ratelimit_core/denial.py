"""A refusal as a response: status, headers and an RFC 9457 problem body."""

import json
from typing import NamedTuple

from ratelimit_core.answers import Answer
from ratelimit_core.decision import Admission, Decision, Verdict
from ratelimit_core.headers import Pairs, pairs, policy_name

_QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
_BLANK = "about:blank"


class Problem(NamedTuple):
    """What is the same for every refusal of a kind."""

    status: int
    type: str
    title: str
    detail: str


_PROBLEMS = {
    Verdict.RATE_LIMITED: Problem(
        429, _QUOTA_EXCEEDED, "Too Many Requests", "The request limit is used up; try again in {wait} s."
    ),
    Verdict.CONCURRENCY_LIMITED: Problem(
        429, _QUOTA_EXCEEDED, "Too Many Requests", "An earlier request is still being worked on; try again in {wait} s."
    ),
    Verdict.IN_PROGRESS: Problem(
        409, _BLANK, "Conflict", "The same request is being worked on; ask again in {wait} s for its answer."
    ),
    Verdict.REPLAY: Problem(
        409, _BLANK, "Conflict", "This request was completed before; its answer was not kept, and it is not run again."
    ),
    Verdict.KEY_REUSED: Problem(
        422, _BLANK, "Unprocessable Content", "This idempotency key was used for another request; use a fresh one."
    ),
    Verdict.OUTCOME_UNKNOWN: Problem(
        409,
        _BLANK,
        "Conflict",
        "An earlier try ended without an answer and its outcome is unknown; it is not run again.",
    ),
    Verdict.KEY_REQUIRED: Problem(400, _BLANK, "Bad Request", "Send an Idempotency-Key header with this request."),
    Verdict.KEY_MALFORMED: Problem(
        400, _BLANK, "Bad Request", "Send one idempotency key, of 1 to 255 visible ASCII characters."
    ),
    Verdict.BODY_TOO_LARGE: Problem(413, _BLANK, "Content Too Large", "The body of this request is too large."),
    Verdict.USER_REQUIRED: Problem(401, _BLANK, "Unauthorized", "Sign in first; nothing was charged."),
    Verdict.COST_TOO_LARGE: Problem(
        413, _BLANK, "Content Too Large", "This request costs more than the limit ever allows at once; split it."
    ),
    Verdict.STORE_DOWN: Problem(
        503, _REDUCED_CAPACITY, "Service Unavailable", "This can't be decided safely right now; try again in {wait} s."
    ),
}


class Denial(NamedTuple):
    """A complete response for a refused request, in no framework's terms."""

    status: int
    title: str
    detail: str
    code: str
    bucket: str
    retry_after: int | None
    headers: Pairs
    body: bytes
    replayed: bool = False


def deny(admission: Admission) -> Denial:
    """The response to an admission that is not allowed: a refusal, or the answer that was given before."""
    answer = admission.answer
    if admission.replayed and answer is not None and answer.body is not None:
        return _replay(admission, answer, answer.body)
    decision = admission.decision
    problem = _PROBLEMS[decision.verdict]
    retry_after = decision.retry_after
    detail = problem.detail.format(wait=retry_after)
    body: dict[str, object] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "code": decision.verdict.value,
        "bucket": decision.bucket,
        "retry_after": retry_after,
    }
    if problem.type == _QUOTA_EXCEEDED:
        body["violated-policies"] = [name for one in admission.decisions for name in _violated(one)]
    headers = [
        *pairs(admission),
        ("Cache-Control", "no-store"),
        ("Content-Type", "application/problem+json"),
    ]
    payload = json.dumps(body).encode("ascii")
    return Denial(
        problem.status, problem.title, detail, decision.verdict.value, decision.bucket, retry_after, headers, payload
    )


def _replay(admission: Admission, answer: Answer, body: bytes) -> Denial:
    """The original's status, headers and body, with today's numbers."""
    decision = admission.decision
    headers = [*answer.headers, *pairs(admission), ("Idempotent-Replayed", "true")]
    code = decision.verdict.value
    return Denial(answer.status, "Replay", "", code, decision.bucket, None, headers, body, replayed=True)


def _violated(decision: Decision) -> list[str]:
    if decision.allowed:
        return []
    if decision.verdict is Verdict.CONCURRENCY_LIMITED:
        return [f"{decision.bucket}-concurrency"]
    if decision.replays:
        return [f"{decision.bucket}-replay"]
    return [policy_name(decision, state) for state in decision.states() if state.wait_us]
