"""Payments whose record is a row in the database, and what can go wrong in them. The effect is a group's row."""

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.state import state_of
from ratelimit_core import Identity
from testproject.samples import called

BUCKET = {
    "quota": "100/d",
    "burst": 50,
    "idempotency": "required",
    "record": "database",
    "concurrency": 5,
    "store_down": "closed",
}


def who(request: HttpRequest) -> Identity:
    return Identity.key(request.headers.get("X-Who", "ann"))


payment = ratelimit("payment", identity=who)


def effect() -> int:
    """Something that is rolled back with the transaction; and a count that isn't."""
    called("payment")
    return Group.objects.create(name=f"payment {Group.objects.count() + 1}").pk


keys: list[str | None] = []


@payment
def pay(request: HttpRequest) -> HttpResponseBase:
    """Ends as the request says."""
    pk = effect()
    how = request.headers.get("X-How", "")
    if how == "raise":
        raise RuntimeError("after the effect")
    if how == "exit":
        raise SystemExit
    if how == "missing":
        raise Http404
    if how in ("decline", "undo"):
        state_of(request).release("declined")
    if how == "undo":
        transaction.set_rollback(True)
    keys.append(state_of(request).idempotency_key)
    if how == "redirect":
        return HttpResponseRedirect("/done/")
    if how == "template":
        return TemplateResponse(request, "no such template.html")
    if how == "stream":
        return StreamingHttpResponse([b"a", b"b"])
    status = int(how) if how.isdecimal() else 201
    return HttpResponse(f"paid {pk}", status=status, headers={"Location": f"/payments/{pk}", "Set-Cookie": "a=b"})


@payment
def waits(request: HttpRequest) -> HttpResponse:
    """Says that it has begun, and ends when it is told to."""
    pk = effect()
    request.begun()  # type: ignore[attr-defined]  # the test gives it
    return HttpResponse(f"paid {pk}")


@payment
def lock_timeout(request: HttpRequest) -> HttpResponse:
    """What PostgreSQL is told about the view's own waits."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return HttpResponse(str(cursor.fetchone()[0]))


@payment
def bad_commit(request: HttpRequest) -> HttpResponse:
    """All is well, until the database looks at a constraint that it checks last."""
    effect()
    LogEntry.objects.create(user_id=4711, action_flag=1, object_repr="nobody")
    return HttpResponse("paid")


@payment
async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@payment
def streaming(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse([b""])


@method_decorator(payment, name="post")
class ByMethod(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"paid {effect()}")


@payment
class ByClass(View):
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"paid {effect()}")


@payment
class Rest(APIView):
    def post(self, request: Request) -> Response:
        return Response({"paid": effect()}, status=201)


@api_view(["POST"])
@payment
def rest_function(request: Request) -> Response:
    return Response({"paid": effect(), "vendor": connection.vendor}, status=201)


urlpatterns = [
    path("pay/", pay),
    path("waits/", waits),
    path("lock-timeout/", lock_timeout),
    path("bad-commit/", bad_commit),
    path("by-method/", ByMethod.as_view()),
    path("by-class/", ByClass.as_view()),
    path("rest/", Rest.as_view()),
    path("rest-function/", rest_function),
]
