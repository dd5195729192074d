"""`@ratelimit` puts a view into a bucket, `@exempt` leaves it alone.

The middleware reads the labels that these write. A label that it could not see, because a decorator above hides it,
because it stands on a method, or because the middleware is missing, is honoured by the view itself: never in silence.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from inspect import isawaitable, unwrap
from typing import Any, NamedTuple, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View as ClassView

from django_ratelimit_gcra.captures import is_failure, rendered, renders_itself, result_of, when_known
from django_ratelimit_gcra.labels import (
    Charged,
    Cost,
    Label,
    Named,
    View,
    is_rest_class,
    is_rest_view,
    labels_on,
    make_label,
    put_exempt,
    put_labels,
)
from django_ratelimit_gcra.passage import aenter, aheld, aleave, enter, held, leave
from django_ratelimit_gcra.routing import Demand, keeps_rows, labelled
from django_ratelimit_gcra.state import RateLimitState, base_request, state_of

V = TypeVar("V", bound=Callable[..., Any])


def ratelimit(
    bucket: str,
    *,
    cost: Cost = 1,
    scope: Named | None = None,
    identity: Charged | None = None,
    methods: Iterable[str] | None = None,
    lease_on: Named | None = None,
) -> Callable[[V], V]:
    """Charge a view's requests to `bucket`; for functions, coroutines, classes and methods.

    `cost` is a number of units or a function of the request. `scope` narrows who is charged (a conversation): a text,
    or a function of the request and the URL's arguments. `identity` replaces who is charged: a function that returns
    an `Identity`, a text (which becomes `key:...`), or None for the user or the address. `methods` are those that the
    bucket acts on; without it all, and for a bucket with a lease or idempotency those that write. `lease_on` names what
    the bucket's lease is taken on (`booking:17`) in place of user and route, so that a job can hold the same one.

    Stacked decorators charge several buckets, all or nothing. If their costs, scopes or identities differ they are
    asked one after the other from the outermost, and a refusal leaves the earlier charges.

    Functions given here run where the decision is taken: on an event loop they must not block.
    Raises ConfigurationError and CostError for values that can't be used.
    """
    label = make_label(bucket, cost, scope, identity, methods, lease_on)

    def decorate(view: V) -> V:
        if is_rest_view(view):
            raise TypeError(
                f"@ratelimit stands above {view!r}, which REST framework runs and authenticates inside: "
                "put it below @api_view, or on the class or its methods, or use BucketThrottle"
            )
        if not isinstance(view, type):
            return cast("V", _wrap(view, (label, *labels_on(view))))
        if not hasattr(view, "dispatch"):
            raise TypeError(f"@ratelimit can decorate functions and class-based views; {view!r} has no dispatch()")
        view.dispatch = _wrap(view.dispatch, (label, *labels_on(view.dispatch)))
        return view

    return decorate


def exempt(view: V) -> V:
    """Leave a view, a class or a method alone: the middleware neither limits nor observes it."""
    put_exempt(view)
    return view


class _Call(NamedTuple):
    """One call of a decorated view; `request` may be REST framework's, `rest` are the arguments after it."""

    view: View
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    request: HttpRequest
    rest: tuple[Any, ...]
    state: RateLimitState
    left: tuple[Label, ...]

    def run(self) -> Any:
        """Call the view, and note how it ends: what stands above may make another answer of it."""
        self.state.ran = True
        try:
            result = self.view(*self.args, **self.kwargs)
        except BaseException as error:  # noted and raised again
            self.note(error)
            raise
        return self.arun(result) if isawaitable(result) else self.answered(result)

    async def arun(self, result: Awaitable[Any]) -> Any:
        """The same for a view that has to be awaited."""
        try:
            return self.answered(await result)
        except BaseException as error:  # the same
            self.note(error)
            raise

    def answered(self, response: Any) -> Any:
        """Keep what is to be replayed; a template's answer is there when it is rendered."""
        if self.holds():
            when_known(response, self.keep)
        return response

    def keep(self, response: HttpResponseBase) -> None:
        """The answer as the view gave it: what middleware adds, it adds to a replay as well."""
        self.state.answered = result_of(response)

    def note(self, error: BaseException) -> None:
        """An exception that is no answer leaves the outcome in doubt."""
        self.state.raised = self.state.raised or is_failure(error)

    def take(self) -> bool:
        """Look after the labels that are left; whether nobody is there to write the headers and to settle."""
        self.state.labels += self.left
        first, self.state.owned = not self.state.owned, True
        return first

    def demands(self) -> list[Demand]:
        """What the labels that are left ask for."""
        kwargs = {name: value for name, value in self.kwargs.items() if value is not self.request}
        return labelled(self.state.limiter.config, self.left, self.request, self.rest, kwargs)

    def holds(self) -> bool:
        """Whether there is an answer to keep, so that a template must be rendered before it leaves."""
        admission = self.state.admission
        return admission is not None and admission.holds

    def keeps_rows(self, demands: list[Demand]) -> bool:
        """Whether the view must run in the transaction of a record."""
        config = self.state.limiter.config
        return any(keeps_rows(config, name) for demand in demands for name in demand.buckets)


def _wrap(view: View, labels: tuple[Label, ...]) -> View:
    wrapper = _async_wrapper(view, labels) if iscoroutinefunction(view) else _wrapper(view, labels)
    put_labels(wrapper, labels)
    return wrapper


def _wrapper(view: View, labels: tuple[Label, ...]) -> View:
    @wraps(view)
    def limited(*args: Any, **kwargs: Any) -> Any:
        call = _call(view, labels, args, kwargs)
        if not call.left:
            return call.run()
        dispatched = _dispatched(view, args)
        if _authenticates_inside(dispatched, call.request):
            _postpone(dispatched, labels)
            return call.run()
        # dispatch() of an asynchronous class is no coroutine function: it returns a coroutine
        return _apass(call) if getattr(dispatched, "view_is_async", False) else _pass(call)

    return limited


def _async_wrapper(view: View, labels: tuple[Label, ...]) -> View:
    @wraps(view)
    async def limited(*args: Any, **kwargs: Any) -> Any:
        call = _call(view, labels, args, kwargs)
        return await (_apass(call) if call.left else call.run())

    return limited


def _pass(call: _Call) -> Any:
    """Run the view if the labels that are left admit the request."""
    first = call.take()
    if not first:
        return _admitted(call)
    with held(call.state):
        response = _admitted(call)
        if call.holds():
            rendered(response)
    return leave(call.state, response)


def _admitted(call: _Call) -> Any:
    """The view's response, or the refusal."""
    demands = call.demands()
    if call.keeps_rows(demands):
        from django_ratelimit_gcra import records  # has a model: needs the app to be installed

        return records.run(call.request, call.state, demands, call.run)
    refusal = enter(call.request, demands)
    return call.run() if refusal is None else refusal


async def _apass(call: _Call) -> Any:
    """`_pass` in an event loop."""
    first = call.take()
    demands = call.demands()
    if call.keeps_rows(demands):
        raise ImproperlyConfigured(f"{call.view!r}: a bucket with record='database' needs a view that is not async")
    if not first:
        return await _aadmitted(call, demands)
    async with aheld(call.state):
        response = await _aadmitted(call, demands)
        if call.holds() and renders_itself(response):
            await sync_to_async(rendered)(response)
    return await aleave(call.state, response)


async def _aadmitted(call: _Call, demands: list[Demand]) -> Any:
    refusal = await aenter(call.request, demands)
    return await call.run() if refusal is None else refusal


def _call(view: View, labels: tuple[Label, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
    """Find the request, the first argument or (of a method) the second, and what nobody has looked after."""
    candidates = (*args[:2], kwargs.get("request"))
    found = [one for one in candidates if isinstance(base_request(one), HttpRequest)]
    if not found:
        raise TypeError(f"@ratelimit decorates views: {view!r} was called without a request")
    request: HttpRequest = found[0]
    state = state_of(request)
    seen = request.method == "OPTIONS"
    left = () if seen else tuple(label for label in labels if not state.has(label))
    rest = args[candidates.index(request) + 1 :]
    return _Call(view, args, kwargs, request, rest, state, left)


def _dispatched(view: View, args: tuple[Any, ...]) -> object:
    """The object whose `dispatch` is decorated: the first argument, or inside what `method_decorator` makes of it."""
    if args and isinstance(args[0], ClassView):
        return args[0]
    partial = unwrap(view, stop=lambda one: hasattr(one, "func"))
    return getattr(getattr(partial, "func", None), "__self__", None)


def _authenticates_inside(dispatched: object, request: HttpRequest) -> bool:
    """Whether REST framework has yet to find out who this is."""
    return is_rest_class(type(dispatched)) and base_request(request) is request


def _postpone(view: Any, labels: tuple[Label, ...]) -> None:
    """Let REST framework's view admit between `initial()`, which authenticates, and the method it then calls."""
    initial = view.initial

    def authenticated(request: Any, *args: Any, **kwargs: Any) -> None:
        initial(request, *args, **kwargs)
        name = request.method.lower()
        setattr(view, name, _wrap(getattr(view, name, view.http_method_not_allowed), labels))

    view.initial = authenticated
