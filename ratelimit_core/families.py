"""Every metric: its name, labels and help, and the closed sets that its label values come from.

Three rules, so that rules and panels can rely on what they read:

- Label values come from closed sets: buckets of the configuration, names of ours, at most 200 route templates. What is
  known beforehand exists at 0 before traffic, as `increase()` does not see a series that first appears at 1.
- `blocked` is the verdict's, in shadow too, and so are waits; `shadow="true"` was not enforced. What became of shields
  (`idem_*`, `rl_idempotency_total`, `rl_lease_lost_total`) counts what was in force only.
- A request without the user that its bucket requires is counted nowhere: nobody was charged or identified. So every
  block of such a bucket is a verified user's.
"""

from typing import NamedTuple

from ratelimit_core.commands import Outcome
from ratelimit_core.decision import Verdict


class Family(NamedTuple):
    """One metric; `bounds` make it a histogram, `across` says how a gauge is read over several processes."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    across: str | None = None


MOST_ROUTES = 200
LONGEST_ROUTE = 200
OTHER = "other"
UNKNOWN = "unknown"
KINDS = ("timeout", "connection", "breaker_open", "busy", "corrupt", "refused", OTHER)

LOOKUPS = {
    Verdict.REPLAY: "replay",
    Verdict.IN_PROGRESS: "in_progress",
    Verdict.KEY_REUSED: "key_reused",
    Verdict.OUTCOME_UNKNOWN: "outcome_unknown",
    Verdict.KEY_REQUIRED: "key_required",
    Verdict.KEY_MALFORMED: "key_malformed",
    Verdict.BODY_TOO_LARGE: "body_too_large",
}
ENDINGS = {
    Outcome.COMPLETED: "completed",
    Outcome.DECLINED: "declined",
    Outcome.RELEASED: "released",
    Outcome.UNKNOWN: "unknown",
}
OUTCOMES = (*LOOKUPS.values(), *ENDINGS.values())

REQUESTS = Family(
    "rl_requests_total",
    "Decisions; shadow: not enforced, blocked: refused by the verdict, in shadow too.",
    ("bucket", "shadow", "blocked"),
)
WAITS = Family(
    "rl_retry_after_seconds",
    "Retry-After of refusals that waiting helps, in shadow too.",
    ("bucket",),
    (1, 2, 5, 10, 30, 60, 120, 300),
)
LEASES = Family(
    "rl_concurrency_blocked_total", "Refusals because as many as may run at once do, in shadow too.", ("route",)
)
HITS = Family("idem_cache_hits_total", "Requests answered from their idempotency record.")
MISSES = Family("idem_cache_misses_total", "Requests that claimed an idempotency record, as no answer was kept.")
IDEMPOTENCY = Family("rl_idempotency_total", "What became of idempotent requests and of their claims.", ("outcome",))
CALLS = Family(
    "rl_store_seconds",
    "Time of calls of the store; what the open breaker answers is none.",
    ("op",),
    (0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
ERRORS = Family("rl_store_errors_total", "Calls of the store that failed.", ("kind",))
DEGRADED = Family("rl_degraded_total", "Decisions taken without the store.", ("bucket", "policy"))
LOST = Family("rl_lease_lost_total", "Leases and claims that were not held to the end of their request.")
BREAKER = Family(
    "rl_breaker_open", "1 while the store is left alone after failures, by any of several processes.", across="livemax"
)
DROPPED = Family("rl_shadow_dropped_total", "Events that the records of decisions could not keep.")
# The last word of any process counts: what a parent said before its workers were forked would stand for ever.
POLICIES = Family(
    "rl_policy_info",
    "1 for each policy in force, 0 for one that was.",
    ("bucket", "mode", "quota", "store_down"),
    across="livemostrecent",
)
BUILD = Family("rl_build_info", "1, with the version.", ("version",), across="livemax")
