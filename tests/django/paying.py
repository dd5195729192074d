"""A URL conf of payments that end in every way, for the tests of the shield; `samples.calls` counts what really ran."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import APIException
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView, exception_handler
from rest_framework.viewsets import ViewSet

from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.throttling import BucketThrottle
from testproject.samples import called, calls

FORM = "{% load ratelimit %}<form>{% csrf_token %}{% ratelimit_key %}</form>"
LONG = "x" * (64 * 1024 + 1)


def paid(request: Any, **kwargs: object) -> HttpResponse:
    """Count the run, and say which one it was and who asked."""
    called("paid")
    return JsonResponse({"run": calls["paid"], "user": request.user.pk}, status=201)


def reads(request: HttpRequest, **kwargs: object) -> HttpResponse:
    """A payment that looks at what was sent."""
    called("paid")
    files: Any = request.FILES.values()
    return JsonResponse({"fields": request.POST, "files": [one.read().decode() for one in files]})


def reads_body(request: HttpRequest) -> HttpResponse:
    called("paid")
    return HttpResponse(request.read())


def form(request: HttpRequest) -> HttpResponse:
    """The form, and what it sends."""
    if request.method == "POST":
        return paid(request)
    return HttpResponse(engines["django"].from_string(FORM).render({}, request))


def ends(request: Any, how: str) -> HttpResponseBase:
    """A payment that ends as its address says."""
    called("paid")
    if how in _RAISES:
        raise _RAISES[how]
    if how == "declined":
        request.ratelimit.release("declined")
        return HttpResponse("use another card")
    if how == "asks-for-3-d-secure":
        request.ratelimit.release("the bank asks for another step")
        return JsonResponse({"client_secret": f"secret {calls['paid']}"}, status=402)
    if how == "released-and-broken":
        request.ratelimit.release("declined")
        return HttpResponse(status=500)
    if how == "breaks-commit":
        Token.objects.create(user_id=-1)  # a foreign key that is looked at when the transaction ends
    if how in _ANSWERS:
        return _ANSWERS[how]()
    if how == "template":
        return TemplateResponse(request, "django_ratelimit_gcra/denied.html", {"denial": {"title": calls["paid"]}})
    if how == "cookie":
        response = HttpResponse("paid", headers={"X-Internal": "secret", "Location": "/receipt/"})
        response.set_cookie("session", "new")
        return response
    return HttpResponse(f"run {calls['paid']}", status=int(how) if how.isdecimal() else 201)


_ANSWERS: dict[str, Callable[[], HttpResponseBase]] = {
    "redirects": lambda: redirect("/thanks/"),
    "streams": lambda: StreamingHttpResponse(iter(["a", "b"])),
    "long": lambda: HttpResponse(LONG),
}
_RAISES: dict[str, BaseException] = {
    "raises": RuntimeError("the processor hung up"),
    "exits": SystemExit(),
    "missing": Http404(),
    "denied": PermissionDenied(),
}


async def aends(request: HttpRequest, how: str) -> HttpResponseBase:
    """The same, asynchronous."""
    if how in ("streams", "breaks-off"):
        called("paid")
        return StreamingHttpResponse(_letters(how == "breaks-off"))
    return ends(request, how)


async def _letters(broken: bool) -> AsyncIterator[bytes]:
    yield b"a"
    if broken:
        raise RuntimeError
    yield b"b"


def breaks_off(request: HttpRequest) -> StreamingHttpResponse:
    """A stream whose generator fails after its first chunk."""

    def chunks() -> Iterator[bytes]:
        called("paid")
        yield b"a"
        raise RuntimeError

    return StreamingHttpResponse(chunks())


def looks(request: Any) -> HttpResponse:
    """What a view finds on the request."""
    called("paid")
    state = request.ratelimit
    status = int(request.GET.get("status", "200"))
    held = {"key": state.idempotency_key, "fence": state.fence, "held": state.still_held(), "replayed": state.replayed}
    return JsonResponse(held, status=status)


def reads_stream_first(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A careless decorator that eats the body, and hides what is written below it."""

    def careless(request: HttpRequest) -> HttpResponseBase:
        request.read()
        return view(request)

    return careless


def hides(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A decorator without functools.wraps."""

    def careless(request: HttpRequest) -> HttpResponseBase:
        return view(request)

    return careless


@ratelimit("financial")
class OnClass(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return paid(request)


@method_decorator(ratelimit("financial"), name="post")
class OnPost(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return paid(request)


class RestPaid(APIView):
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    parser_classes = [JSONParser, FormParser, MultiPartParser]
    throttle_classes = [BucketThrottle]
    throttle_bucket = "financial"

    def post(self, request: Request) -> Response:
        called("paid")
        return Response({"run": calls["paid"], "data": sorted(request.data)}, status=201)

    put = post


class RestLooksFirst(RestPaid):
    """Its permission reads the body before the throttle runs."""

    def check_permissions(self, request: Request) -> None:
        assert request.data is not None


class RestHandled(RestPaid):
    """It makes errors of its own shape."""

    def get_exception_handler(self) -> Any:
        return lambda error, context: Response({"ours": error.default_code}, status=error.status_code)


class RestShared(RestPaid):
    throttle_lease_on = "the till"


@api_view(["POST"])
@ratelimit("financial")
def rest_function(request: Request) -> Response:
    called("paid")
    return Response({"run": calls["paid"]}, status=201)


class Payments(ViewSet):
    authentication_classes = [SessionAuthentication]

    @action(detail=False, methods=["post"])
    @ratelimit("financial")
    def settle(self, request: Request) -> Response:
        called("paid")
        return Response({"run": calls["paid"]}, status=201)


router = SimpleRouter()
router.register("payments", Payments, basename="payments")


def forgiving(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A decorator that makes an answer of a failure."""

    @wraps(view)
    def answered(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except ValueError:
            return HttpResponse(status=400)

    return answered


@forgiving
@ratelimit("financial")
def breaks(request: HttpRequest) -> HttpResponse:
    called("paid")
    raise ValueError


class Breaking(APIView):
    """REST framework, with an exception handler of the site's own that answers 400."""

    throttle_classes = [BucketThrottle]
    throttle_bucket = "financial"

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return lambda error, context: (
            Response(status=400) if isinstance(error, ValueError) else exception_handler(error, context)
        )

    def post(self, request: Request) -> Response:
        called("paid")
        raise ValueError


class Enveloping(APIView):
    """REST framework, with an exception handler that puts every error into an envelope of its own."""

    throttle_classes = [BucketThrottle]
    throttle_bucket = "financial"

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return lambda error, context: Response({"error": str(error)}, status=400)

    def post(self, request: Request) -> Response:
        called("paid")
        raise Unavailable


class Unavailable(APIException):
    """The processor took the payment, and did not answer."""

    status_code = 503


class EnvelopingInside(Enveloping):
    """The same, below the decorator."""

    throttle_classes = []

    post = ratelimit("financial")(Enveloping.post)


def turns_away(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A decorator that answers in the view's place when it is asked to."""

    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        return redirect("/confirm/") if "X-Away" in request.headers else view(request)

    return guarded


@ratelimit("financial")
@ratelimit("write", scope="s")
def twice_limited(request: Any) -> HttpResponse:
    called("paid")
    seen.append(request.ratelimit.idempotency_key)
    if len(seen) == 1:
        raise ValueError
    return HttpResponse("paid")


seen: list[str | None] = []

urlpatterns = [
    path("breaks/", breaks),
    path("turned-away/", turns_away(ratelimit("financial")(looks))),
    path("rest-breaks/", Breaking.as_view()),
    path("rest-envelops/", Enveloping.as_view()),
    path("rest-envelops-inside/", EnvelopingInside.as_view()),
    path("twice-limited/", twice_limited),
    path("pay/", ratelimit("financial")(paid)),
    path("for-the-company/", ratelimit("financial", identity=lambda request: "company")(paid)),
    path("bookings/<int:pk>/pay/", ratelimit("financial")(paid)),
    path("reads/", ratelimit("financial")(reads)),
    path("reads-body/", ratelimit("financial")(reads_body)),
    path("form/", ratelimit("financial")(form)),
    path("ends/<str:how>/", ratelimit("financial")(ends)),
    path("aends/<str:how>/", ratelimit("financial")(aends)),
    path("breaks-off/", ratelimit("financial")(breaks_off)),
    path("looks/", ratelimit("financial")(looks)),
    path("shared/<int:pk>/", ratelimit("financial", lease_on=lambda request, pk: f"booking:{pk}")(paid)),
    path("eaten/", reads_stream_first(ratelimit("financial")(paid))),
    path("ruled/", paid),
    path("class/", OnClass.as_view()),
    path("method/", OnPost.as_view()),
    path("hidden/", hides(ratelimit("financial")(paid))),
    path("rest/paid/", RestPaid.as_view()),
    path("rest/looks-first/", RestLooksFirst.as_view()),
    path("rest/handled/", RestHandled.as_view()),
    path("rest/shared/", RestShared.as_view()),
    path("rest/function/", rest_function),
    path("rest/", include(router.urls)),
]
