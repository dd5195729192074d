"""A rate limiter that decides right: GCRA in integer microseconds, one atomic round trip, the store's clock."""

from ratelimit_core.buckets import Bucket, Mode
from ratelimit_core.config import Config
from ratelimit_core.decision import Admission, Decision, RateLimited, Verdict
from ratelimit_core.denial import Denial
from ratelimit_core.errors import ConfigurationError, CostError, IdentityError, RateLimitError, StoreError
from ratelimit_core.events import DecisionEvent, Event, SettleEvent, Sink, StoreEvent
from ratelimit_core.identity import Identity, RequestInfo
from ratelimit_core.limiter import Limiter
from ratelimit_core.quota import Quota
from ratelimit_core.rules import Rule

__all__ = [
    "Admission",
    "Bucket",
    "Config",
    "ConfigurationError",
    "CostError",
    "Decision",
    "DecisionEvent",
    "Denial",
    "Event",
    "Identity",
    "IdentityError",
    "Limiter",
    "Mode",
    "Quota",
    "RateLimitError",
    "RateLimited",
    "RequestInfo",
    "Rule",
    "SettleEvent",
    "Sink",
    "StoreError",
    "StoreEvent",
    "Verdict",
]
