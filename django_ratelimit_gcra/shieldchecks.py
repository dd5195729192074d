"""What `checks` says about leases and idempotency: whether something keeps them, and where the answer is captured.

ratelimit.E007  a rule puts views into a bucket with idempotency, which needs the decorator
ratelimit.E008  a shield in the memory of one process
ratelimit.E009  a store that evicts what a shield has to remember
ratelimit.E015  a claim that is settled before ATOMIC_REQUESTS commits
ratelimit.E016  two shields on one request, of which the second waits for the first
"""

from collections.abc import Iterator

from django.core.checks import CheckMessage, Error
from django.db import connections

from django_ratelimit_gcra.labels import find_labels
from django_ratelimit_gcra.urlconf import Route, routes
from ratelimit_core import Config
from ratelimit_core.buckets import Mode
from ratelimit_core.drive import Store

_KEEPS = "noeviction"
_METHODS = ("POST", "PUT", "PATCH", "DELETE")


def of_rules(config: Config) -> Iterator[CheckMessage]:
    """A rule's view may be behind a middleware that stands below ours, which a replay would pass twice."""
    for rule in config.rules:
        if config.policy(rule.bucket).bucket.idempotency is not None:
            yield Error(
                f"RATE_LIMIT_RULES puts views into bucket '{rule.bucket}', whose idempotency captures their answers: "
                "that needs the decorator, or BucketThrottle on a view of Django REST framework.",
                hint=f"Write @ratelimit(bucket={rule.bucket!r}) on the views and remove the rule.",
                id="ratelimit.E007",
            )


def of_memory(config: Config, named: frozenset[str]) -> Iterator[CheckMessage]:
    """Shields that views ask for, where each process has its own and forgets it when it ends."""
    names = _shielded(config, named)
    if names and config.store_url.startswith("memory:"):
        yield Error(
            f"Bucket {names} keeps leases and idempotency records, and RATE_LIMIT_STORE_URL is memory://: another "
            "process, or this one after a restart, would carry out a payment a second time.",
            hint="Set RATE_LIMIT_STORE_URL to redis://..., on a server with maxmemory-policy noeviction.",
            id="ratelimit.E008",
        )


def of_eviction(config: Config, named: frozenset[str], store: Store) -> Iterator[CheckMessage]:
    """Shields that views ask for, on a server that drops keys when its memory is full; silent where it can't say."""
    names = _shielded(config, named)
    ask = getattr(store, "eviction_policy", None)
    policy = ask() if names and ask is not None else None
    if policy not in (None, _KEEPS):
        yield Error(
            f"Bucket {names} keeps leases and idempotency records, and the Redis server's maxmemory-policy is "
            f"{policy}: under memory pressure it forgets that a payment was carried out, and it is carried out again.",
            hint=f"Set the server's maxmemory-policy to {_KEEPS}, or give the limiter a server of its own.",
            id="ratelimit.E009",
        )


def of_views(config: Config, has_middleware: bool) -> Iterator[CheckMessage]:
    """Views whose labels ask for more than a shield can do."""
    atomic = [alias for alias in connections if connections[alias].settings_dict["ATOMIC_REQUESTS"]]
    for route in routes():
        names = max((_acting(config, route, method) for method in _METHODS), key=len)
        yield from _of_several(route, names)
        caught = [alias for alias in atomic if alias not in getattr(route.view, "_non_atomic_requests", ())]
        if caught and not has_middleware:
            yield from _of_early_end(config, route, names, caught)


def _acting(config: Config, route: Route, method: str) -> list[str]:
    """The shielded buckets that a view's labels name for a method."""
    labels = [label for label in find_labels(route.view, method) if label.bucket in config.policies]
    policies = [
        config.policies[label.bucket] for label in labels if label.acts(config.policies[label.bucket].bucket, method)
    ]
    return list(dict.fromkeys(policy.bucket.name for policy in policies if policy.bucket.shielded))


def _of_several(route: Route, names: list[str]) -> Iterator[CheckMessage]:
    if len(names) > 1:
        yield Error(
            f"The view at {route.place} is in several buckets with a lease or idempotency: {', '.join(names)}.",
            hint="Keep one: the second would find the first one's record of the same request, and wait for it.",
            obj=route.name,
            id="ratelimit.E016",
        )


def _of_early_end(config: Config, route: Route, names: list[str], aliases: list[str]) -> Iterator[CheckMessage]:
    for name in names:
        if config.policies[name].bucket.idempotency is not None:
            yield Error(
                f"The view at {route.place} runs in a transaction of ATOMIC_REQUESTS on {', '.join(aliases)}: without "
                f"RateLimitMiddleware its answer is kept for bucket '{name}' before that commits.",
                hint="Add RateLimitMiddleware at the end of MIDDLEWARE, or @transaction.non_atomic_requests here.",
                obj=route.name,
                id="ratelimit.E015",
            )


def _shielded(config: Config, named: frozenset[str]) -> str:
    policies = (config.policies[name] for name in sorted(named) if name in config.policies)
    return ", ".join(f"'{one.bucket.name}'" for one in policies if one.bucket.shielded and one.mode is not Mode.OFF)
