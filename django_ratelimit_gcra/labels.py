"""What `@ratelimit` and `@exempt` write on a view, and how it is found again."""

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.http import HttpRequest

from ratelimit_core import Bucket, ConfigurationError, CostError, Identity
from ratelimit_core.rules import acts_on, read_methods

View = Callable[..., Any]
Cost = int | Callable[[HttpRequest], int]
Named = str | Callable[..., object]
Charged = Callable[[HttpRequest], Identity | str | None]

_LABELS = "_ratelimit_labels"
_EXEMPT = "_ratelimit_exempt"


class Label(NamedTuple):
    """One `@ratelimit`, as it was written."""

    bucket: str
    cost: Cost = 1
    scope: Named | None = None
    identity: Charged | None = None
    methods: frozenset[str] | None = None
    lease_on: Named | None = None

    def acts(self, bucket: Bucket, method: str) -> bool:
        """Whether it means requests of this method."""
        return acts_on(bucket, method, self.methods)


def make_label(
    bucket: str,
    cost: Cost,
    scope: Named | None,
    identity: Charged | None,
    methods: Iterable[str] | None,
    lease_on: Named | None = None,
) -> Label:
    """A label whose literal values can be used; raises ConfigurationError and CostError while the view is written."""
    if not isinstance(bucket, str):
        raise ConfigurationError("ratelimit(bucket=...)", bucket, "the name of a bucket")
    if not callable(cost) and (isinstance(cost, bool) or not isinstance(cost, int) or cost < 0):
        raise CostError(cost)
    named: dict[str, object] = {"scope": scope, "lease_on": lease_on}
    for name, value in named.items():
        if not (value is None or isinstance(value, str) or callable(value)):
            accepted = "a text, or a function of the request that gives one"
            raise ConfigurationError(f"ratelimit({name}=...)", value, accepted)
    if not (identity is None or callable(identity)):
        raise ConfigurationError("ratelimit(identity=...)", identity, "a function of the request that gives one")
    chosen = None if methods is None else read_methods(methods, "ratelimit(methods=...)")
    return Label(bucket, cost, scope, identity, chosen, lease_on)


def labels_on(view: object) -> tuple[Label, ...]:
    """The labels that a function carries, its outermost decorator's first."""
    labels: tuple[Label, ...] = getattr(view, _LABELS, ())
    return labels


def put_labels(view: object, labels: tuple[Label, ...]) -> None:
    """Write labels on a function; raises TypeError for one that is exempt."""
    if getattr(view, _EXEMPT, False):
        raise TypeError(f"{view!r} is both @exempt and in bucket '{labels[0].bucket}': keep one")
    setattr(view, _LABELS, labels)


def put_exempt(view: object) -> None:
    """Mark a function or a class as exempt; raises TypeError for a function that has labels."""
    if labels_on(view):
        raise TypeError(f"{view!r} is both @exempt and in bucket '{labels_on(view)[0].bucket}': keep one")
    setattr(view, _EXEMPT, True)


def find_labels(view: View, method: str) -> tuple[Label, ...]:
    """The labels that the middleware can see: on the view, then on its class's method for this request."""
    return labels_on(view) + labels_on(_handler(view, method))


def is_exempt(view: View, method: str) -> bool:
    """Whether the view, its class or its class's method for this request is exempt.

    A class is exempt by its own mark only: what derives from it may be a payment. A method's own label speaks louder
    than its class's exemption.
    """
    handler = _handler(view, method)
    if getattr(handler, _EXEMPT, False) or labels_on(handler):
        return not labels_on(handler)
    places = (view, getattr(view, "view_class", None), getattr(view, "cls", None))
    return any(_EXEMPT in vars(place) for place in places if place is not None)


def is_rest_view(view: View) -> bool:
    """Whether Django REST framework runs this view function: it authenticates inside, so its throttle admits."""
    return is_rest_class(getattr(view, "cls", None))


def is_rest_class(kind: object) -> bool:
    """Whether this is a view class of REST framework, which need not be installed."""
    framework = sys.modules.get("rest_framework.views")
    return framework is not None and isinstance(kind, type) and issubclass(kind, framework.APIView)


def _handler(view: View, method: str) -> object:
    kind = getattr(view, "view_class", None)
    fallback = getattr(kind, "get", None) if method == "HEAD" else None
    return getattr(kind, method.lower(), fallback)
