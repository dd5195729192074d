"""A URL conf of views for the tests of the door, beside those of the testproject."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import include, path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from rest_framework.authentication import TokenAuthentication
from rest_framework.decorators import action, api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_ratelimit_gcra.decorators import exempt, ratelimit
from django_ratelimit_gcra.state import state_of
from ratelimit_core import Identity
from testproject.samples import called
from testproject.samples.views import unlabelled


def ok(request: HttpRequest, **kwargs: object) -> HttpResponse:
    called("ok")
    return HttpResponse(getattr(request, "answer", "ok"))


async def aok(request: HttpRequest) -> HttpResponse:
    called("aok")
    return HttpResponse("ok")


def reads_user(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


def returns_none(request: HttpRequest) -> None:
    called("returns_none")


def says(request: HttpRequest) -> HttpResponse:
    """What the view can look at."""
    decision = request.ratelimit.decision  # type: ignore[attr-defined]  # the middleware writes it
    return HttpResponse(f"{decision.bucket} {decision.remaining}")


def calls_another(request: HttpRequest) -> HttpResponse:
    return plain(request)


def account(request: HttpRequest) -> str | None:
    return request.POST.get("username")


def conversation(request: HttpRequest, pk: int) -> int:
    return pk


@ratelimit("financial")
def pays(request: HttpRequest, how: str) -> HttpResponseBase:
    """Ends as it is told to."""
    called("pays")
    if how == "raises":
        raise RuntimeError
    if how == "streams":
        return StreamingHttpResponse(iter(["a", "b"]))
    return HttpResponse(how)


@ratelimit("financial")
async def apays(request: HttpRequest, how: str) -> HttpResponseBase:
    """The same, asynchronous."""
    return pays.__wrapped__(request, how)  # type: ignore[attr-defined,no-any-return]  # functools.wraps writes it


def templated(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "django_ratelimit_gcra/denied.html", {"denial": {"title": "a page"}})


@exempt
def gone(request: HttpRequest) -> HttpResponse:
    raise Http404


plain = ratelimit("read")(ok)


def hides(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A decorator without functools.wraps, for a view with arguments."""

    def careless(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return view(request, **kwargs)

    return careless


@ratelimit("read")
class Labelled(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)

    @method_decorator(exempt)
    def post(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


class Overridden(Labelled):
    """Its dispatch carries no label; the one that it calls does."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return super().dispatch(request, *args, **kwargs)


@ratelimit("write")
class AsyncLabelled(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await aok(request)


class AsyncOverridden(AsyncLabelled):
    """The same, asynchronous: dispatch is no coroutine function."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)


@method_decorator([ratelimit("read"), ratelimit("write")], name="dispatch")
class Twice(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


class Direct(View):
    @ratelimit("write")
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


@exempt
class Exempted(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return ok(request)


class Bare(APIView):
    authentication_classes = [TokenAuthentication]

    def get(self, request: Request) -> Response:
        called("bare")
        return Response({"user": str(request.user)})

    def post(self, request: Request) -> Response:
        called("bare")
        return Response({"user": str(request.user)})


@ratelimit("write")
class OnRestClass(Bare):
    pass


@method_decorator(ratelimit("write"), name="dispatch")
class OnRestDispatch(Bare):
    pass


@method_decorator(ratelimit("write"), name="post")
class OnRestMethod(Bare):
    pass


@exempt
class RestExempted(Bare):
    pass


@api_view(["GET"])
@ratelimit("write")
def rest_function(request: Request) -> Response:
    called("rest_function")
    return Response({})


class Things(ViewSet):
    authentication_classes = [TokenAuthentication]

    @action(detail=False, methods=["post"])
    @ratelimit("write")
    def shake(self, request: Request) -> Response:
        called("shake")
        return Response({"bucket": state_of(request).decisions[-1].bucket})


def keyed(prefix: str) -> Callable[[HttpRequest], Identity]:
    return lambda request: Identity.key(prefix + request.GET.get("key", ""))


router = SimpleRouter()
router.register("things", Things, basename="things")

inner = [
    path("ok/", ok, name="ok"),
    path("login/", ok, name="login"),
    path("chart/", ok, name="django_ratelimit_gcra_chart"),
]

urlpatterns = [
    path("plain/", plain, name="plain"),
    path("async/", ratelimit("read")(aok)),
    path("undecorated/", ok, name="undecorated"),
    path("async-undecorated/", aok),
    path("reads-user/", reads_user),
    path("gone/", gone),
    path("none/", unlabelled(ratelimit("write")(returns_none))),  # type: ignore[arg-type]
    path("says/", ratelimit("read")(says)),
    path("calls-another/", ratelimit("write")(calls_another)),
    path("login/", ratelimit("read", identity=account)(ok)),
    path("keyed/", ratelimit("read", identity=keyed("k"))(ok)),
    path("talks/<int:pk>/", ratelimit("read", scope=conversation)(ok)),
    path("tenant/", ratelimit("read", scope="acme")(ok)),
    path("post-only/", ratelimit("write", methods=["POST"])(ok)),
    path("paid/", ratelimit("financial")(ok)),
    path("paid-reads/", ratelimit("financial", methods=["get", "post"])(ok)),
    path("pays/<str:how>/", pays),
    path("apays/<str:how>/", apays),
    path("hidden-pays/<str:how>/", hides(pays)),
    path("template/", ratelimit("read")(templated)),
    path("cached/", never_cache(ratelimit("read")(ok))),
    path("partial/", partial(ratelimit("write")(ok), extra=1)),
    path("stacked-equal/", ratelimit("read")(ratelimit("write")(ok))),
    path("stacked-other/", ratelimit("read", cost=2)(ratelimit("write")(ok))),
    path("hidden-stack/", unlabelled(ratelimit("read")(ratelimit("write")(ok)))),
    path("hidden-default/", unlabelled(ratelimit("read")(ok))),
    path("unknown/", ratelimit("nowhere")(ok)),
    path("class/", Labelled.as_view()),
    path("overridden/", Overridden.as_view()),
    path("async-overridden/", AsyncOverridden.as_view()),
    path("twice/", Twice.as_view()),
    path("direct/", Direct.as_view()),
    path("exempted-class/", Exempted.as_view()),
    path("rest/bare/", Bare.as_view(), name="bare"),
    path("rest/class/", OnRestClass.as_view()),
    path("rest/dispatch/", OnRestDispatch.as_view()),
    path("rest/method/", OnRestMethod.as_view()),
    path("rest/exempted/", RestExempted.as_view()),
    path("rest/function/", rest_function),
    path("rest/", include(router.urls)),
    path("shop/", include((inner, "shop"), namespace="shop")),
    path("office/", include((inner, "admin"), namespace="office")),
]


def token_for(user: User) -> dict[str, str]:
    from rest_framework.authtoken.models import Token

    return {"authorization": f"Token {Token.objects.create(user=user).key}"}
