"""Addresses for the tests of all doors together."""

from django.http import HttpRequest, HttpResponse
from django.urls import path, re_path
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


urlpatterns = [
    path("door/sync/", decorated),
    path("door/async/", decorated_async),
    path("door/rest/", Throttled.as_view()),
    re_path("", anything),
]
