"""What `checks` says about views: the labels on them, and those of REST framework without this limiter's throttle.

ratelimit.E004  a bucket that does not exist
ratelimit.E005  a cost that can never be admitted
ratelimit.E006  a shielded bucket on a view of REST framework without the middleware, which settles
ratelimit.W005  a view of REST framework without the throttle
ratelimit.W006  a label that the middleware can't see
ratelimit.W007  a label around a view of REST framework, which authenticates inside
"""

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning

from django_ratelimit_gcra.labels import Label, View, is_exempt, is_rest_view, labels_on
from django_ratelimit_gcra.urlconf import Route, all_labels, layers, routes, seen_labels
from ratelimit_core import Bucket, Config


class Throttles(NamedTuple):
    """What is known of a REST framework view's throttles; `decided` are the buckets that the source names."""

    limited: bool
    decided: tuple[str, ...]


def messages(config: Config, has_middleware: bool) -> Iterator[CheckMessage]:
    """Every view's messages, in the order of the URL conf."""
    for route in routes():
        labels = all_labels(route.view)
        for label in labels:
            yield from _of_label(config, route, label)
        rest_view = next(filter(is_rest_view, layers(route.view)), None)
        if rest_view is None:
            yield from _hidden(route, labels)
        else:
            yield from _around(route, rest_view)
            yield from _of_rest_view(config, route._replace(view=rest_view), labels, has_middleware)
            if not has_middleware:
                yield from _unsettled(config, route, [label.bucket for label in labels])


def named_buckets(config: Config) -> frozenset[str]:
    """The buckets that views and rules ask for by name."""
    names = {rule.bucket for rule in config.rules}
    for route in routes():
        names.update(label.bucket for label in all_labels(route.view))
        rest_view = next(filter(is_rest_view, layers(route.view)), None)
        names.update(() if rest_view is None else throttles_of(rest_view).decided)
    return frozenset(names)


def costs(config: Config, bucket: str) -> Iterator[CheckMessage]:
    """The costs written down in views that would never be admitted to this bucket."""
    for route in routes():
        for label in all_labels(route.view):
            if label.bucket == bucket:
                yield from _of_label(config, route, label)


def _of_label(config: Config, route: Route, label: Label) -> Iterator[CheckMessage]:
    bucket = _bucket(config, label.bucket)
    if bucket is None:
        yield _unknown(config, route, f"@ratelimit(bucket={label.bucket!r})", label.bucket)
        return
    burst = bucket.least_burst
    if isinstance(label.cost, int) and label.cost > burst:
        yield Error(
            f"{_place(route)}: cost={label.cost} never fits into bucket '{bucket.name}', whose burst is {burst}.",
            hint="Lower the cost, or give the bucket a larger burst.",
            obj=route.name,
            id="ratelimit.E005",
        )


def _hidden(route: Route, labels: tuple[Label, ...]) -> Iterator[CheckMessage]:
    seen = seen_labels(route.view)
    hidden = [label.bucket for label in labels if label not in seen]
    if hidden:
        yield CheckWarning(
            f"{_place(route)}: @ratelimit stands under a decorator that hides it from the middleware "
            f"(bucket {', '.join(hidden)}): the default bucket is charged first.",
            hint="Write functools.wraps into that decorator, or put @ratelimit above it.",
            obj=route.name,
            id="ratelimit.W006",
        )


def _around(route: Route, rest_view: View) -> Iterator[CheckMessage]:
    if route.view is not rest_view and labels_on(route.view):
        yield CheckWarning(
            f"{_place(route)}: @ratelimit stands around a view of Django REST framework, which authenticates inside "
            "it: token users are charged by their address.",
            hint="Use BucketThrottle and throttle_bucket, or decorate the class or its methods.",
            obj=route.name,
            id="ratelimit.W007",
        )


def _of_rest_view(
    config: Config, route: Route, labels: tuple[Label, ...], has_middleware: bool
) -> Iterator[CheckMessage]:
    throttles = throttles_of(route.view)
    for name in throttles.decided:
        bucket = _bucket(config, name)
        if bucket is None:
            yield _unknown(config, route, f"throttle_bucket = {name!r}", name)
        elif not has_middleware:
            yield from _unsettled(config, route, [name])
    if not (throttles.limited or labels or is_exempt(route.view, "GET")):
        yield CheckWarning(
            f"{_place(route)}: a view of Django REST framework without BucketThrottle is only observed.",
            hint="Add BucketThrottle to throttle_classes or to DEFAULT_THROTTLE_CLASSES, or say @exempt.",
            obj=route.name,
            id="ratelimit.W005",
        )


def throttled_buckets(view: View) -> tuple[str, ...]:
    """The buckets that a REST framework view's throttles name in its source."""
    return throttles_of(view).decided


def _unsettled(config: Config, route: Route, names: list[str]) -> Iterator[CheckMessage]:
    for name in names:
        bucket = _bucket(config, name)
        if bucket is not None and bucket.shielded:
            yield Error(
                f"{_place(route)}: bucket '{name}' holds a lease or a claim, and only the middleware knows what became "
                "of a response of Django REST framework.",
                hint="Add RateLimitMiddleware at the end of MIDDLEWARE: it settles after the view.",
                obj=route.name,
                id="ratelimit.E006",
            )


def throttles_of(view: View) -> Throttles:
    """Throttles by class: what `get_throttles` of a view's own may return is not known, and taken for enough."""
    kind = view.cls  # type: ignore[attr-defined]  # REST framework's as_view sets it
    given: dict[str, Any] = getattr(view, "initkwargs", {})
    own_rules = kind.get_throttles is not sys.modules["rest_framework.views"].APIView.get_throttles
    ours = getattr(sys.modules.get("django_ratelimit_gcra.throttling"), "BucketThrottle", None)
    classes = given.get("throttle_classes", kind.throttle_classes)
    limiting = [one for one in classes if ours is not None and isinstance(one, type) and issubclass(one, ours)]
    on_view = given.get("throttle_bucket", getattr(kind, "throttle_bucket", None))
    named = [getattr(one, "bucket", None) or on_view for one in limiting] or ([on_view] if own_rules else [])
    return Throttles(own_rules or bool(limiting), tuple(dict.fromkeys(name for name in named if name)))


def _bucket(config: Config, name: str) -> Bucket | None:
    policy = config.policies.get(name)
    return None if policy is None else policy.bucket


def _unknown(config: Config, route: Route, said: str, name: str) -> CheckMessage:
    return Error(
        f"{_place(route)}: {said} names no bucket.",
        hint=f"The buckets are {', '.join(config.policies)}; add '{name}' to RATE_LIMIT_BUCKETS or correct the name.",
        obj=route.name,
        id="ratelimit.E004",
    )


def _place(route: Route) -> str:
    return f"The view at {route.place}"
