"""Every view that the URL conf can reach, and the `@ratelimit` labels on it, those under other decorators included."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, product
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from django.conf import settings
from django.urls import ResolverMatch, URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize

from django_ratelimit_gcra.labels import Label, View, labels_on

_DEPTH = 12  # decorators on one view
_VALUES = ("a", "1", "00000000-0000-4000-8000-000000000000", "a/b", "2026", "12")  # what a URL's arguments may be
_TRIES = 2_000


class Route(NamedTuple):
    """A view and a place where the URL conf names it; `path` is a path that could be asked for there."""

    place: str
    view: View
    path: str = "/"
    url_name: str | None = None
    namespaces: tuple[str, ...] = ()
    app_names: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The view as its author wrote it: module and name."""
        kind = _class_of(self.view) or self.view
        named = kind if hasattr(kind, "__qualname__") else type(kind)
        return f"{named.__module__}.{named.__qualname__}"

    @property
    def match(self) -> ResolverMatch:
        """What Django would find for `path`, were no other place before this one."""
        return ResolverMatch(
            self.view, (), {}, self.url_name, [*self.app_names], [*self.namespaces], self.place.removeprefix("/")
        )


def routes() -> Iterator[Route]:
    """Every view once, at the first place where it is named."""
    seen: set[int] = set()
    for route in places():
        if id(route.view) not in seen:
            seen.add(id(route.view))
            yield route


def places() -> Iterator[Route]:
    """Every place of the URL conf, whatever it is included under; none where the site has no URL conf."""
    if getattr(settings, "ROOT_URLCONF", None):
        yield from _below(get_resolver(), Route("/", _nowhere), ())


def _nowhere(request: object) -> None:
    """What stands at the root before anything is found below it."""


def _below(resolver: URLResolver, above: Route, parents: tuple[URLResolver, ...]) -> Iterator[Route]:
    for entry in resolver.url_patterns:
        here = above._replace(
            place=above.place + str(entry.pattern).removeprefix("^"), path=above.path + _example(entry.pattern)
        )
        if isinstance(entry, URLPattern):
            yield here._replace(view=entry.callback, url_name=entry.name)
        elif entry not in parents:
            inside = here._replace(
                namespaces=(*above.namespaces, *_given(entry.namespace)),
                app_names=(*above.app_names, *_given(entry.app_name)),
            )
            yield from _below(entry, inside, (*parents, entry))


def _given(name: str | None) -> tuple[str, ...]:
    return (name,) if name else ()


def _example(pattern: Any) -> str:
    """A text that a pattern matches; the pattern itself where the values that are tried don't fit."""
    regex = pattern.regex
    for template, names in normalize(regex.pattern):
        for values in islice(product(_VALUES, repeat=len(names)), _TRIES):
            text: str = template
            for name, value in zip(names, values, strict=True):
                text = text.replace(f"%({name})s", value)
            if regex.search(text):
                return text
    return str(pattern)


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


def labels_for(view: View, method: str) -> tuple[Label, ...]:
    """The labels that a request of this method meets, those under other decorators included."""
    found: list[Label] = []
    for outer in layers(view):
        for root in (outer, *_dispatchers(outer), *_answering(outer, method)):
            for layer in layers(root):
                found += [label for label in labels_on(layer) if label not in found]
    return tuple(found)


def methods(view: View) -> tuple[str, ...] | None:
    """The methods that a view answers, HEAD and OPTIONS apart; None for a function that does not say."""
    for layer in layers(view):
        listed = _answered(layer)
        if listed is not None:
            return tuple(name for name in listed if name not in ("HEAD", "OPTIONS"))
    return None


def _answered(view: Any) -> tuple[str, ...] | None:
    kind = _class_of(view)
    if kind is None:
        return _required(view)
    names: Iterable[str] = getattr(view, "actions", None) or kind.http_method_names
    return tuple(name.upper() for name in names if _answering(view, name))


def _required(layer: object) -> tuple[str, ...] | None:
    """What Django's `require_http_methods` was told: it keeps the list in its closure, under this name."""
    if isinstance(layer, FunctionType) and "request_method_list" in layer.__code__.co_freevars:
        cell = (layer.__closure__ or ())[layer.__code__.co_freevars.index("request_method_list")]
        return tuple(cell.cell_contents)
    return None


def _answering(view: Any, method: str) -> list[object]:
    """The function of a class-based view that answers a method, if there is one."""
    actions: dict[str, str] = getattr(view, "actions", None) or {}
    found = getattr(_class_of(view), actions.get(method.lower(), method.lower()), None)
    return [found] if callable(found) else []


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
