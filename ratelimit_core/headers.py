"""The response headers of an admission, as (name, value) pairs in a fixed order.

`X-RateLimit-*` are the long-established fields. `RateLimit` and `RateLimit-Policy` are the fields of
draft-ietf-httpapi-ratelimit-headers-11 (Structured Fields, RFC 9651) and live in one function, `_draft_11`, because
a draft changes; `Config(draft_fields=False)` leaves them out. `Retry-After` is RFC 9110 section 10.2.3.
"""

from ratelimit_core.decision import Admission, Decision, QuotaState, seconds

Pairs = list[tuple[str, str]]
_Reading = tuple[Decision, QuotaState]


def pairs(admission: Admission) -> Pairs:
    """Every header of this admission; nothing about numbers where no bucket was consulted."""
    decisions = admission.decisions
    policy = ", ".join(decision.bucket for decision in decisions) if admission.config.enabled else "off"
    readings = sorted(
        ((decision, state) for decision in decisions for state in decision.states()),
        key=lambda reading: (reading[1].remaining, -reading[1].reset_after_us),
    )
    if not readings:
        return [("X-RateLimit-Policy", policy)]
    tightest = readings[0][1]
    found = [
        ("X-RateLimit-Limit", str(tightest.burst)),
        ("X-RateLimit-Remaining", str(tightest.remaining)),
        ("X-RateLimit-Reset", str(max(_reset(decision) for decision in decisions if decision.rooms))),
        ("X-RateLimit-Policy", policy),
    ]
    if admission.config.draft_fields:
        found += _draft_11(readings)
    retry_after = admission.decision.retry_after
    return found if retry_after is None else [*found, ("Retry-After", str(retry_after))]


def policy_name(decision: Decision, state: QuotaState) -> str:
    """A quota's name in the draft's fields and in a problem body: `read`, `read-3600s`."""
    return decision.bucket if state.label is None else f"{decision.bucket}-{state.label}"


def _reset(decision: Decision) -> int:
    """Epoch seconds at which all is earned back, and never before the time a refusal names."""
    full_us = decision.now_us + (decision.reset_after_us or 0)
    retry_us = decision.now_us + (decision.retry_after or 0) * 1_000_000
    return -(-max(full_us, retry_us) // 1_000_000)


def _draft_11(readings: list[_Reading]) -> Pairs:
    policies = []
    limits = []
    for decision, state in readings:
        name = policy_name(decision, state)
        window = -(-state.burst * state.interval_us // 1_000_000)
        policies.append(f'"{name}";q={state.burst};w={window}')
        limits.append(f'"{name}";r={state.remaining};t={_next_seconds(decision, state)}')
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(limits))]


def _next_seconds(decision: Decision, state: QuotaState) -> int:
    """The draft's `t`: how long `r` lasts; with nothing left, until the next unit; refused, the quota's own wait."""
    if not decision.allowed and (state.wait_us or not state.remaining):
        return seconds(state.wait_us or decision.wait_us)
    if state.remaining:
        return -(-state.room_us // 1_000_000)
    return seconds(state.interval_us - state.room_us)
