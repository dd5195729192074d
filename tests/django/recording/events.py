"""Events as the limiter makes them, one field at a time."""

from datetime import UTC, datetime, timedelta

from ratelimit_core import DecisionEvent, Verdict
from ratelimit_core.buckets import Mode
from ratelimit_core.events import Layer

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
NOW_US = 1_800_000_000 * SECOND_US
NOW = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW_US)


def decided(
    identity: str = "user:1",
    verdict: Verdict = Verdict.ALLOWED,
    *,
    after_us: int = 0,
    bucket: str = "read",
    mode: Mode = Mode.SHADOW,
    layer: Layer | None = None,
    scope: str | None = None,
    route: str | None = "/a/",
    cost: int = 1,
    wait_us: int = 0,
    degraded: bool = False,
    now_us: int | None = None,
) -> DecisionEvent:
    """A decision about one request, `after_us` after NOW."""
    refused = verdict not in {Verdict.ALLOWED, Verdict.REPLAY}
    enforced = mode is Mode.ENFORCE
    return DecisionEvent(
        bucket=bucket,
        layer=layer or (Layer.QUOTA if refused else Layer.NONE),
        verdict=verdict,
        mode=mode,
        enforced=enforced,
        allowed=verdict is Verdict.ALLOWED or not enforced,
        blocked=refused,
        would_block=refused and not enforced,
        degraded=degraded,
        identity=identity,
        scope=scope,
        route=route,
        cost=cost,
        limit=10,
        remaining=0,
        wait_us=wait_us,
        now_us=NOW_US + after_us if now_us is None else now_us,
    )


def refused(identity: str = "user:1", *, wait_us: int = 3 * SECOND_US, after_us: int = 0) -> DecisionEvent:
    """A refusal that its bucket only observed."""
    return decided(identity, Verdict.RATE_LIMITED, wait_us=wait_us, after_us=after_us)
