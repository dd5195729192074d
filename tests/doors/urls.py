"""Addresses for the tests of all doors together."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
from django.utils.decorators import sync_and_async_middleware
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_ratelimit_gcra.decorators import ratelimit
from django_ratelimit_gcra.throttling import BucketThrottle


@ratelimit(bucket="read")
def decorated(request: HttpRequest) -> HttpResponse:
    return HttpResponse("decorated")


@ratelimit(bucket="read")
async def decorated_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse("decorated_async")


class Throttled(APIView):
    """Limited by REST framework's own means."""

    throttle_classes = [BucketThrottle]
    throttle_bucket = "read"

    def get(self, request: Request) -> Response:
        return Response("throttled")


def anything(request: HttpRequest) -> HttpResponse:
    return HttpResponse("anything")


@sync_and_async_middleware
def ann_is_signed_in(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """A middleware for which everybody is Ann."""

    def pass_on(request: HttpRequest) -> Any:
        request.user = User(pk="ann")
        return get_response(request)

    async def pass_on_async(request: HttpRequest) -> Any:
        return await pass_on(request)

    return pass_on_async if iscoroutinefunction(get_response) else pass_on


urlpatterns = [
    path("door/sync/", decorated),
    path("door/async/", decorated_async),
    path("door/rest/", Throttled.as_view()),
    re_path("", anything),
]
