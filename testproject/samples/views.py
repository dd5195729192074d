"""The sample views; they exist for the tests. Each says with its name what is special about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.utils.decorators import method_decorator
from django.views import View

from django_ratelimit_gcra.decorators import exempt, ratelimit
from testproject.samples import called

CHUNKS = ("one ", "two ", "three ", "four")
FAILURES: dict[str, type[BaseException]] = {
    "runtime": RuntimeError,
    "missing": Http404,
    "denied": PermissionDenied,
    "exit": SystemExit,
}


def answer(request: HttpRequest, name: str) -> HttpResponse:
    """Count the run and say which view it was."""
    called(name)
    return JsonResponse({"view": name, "method": request.method})


@ratelimit(bucket="read")
def plain(request: HttpRequest) -> HttpResponse:
    """The usual case, to compare the others with."""
    return answer(request, "plain")


def undecorated(request: HttpRequest) -> HttpResponse:
    """Only observed, unless RATE_LIMIT_UNDECORATED says otherwise."""
    return answer(request, "undecorated")


@exempt
def exempted(request: HttpRequest) -> HttpResponse:
    """Never limited."""
    return answer(request, "exempted")


@ratelimit(bucket="read")
async def async_view(request: HttpRequest) -> HttpResponse:
    """A coroutine."""
    return answer(request, "async_view")


@ratelimit(bucket="write")
class DecoratedClass(View):
    """Decorated on the class: every method."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Charge ``write``."""
        return answer(request, "decorated_class")

    def post(self, request: HttpRequest) -> HttpResponse:
        """Charge ``write`` too."""
        return answer(request, "decorated_class")


@method_decorator(ratelimit(bucket="write"), name="post")
class DecoratedMethod(View):
    """Decorated on one method: the function that the middleware sees carries no label."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Not decorated."""
        return answer(request, "decorated_method_get")

    def post(self, request: HttpRequest) -> HttpResponse:
        """Charge ``write``."""
        return answer(request, "decorated_method_post")


@method_decorator(ratelimit(bucket="write"), name="dispatch")
class DecoratedDispatch(View):
    """Decorated on dispatch."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Charge ``write``."""
        return answer(request, "decorated_dispatch")


@ratelimit(bucket="read")
class AsyncClass(View):
    """A class of coroutines."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Charge ``read``."""
        return answer(request, "async_class")


def unlabelled(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Decorate without functools.wraps, as careless code does; it hides what is written below it."""

    def careless(request: HttpRequest) -> HttpResponse:
        return view(request)

    return careless


@unlabelled
@ratelimit(bucket="write")
def hidden(request: HttpRequest) -> HttpResponse:
    """A bucket that the middleware can't see."""
    return answer(request, "hidden")


def items(request: HttpRequest) -> int:
    """The cost of a request: what ``?items=`` says, 1 without it."""
    return int(request.GET.get("items", "1"))


@ratelimit(bucket="read", cost=items)
def weighted(request: HttpRequest) -> HttpResponse:
    """Costs as much as it is asked for."""
    return answer(request, "weighted")


@ratelimit(bucket="read")
@ratelimit(bucket="write")
def stacked(request: HttpRequest) -> HttpResponse:
    """Charges two buckets, all or nothing."""
    return answer(request, "stacked")


@ratelimit(bucket="financial")
def paid(request: HttpRequest) -> HttpResponse:
    """A shielded view without a database."""
    return answer(request, "paid")


@ratelimit(bucket="financial")
def declined(request: HttpRequest) -> HttpResponse:
    """A card is declined, and the page says so with a 200: without ``release`` that page would be replayed."""
    request.ratelimit.release("declined")  # type: ignore[attr-defined]  # the middleware writes it
    return answer(request, "declined")


@ratelimit(bucket="read")
def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Several chunks from a generator; for WSGI."""
    called("stream")
    return StreamingHttpResponse(chunks(), content_type="text/plain")


@ratelimit(bucket="read")
async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    """Several chunks from an asynchronous generator; for ASGI."""
    called("async_stream")
    return StreamingHttpResponse(async_chunks(), content_type="text/plain")


def chunks() -> Iterator[str]:
    """The chunks, one by one."""
    yield from CHUNKS


async def async_chunks() -> AsyncIterator[str]:
    """The chunks, one by one."""
    for chunk in CHUNKS:
        yield chunk


@ratelimit(bucket="read")
def raising(request: HttpRequest, failure: str) -> HttpResponse:
    """Count the run and raise the named failure."""
    called(f"raising_{failure}")
    raise FAILURES[failure]("a sample failure")


@ratelimit(bucket="read")
async def async_raising(request: HttpRequest, failure: str) -> HttpResponse:
    """Count the run and raise the named failure in a coroutine."""
    called(f"async_raising_{failure}")
    raise FAILURES[failure]("a sample failure")
