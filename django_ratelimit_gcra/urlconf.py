"""Every view that the URL conf can reach, and the `@ratelimit` labels on it, those under other decorators included."""

from collections.abc import Iterable, Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from django_ratelimit_gcra.labels import Label, View, labels_on

_DEPTH = 12  # decorators on one view


class Route(NamedTuple):
    """A view and the first place where the URL conf names it."""

    place: str
    view: View

    @property
    def name(self) -> str:
        """The view as its author wrote it: module and name."""
        kind = _class_of(self.view) or self.view
        named = kind if hasattr(kind, "__qualname__") else type(kind)
        return f"{named.__module__}.{named.__qualname__}"


def routes() -> Iterator[Route]:
    """Every view once, whatever it is included under; none where the site has no URL conf."""
    seen: set[int] = set()
    if getattr(settings, "ROOT_URLCONF", None):
        for route in _below(get_resolver(), "/", ()):
            if id(route.view) not in seen:
                seen.add(id(route.view))
                yield route


def _below(resolver: URLResolver, prefix: str, parents: tuple[URLResolver, ...]) -> Iterator[Route]:
    for entry in resolver.url_patterns:
        place = prefix + str(entry.pattern).removeprefix("^")
        if isinstance(entry, URLPattern):
            yield Route(place, entry.callback)
        elif entry not in parents:
            yield from _below(entry, place, (*parents, entry))


def handlers(view: View) -> Iterator[View]:
    """The functions of a class-based view that answer its methods, or a viewset's actions."""
    kind = _class_of(view)
    actions: dict[str, str] = getattr(view, "actions", None) or {}
    names = actions.values() if actions else getattr(kind, "http_method_names", ())
    for name in dict.fromkeys(names):
        handler = getattr(kind, name, None)
        if callable(handler):
            yield handler


def seen_labels(view: View) -> tuple[Label, ...]:
    """The labels that the middleware can see, for any method."""
    return labels_on(view) + tuple(label for handler in handlers(view) for label in labels_on(handler))


def all_labels(view: View) -> tuple[Label, ...]:
    """The labels that can be found at all: also under decorators that hide them."""
    found: list[Label] = []
    for root in (view, *handlers(view), *_dispatchers(view)):
        for layer in layers(root):
            found += [label for label in labels_on(layer) if label not in found]
    return tuple(found)


def _dispatchers(view: View) -> list[object]:
    """Every `dispatch` of a class-based view: one that overrides a labelled one has no label itself."""
    bases: tuple[type, ...] = getattr(_class_of(view), "__mro__", ())
    return [vars(base)["dispatch"] for base in bases if "dispatch" in vars(base)]


def _class_of(view: View) -> Any:
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


def layers(root: object) -> Iterator[Any]:
    """A view and what is found under its decorators: what a function closes over, wraps or is bound to."""
    layer = [root]
    seen: set[int] = set()
    for _ in range(_DEPTH):
        layer = [one for one in layer if id(one) not in seen]
        seen.update(map(id, layer))
        yield from layer
        layer = [inner for one in layer for inner in _inside(one)]


def _inside(wrapper: object) -> Iterator[object]:
    if isinstance(wrapper, partial):
        yield wrapper.func
    elif isinstance(wrapper, MethodType):
        yield wrapper.__func__
        yield from _wrappers(getattr(wrapper.__self__, "__dict__", {}).values())
    elif isinstance(wrapper, FunctionType):
        yield from _wrappers(_contents(wrapper))
    else:
        yield from _wrappers(getattr(wrapper, "__dict__", {}).values())


def _contents(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue


def _wrappers(values: Iterable[object]) -> Iterator[object]:
    """What may be a view: no classes, which have views of their own."""
    return (value for value in values if callable(value) and not isinstance(value, type))
