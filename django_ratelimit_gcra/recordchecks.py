"""What `checks` says about buckets whose records are rows in the database: where a row would prove nothing.

ratelimit.E010  a rule or a throttle assigns the bucket; only the decorator writes rows
ratelimit.E011  an async view, around which Django has no transaction
ratelimit.E012  a view that streams, whose answer is not there when the transaction ends
ratelimit.E013  a view whose models are in another database than the rows
ratelimit.E014  ATOMIC_REQUESTS puts the rows into a transaction that ends too late
"""

from collections.abc import Iterator

from asgiref.sync import iscoroutinefunction
from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import connections, router

from django_ratelimit_gcra.labels import View, is_rest_view, labels_on
from django_ratelimit_gcra.routing import keeps_rows
from django_ratelimit_gcra.urlconf import Route, all_labels, handlers, layers, routes
from django_ratelimit_gcra.viewchecks import throttled_buckets
from ratelimit_core import Config

_STREAMS = ("StreamingHttpResponse", "FileResponse")


def messages(config: Config) -> Iterator[CheckMessage]:
    """Every message, in the order of the rules and of the URL conf; nothing where no bucket keeps rows."""
    if not any(keeps_rows(config, name) for name in config.policies):
        return
    for rule in config.rules:
        if keeps_rows(config, rule.bucket):
            yield _assigned(f"RATE_LIMIT_RULES: a rule assigns bucket '{rule.bucket}'", None)
    for route in routes():
        yield from _of_throttles(config, route)
        if any(keeps_rows(config, label.bucket) for label in all_labels(route.view)):
            yield from _of_view(route, config)


def _of_throttles(config: Config, route: Route) -> Iterator[CheckMessage]:
    rest_view = next(filter(is_rest_view, layers(route.view)), None)
    for name in () if rest_view is None else throttled_buckets(rest_view):
        if keeps_rows(config, name):
            yield _assigned(f"{_place(route)}: BucketThrottle assigns bucket '{name}'", route.name)


def _of_view(route: Route, config: Config) -> Iterator[CheckMessage]:
    from django_ratelimit_gcra.models import IdempotencyRecord  # the app may be missing, which Django says itself

    alias = router.db_for_write(IdempotencyRecord)
    if _is_async(config, route.view):
        yield _error(route, "E011", "is async", "Make it a plain view: a transaction stays in one thread.")
    if any(_streams(layer) for layer in _functions(route.view)):
        yield _error(route, "E012", "streams", "Return a whole response: a stream can't be answered again.")
    other = _elsewhere(route.view, alias)
    if other is not None:
        said = f"writes to database '{other}', and the records are in '{alias}'"
        yield _error(route, "E013", said, "Route IdempotencyRecord to the database of what the view writes.")
    spared: set[str] = getattr(route.view, "_non_atomic_requests", set())
    if connections[alias].settings_dict["ATOMIC_REQUESTS"] and alias not in spared:
        said = f"runs in a transaction of ATOMIC_REQUESTS on '{alias}'"
        yield _error(route, "E014", said, "Put @transaction.non_atomic_requests on it: the record brings its own.")


def _assigned(what: str, obj: str | None) -> CheckMessage:
    return Error(
        f"{what}, whose records are rows in the database: no row would be written.",
        hint="Put @ratelimit on the view: a row is written in the transaction of what the view does.",
        obj=obj,
        id="ratelimit.E010",
    )


def _error(route: Route, number: str, what: str, hint: str) -> CheckMessage:
    message = f"{_place(route)} has a bucket with record='database', but {what}."
    return Error(message, hint=hint, obj=route.name, id=f"ratelimit.{number}")


def _functions(view: View) -> Iterator[View]:
    """The view, its class's methods, and what is under their decorators."""
    for root in (view, *handlers(view)):
        yield from layers(root)


def _is_async(config: Config, view: View) -> bool:
    """Whether a labelled function is a coroutine function, or a labelled class has any."""
    labelled = [layer for layer in _functions(view) if any(keeps_rows(config, one.bucket) for one in labels_on(layer))]
    return getattr(getattr(view, "view_class", None), "view_is_async", False) or any(map(iscoroutinefunction, labelled))


def _streams(function: View) -> bool:
    """Whether a function says that it returns a stream; what says nothing is found out when it runs."""
    returned = getattr(function, "__annotations__", {}).get("return")
    name = returned if isinstance(returned, str) else getattr(returned, "__name__", "")
    return name.rpartition(".")[2] in _STREAMS


def _elsewhere(view: View, alias: str) -> str | None:
    """Another database to which the models of the view's own app are written."""
    app = apps.get_containing_app_config(getattr(view, "__module__", ""))
    found = [] if app is None else [router.db_for_write(model) for model in app.get_models()]
    return next((one for one in found if one != alias), None)


def _place(route: Route) -> str:
    return f"The view at {route.place}"
