"""What protects each place of the URL conf, and why: the door's own choice, made without a request."""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from django.http import HttpRequest

from django_ratelimit_gcra.labels import Label, find_labels, is_exempt, is_rest_view
from django_ratelimit_gcra.routing import placed, rule_for
from django_ratelimit_gcra.urlconf import Route, labels_for, layers, methods, places
from django_ratelimit_gcra.viewchecks import Throttles, throttles_of
from ratelimit_core import Config, Mode
from ratelimit_core.rules import SAFE_METHODS, default_bucket

_ANY = ("GET", "POST")  # what a view that does not say is asked about


class State(StrEnum):
    """How far a place is protected, the best first."""

    ENFORCED = "enforced"
    CANARY = "canary"
    OBSERVED = "observed"
    OFF = "off"
    EXEMPT = "exempt"
    NONE = "none"


_STATES = {Mode.ENFORCE: State.ENFORCED, Mode.CANARY: State.CANARY, Mode.SHADOW: State.OBSERVED, Mode.OFF: State.OFF}


_LACKS = {
    State.OBSERVED: "only observed",
    State.OFF: "its bucket is off",
    State.EXEMPT: "exempt",
    State.NONE: "nothing protects it",
}
_ARGUMENT = re.compile(r"<[^>]*>")

MONEY = (
    *("billing", "charge", "checkout", "deposit", "donat", "invoice", "order", "pay", "purchase", "refund"),
    *("subscri", "transfer", "wallet", "withdraw"),
)
"""What the path or the name of a place that moves money probably holds; `pay` is in payment and payout, too."""


class Protection(NamedTuple):
    """What happens to requests of these methods at a place."""

    methods: tuple[str, ...]
    buckets: tuple[str, ...]
    state: State
    why: str


class Covered(NamedTuple):
    """A place with all that protects it; `any_method` says that its view does not tell which methods it answers."""

    route: Route
    any_method: bool
    protections: tuple[Protection, ...]


def coverage(config: Config, has_middleware: bool) -> Iterator[Covered]:
    """Every place of the URL conf, in its order."""
    for route in places():
        said = methods(route.view)
        found: dict[tuple[tuple[str, ...], State, str], list[str]] = {}
        for method in _ANY if said is None else said:
            one = protection(config, route, method, has_middleware)
            found.setdefault((one.buckets, one.state, one.why), []).append(method)
        together = tuple(Protection(tuple(names), *key) for key, names in found.items())
        yield Covered(route, said is None, together)


def is_money(route: Route, words: Iterable[str]) -> bool:
    """Whether a place's path or name holds one of these words; the admin's pages, which only staff see, apart."""
    named = f"{_ARGUMENT.sub('', route.place)} {route.url_name or ''} {' '.join(route.namespaces)}".lower()
    return "admin" not in route.app_names and any(word in named for word in words)


def lacks(covered: Covered) -> tuple[str, ...]:
    """What a place that moves money lacks, for each of its methods that write."""
    return tuple(
        f"{method}: {lack}"
        for one in covered.protections
        if (lack := _lack(one)) is not None
        for method in one.methods
        if method not in SAFE_METHODS
    )


def _lack(one: Protection) -> str | None:
    if one.state in (State.ENFORCED, State.CANARY):
        return "in the bucket for reading" if set(one.buckets) == {default_bucket("GET")} else None
    return _LACKS[one.state]


def protection(config: Config, route: Route, method: str, has_middleware: bool) -> Protection:
    """What a request of this method meets at this place."""
    seen = find_labels(route.view, method) if has_middleware else ()
    labels = labels_for(route.view, method)
    exempted = has_middleware and is_exempt(route.view, method)
    if exempted:  # but a label that the middleware does not see is honoured by the view
        labels = tuple(label for label in labels if label not in seen)
    unknown = tuple(label.bucket for label in labels if label.bucket not in config.policies)
    if unknown:
        return Protection((method,), unknown, State.NONE, "@ratelimit names no bucket")
    acting = [label for label in labels if label.acts(config.policy(label.bucket).bucket, method)]
    rest_view = next(filter(is_rest_view, layers(route.view)), None)
    if acting:
        hidden = has_middleware and rest_view is None and any(label not in seen for label in acting)
        return _by_labels(config, method, acting, hidden)
    if exempted:
        return Protection((method,), (), State.EXEMPT, "@exempt")
    if rest_view is not None:
        return _by_throttles(config, route, method, throttles_of(rest_view), has_middleware)
    if not has_middleware:
        return Protection((method,), (), State.NONE, "no middleware")
    return _by_place(config, route, method, decorated=bool(seen))


def _by_labels(config: Config, method: str, labels: Iterable[Label], hidden: bool) -> Protection:
    names = tuple(dict.fromkeys(label.bucket for label in labels))
    why = "@ratelimit, hidden from the middleware" if hidden else "@ratelimit"
    return Protection((method,), names, _best(config, names), why)


def _by_throttles(config: Config, route: Route, method: str, throttles: Throttles, has_middleware: bool) -> Protection:
    names = throttles.decided
    if not config.policies.keys() >= set(names):
        return Protection((method,), names, State.NONE, "throttle_bucket names no bucket")
    acting = config.acting(names, method)
    if acting:
        return Protection((method,), acting, _best(config, acting), "throttle")
    if throttles.limited:
        return _by_place(config, route, method, decorated=bool(names))
    if not has_middleware:
        return Protection((method,), (), State.NONE, "neither throttle nor middleware")
    found = _by_place(config, route, method, decorated=False)
    return found._replace(state=_observed(found.state), why=f"{found.why}, no throttle")


def _by_place(config: Config, route: Route, method: str, decorated: bool) -> Protection:
    request = HttpRequest()
    request.method, request.path_info, request.resolver_match = method, route.path, route.match
    demands = placed(config, request, decorated=decorated)
    if not demands:
        return Protection((method,), (), State.NONE, "RATE_LIMIT_UNDECORATED is off")
    (demand,) = demands
    state = _best(config, demand.buckets)
    why = "default of the method" if rule_for(config, request) is None else "rule"
    return Protection((method,), demand.buckets, _observed(state) if demand.observe else state, why)


def _observed(state: State) -> State:
    """What becomes of it where it is too late, or too early, to refuse."""
    return State.OBSERVED if state in (State.ENFORCED, State.CANARY) else state


def _best(config: Config, names: Iterable[str]) -> State:
    return min((_STATES[config.policy(name).mode] for name in names), key=list(State).index)
