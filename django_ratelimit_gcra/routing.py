"""Which buckets a request is admitted to: the view's labels, else the settings' rules, else its method's default."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from django.http import HttpRequest
from django.urls import ResolverMatch

from django_ratelimit_gcra.labels import Label, Named
from ratelimit_core import Config, Identity, Rule
from ratelimit_core.buckets import Record, Undecorated
from ratelimit_core.rules import default_bucket

_APP = "django_ratelimit_gcra"


class Demand(NamedTuple):
    """One question to the limiter: these buckets together, all or nothing."""

    buckets: tuple[str, ...]
    cost: int = 1
    scope: str | None = None
    identity: Identity | None = None
    observe: bool = False
    takeover: bool = False
    lease_on: str | None = None


def keeps_rows(config: Config, bucket: str) -> bool:
    """Whether a bucket's idempotency records are kept in the database too; `records` admits to it then."""
    policy = config.policies.get(bucket)
    return policy is not None and policy.bucket.record is Record.DATABASE


def labelled(
    config: Config, labels: Iterable[Label], request: HttpRequest, args: Sequence[object], kwargs: Mapping[str, Any]
) -> list[Demand]:
    """What the labels ask for; neighbours that agree in all but the bucket ask together."""
    singles = (
        Demand(
            (label.bucket,),
            _cost(label, request),
            _named(label.scope, request, args, kwargs),
            _identity(label, request),
            lease_on=_named(label.lease_on, request, args, kwargs),
        )
        for label in labels
        if label.acts(config.policy(label.bucket).bucket, request.method or "GET")
    )
    return [
        Demand(tuple(demand.buckets[0] for demand in group), *key)
        for key, group in groupby(singles, key=lambda demand: demand[1:])
    ]


def placed(config: Config, request: HttpRequest, *, decorated: bool = False) -> list[Demand]:
    """What a rule asks for, else the default bucket: in earnest on a decorated view, elsewhere as the settings say."""
    rule = rule_for(config, request)
    if rule is not None:
        return [Demand((rule.bucket,))]
    if not decorated and config.undecorated is Undecorated.OFF:
        return []
    observe = not decorated and (config.undecorated is Undecorated.SHADOW or _stays_open(request.resolver_match))
    return [Demand((default_bucket(request.method or "GET"),), observe=observe)]


def observed(demands: Iterable[Demand]) -> list[Demand]:
    """The same demands where it is too late to refuse."""
    return [demand._replace(observe=True) for demand in demands]


def rule_for(config: Config, request: HttpRequest) -> Rule | None:
    """The most exact rule that covers the request's place and method."""
    match = request.resolver_match
    url_name = None if match is None else match.url_name
    namespaces = [] if match is None else match.namespaces
    for rule in config.rules:
        covers = rule.matches(request.path_info, url_name, namespaces)
        if covers and rule.acts_on(config.policy(rule.bucket).bucket, request.method or "GET"):
            return rule
    return None


def _stays_open(match: ResolverMatch | None) -> bool:
    """The admin's login and this app's own pages there: who has to change a limit must get in."""
    if match is None or "admin" not in match.app_names:
        return False
    return match.url_name == "login" or (match.url_name or "").startswith(f"{_APP}_")


def _cost(label: Label, request: HttpRequest) -> int:
    return label.cost(request) if callable(label.cost) else label.cost


def _named(given: Named | None, request: HttpRequest, args: Sequence[object], kwargs: Mapping[str, Any]) -> str | None:
    found = given(request, *args, **kwargs) if callable(given) else given
    return None if found is None else str(found)


def _identity(label: Label, request: HttpRequest) -> Identity | None:
    """A text names a key; None and '' name nobody, and the user or the address is charged."""
    found = None if label.identity is None else label.identity(request)
    return (Identity.key(found) if found else None) if isinstance(found, str) else found
